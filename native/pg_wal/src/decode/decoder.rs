//! Which bytes make which message, by protocol version and place in the stream.

use super::message::{
    Begin, Commit, Delete, Insert, LogicalMessage, Message, OldTuple, Origin, Prepared, Relation,
    RelationColumn, RelationColumns, ReplicaIdentity, RollbackPrepared, StreamAbort, StreamCommit,
    StreamStart, Truncate, Type, Update,
};
use super::reader::Reader;
use crate::Error;

/// Whether the server sends large transactions before they have committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streaming {
    /// No: transactions come whole, after their commit; the server spills large ones to its disk.
    #[default]
    Off,
    /// Yes (protocol version 2, PostgreSQL 14).
    On,
    /// Yes, with more in abort messages (protocol version 4, PostgreSQL 16).
    Parallel,
}

/// Decodes the messages of one stream, in order.
///
/// It only remembers whether it is inside a streamed block, since messages carry a transaction id
/// there; so one decoder per connection, and each message once.
#[derive(Clone, Debug)]
pub struct Decoder {
    protocol: u8,
    streaming: Streaming,
    in_stream: bool,
}

impl Decoder {
    /// A decoder for what `START_REPLICATION (proto_version ..., streaming ...)` asked for.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] when the version is not 1 to 4, or too old for the streaming.
    pub fn new(protocol: u8, streaming: Streaming) -> Result<Decoder, Error> {
        let least = match streaming {
            Streaming::Off => 1,
            Streaming::On => 2,
            Streaming::Parallel => 4,
        };
        if !(least..=4).contains(&protocol) {
            return Err(Error::InvalidOption {
                option: "protocol",
                reason: format!("{protocol} is not between {least} and 4"),
            });
        }
        Ok(Decoder { protocol, streaming, in_stream: false })
    }

    /// A decoder for messages that were already taken out of their stream.
    pub(crate) fn inside(streamed: bool) -> Decoder {
        let streaming = if streamed { Streaming::On } else { Streaming::Off };
        Decoder { protocol: 4, streaming, in_stream: streamed }
    }

    /// Whether the last message left us inside a streamed block.
    pub fn in_stream(&self) -> bool {
        self.in_stream
    }

    /// Forgets the place in the stream: for a new connection.
    pub fn reset(&mut self) {
        self.in_stream = false;
    }

    /// Decodes one message.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the byte offset, [`Error::UnknownMessage`], or
    /// [`Error::OutOfPlace`] for a streamed block inside another; the decoder's state is then as
    /// it was before.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Message<'a>, Error> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8("a message's first byte")?;
        if self.first_version(tag).is_none_or(|version| self.protocol < version) {
            return Err(Error::UnknownMessage { tag, protocol: self.protocol });
        }
        let message = self.body(tag, &mut reader)?;
        reader.end()?;
        match message {
            Message::StreamStart(_) | Message::Begin(_) if self.in_stream => {
                Err(Error::OutOfPlace {
                    message: message.name(),
                    reason: "the streamed block before it has not stopped",
                })
            }
            Message::StreamStop if !self.in_stream => Err(Error::OutOfPlace {
                message: message.name(),
                reason: "no streamed block has started",
            }),
            _ => {
                match message {
                    Message::StreamStart(_) => self.in_stream = true,
                    Message::StreamStop => self.in_stream = false,
                    _ => {}
                }
                Ok(message)
            }
        }
    }

    fn first_version(&self, tag: u8) -> Option<u8> {
        match tag {
            b'B' | b'C' | b'O' | b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' => Some(1),
            b'S' | b'E' | b'c' | b'A' => Some(2),
            b'b' | b'P' | b'K' | b'r' | b'p' => Some(3),
            _ => None,
        }
    }

    fn xid(&self, reader: &mut Reader<'_>) -> Result<Option<u32>, Error> {
        self.in_stream.then(|| reader.u32("a transaction id")).transpose()
    }

    fn body<'a>(&self, tag: u8, r: &mut Reader<'a>) -> Result<Message<'a>, Error> {
        Ok(match tag {
            b'B' => Message::Begin(Begin {
                final_lsn: r.lsn("the final LSN")?,
                commit_time: r.i64("the commit time")?,
                xid: r.u32("a transaction id")?,
            }),
            b'C' => {
                r.no_flags()?;
                Message::Commit(Commit {
                    commit_lsn: r.lsn("the commit LSN")?,
                    end_lsn: r.lsn("the end LSN")?,
                    commit_time: r.i64("the commit time")?,
                })
            }
            b'O' => Message::Origin(Origin {
                commit_lsn: r.lsn("the origin's LSN")?,
                name: r.string("an origin name in UTF-8")?,
            }),
            b'R' => Message::Relation(self.relation(r)?),
            b'Y' => Message::Type(Type {
                xid: self.xid(r)?,
                oid: r.u32("the type's OID")?,
                namespace: namespace(r)?,
                name: r.string("a type name in UTF-8")?,
            }),
            b'I' => {
                let (xid, relation) = (self.xid(r)?, r.u32("the relation's OID")?);
                match r.u8("N")? {
                    b'N' => Message::Insert(Insert { xid, relation, new: r.tuple()? }),
                    _ => return Err(r.malformed_before("N")),
                }
            }
            b'U' => Message::Update(self.update(r)?),
            b'D' => {
                let (xid, relation) = (self.xid(r)?, r.u32("the relation's OID")?);
                let old = match r.u8("K or O")? {
                    b'K' => OldTuple::Key(r.tuple()?),
                    b'O' => OldTuple::Full(r.tuple()?),
                    _ => return Err(r.malformed_before("K or O")),
                };
                Message::Delete(Delete { xid, relation, old })
            }
            b'T' => Message::Truncate(self.truncate(r)?),
            b'M' => self.logical(r).map(Message::Message)?,
            b'S' => {
                let xid = r.u32("a transaction id")?;
                Message::StreamStart(StreamStart { xid, first: flag(r, "0 or 1")? })
            }
            b'E' => Message::StreamStop,
            b'c' => {
                let xid = r.u32("a transaction id")?;
                r.no_flags()?;
                Message::StreamCommit(StreamCommit {
                    xid,
                    commit_lsn: r.lsn("the commit LSN")?,
                    end_lsn: r.lsn("the end LSN")?,
                    commit_time: r.i64("the commit time")?,
                })
            }
            b'A' => Message::StreamAbort(self.stream_abort(r)?),
            b'b' => Message::BeginPrepare(prepared(r)?),
            b'P' => r.no_flags().and_then(|()| prepared(r)).map(Message::Prepare)?,
            b'K' => r.no_flags().and_then(|()| prepared(r)).map(Message::CommitPrepared)?,
            b'p' => r.no_flags().and_then(|()| prepared(r)).map(Message::StreamPrepare)?,
            b'r' => {
                r.no_flags()?;
                Message::RollbackPrepared(RollbackPrepared {
                    prepare_end_lsn: r.lsn("the prepare's end LSN")?,
                    rollback_end_lsn: r.lsn("the rollback's end LSN")?,
                    prepare_time: r.i64("the prepare's time")?,
                    rollback_time: r.i64("the rollback's time")?,
                    xid: r.u32("a transaction id")?,
                    gid: r.string("a prepared transaction's name in UTF-8")?,
                })
            }
            _ => return Err(Error::UnknownMessage { tag, protocol: self.protocol }),
        })
    }

    fn relation<'a>(&self, r: &mut Reader<'a>) -> Result<Relation<'a>, Error> {
        let xid = self.xid(r)?;
        let oid = r.u32("the relation's OID")?;
        let namespace = namespace(r)?;
        let name = r.string("a relation name in UTF-8")?;
        let replica_identity = match r.u8("the replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            _ => return Err(r.malformed_before("a replica identity (d, n, f or i)")),
        };
        let left = r.count16("the column count")?;
        let start = r.position();
        for _ in 0..left {
            RelationColumn::read(r)?;
        }
        let columns = RelationColumns { rest: r.since(start), left };
        Ok(Relation { xid, oid, namespace, name, replica_identity, columns })
    }

    fn update<'a>(&self, r: &mut Reader<'a>) -> Result<Update<'a>, Error> {
        let (xid, relation) = (self.xid(r)?, r.u32("the relation's OID")?);
        let (old, new) = match r.u8("K, O or N")? {
            b'K' => (Some(OldTuple::Key(r.tuple()?)), r.u8("N")?),
            b'O' => (Some(OldTuple::Full(r.tuple()?)), r.u8("N")?),
            b'N' => (None, b'N'),
            _ => return Err(r.malformed_before("K, O or N")),
        };
        if new != b'N' {
            return Err(r.malformed_before("N"));
        }
        Ok(Update { xid, relation, old, new: r.tuple()? })
    }

    fn truncate<'a>(&self, r: &mut Reader<'a>) -> Result<Truncate<'a>, Error> {
        let xid = self.xid(r)?;
        let count = r.count32("the relation count")?;
        let options = r.u8("the truncate options")?;
        if options > 3 {
            return Err(r.malformed_before("truncate options of 0 to 3"));
        }
        let len = count.saturating_mul(4);
        let (relations, _) = r.take(len, "the relations' OIDs")?.as_chunks::<4>();
        let (cascade, restart_identity) = (options & 1 != 0, options & 2 != 0);
        Ok(Truncate { xid, cascade, restart_identity, relations })
    }

    fn logical<'a>(&self, r: &mut Reader<'a>) -> Result<LogicalMessage<'a>, Error> {
        let xid = self.xid(r)?;
        let transactional = flag(r, "flags of 0 or 1")?;
        let lsn = r.lsn("the message's LSN")?;
        let prefix = r.string("a prefix in UTF-8")?;
        let len = r.count32("the content's length")?;
        let content = r.take(len, "the content")?;
        Ok(LogicalMessage { xid, transactional, lsn, prefix, content })
    }

    fn stream_abort(&self, r: &mut Reader<'_>) -> Result<StreamAbort, Error> {
        let xid = r.u32("a transaction id")?;
        let subxid = r.u32("a subtransaction id")?;
        let abort = if self.streaming == Streaming::Parallel && self.protocol >= 4 {
            Some((r.lsn("the abort's LSN")?, r.i64("the abort's time")?))
        } else {
            None
        };
        Ok(StreamAbort { xid, subxid, abort })
    }
}

impl<'a> RelationColumn<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<RelationColumn<'a>, Error> {
        Ok(RelationColumn {
            key: r.u8("a column's flags")? & 1 != 0,
            name: r.string("a column name in UTF-8")?,
            type_oid: r.u32("a column's type OID")?,
            type_modifier: r.i32("a column's type modifier")?,
        })
    }
}

fn namespace<'a>(r: &mut Reader<'a>) -> Result<&'a str, Error> {
    let name = r.string("a schema name in UTF-8")?;
    Ok(if name.is_empty() { "pg_catalog" } else { name })
}

fn flag(r: &mut Reader<'_>, expected: &'static str) -> Result<bool, Error> {
    match r.u8(expected)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(r.malformed_before(expected)),
    }
}

fn prepared<'a>(r: &mut Reader<'a>) -> Result<Prepared<'a>, Error> {
    Ok(Prepared {
        lsn: r.lsn("the LSN")?,
        end_lsn: r.lsn("the end LSN")?,
        time: r.i64("the time")?,
        xid: r.u32("a transaction id")?,
        gid: r.string("a prepared transaction's name in UTF-8")?,
    })
}

//! Messages in, whole transactions in commit order out; large ones in bounded fragments.
//!
//! A transaction that comes after its commit (the normal case) is cut into fragments as it comes,
//! so memory stays bounded whatever its size. A transaction that is *streamed in progress* may
//! still roll back, in part or as a whole: it is kept, up to [`Limits::streamed_bytes`], until its
//! commit, without what its aborted subtransactions did.

use crate::decode::{Decoder, Message, Relation as RelationMessage, Streaming};
use crate::{Error, Lsn, Relation};
use bytes::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

type Relations = HashMap<u32, Arc<Relation>>;

/// How large a fragment, and how much of transactions in progress, may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages in a fragment: 1,000 by default.
    pub fragment_messages: usize,
    /// Bytes in a fragment: 1 MiB by default. A single message may be larger; it then is a fragment
    /// of its own.
    pub fragment_bytes: usize,
    /// Bytes held for transactions streamed in progress, all together: 256 MiB by default.
    pub streamed_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { fragment_messages: 1_000, fragment_bytes: 1 << 20, streamed_bytes: 256 << 20 }
    }
}

/// A transaction, or one part of a large one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The transaction's id; 0 for a logical message outside any transaction, which makes a
    /// fragment of its own.
    pub xid: u32,
    /// Where the commit record starts: ascending from transaction to transaction, the same in all
    /// fragments of one.
    pub commit_lsn: Lsn,
    /// On the last fragment, where the commit record ends: what to confirm when the transaction
    /// has been handled.
    pub end_lsn: Option<Lsn>,
    /// When it committed, in microseconds since 2000-01-01 00:00 UTC.
    pub commit_time: i64,
    /// 0, 1, 2 ... within the transaction.
    pub index: u32,
    /// Whether the transaction ends here.
    pub last: bool,
    /// Whether the messages come from streamed blocks, and so carry transaction ids.
    pub streamed: bool,
    /// Row, Truncate, Relation, Type, Origin and logical messages, in order, as they came.
    pub messages: Vec<Bytes>,
    /// The definition, as it is at the start of the fragment, of every table that the messages name
    /// before a Relation message among them defines it (again). So a fragment explains itself.
    pub relations: Vec<Arc<Relation>>,
}

impl Fragment {
    /// The messages, decoded.
    pub fn decode(&self) -> impl Iterator<Item = Result<Message<'_>, Error>> {
        let mut decoder = Decoder::inside(self.streamed);
        self.messages.iter().map(move |bytes| decoder.decode(bytes))
    }

    /// The size of the messages together.
    pub fn byte_len(&self) -> usize {
        self.messages.iter().map(Bytes::len).sum()
    }
}

/// A transaction of which a Begin, but no Commit, has come.
#[derive(Debug)]
struct Open {
    xid: u32,
    commit_lsn: Lsn,
    commit_time: i64,
    index: u32,
    streamed: bool,
    messages: Vec<Bytes>,
    bytes: usize,
    relations: Vec<Arc<Relation>>,
    /// The tables that `relations` or a message of this fragment defines.
    explained: HashSet<u32>,
}

impl Open {
    fn new(xid: u32, commit_lsn: Lsn, commit_time: i64, streamed: bool) -> Open {
        Open {
            xid,
            commit_lsn,
            commit_time,
            index: 0,
            streamed,
            messages: Vec::new(),
            bytes: 0,
            relations: Vec::new(),
            explained: HashSet::new(),
        }
    }

    fn take(&mut self, end_lsn: Option<Lsn>) -> Fragment {
        let fragment = Fragment {
            xid: self.xid,
            commit_lsn: self.commit_lsn,
            end_lsn,
            commit_time: self.commit_time,
            index: self.index,
            last: end_lsn.is_some(),
            streamed: self.streamed,
            messages: std::mem::take(&mut self.messages),
            relations: std::mem::take(&mut self.relations),
        };
        self.index += 1;
        self.bytes = 0;
        self.explained.clear();
        fragment
    }
}

/// A transaction in progress. Its messages are kept with the subtransaction they belong to.
#[derive(Debug, Default)]
struct Streamed {
    messages: Vec<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    /// `None` for what stays even when its subtransaction rolls back: table definitions, which the
    /// server does not repeat for the rest of the transaction.
    subxid: Option<u32>,
    bytes: Bytes,
}

/// Puts transactions together from the messages of one connection.
#[derive(Debug)]
pub struct Assembler {
    decoder: Decoder,
    limits: Limits,
    /// Every definition that came. Unlike a `RelationCache` it forgets none: rows of a table whose
    /// name another one has taken may still come.
    relations: Relations,
    open: Option<Open>,
    stream: Option<u32>,
    streams: HashMap<u32, Streamed>,
    streamed_bytes: usize,
    ready: VecDeque<Fragment>,
}

impl Assembler {
    /// An assembler for what `START_REPLICATION` asked for.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a protocol version that does not go with the streaming, or
    /// limits of zero.
    pub fn new(protocol: u8, streaming: Streaming, limits: Limits) -> Result<Assembler, Error> {
        let all = [
            ("fragment_messages", limits.fragment_messages),
            ("fragment_bytes", limits.fragment_bytes),
            ("streamed_bytes", limits.streamed_bytes),
        ];
        for (option, value) in all {
            if value == 0 {
                return Err(Error::InvalidOption { option, reason: "must not be 0".into() });
            }
        }
        Ok(Assembler {
            decoder: Decoder::new(protocol, streaming)?,
            limits,
            relations: Relations::new(),
            open: None,
            stream: None,
            streams: HashMap::new(),
            streamed_bytes: 0,
            ready: VecDeque::new(),
        })
    }

    /// The next fragment that is complete.
    pub fn pop(&mut self) -> Option<Fragment> {
        self.ready.pop_front()
    }

    /// Whether a fragment waits to be taken.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing is half done: no transaction is open or in progress, no fragment waits.
    pub fn is_idle(&self) -> bool {
        self.open.is_none() && self.streams.is_empty() && self.ready.is_empty()
    }

    /// The bytes held for transactions in progress.
    pub fn streamed_bytes(&self) -> usize {
        self.streamed_bytes
    }

    /// Forgets everything half done: for a new connection, which sends it again.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.open = None;
        self.stream = None;
        self.streams.clear();
        self.streamed_bytes = 0;
        self.ready.clear();
    }

    /// Takes one message in. Complete fragments are then to be had from [`Assembler::pop`].
    ///
    /// A transaction without any message makes no fragment.
    ///
    /// # Errors
    /// What [`Decoder::decode`] returns; [`Error::OutOfPlace`]; [`Error::UnknownRelation`];
    /// [`Error::StreamedTooLarge`]; [`Error::Unsupported`] for two-phase messages. After an error
    /// the assembler has to be [reset](Assembler::reset).
    pub fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        let message = self.decoder.decode(&bytes)?;
        match message {
            Message::Begin(begin) => {
                if self.open.is_some() {
                    return Err(out_of_place(&message, "the transaction before it has not ended"));
                }
                self.open = Some(Open::new(begin.xid, begin.final_lsn, begin.commit_time, false));
            }
            Message::Commit(commit) => {
                let open = self
                    .open
                    .take()
                    .ok_or_else(|| out_of_place(&message, "no transaction has begun"))?;
                self.close(open, commit.end_lsn);
            }
            Message::StreamStart(start) => {
                if self.open.is_some() {
                    return Err(out_of_place(&message, "the transaction before it has not ended"));
                }
                self.stream = Some(start.xid);
                self.streams.entry(start.xid).or_default();
            }
            Message::StreamStop => self.stream = None,
            Message::StreamCommit(commit) => {
                let streamed = self.streams.remove(&commit.xid).unwrap_or_default();
                self.streamed_bytes -= streamed.bytes;
                let mut open = Open::new(commit.xid, commit.commit_lsn, commit.commit_time, true);
                let mut decoder = Decoder::inside(true);
                for kept in streamed.messages {
                    let message = decoder.decode(&kept.bytes)?;
                    let (relations, limits) = (&mut self.relations, &self.limits);
                    let bytes = kept.bytes.clone();
                    add(&mut open, relations, limits, &mut self.ready, &message, bytes)?;
                }
                self.close(open, commit.end_lsn);
            }
            Message::StreamAbort(abort) => self.abort(abort.xid, abort.subxid),
            Message::BeginPrepare(_)
            | Message::Prepare(_)
            | Message::CommitPrepared(_)
            | Message::RollbackPrepared(_)
            | Message::StreamPrepare(_) => {
                return Err(Error::Unsupported { message: message.name() });
            }
            Message::Message(logical) if !logical.transactional && self.stream.is_none() => {
                let mut alone = Open::new(0, logical.lsn, 0, false);
                alone.messages.push(bytes.clone());
                self.ready.push_back(alone.take(Some(logical.lsn)));
            }
            _ => match self.stream {
                Some(xid) => {
                    let subxid = subxid_of(&message);
                    self.keep(xid, Kept { subxid, bytes })?;
                }
                None => {
                    let open = self
                        .open
                        .as_mut()
                        .ok_or_else(|| out_of_place(&message, "no transaction has begun"))?;
                    // `bytes` is borrowed by `message`; cloning it only counts a reference.
                    let (relations, limits) = (&mut self.relations, &self.limits);
                    add(open, relations, limits, &mut self.ready, &message, bytes.clone())?;
                }
            },
        }
        Ok(())
    }

    fn close(&mut self, mut open: Open, end_lsn: Lsn) {
        if open.index > 0 || !open.messages.is_empty() {
            self.ready.push_back(open.take(Some(end_lsn)));
        }
    }

    fn keep(&mut self, xid: u32, kept: Kept) -> Result<(), Error> {
        let bytes = self.streamed_bytes.saturating_add(kept.bytes.len());
        if bytes > self.limits.streamed_bytes {
            let limit = self.limits.streamed_bytes;
            return Err(Error::StreamedTooLarge { xid, bytes, limit });
        }
        let streamed = self.streams.entry(xid).or_default();
        streamed.bytes += kept.bytes.len();
        streamed.messages.push(kept);
        self.streamed_bytes = bytes;
        Ok(())
    }

    fn abort(&mut self, xid: u32, subxid: u32) {
        if xid == subxid {
            let streamed = self.streams.remove(&xid).unwrap_or_default();
            self.streamed_bytes -= streamed.bytes;
        } else if let Some(streamed) = self.streams.get_mut(&xid) {
            let before = streamed.bytes;
            streamed.messages.retain(|kept| {
                let stays = kept.subxid != Some(subxid);
                if !stays {
                    streamed.bytes -= kept.bytes.len();
                }
                stays
            });
            self.streamed_bytes -= before - streamed.bytes;
        }
    }
}

/// Adds a message to a transaction, cutting a fragment off first when the limits say so.
fn add(
    open: &mut Open,
    relations: &mut Relations,
    limits: &Limits,
    ready: &mut VecDeque<Fragment>,
    message: &Message<'_>,
    bytes: Bytes,
) -> Result<(), Error> {
    let full = open.messages.len() >= limits.fragment_messages
        || open.bytes.saturating_add(bytes.len()) > limits.fragment_bytes;
    if full && !open.messages.is_empty() {
        ready.push_back(open.take(None));
    }
    match message {
        Message::Relation(relation) => define(open, relations, relation),
        Message::Insert(row) => explain(open, relations, row.relation)?,
        Message::Update(row) => explain(open, relations, row.relation)?,
        Message::Delete(row) => explain(open, relations, row.relation)?,
        Message::Truncate(truncate) => {
            for oid in truncate.relations() {
                explain(open, relations, oid)?;
            }
        }
        _ => {}
    }
    open.bytes += bytes.len();
    open.messages.push(bytes);
    Ok(())
}

fn define(open: &mut Open, relations: &mut Relations, message: &RelationMessage<'_>) {
    relations.insert(message.oid, Arc::new(Relation::from(message)));
    open.explained.insert(message.oid);
}

fn explain(open: &mut Open, relations: &Relations, oid: u32) -> Result<(), Error> {
    if open.explained.insert(oid) {
        let relation = relations.get(&oid).ok_or(Error::UnknownRelation { oid })?;
        open.relations.push(Arc::clone(relation));
    }
    Ok(())
}

/// The subtransaction whose rollback takes a message with it.
fn subxid_of(message: &Message<'_>) -> Option<u32> {
    match message {
        Message::Insert(row) => row.xid,
        Message::Update(row) => row.xid,
        Message::Delete(row) => row.xid,
        Message::Truncate(truncate) => truncate.xid,
        Message::Message(logical) => logical.xid,
        _ => None,
    }
}

fn out_of_place(message: &Message<'_>, reason: &'static str) -> Error {
    Error::OutOfPlace { message: message.name(), reason }
}

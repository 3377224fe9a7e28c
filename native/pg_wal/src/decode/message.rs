//! The messages.
//!
//! Times are microseconds since 2000-01-01 00:00 UTC, PostgreSQL's own clock. An `xid` of
//! `Some(_)` stands in messages inside a streamed block: the (sub)transaction they belong to.

use super::reader::Reader;
use super::tuple::Tuple;
use crate::Lsn;

/// One pgoutput message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // each variant is documented at the struct it holds
pub enum Message<'a> {
    Begin(Begin),
    Commit(Commit),
    Origin(Origin<'a>),
    Relation(Relation<'a>),
    Type(Type<'a>),
    Insert(Insert<'a>),
    Update(Update<'a>),
    Delete(Delete<'a>),
    Truncate(Truncate<'a>),
    Message(LogicalMessage<'a>),
    StreamStart(StreamStart),
    StreamStop,
    StreamCommit(StreamCommit),
    StreamAbort(StreamAbort),
    BeginPrepare(Prepared<'a>),
    Prepare(Prepared<'a>),
    CommitPrepared(Prepared<'a>),
    RollbackPrepared(RollbackPrepared<'a>),
    StreamPrepare(Prepared<'a>),
}

impl Message<'_> {
    /// The message's name, as PostgreSQL's documentation has it.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Begin(_) => "Begin",
            Message::Commit(_) => "Commit",
            Message::Origin(_) => "Origin",
            Message::Relation(_) => "Relation",
            Message::Type(_) => "Type",
            Message::Insert(_) => "Insert",
            Message::Update(_) => "Update",
            Message::Delete(_) => "Delete",
            Message::Truncate(_) => "Truncate",
            Message::Message(_) => "Message",
            Message::StreamStart(_) => "Stream Start",
            Message::StreamStop => "Stream Stop",
            Message::StreamCommit(_) => "Stream Commit",
            Message::StreamAbort(_) => "Stream Abort",
            Message::BeginPrepare(_) => "Begin Prepare",
            Message::Prepare(_) => "Prepare",
            Message::CommitPrepared(_) => "Commit Prepared",
            Message::RollbackPrepared(_) => "Rollback Prepared",
            Message::StreamPrepare(_) => "Stream Prepare",
        }
    }
}

/// `B`: a transaction begins; all of it follows, up to its Commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record starts.
    pub final_lsn: Lsn,
    /// When it committed.
    pub commit_time: i64,
    /// Its id.
    pub xid: u32,
}

/// `C`: the transaction is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where its commit record starts.
    pub commit_lsn: Lsn,
    /// Where its commit record ends: confirming this confirms the transaction.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: i64,
}

/// `O`: the transaction was replicated here from another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Its commit on that server.
    pub commit_lsn: Lsn,
    /// The origin's name.
    pub name: &'a str,
}

/// What an UPDATE or DELETE tells about the old row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// `d`: the primary key.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: the whole row.
    Full,
    /// `i`: the columns of a chosen unique index.
    Index,
}

impl ReplicaIdentity {
    /// The letter that stands for it in `pg_class.relreplident` and on the wire.
    pub fn letter(self) -> u8 {
        match self {
            ReplicaIdentity::Default => b'd',
            ReplicaIdentity::Nothing => b'n',
            ReplicaIdentity::Full => b'f',
            ReplicaIdentity::Index => b'i',
        }
    }
}

/// `R`: a table's definition; it comes before the first row of the table and when it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub oid: u32,
    /// Its schema. (On the wire an empty text stands for `pg_catalog`; it is given as such here.)
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its replica identity.
    pub replica_identity: ReplicaIdentity,
    pub(super) columns: RelationColumns<'a>,
}

impl<'a> Relation<'a> {
    /// The published columns, in the order in which rows have them.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = RelationColumn<'a>> + use<'a> {
        self.columns
    }
}

/// The checked bytes of a Relation's columns, and their iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelationColumns<'a> {
    pub(super) rest: &'a [u8],
    pub(super) left: usize,
}

impl<'a> Iterator for RelationColumns<'a> {
    type Item = RelationColumn<'a>;

    // The bytes were walked when the message was decoded, so a `None` here is the end.
    fn next(&mut self) -> Option<RelationColumn<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut reader = Reader::new(self.rest);
        let column = RelationColumn::read(&mut reader).ok()?;
        self.rest = &self.rest[reader.position()..];
        Some(column)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RelationColumns<'_> {}

/// A column of a [`Relation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether it is part of the replica identity's key.
    pub key: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type's OID.
    pub type_oid: u32,
    /// Its type modifier (`atttypmod`), -1 for none.
    pub type_modifier: i32,
}

/// `Y`: a type that is not built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// The type's OID.
    pub oid: u32,
    /// Its schema (see [`Relation::namespace`]).
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// `I`: a new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

/// The old row of an UPDATE or DELETE, as far as the replica identity tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// `K`: the key only. Columns that are not part of the key are sent as NULL, whatever they
    /// held: they are *unknown*.
    Key(Tuple<'a>),
    /// `O`: the whole row (REPLICA IDENTITY FULL).
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The tuple of either kind.
    pub fn tuple(&self) -> Tuple<'a> {
        match *self {
            OldTuple::Key(tuple) | OldTuple::Full(tuple) => tuple,
        }
    }
}

/// `U`: a row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub relation: u32,
    /// The old row: always under REPLICA IDENTITY FULL, else only when the key changed.
    pub old: Option<OldTuple<'a>>,
    /// The new row.
    pub new: Tuple<'a>,
}

/// `D`: a row has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// The table's OID.
    pub relation: u32,
    /// The old row.
    pub old: OldTuple<'a>,
}

/// `T`: tables were emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// `TRUNCATE ... CASCADE`.
    pub cascade: bool,
    /// `TRUNCATE ... RESTART IDENTITY`.
    pub restart_identity: bool,
    pub(super) relations: &'a [[u8; 4]],
}

impl<'a> Truncate<'a> {
    /// The tables' OIDs.
    pub fn relations(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.relations.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// `M`: what somebody wrote with `pg_logical_emit_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// The (sub)transaction, inside a streamed block.
    pub xid: Option<u32>,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// Where it is in the WAL.
    pub lsn: Lsn,
    /// Its prefix.
    pub prefix: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

/// `S`: a block of a transaction that is still in progress begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction.
    pub xid: u32,
    /// Whether this is its first block.
    pub first: bool,
}

/// `c`: a transaction that was streamed has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction.
    pub xid: u32,
    /// As in [`Commit`].
    pub commit_lsn: Lsn,
    /// As in [`Commit`].
    pub end_lsn: Lsn,
    /// As in [`Commit`].
    pub commit_time: i64,
}

/// `A`: a transaction that was streamed, or a subtransaction of it, has rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: u32,
    /// What rolled back; equal to `xid` when all of it did.
    pub subxid: u32,
    /// Where and when: only in version 4 with parallel streaming.
    pub abort: Option<(Lsn, i64)>,
}

/// `b`, `P`, `K`, `p`: begin prepare, prepare, commit prepared, stream prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared<'a> {
    /// Where the record of the PREPARE (or COMMIT PREPARED) starts.
    pub lsn: Lsn,
    /// Where it ends.
    pub end_lsn: Lsn,
    /// When it happened.
    pub time: i64,
    /// The transaction.
    pub xid: u32,
    /// The name given to PREPARE TRANSACTION.
    pub gid: &'a str,
}

/// `r`: a prepared transaction has been rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackPrepared<'a> {
    /// Where the PREPARE record ended.
    pub prepare_end_lsn: Lsn,
    /// Where the ROLLBACK PREPARED record ended.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: i64,
    /// When it was rolled back.
    pub rollback_time: i64,
    /// The transaction.
    pub xid: u32,
    /// The name given to PREPARE TRANSACTION.
    pub gid: &'a str,
}

//! The rows that a log begins with: written from the first to the last, there as a whole or not at all.
//!
//! They have offsets too, in the transaction 0, before every other: so they are read, sealed and served
//! as all entries are.

use std::sync::Arc;

use lane_index::StorageFile;

use super::{LogStore, Shared};
use crate::block::BlockBuilder;
use crate::log::{Log, Snapshot};
use crate::segment::{self, Extent, SnapshotMeta};
use crate::{Entry, Error, Offset, Op, Ticket};

/// Writes the snapshot part of a log. What was written goes when it is dropped unfinished.
pub struct SnapshotWriter {
    shared: Arc<Shared>,
    log: Arc<Log>,
    file: Box<dyn StorageFile>,
    builder: BlockBuilder,
    extent: Extent,
    done: bool,
}

impl LogStore {
    /// Begins the snapshot part of a log that was created to get one. One that was begun before and not
    /// finished is forgotten.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::NoSnapshotAwaited`], [`Error::Storage`].
    pub fn begin_snapshot(&self, log: u64) -> Result<SnapshotWriter, Error> {
        let shared = Arc::clone(&self.shared);
        shared.check()?;
        let log = shared.log(log)?;
        if !matches!(log.state.lock().snapshot, Snapshot::Awaited) {
            return Err(Error::NoSnapshotAwaited { log: log.owner.log });
        }
        let directory = log.directory()?;
        let mut file = lane_index::sealed::create_anew(&**directory, segment::SNAPSHOT_TEMPORARY)?;
        file.write_all(&log.owner.header(segment::SNAPSHOT_NUMBER))?;
        let extent = Extent { bytes: segment::HEADER as u64, ..Extent::empty(Offset::ZERO) };
        let builder = BlockBuilder::default();
        Ok(SnapshotWriter { shared, log, file, builder, extent, done: false })
    }
}

impl SnapshotWriter {
    /// Writes a row.
    ///
    /// # Errors
    /// [`Error::Storage`]; the writer is of no use then.
    pub fn push(&mut self, key: &[u8], json: &[u8]) -> Result<(), Error> {
        let offset = Offset::new(0, self.extent.last.op + 1);
        let entry = Entry { offset, op: Op::Insert, key, json };
        if self.builder.is_full_for(&entry) {
            self.write_block()?;
        }
        self.builder.push(&entry);
        self.extent.last = offset;
        Ok(())
    }

    fn write_block(&mut self) -> Result<(), Error> {
        let block = self.builder.finish(self.log.owner.salt);
        self.file.write_all(&block.bytes)?;
        self.extent.bytes += block.bytes.len() as u64;
        self.extent.entries += u64::from(block.entries);
        self.extent.json_bytes += block.json_bytes;
        Ok(())
    }

    /// Makes the rows durable, and the log one that can be read. That it has them is durable when this
    /// returns: no client may be given rows that another snapshot part would take the place of.
    ///
    /// # Errors
    /// [`Error::UnknownLog`] where the log was removed meanwhile; [`Error::NoSnapshotAwaited`] where
    /// another writer was faster; [`Error::Storage`].
    pub fn finish(mut self) -> Result<Ticket, Error> {
        if !self.builder.is_empty() {
            self.write_block()?;
        }
        self.file.sync()?;
        let part = (Arc::clone(&self.log), SnapshotMeta(self.extent));
        let seq = self.shared.set_snapshots(&[part], false)?;
        self.done = true;
        Ok(Ticket { seq })
    }
}

impl LogStore {
    /// [`SnapshotWriter::finish`] for many logs at once, of which each has one writer: what has to be made
    /// durable is done by several threads, and most of it once for all.
    ///
    /// # Errors
    /// As there; some of the logs may have their rows then.
    pub fn finish_snapshots(&self, mut writers: Vec<SnapshotWriter>) -> Result<(), Error> {
        if writers.is_empty() {
            return Ok(());
        }
        let portion = writers.len().div_ceil(THREADS);
        std::thread::scope(|scope| {
            let portions = writers.chunks_mut(portion);
            let threads: Vec<_> = portions
                .map(|portion| {
                    scope.spawn(|| portion.iter_mut().try_for_each(SnapshotWriter::put_in_place))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        self.shared.shapes.sync_directory()?;
        let part = |writer: &SnapshotWriter| (Arc::clone(&writer.log), SnapshotMeta(writer.extent));
        let parts: Vec<_> = writers.iter().map(part).collect();
        let _ = self.shared.set_snapshots(&parts, true)?;
        writers.iter_mut().for_each(|writer| writer.done = true);
        Ok(())
    }
}

/// How many threads wait for the disk together.
const THREADS: usize = 16;

impl SnapshotWriter {
    /// The file gets its name, durably but for the log's directory itself.
    fn put_in_place(&mut self) -> Result<(), Error> {
        if !self.builder.is_empty() {
            self.write_block()?;
        }
        self.file.sync()?;
        self.shared.check_awaited(&self.log)?;
        let directory = self.log.directory()?;
        directory.rename(segment::SNAPSHOT_TEMPORARY, segment::SNAPSHOT)?;
        Ok(directory.sync_directory()?)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.done
            && let Ok(directory) = self.log.directory()
        {
            // What stays is overwritten by the next one, or goes with the log.
            drop(directory.remove(segment::SNAPSHOT_TEMPORARY));
        }
    }
}

impl Shared {
    fn check_awaited(&self, log: &Arc<Log>) -> Result<(), Error> {
        let id = log.owner.log;
        let is_there = self.log(id).is_ok_and(|there| Arc::ptr_eq(&there, log));
        if !is_there {
            return Err(Error::UnknownLog { log: id });
        }
        if !matches!(log.state.lock().snapshot, Snapshot::Awaited) {
            return Err(Error::NoSnapshotAwaited { log: id });
        }
        Ok(())
    }

    /// The logs have these snapshot parts, of which the files are in their places.
    fn set_snapshots(
        &self,
        parts: &[(Arc<Log>, SnapshotMeta)],
        in_place: bool,
    ) -> Result<u64, Error> {
        let appender = &mut *self.appender.lock();
        self.check()?;
        for (log, _) in parts {
            // Under the appender's lock nobody removes it.
            self.check_awaited(log)?;
            // The file has its name, durably, before the redo log says that it is there.
            if !in_place {
                let directory = log.directory()?;
                directory.rename(segment::SNAPSHOT_TEMPORARY, segment::SNAPSHOT)?;
                directory.sync_directory()?;
                self.shapes.sync_directory()?;
            }
        }
        let seq = self.write_snapshots(appender, parts)?;
        // Whoever appends waits for this sync too; it is rare.
        self.journal()?.sync().inspect_err(|error| self.fail(error))?;
        for (log, meta) in parts {
            log.state.lock().set_snapshot(*meta);
        }
        self.taken_in();
        Ok(seq)
    }
}

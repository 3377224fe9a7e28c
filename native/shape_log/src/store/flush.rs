//! From memory to the files of the logs.
//!
//! A flush is no promise: what it writes is durable in the redo log already, and counts from the file
//! only while this process lives, or once a checkpoint says so. Whatever fails here can be tried again,
//! since each file is cut to the length that counts before it is written on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lane_index::sealed;

use super::append::Appender;
use super::{LogStore, Shared};
use crate::Error;
use crate::log::{Log, Run};
use crate::segment;

/// Blocks are put together up to this length before they are written.
const BUFFER: usize = 1 << 20;

impl LogStore {
    /// Writes durable entries from memory to the files of their logs; done by a thread of the store each
    /// [`Options::flush_period`](crate::Options::flush_period), where it has threads.
    ///
    /// # Errors
    /// [`Error::Storage`]; what was not written stays in memory, and goes with the next flush.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.flush()
    }
}

impl Shared {
    pub fn flush(&self) -> Result<(), Error> {
        self.check()?;
        self.flush_with(&mut self.flushing.lock(), None)
    }

    /// Flushes where there is too much in memory, also what is still coming in.
    pub fn make_room(&self, appender: &Appender) -> Result<(), Error> {
        if self.memory.load(Ordering::Relaxed) <= self.options.memory_bytes {
            return Ok(());
        }
        self.counters.waits.fetch_add(1, Ordering::Relaxed);
        self.sync()?;
        self.make_room_again(appender)
    }

    /// As [`Shared::make_room`], where everything is durable.
    pub fn make_room_again(&self, appender: &Appender) -> Result<(), Error> {
        if self.memory.load(Ordering::Relaxed) <= self.options.memory_bytes {
            return Ok(());
        }
        let buffer = &mut self.flushing.lock();
        self.flush_with(buffer, None)?;
        match &appender.pending {
            Some(pending) if self.memory.load(Ordering::Relaxed) > self.options.memory_bytes => {
                self.flush_with(buffer, Some(pending.lsn))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is durable, and what there is of the transaction `spilling`.
    pub fn flush_with(&self, buffer: &mut Vec<u8>, spilling: Option<u64>) -> Result<(), Error> {
        let watermark = self.watermark.load(Ordering::Acquire);
        let logs = std::mem::take(&mut *self.dirty.lock());
        if logs.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        let mut kept = Vec::new();
        for log in logs {
            if result.is_ok() {
                result = self.flush_log(&log, watermark, spilling, buffer);
            }
            let mut state = log.state.lock();
            state.is_dirty = state.has_tail();
            if state.is_dirty {
                drop(state);
                kept.push(log);
            }
        }
        self.dirty.lock().append(&mut kept);
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn flush_log(
        &self,
        log: &Arc<Log>,
        watermark: u64,
        spilling: Option<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let threshold = self.options.chunk_bytes_threshold;
        loop {
            let Some(run) = log.state.lock().next_run(watermark, spilling, threshold) else {
                return Ok(());
            };
            if !run.blocks.is_empty() {
                write(log, &run, buffer)?;
            }
            let freed = log.state.lock().written(&run);
            self.finished.fetch_add(run.finishes.into(), Ordering::Relaxed);
            self.memory.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

/// Appends the blocks of a run to its file, whatever may be there beyond the place where they go.
fn write(log: &Log, run: &Run, buffer: &mut Vec<u8>) -> Result<(), lane_index::Error> {
    let (directory, name) = (log.directory()?, segment::name(run.file.number));
    buffer.clear();
    let mut file = if run.at == 0 {
        buffer.extend_from_slice(&log.owner.header(run.file.number));
        sealed::create_anew(&**directory, &name)?
    } else {
        directory.append(&name, run.at)?
    };
    for block in &run.blocks {
        if !buffer.is_empty() && buffer.len() + block.bytes.len() > BUFFER {
            file.write_all(buffer)?;
            buffer.clear();
        }
        buffer.extend_from_slice(&block.bytes);
    }
    file.write_all(buffer)?;
    buffer.clear();
    if buffer.capacity() > 2 * BUFFER {
        *buffer = Vec::new();
    }
    Ok(())
}

//! Blocks that wait to be encoded, in the order in which they are written.
//!
//! Encoding a block (the search of its perfect hash function above all) takes longer than merging its
//! postings, and blocks do not depend on each other. So threads of the library encode them while the
//! next ones are gathered. Nobody depends on their coming: whoever needs a block that no thread has
//! begun encodes it itself, and one who waits for a block encodes those behind it meanwhile.

use std::collections::VecDeque;
use std::mem::{replace, take};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::block::{Block, Encoded};
use crate::background::run_after;

/// What became of a block.
pub(super) enum Done {
    /// Its bytes.
    Encoded(Encoded),
    /// There is no perfect hash function for the block that begins with this key.
    NoFunction { lane: u16, hash: u64 },
    /// Whoever encoded it panicked.
    Panicked,
}

/// Blocks in order, the oldest first.
pub(super) struct Line {
    jobs: VecDeque<Arc<Job>>,
    helpers: usize,
    /// An allocation to be used again.
    spare: Block,
}

struct Job {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Waiting(Block),
    Begun,
    Done(Done, Block),
    /// Its result has been taken, or nobody wants it any more.
    Gone,
}

impl Line {
    /// A line in which `helpers` blocks may wait.
    pub(super) fn new(helpers: usize) -> Self {
        Self { jobs: VecDeque::new(), helpers, spare: Block::default() }
    }

    /// An empty block.
    pub(super) fn spare(&mut self) -> Block {
        take(&mut self.spare)
    }

    pub(super) fn push(&mut self, block: Block) {
        let (state, changed) = (Mutex::new(State::Waiting(block)), Condvar::new());
        let job = Arc::new(Job { state, changed });
        if self.helpers > 0 {
            let job = Arc::clone(&job);
            run_after(Duration::ZERO, move || job.run());
        }
        self.jobs.push_back(job);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether the next block is to be taken out before more come.
    pub(super) fn is_long(&self) -> bool {
        self.jobs.len() > self.helpers
    }

    /// Takes out the oldest block, encoded.
    pub(super) fn next(&mut self) -> Option<Done> {
        let oldest = self.jobs.pop_front()?;
        oldest.run();
        for job in &self.jobs {
            if oldest.is_done() {
                break;
            }
            job.run();
        }
        let (done, mut block) = oldest.wait();
        block.clear();
        self.spare = block;
        Some(done)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // What nobody has begun is not worth beginning any more.
        for job in &self.jobs {
            let mut state = job.state.lock();
            if matches!(*state, State::Waiting(_)) {
                *state = State::Gone;
            }
        }
    }
}

impl Job {
    /// Encodes the block, unless somebody does or did already.
    fn run(&self) {
        let block = {
            let mut state = self.state.lock();
            match replace(&mut *state, State::Begun) {
                State::Waiting(block) => block,
                other => {
                    *state = other;
                    return;
                }
            }
        };
        // Also a panic is told to the one who waits.
        let mut result = Tell { job: self, told: Some((Done::Panicked, Block::default())) };
        let (lane, hash) = block.first();
        let done = block.encode().map_or(Done::NoFunction { lane, hash }, Done::Encoded);
        result.told = Some((done, block));
    }

    fn is_done(&self) -> bool {
        !matches!(*self.state.lock(), State::Waiting(_) | State::Begun)
    }

    fn wait(&self) -> (Done, Block) {
        let mut state = self.state.lock();
        loop {
            match replace(&mut *state, State::Gone) {
                State::Done(done, block) => return (done, block),
                State::Gone => return (Done::Panicked, Block::default()),
                other => *state = other,
            }
            self.changed.wait(&mut state);
        }
    }
}

/// Tells what became of a block when it is dropped.
struct Tell<'a> {
    job: &'a Job,
    told: Option<(Done, Block)>,
}

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if let Some((done, block)) = self.told.take() {
            *self.job.state.lock() = State::Done(done, block);
            self.job.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SegmentBuilder, SegmentOptions};

    const LANES: u16 = 5;
    const KEYS: u64 = super::super::block::LANE_KEYS as u64;

    /// A segment of several blocks.
    fn bytes(helpers: usize) -> Vec<u8> {
        let options = SegmentOptions { lanes: LANES.into(), level: 1 };
        let mut builder = SegmentBuilder::in_memory(options).expect("memory").helped_by(helpers);
        for lane in 0..LANES {
            for key in 0..KEYS {
                let hash = key.wrapping_mul(0x0000_d1b5_4a32_d192) + u64::from(lane);
                let id = key as u32;
                let ids = [id, id + 1 + u32::from(lane)];
                builder
                    .push(lane, hash, &ids[..1 + (key % 9 == 0) as usize], &[])
                    .expect("in order");
            }
        }
        builder.finish_bytes().expect("memory").1
    }

    #[test]
    fn the_bytes_are_the_same_however_many_help() {
        let alone = bytes(0);
        for helpers in [1, 3, 8] {
            assert!(bytes(helpers) == alone, "with {helpers} helpers");
        }
    }

    #[test]
    fn blocks_come_out_in_order_also_where_nobody_helps_in_time() {
        let mut line = Line::new(100);
        for lane in 0..100 {
            let mut block = line.spare();
            block.push(lane, 7, &[1], &[]);
            line.push(block);
        }
        for lane in 0..100 {
            let Some(Done::Encoded(block)) = line.next() else { panic!("no block {lane}") };
            assert_eq!(block.record.first_lane, lane);
        }
        assert!(line.is_empty() && line.next().is_none());
    }

    #[test]
    fn a_panic_of_a_helper_is_told() {
        let job = Job { state: Mutex::new(State::Begun), changed: Condvar::new() };
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| {
                let _tell = Tell { job: &job, told: Some((Done::Panicked, Block::default())) };
                panic!("a helper of a test panics on purpose");
            });
            assert!(matches!(job.wait().0, Done::Panicked));
            assert!(helper.join().is_err());
        });
    }
}

//! Records that wait until they are durable elsewhere.

use lane_index::Error;
use lane_index::journal::MOST_BYTES;
use std::collections::VecDeque;

/// Records in their order, with the numbers that they get in the journal.
pub struct HeldBack {
    records: VecDeque<Vec<u8>>,
    /// The number of the first one, or of the next to come.
    first: u64,
    /// Those below this number were handed out.
    taken_below: u64,
}

impl HeldBack {
    /// None yet; the last one of the journal has this number.
    pub fn after(last: u64) -> Self {
        Self { records: VecDeque::new(), first: last + 1, taken_below: last + 1 }
    }

    /// The next record; its number.
    pub fn push(&mut self, record: &[u8]) -> u64 {
        self.records.push_back(record.to_vec());
        self.first + self.records.len() as u64 - 1
    }

    /// Those that were not handed out yet.
    pub fn take_new(&mut self) -> Vec<(u64, Vec<u8>)> {
        let from = (self.taken_below - self.first) as usize;
        self.taken_below = self.first + self.records.len() as u64;
        let numbered = self.records.iter().enumerate().skip(from);
        numbered.map(|(at, record)| (self.first + at as u64, record.clone())).collect()
    }

    /// The first one, if its number is at most this. What was not handed out is durable nowhere.
    pub fn first(&self, upto: u64) -> Option<&[u8]> {
        let released = self.first <= upto && self.first < self.taken_below;
        self.records.front().filter(|_| released).map(Vec::as_slice)
    }

    /// The first one was written.
    pub fn drop_first(&mut self) {
        if self.records.pop_front().is_some() {
            self.first += 1;
        }
    }
}

/// Refuses what the journal would refuse when it is too late.
pub fn check(record: &[u8]) -> Result<(), Error> {
    if record.len() > MOST_BYTES {
        let (got, limit) = (record.len() as u64, MOST_BYTES as u64);
        return Err(Error::Limit { what: "bytes of a frame", got, limit });
    }
    Ok(())
}

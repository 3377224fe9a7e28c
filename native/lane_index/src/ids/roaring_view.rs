//! The ids of a serialised Roaring bitmap, read where they lie.
//!
//! The `roaring` crate writes the portable form, but reads it only into a bitmap of its own; a
//! look-up must not allocate one. The form is fixed by the Roaring format specification: a cookie,
//! which containers are runs, key and cardinality of each, offsets (not needed here, since the
//! containers are read in their order), containers.

const COOKIE_NO_RUNS: u32 = 12_346;
const COOKIE_RUNS: u16 = 12_347;
/// With fewer containers, a bitmap that has runs carries no offsets.
const OFFSETS_FROM: usize = 4;
/// Containers with more values than this are bitmaps.
const ARRAY_MAX: usize = 4096;
const BITMAP_WORDS: usize = 1024;

/// An iterator over the ids of a serialised bitmap, ascending. It ends early where bytes are
/// missing.
#[derive(Debug, Clone)]
pub(super) struct RoaringIds<'a> {
    /// One bit a container: whether it is made of runs.
    run_flags: &'a [u8],
    /// Four bytes a container: its key and how many values it has, less one.
    headers: &'a [u8],
    /// What is left of the containers.
    rest: &'a [u8],
    next_container: usize,
    high: u32,
    container: Container<'a>,
}

#[derive(Debug, Clone)]
enum Container<'a> {
    Array(&'a [u8]),
    Bitmap { words: &'a [u8], next_word: usize, word: u64 },
    Runs { pairs: &'a [u8], next: u32, last: u32 },
}

impl<'a> RoaringIds<'a> {
    /// Reads the head of a serialised bitmap; `None` where it is none.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (cookie, rest) = take(bytes, 4)?;
        let cookie = u32::from_le_bytes(cookie.try_into().ok()?);
        let (containers, run_flags, rest) = if cookie == COOKIE_NO_RUNS {
            let (size, rest) = take(rest, 4)?;
            (u32::from_le_bytes(size.try_into().ok()?) as usize, &[][..], rest)
        } else if cookie as u16 == COOKIE_RUNS {
            let containers = (cookie >> 16) as usize + 1;
            let (flags, rest) = take(rest, containers.div_ceil(8))?;
            (containers, flags, rest)
        } else {
            return None;
        };
        let (headers, rest) = take(rest, containers.checked_mul(4)?)?;
        let has_offsets = run_flags.is_empty() || containers >= OFFSETS_FROM;
        let (_, rest) = take(rest, if has_offsets { containers * 4 } else { 0 })?;
        Some(RoaringIds {
            run_flags,
            headers,
            rest,
            next_container: 0,
            high: 0,
            container: Container::Array(&[]),
        })
    }

    fn open_next(&mut self) -> Option<()> {
        let index = self.next_container;
        let header = self.headers.get(index * 4..index * 4 + 4)?;
        self.next_container += 1;
        self.high = u32::from(u16::from_le_bytes([header[0], header[1]])) << 16;
        let values = usize::from(u16::from_le_bytes([header[2], header[3]])) + 1;
        let is_runs =
            self.run_flags.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        if is_runs {
            let (count, rest) = take(self.rest, 2)?;
            let count = usize::from(u16::from_le_bytes([count[0], count[1]]));
            let (pairs, rest) = take(rest, count * 4)?;
            self.rest = rest;
            // An empty range: the first call of `next` takes the first pair.
            self.container = Container::Runs { pairs, next: 1, last: 0 };
        } else if values <= ARRAY_MAX {
            let (array, rest) = take(self.rest, values * 2)?;
            self.rest = rest;
            self.container = Container::Array(array);
        } else {
            let (words, rest) = take(self.rest, BITMAP_WORDS * 8)?;
            self.rest = rest;
            self.container = Container::Bitmap { words, next_word: 0, word: 0 };
        }
        Some(())
    }

    /// Whether `id` is among what is still to come. Containers of other ids are passed over whole.
    pub(super) fn contains(mut self, id: u32) -> bool {
        let (high, low) = (id & 0xffff_0000, id & 0xffff);
        loop {
            if self.high == high && self.container.contains(low) {
                return true;
            }
            if self.high > high || self.open_next().is_none() {
                return false;
            }
        }
    }
}

impl Iterator for RoaringIds<'_> {
    type Item = u32;

    #[inline(never)]
    fn next(&mut self) -> Option<u32> {
        loop {
            if let Some(low) = self.container.next() {
                return Some(self.high | low);
            }
            self.open_next()?;
        }
    }
}

impl Container<'_> {
    fn contains(&self, low: u32) -> bool {
        match self {
            Container::Array(values) => {
                let (values, _) = values.as_chunks::<2>();
                let value = |bytes: &[u8; 2]| u32::from(u16::from_le_bytes(*bytes));
                values.binary_search_by_key(&low, value).is_ok()
            }
            Container::Bitmap { words, next_word, word } => {
                let (at, mask) = (low as usize / 64, 1 << (low % 64));
                if at + 1 == *next_word {
                    return word & mask != 0;
                }
                let bytes = words.get(at * 8..at * 8 + 8).filter(|_| at >= *next_word);
                let found = bytes.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
                found.is_some_and(|word| word & mask != 0)
            }
            Container::Runs { pairs, next, last } => {
                let (pairs, _) = pairs.as_chunks::<4>();
                let covers = |pair: &[u8; 4]| {
                    let first = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
                    let more = u32::from(u16::from_le_bytes([pair[2], pair[3]]));
                    (first..=first + more).contains(&low)
                };
                (*next..=*last).contains(&low) || pairs.iter().any(covers)
            }
        }
    }

    fn next(&mut self) -> Option<u32> {
        match self {
            Container::Array(values) => {
                let (value, rest) = take(values, 2)?;
                *values = rest;
                Some(u32::from(u16::from_le_bytes([value[0], value[1]])))
            }
            Container::Bitmap { words, next_word, word } => {
                while *word == 0 {
                    let bytes = words.get(*next_word * 8..*next_word * 8 + 8)?;
                    *word = u64::from_le_bytes(bytes.try_into().ok()?);
                    *next_word += 1;
                }
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                Some((*next_word as u32 - 1) * 64 + bit)
            }
            Container::Runs { pairs, next, last } => {
                if *next > *last {
                    let (pair, rest) = take(pairs, 4)?;
                    *pairs = rest;
                    *next = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
                    *last = *next + u32::from(u16::from_le_bytes([pair[2], pair[3]]));
                    if *last > 0xffff {
                        *last = 0xffff;
                    }
                }
                let value = *next;
                *next += 1;
                Some(value)
            }
        }
    }
}

fn take(bytes: &[u8], count: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(count)
}

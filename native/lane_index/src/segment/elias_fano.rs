//! An Elias-Fano coded sequence of ascending numbers: the full hashes of a block, with their lanes.
//!
//! Of each number the lowest `low_bits` bits are stored as they are; the rest, the *high part*, is
//! stored in unary, as a bit vector in which number `i` with high part `h` sets bit `h + i`. For
//! every 512th high part a sample says how many numbers have a smaller one, so that a search
//! begins near its end. For 64-bit hashes that makes about `64 - log2(n) + 2` bits a hash.
//!
//! All is read from the bytes of a file; nothing panics on damaged ones.

/// High parts a sample.
const SAMPLE: u64 = 512;
/// After the low bits, so that the last ones can be read sixteen bytes at a time.
const LOW_PADDING: usize = 16;

/// The sizes that follow from how many numbers there are and the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    count: u64,
    low_bits: u32,
    last_high: u64,
    upper_at: usize,
    lows_at: usize,
    /// Bytes in all.
    pub len: usize,
}

impl Layout {
    /// The layout of `count` numbers of which `last` is the greatest. Numbers have up to 80 bits.
    pub(super) fn new(count: u32, last: u128) -> Layout {
        let low_bits = (last / u128::from(count.max(1))).checked_ilog2().unwrap_or(0);
        // At most twice `count`, by the choice of `low_bits`.
        let last_high = (last >> low_bits) as u64;
        let samples = (last_high / SAMPLE + 1) as usize;
        let upper_at = samples * 4;
        let upper_bits = last_high + 1 + u64::from(count);
        let lows_at = upper_at + upper_bits.div_ceil(64) as usize * 8;
        let low_bytes = (u64::from(count) * u64::from(low_bits)).div_ceil(8) as usize;
        Layout {
            count: u64::from(count),
            low_bits,
            last_high,
            upper_at,
            lows_at,
            len: lows_at + low_bytes + LOW_PADDING,
        }
    }
}

/// Appends the code of ascending `numbers` to `out`; `last` is the last of them.
pub(super) fn encode(numbers: impl Iterator<Item = u128>, layout: &Layout, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + layout.len, 0);
    let (samples, rest) = out[start..].split_at_mut(layout.upper_at);
    let (upper, lows) = rest.split_at_mut(layout.lows_at - layout.upper_at);
    let mut next_sample = 0;
    let mut low_at = 0u64;
    let low_mask = (1u128 << layout.low_bits) - 1;
    for (index, number) in numbers.enumerate() {
        let high = (number >> layout.low_bits) as u64;
        while next_sample * SAMPLE <= high {
            let at = next_sample as usize * 4;
            samples[at..at + 4].copy_from_slice(&(index as u32).to_le_bytes());
            next_sample += 1;
        }
        let bit = high as usize + index;
        upper[bit / 8] |= 1 << (bit % 8);
        write_bits(lows, low_at, number & low_mask);
        low_at += u64::from(layout.low_bits);
    }
}

/// Sets the bits of `value` from bit `at` on; those bits are zero before.
fn write_bits(bytes: &mut [u8], at: u64, value: u128) {
    // 80 bits and a shift of up to 7: 87 of 128.
    let shifted = value << (at % 8);
    let at = (at / 8) as usize;
    for (byte, new) in bytes[at..at + 11].iter_mut().zip(shifted.to_le_bytes()) {
        *byte |= new;
    }
}

/// A coded sequence, read where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct EliasFano<'a> {
    layout: Layout,
    bytes: &'a [u8],
}

impl<'a> EliasFano<'a> {
    /// A sequence over `bytes`; `None` where they are not as many as `layout` says.
    pub(super) fn new(bytes: &'a [u8], layout: Layout) -> Option<Self> {
        (bytes.len() >= layout.len).then_some(EliasFano { layout, bytes })
    }

    /// All numbers, ascending; the iterator ends early where the bit vector has too few ones.
    pub(super) fn iter(self) -> Numbers<'a> {
        Numbers { code: self, index: 0, word_index: 0, word: self.upper_word(0) }
    }

    /// Whether `number` is one of the sequence.
    pub(super) fn contains(self, number: u128) -> bool {
        self.search(number).unwrap_or(false)
    }

    fn search(self, number: u128) -> Option<bool> {
        let high = u64::try_from(number >> self.layout.low_bits).ok()?;
        if high > self.layout.last_high {
            return Some(false);
        }
        let sample = high / SAMPLE;
        let at = sample as usize * 4;
        let rank = u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?);
        // The numbers with this high part begin after as many zeros as it says.
        let start = self.skip_zeros(sample * SAMPLE + u64::from(rank), high % SAMPLE)?;
        let end = start + self.ones_from(start);
        let low = number & ((1u128 << self.layout.low_bits) - 1);
        let (mut first, mut last) = (start.checked_sub(high)?, end.checked_sub(high)?);
        while first < last {
            let middle = first + (last - first) / 2;
            match self.low(middle)?.cmp(&low) {
                std::cmp::Ordering::Less => first = middle + 1,
                std::cmp::Ordering::Equal => return Some(true),
                std::cmp::Ordering::Greater => last = middle,
            }
        }
        Some(false)
    }

    /// The position after the next `zeros` zero bits from `position` on.
    fn skip_zeros(self, position: u64, mut zeros: u64) -> Option<u64> {
        if zeros == 0 {
            return Some(position);
        }
        let mut index = (position / 64) as usize;
        let mut inverted = !self.upper_word(index)? & (u64::MAX << (position % 64));
        loop {
            let here = u64::from(inverted.count_ones());
            if here >= zeros {
                for _ in 1..zeros {
                    inverted &= inverted - 1;
                }
                return Some(index as u64 * 64 + u64::from(inverted.trailing_zeros()) + 1);
            }
            zeros -= here;
            index += 1;
            inverted = !self.upper_word(index)?;
        }
    }

    /// How many one bits follow each other from `position` on.
    fn ones_from(self, position: u64) -> u64 {
        let mut index = (position / 64) as usize;
        let mut length = 0;
        let mut offset = position % 64;
        while let Some(word) = self.upper_word(index) {
            let here = u64::from((word >> offset).trailing_ones());
            length += here;
            if offset + here < 64 {
                break;
            }
            offset = 0;
            index += 1;
        }
        length
    }

    #[inline]
    fn upper_word(self, index: usize) -> Option<u64> {
        let upper = self.bytes.get(self.layout.upper_at..self.layout.lows_at)?;
        let word = upper.get(index * 8..index * 8 + 8)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    }

    #[inline]
    fn low(self, index: u64) -> Option<u128> {
        if index >= self.layout.count {
            return None;
        }
        let at = index * u64::from(self.layout.low_bits);
        let from = self.layout.lows_at + (at / 8) as usize;
        let word = u128::from_le_bytes(self.bytes.get(from..from + 16)?.try_into().ok()?);
        Some((word >> (at % 8)) & ((1u128 << self.layout.low_bits) - 1))
    }
}

/// The numbers of a sequence in order.
#[derive(Debug, Clone)]
pub(super) struct Numbers<'a> {
    code: EliasFano<'a>,
    index: u64,
    word_index: usize,
    /// What is left of the current word of the bit vector; `None` behind its end.
    word: Option<u64>,
}

impl Iterator for Numbers<'_> {
    type Item = u128;

    #[inline]
    fn next(&mut self) -> Option<u128> {
        let mut word = self.word?;
        while word == 0 {
            self.word_index += 1;
            self.word = self.code.upper_word(self.word_index);
            word = self.word?;
        }
        self.word = Some(word & (word - 1));
        let position = self.word_index as u64 * 64 + u64::from(word.trailing_zeros());
        let high = position.checked_sub(self.index)?;
        let low = self.code.low(self.index)?;
        self.index += 1;
        Some(u128::from(high) << self.code.layout.low_bits | low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn check(numbers: &[u128], absent: &[u128]) -> usize {
        let layout = Layout::new(numbers.len() as u32, numbers.last().copied().expect("not empty"));
        let mut bytes = vec![];
        encode(numbers.iter().copied(), &layout, &mut bytes);
        assert_eq!(bytes.len(), layout.len);
        let code = EliasFano::new(&bytes, layout).expect("long enough");
        assert_eq!(code.iter().collect::<Vec<_>>(), numbers);
        for &number in numbers {
            assert!(code.contains(number));
        }
        let set: BTreeSet<u128> = numbers.iter().copied().collect();
        for &number in absent {
            assert_eq!(code.contains(number), set.contains(&number), "{number}");
        }
        layout.len
    }

    const TOP: u128 = (1 << 80) - 1;

    #[test]
    fn few_numbers() {
        check(&[0], &[1, TOP]);
        check(&[TOP], &[0, TOP - 1]);
        check(&[0, TOP], &[1, TOP - 1, 1 << 79]);
        check(&[0, 1, 2], &[3, 1 << 64]);
        check(&[5, 6, 1 << 64], &[7, (1 << 64) - 1, (1 << 64) + 1]);
    }

    #[test]
    fn clusters_and_gaps() {
        let mut numbers: Vec<u128> = (0..5_000).collect();
        numbers.extend((0..5_000).map(|i| (1 << 63) + i * 3));
        numbers.push(u128::from(u64::MAX));
        let near: Vec<u128> = numbers.iter().flat_map(|&n| [n + 1, n.saturating_sub(1)]).collect();
        check(&numbers, &near);
    }

    #[test]
    fn random_hashes_take_the_bits_they_must() {
        let mut state = 1u64;
        let numbers: BTreeSet<u128> = (0..100_000)
            .map(|_| {
                state =
                    state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                u128::from(state ^ (state >> 33))
            })
            .collect();
        let numbers: Vec<u128> = numbers.into_iter().collect();
        let bits = check(&numbers, &[]) as f64 * 8.0 / numbers.len() as f64;
        assert!(bits < 64.0 - (numbers.len() as f64).log2() + 2.7, "{bits}");
    }

    proptest! {
        #[test]
        fn like_a_set(
            numbers in proptest::collection::btree_set(0..=TOP, 1..200),
            shift in 0u32..80,
            absent in proptest::collection::vec(0..=TOP, 50),
        ) {
            let numbers: BTreeSet<u128> = numbers.into_iter().map(|n| n >> shift).collect();
            let numbers: Vec<u128> = numbers.into_iter().collect();
            let absent: Vec<u128> = absent.into_iter().map(|n| n >> shift).collect();
            check(&numbers, &absent);
        }

        #[test]
        fn garbage_does_not_panic(
            bytes in proptest::collection::vec(any::<u8>(), 2_000),
            count in 1u32..40,
            last in 0..=TOP,
            number in 0..=TOP,
        ) {
            if let Some(code) = EliasFano::new(&bytes, Layout::new(count, last)) {
                prop_assert!(code.iter().count() <= count as usize);
                code.contains(number);
            }
        }
    }
}

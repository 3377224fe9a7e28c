//! LEB128: seven bits a byte, lowest first, the top bit set in all bytes but the last.

/// Appends `value`.
pub(super) fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a value off the front of `bytes`; `None` where they end in it or it has over 64 bits.
#[inline]
pub(super) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    read_long(bytes)
}

fn read_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), 1 << 35, u64::MAX] {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            bytes.push(7);
            let mut rest = &bytes[..];
            assert_eq!(read(&mut rest), Some(value));
            assert_eq!(rest, [7]);
        }
    }

    #[test]
    fn an_unfinished_or_overlong_value_is_none() {
        assert_eq!(read(&mut &[][..]), None);
        assert_eq!(read(&mut &[0x80, 0x80][..]), None);
        assert_eq!(read(&mut &[0xff; 12][..]), None);
        assert_eq!(read(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
    }
}

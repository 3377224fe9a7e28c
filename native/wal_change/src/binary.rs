//! The binary form of a value, which pgoutput sends when it was asked for (`binary 'true'`).

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use shape_expr::Datum;
use std::fmt::Write;

/// The OIDs of the types whose binary form is read. They are PostgreSQL's own and never change.
mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const JSON: u32 = 114;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
}

/// Reads a value of this type. What has no form that we know is unreadable, so that a shape which
/// needs it is included rather than lost.
pub(crate) fn datum<'a>(type_oid: u32, bytes: &'a [u8], arena: &'a Bump) -> Datum<'a> {
    read(type_oid, bytes, arena).unwrap_or(Datum::Unreadable)
}

fn read<'a>(type_oid: u32, bytes: &'a [u8], arena: &'a Bump) -> Option<Datum<'a>> {
    Some(match type_oid {
        oid::BOOL => match bytes {
            [0] => Datum::Bool(false),
            [1] => Datum::Bool(true),
            _ => return None,
        },
        oid::INT2 => Datum::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        oid::INT4 => Datum::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        oid::INT8 => Datum::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        oid::OID => Datum::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        oid::FLOAT4 => Datum::Float(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        oid::FLOAT8 => Datum::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON => Datum::Text(bytes),
        // A version, of which there is only one, and the document's text.
        oid::JSONB => Datum::Text(bytes.strip_prefix(&[1])?),
        oid::BYTEA => Datum::Text(hex(bytes, "\\x", |_| false, arena)),
        oid::UUID if bytes.len() == 16 => {
            Datum::Text(hex(bytes, "", |at| matches!(at, 4 | 6 | 8 | 10), arena))
        }
        _ => return None,
    })
}

fn hex<'a>(bytes: &[u8], prefix: &str, dash: fn(usize) -> bool, arena: &'a Bump) -> &'a [u8] {
    let mut out = BumpString::with_capacity_in(prefix.len() + 2 * bytes.len() + 4, arena);
    out.push_str(prefix);
    for (at, byte) in bytes.iter().enumerate() {
        if dash(at) {
            out.push('-');
        }
        // Writing to a string in memory cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.into_bump_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_forms_read_as_the_values_they_are() {
        let arena = Bump::new();
        let int = |oid, bytes: &[u8]| match datum(oid, arena.alloc_slice_copy(bytes), &arena) {
            Datum::Int(int) => Some(int),
            _ => None,
        };
        assert_eq!(int(oid::INT2, &(-2i16).to_be_bytes()), Some(-2));
        assert_eq!(int(oid::INT4, &7i32.to_be_bytes()), Some(7));
        assert_eq!(int(oid::INT8, &i64::MIN.to_be_bytes()), Some(i64::MIN));
        assert_eq!(int(oid::OID, &u32::MAX.to_be_bytes()), Some(u32::MAX.into()));
        assert_eq!(int(oid::INT4, &[0; 8]), None);
        let text = |oid, bytes: &[u8]| match datum(oid, arena.alloc_slice_copy(bytes), &arena) {
            Datum::Text(text) => std::str::from_utf8(text).ok().map(str::to_owned),
            _ => None,
        };
        assert_eq!(text(oid::BYTEA, &[0xde, 0x0a]).as_deref(), Some("\\xde0a"));
        let uuid = text(oid::UUID, &(0..16).collect::<Vec<u8>>());
        assert_eq!(uuid.as_deref(), Some("00010203-0405-0607-0809-0a0b0c0d0e0f"));
        assert_eq!(text(oid::JSONB, b"\x01{}").as_deref(), Some("{}"));
        assert_eq!(text(oid::JSONB, b"\x02{}"), None);
        assert!(matches!(datum(oid::BOOL, &[1], &arena), Datum::Bool(true)));
        assert!(matches!(datum(oid::BOOL, &[2], &arena), Datum::Unreadable));
        assert!(matches!(datum(1700, &[0; 8], &arena), Datum::Unreadable), "numeric");
    }
}

//! Every message survives encoding and decoding; every damage is an error with its place.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_wal::Error;
use pg_wal::decode::{Decoder, Message, Streaming};
use proptest::prelude::*;
use support::model::{Msg, Value, carries_xid, encode, messages, model};

fn decoder(streaming: Streaming) -> Decoder {
    Decoder::new(4, streaming).unwrap()
}

/// A decoder inside a streamed block.
fn in_stream(streaming: Streaming) -> Decoder {
    let mut decoder = decoder(streaming);
    decoder.decode(&encode(&Msg::StreamStart { xid: 7, first: true }, None)).unwrap();
    assert!(decoder.in_stream());
    decoder
}

fn round_trip(mut decoder: Decoder, message: Msg, xid: Option<u32>) {
    let bytes = encode(&message, xid);
    let decoded = decoder.decode(&bytes).unwrap();
    assert_eq!(model(&decoded), (message, xid));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn outside_streams(message in messages(false)) {
        prop_assume!(message != Msg::StreamStop);
        round_trip(decoder(Streaming::On), message, None);
    }

    #[test]
    fn inside_streams(message in messages(true), xid: u32) {
        prop_assume!(!matches!(message, Msg::StreamStart { .. } | Msg::Begin { .. }));
        let xid = carries_xid(&message).then_some(xid);
        round_trip(in_stream(Streaming::Parallel), message, xid);
    }

    #[test]
    fn cut_anywhere_is_an_error_with_its_place(message in messages(false)) {
        prop_assume!(message != Msg::StreamStop);
        let bytes = encode(&message, None);
        for len in 0..bytes.len() {
            match decoder(Streaming::On).decode(&bytes[..len]) {
                Err(Error::Malformed { tag, offset, .. }) => {
                    prop_assert!(offset <= len, "offset {} of {}", offset, len);
                    prop_assert_eq!(tag, if len == 0 { 0 } else { bytes[0] });
                }
                other => prop_assert!(false, "{} of {} bytes: {:?}", len, bytes.len(), other),
            }
        }
    }

    #[test]
    fn trailing_bytes_are_an_error(message in messages(false), extra: u8) {
        prop_assume!(message != Msg::StreamStop);
        let mut bytes = encode(&message, None);
        bytes.push(extra);
        let error = decoder(Streaming::On).decode(&bytes).unwrap_err();
        prop_assert!(matches!(error, Error::Malformed { .. }), "{}", error);
    }

    #[test]
    fn damage_never_panics(
        message in messages(false),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        streamed: bool,
    ) {
        let mut bytes = encode(&message, streamed.then_some(9));
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let mut decoder = if streamed { in_stream(Streaming::On) } else { decoder(Streaming::On) };
        // Whatever comes out can be walked through to its end.
        if let Ok(message) = decoder.decode(&bytes) {
            let _ = model(&message);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(message) = decoder(Streaming::On).decode(&bytes) {
            let _ = model(&message);
        }
    }
}

#[test]
fn lengths_are_checked_before_use() {
    let mut decoder = decoder(Streaming::On);
    // A column of 2 GiB, a negative one, 2^31 - 1 truncated tables, a negative column count.
    let cases: [(&[u8], usize); 4] = [
        (b"I\0\0\0\x01N\0\x01t\x7f\xff\xff\xffx", 13),
        (b"I\0\0\0\x01N\0\x01t\xff\xff\xff\xffx", 9),
        (b"T\x7f\xff\xff\xff\0\0\0\0\x01", 6),
        (b"I\0\0\0\x01N\xff\xff", 6),
    ];
    for (bytes, place) in cases {
        match decoder.decode(bytes) {
            Err(Error::Malformed { offset, .. }) => assert_eq!(offset, place),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_kinds_of_columns_and_old_rows_are_told_apart() {
    let row = vec![
        Value::Null,
        Value::Toast,
        Value::Text(b"42".to_vec()),
        Value::Binary(vec![0, 0, 0, 42]),
        Value::Text(vec![]),
    ];
    for old in [None, Some((false, row.clone())), Some((true, row.clone()))] {
        round_trip(decoder(Streaming::Off), Msg::Update { oid: 1, old, new: row.clone() }, None);
    }
}

#[test]
fn column_data_is_not_copied() {
    let bytes = encode(&Msg::Insert { oid: 1, new: vec![Value::Text(b"value".to_vec())] }, None);
    let mut decoder = decoder(Streaming::Off);
    let Message::Insert(insert) = decoder.decode(&bytes).unwrap() else { panic!() };
    let Some(pg_wal::decode::Column::Text(value)) = insert.new.columns().next() else { panic!() };
    assert!(bytes.as_ptr_range().contains(&value.as_ptr()));
}

#[test]
fn each_version_knows_its_messages() {
    let stream = encode(&Msg::StreamStart { xid: 1, first: true }, None);
    let error = Decoder::new(1, Streaming::Off).unwrap().decode(&stream).unwrap_err();
    assert!(matches!(error, Error::UnknownMessage { tag: b'S', protocol: 1 }), "{error}");
    assert!(Decoder::new(2, Streaming::On).unwrap().decode(&stream).is_ok());
    let prepared = b"r\0".to_vec();
    let error = Decoder::new(2, Streaming::On).unwrap().decode(&prepared).unwrap_err();
    assert!(matches!(error, Error::UnknownMessage { tag: b'r', .. }), "{error}");
    for (protocol, streaming) in [(0, Streaming::Off), (5, Streaming::Off), (1, Streaming::On)] {
        assert!(Decoder::new(protocol, streaming).is_err());
    }
    assert!(Decoder::new(3, Streaming::Parallel).is_err());
}

#[test]
fn streamed_blocks_do_not_nest() {
    let start = encode(&Msg::StreamStart { xid: 1, first: true }, None);
    let stop = encode(&Msg::StreamStop, None);
    let mut decoder = decoder(Streaming::On);
    assert!(matches!(decoder.decode(&stop), Err(Error::OutOfPlace { .. })));
    decoder.decode(&start).unwrap();
    assert!(matches!(decoder.decode(&start), Err(Error::OutOfPlace { .. })));
    decoder.decode(&stop).unwrap();
    assert!(!decoder.in_stream());
}

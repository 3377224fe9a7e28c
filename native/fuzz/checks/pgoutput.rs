//! Any bytes as a sequence of pgoutput messages: decoded or refused with a place, never a panic.

use pg_wal::decode::{Decoder, Message, Streaming};

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    for (protocol, streaming) in [(1, Streaming::Off), (2, Streaming::On), (4, Streaming::Parallel)]
    {
        let mut decoder = Decoder::new(protocol, streaming).expect("a protocol");
        // Messages are cut at a byte that no tag has, so that one input is several messages.
        for message in bytes.split(|byte| *byte == 0xfe) {
            match decoder.decode(message) {
                Err(error) => drop(error.to_string()),
                Ok(Message::Insert(insert)) => {
                    assert_eq!(insert.new.columns().count(), insert.new.len())
                }
                Ok(Message::Relation(relation)) => drop(relation.columns().count()),
                Ok(Message::Truncate(truncate)) => drop(truncate.relations().count()),
                Ok(other) => drop(format!("{other:?}")),
            }
        }
    }
}

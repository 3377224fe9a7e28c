//! Any bytes as the JSON of entries that are compacted: the JSON is not touched, or it is JSON of the known
//! form and its values are those of the entries, the newest first.

use std::collections::BTreeMap;

use serde_json::Value;
use shape_log::collapse::{CollapseOptions, Plan};
use shape_log::{Entry, EntrySource, Offset, Op};

/// What must hold for all bytes: entries about one row, a line each.
pub fn check(bytes: &[u8]) {
    let entries: Vec<Entry<'_>> = bytes
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .map(|(json, op)| Entry { offset: Offset::new(1, op), op: Op::Update, key: b"1", json })
        .collect();
    let plan = Plan::read(&mut entries.iter(), CollapseOptions::default()).expect("ascending");
    let mut source = entries.iter();
    let mut collapsed = plan.collapse(&mut source);
    let mut left: Vec<(Offset, Vec<u8>)> = Vec::new();
    while let Some(entry) = collapsed.next().expect("the same entries") {
        left.push((entry.offset, entry.json.to_vec()));
    }
    assert_eq!(left.len() as u64, plan.summary().stay);
    let mut first = 0;
    for (offset, json) in &left {
        let place = (offset.op - 1) as usize;
        let group = &entries[first..=place];
        first = place + 1;
        if let [only] = group {
            assert_eq!(json, only.json, "nothing to merge");
            continue;
        }
        // Numbers out of every range and halves of characters are kept as they are; the oracle cannot
        // read them.
        if group.iter().any(|entry| serde_json::from_slice::<Value>(entry.json).is_err()) {
            serde_json::from_slice::<serde::de::IgnoredAny>(json)
                .expect("it was merged, so it is JSON");
            continue;
        }
        let merged = parsed(json);
        let mut values = BTreeMap::new();
        for entry in group {
            let Value::Object(value) = parsed(entry.json)["value"].clone() else {
                panic!("it was merged, and is no object");
            };
            values.extend(value);
        }
        let mut expected = parsed(entries[place].json);
        expected["value"] = Value::Object(values.into_iter().collect());
        assert_eq!(merged, expected);
    }
    assert_eq!(first, entries.len(), "the last entry stays");
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("it was merged, so it is JSON")
}

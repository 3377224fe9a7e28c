//! The law of compaction: whoever has applied a history up to any offset, and then what is left of it
//! behind that, has the rows of the whole history; by clients that accept nothing that makes no sense.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shape_log::collapse::{CollapseOptions, Plan, Summary};
use shape_log::{Entry, EntrySource, Error, Offset, Op};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    offset: Offset,
    op: Op,
    key: String,
    json: String,
}

fn entries(log: &[Owned]) -> Vec<Entry<'_>> {
    log.iter()
        .map(|owned| Entry {
            offset: owned.offset,
            op: owned.op,
            key: owned.key.as_bytes(),
            json: owned.json.as_bytes(),
        })
        .collect()
}

fn collapse_with(log: &[Owned], options: CollapseOptions) -> (Vec<Owned>, Summary) {
    let entries = entries(log);
    let plan = Plan::read(&mut entries.iter(), options).expect("ascending");
    let mut source = entries.iter();
    let mut collapsed = plan.collapse(&mut source);
    let mut left = Vec::new();
    while let Some(entry) = collapsed.next().expect("the same entries") {
        left.push(Owned {
            offset: entry.offset,
            op: entry.op,
            key: String::from_utf8(entry.key.to_vec()).expect("text"),
            json: String::from_utf8(entry.json.to_vec()).expect("text"),
        });
    }
    let summary = plan.summary();
    assert_eq!((summary.read, summary.stay), (log.len() as u64, left.len() as u64));
    assert_eq!(summary.stay + summary.merged + summary.dropped, summary.read);
    (left, summary)
}

fn collapse(log: &[Owned]) -> Vec<Owned> {
    collapse_with(log, CollapseOptions::default()).0
}

type Row = BTreeMap<String, String>;

/// A client. It refuses what makes no sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Client(BTreeMap<String, Row>);

#[derive(serde::Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    value: Option<BTreeMap<String, &'a serde_json::value::RawValue>>,
    old_key: Option<String>,
}

impl Client {
    fn apply(&mut self, entry: &Owned) {
        let message: Message<'_> = serde_json::from_str(&entry.json).expect("JSON");
        let value = || -> Row {
            let value = message.value.iter().flatten();
            value.map(|(name, value)| (name.clone(), value.get().to_owned())).collect()
        };
        let (rows, key) = (&mut self.0, entry.key.clone());
        match entry.op {
            Op::Insert => {
                assert_eq!(rows.insert(key, value()), None, "an insert of a row that is there");
            }
            Op::Update => rows.get_mut(&key).expect("an update of a row").extend(value()),
            Op::Upsert => rows.entry(key).or_default().extend(value()),
            Op::Delete => drop(rows.remove(&key).expect("a delete of a row")),
            Op::DeleteIfPresent => drop(rows.remove(&key)),
            Op::Rekey => {
                let old = message.old_key.expect("the old key");
                let mut row = rows.remove(&old).expect("a rekey of a row");
                row.extend(value());
                assert_eq!(rows.insert(key, row), None, "a rekey to a row that is there");
            }
            Op::Truncate => rows.clear(),
            // Whatever it does, it depends on all that was before.
            Op::Unknown => {
                let all = format!("{rows:?}").len();
                for row in rows.values_mut() {
                    row.insert("seen".to_owned(), all.to_string());
                }
            }
        }
    }

    fn after(log: &[Owned]) -> Self {
        let mut client = Self::default();
        log.iter().for_each(|entry| client.apply(entry));
        client
    }
}

/// Which operation, which row, which columns, and how the JSON looks.
type Step = (u8, u8, u8, u8);

/// A history that makes sense, of operations picked by numbers.
fn history(steps: &[Step]) -> Vec<Owned> {
    let mut client = Client::default();
    let mut log: Vec<Owned> = Vec::new();
    for (number, &(pick, key, columns, look)) in (1..).zip(steps) {
        let key = format!("k{}", key % 4);
        let there = client.0.contains_key(&key);
        let absent = (0..4).map(|key| format!("k{key}")).find(|key| !client.0.contains_key(key));
        let mut old_key = None;
        let mut target = key.clone();
        let op = match pick % 32 {
            0..=3 if !there => Op::Insert,
            4..=6 if there => Op::Delete,
            7..=9 => Op::DeleteIfPresent,
            10..=13 => Op::Upsert,
            14 => Op::Truncate,
            15 => Op::Unknown,
            16 if there && absent.is_some() => {
                old_key = Some(key.clone());
                target = absent.expect("checked");
                Op::Rekey
            }
            _ if there => Op::Update,
            0..=20 => Op::Insert,
            _ => Op::Upsert,
        };
        let value: Vec<String> = ["a", "b", "c"]
            .iter()
            .enumerate()
            .filter(|(bit, _)| op == Op::Insert || columns >> bit & 1 == 1)
            .map(|(_, name)| {
                format!("\"{name}\":{number}.{}", "0".repeat(1 + usize::from(columns % 3)))
            })
            .collect();
        let value = format!("{{{}}}", value.join(","));
        let more = match (&old_key, look % 12) {
            (Some(old), _) => format!(",\"old_key\":\"{old}\""),
            // Not of the form that is merged.
            (None, 0) => ",\"old_value\":{\"a\":0}".to_owned(),
            _ => String::new(),
        };
        let json = format!(
            "{{\"key\":\"{target}\",\"value\":{value},\"headers\":{{\"n\":{number}}}{more}}}"
        );
        let entry = Owned { offset: Offset::new(number / 3, number), op, key: target, json };
        client.apply(&entry);
        log.push(entry);
    }
    log
}

/// The law, for readers at every place of the first log who go on with the second.
fn holds(log: &[Owned], left: &[Owned]) {
    let end = Client::after(log);
    let mut before = Client::default();
    for passed in 0..=log.len() {
        let at = passed.checked_sub(1).map_or(Offset::ZERO, |last| log[last].offset);
        let mut client = before.clone();
        left.iter().filter(|entry| entry.offset > at).for_each(|entry| client.apply(entry));
        assert_eq!(client, end, "a reader at {at}");
        if let Some(entry) = log.get(passed) {
            before.apply(entry);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]
    #[test]
    fn readers_at_every_offset_end_with_the_same_rows(
        steps in prop::collection::vec(any::<Step>(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let log = history(&steps);
        let left = collapse(&log);
        holds(&log, &left);
        // What stays is what it was, but for values.
        for entry in &left {
            let original = log.iter().find(|original| original.offset == entry.offset).expect("its offset");
            prop_assert_eq!((entry.op, &entry.key), (original.op, &original.key));
            if !matches!(entry.op, Op::Update | Op::Upsert) {
                prop_assert_eq!(&entry.json, &original.json);
            }
        }
        // A collapse of what is left, by readers of either; a part of the range alone.
        let again = collapse(&left);
        holds(&left, &again);
        holds(&log, &again);
        let cut = cut.index(log.len() + 1);
        let parts = [collapse(&log[..cut]), collapse(&log[cut..])].concat();
        holds(&log, &parts);
        holds(&parts, &collapse(&parts));
    }
}

fn entry(number: u64, op: Op, key: &str, value: &str) -> Owned {
    let json = format!("{{\"key\":\"{key}\",\"value\":{value},\"headers\":{{\"n\":{number}}}}}");
    Owned { offset: Offset::new(number, 0), op, key: key.to_owned(), json }
}

fn left(log: &[(Op, &str, &str)]) -> Vec<(u64, String)> {
    let log: Vec<_> =
        (1..).zip(log).map(|(number, (op, key, value))| entry(number, *op, key, value)).collect();
    let value = |json: &str| {
        let found: serde_json::Value = serde_json::from_str(json).expect("JSON");
        found["value"].to_string()
    };
    collapse(&log).iter().map(|entry| (entry.offset.tx, value(&entry.json))).collect()
}

#[test]
fn a_row_that_changes_a_thousand_times_is_two_entries() {
    let mut log = vec![entry(1, Op::Insert, "k", "{\"a\":0,\"b\":0,\"c\":7.50}")];
    for number in 2..1_002 {
        let name = if number % 2 == 0 { "a" } else { "b" };
        log.push(entry(number, Op::Update, "k", &format!("{{\"{name}\":{number}.0}}")));
    }
    let (left, summary) = collapse_with(&log, CollapseOptions::default());
    assert_eq!(summary, Summary { read: 1_001, stay: 2, merged: 999, dropped: 0 });
    assert_eq!(left[0], log[0]);
    let merged = "{\"key\":\"k\",\"value\":{\"a\":1000.0,\"b\":1001.0},\"headers\":{\"n\":1001}}";
    assert_eq!((left[1].offset, left[1].json.as_str()), (Offset::new(1_001, 0), merged));
}

#[test]
fn what_is_gone_leaves_only_what_readers_need() {
    use Op::{Delete, DeleteIfPresent, Insert, Rekey, Truncate, Unknown, Update, Upsert};
    let (a, b) = ("{\"a\":1}", "{\"b\":2}");
    let both = || "{\"a\":1,\"b\":2}".to_owned();
    let row = |number: u64, value: &str| (number, value.to_owned());
    assert_eq!(left(&[(Update, "k", a), (Update, "k", b)]), [(2, both())]);
    assert_eq!(left(&[(Upsert, "k", a), (Upsert, "k", b)]), [(2, both())]);
    assert_eq!(
        left(&[(Insert, "k", a), (Update, "k", a), (Delete, "k", b)]),
        [row(1, a), row(3, b)]
    );
    assert_eq!(left(&[(Insert, "k", a), (Update, "k", a), (DeleteIfPresent, "k", b)]), [row(3, b)]);
    assert_eq!(left(&[(Upsert, "k", a), (Delete, "k", b)]), [row(1, a), row(2, b)]);
    assert_eq!(left(&[(Delete, "k", a), (DeleteIfPresent, "k", b)]), [row(2, b)]);
    assert_eq!(left(&[(Insert, "k", a), (Truncate, "", a), (Truncate, "", b)]), [row(3, b)]);
    assert_eq!(
        left(&[(Unknown, "k", a), (Update, "k", a), (Truncate, "", b)]),
        [row(1, a), row(3, b)]
    );
    for barrier in [Rekey, Unknown] {
        let log = [(Update, "k", a), (barrier, "other", b), (Update, "k", b)];
        assert_eq!(left(&log), [row(1, a), row(2, b), row(3, b)], "{barrier:?}");
    }
}

#[test]
fn long_entries_and_foreign_ones_stay_as_they_are() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200));
    let log = [
        entry(1, Op::Update, "k", &long),
        entry(2, Op::Update, "k", "{\"a\":1}"),
        entry(3, Op::Update, "k", "{\"a\":2}"),
    ];
    let (left, _) = collapse_with(&log, CollapseOptions { max_merged_bytes: 100 });
    assert_eq!(left, [log[0].clone(), log[2].clone()]);
    let mut foreign = log.to_vec();
    for json in ["[1]", "{\"key\":1,\"value\":{},\"headers\":{},\"old_value\":{}}", "no JSON"] {
        foreign[1].json = json.to_owned();
        assert_eq!(collapse(&foreign), foreign, "{json}");
    }
}

#[test]
fn a_source_that_changed_is_noticed() {
    let log: Vec<_> = (1..9).map(|number| entry(number, Op::Update, "k", "{\"a\":1}")).collect();
    let first = entries(&log);
    let plan = Plan::read(&mut first.iter(), CollapseOptions::default()).expect("ascending");
    let drain = |second: &[Owned]| {
        let second = entries(second);
        let mut source = second.iter();
        let mut collapsed = plan.collapse(&mut source);
        loop {
            match collapsed.next() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    drain(&log).expect("the same");
    let mut other = log.clone();
    other[4].op = Op::Upsert;
    let mut longer = log.clone();
    longer.push(entry(9, Op::Update, "k", "{}"));
    let mut key = log.clone();
    key[7].key = "j".to_owned();
    let mut opaque = log.clone();
    opaque[0].json = "1".to_owned();
    for second in [&log[..7], &other, &longer, &key, &opaque] {
        let error = drain(second).expect_err("it is another one");
        assert!(matches!(error, Error::SourceChanged), "{error}");
    }
    let unsorted = [log[1].clone(), log[0].clone()];
    let error = Plan::read(&mut entries(&unsorted).iter(), CollapseOptions::default()).err();
    assert!(matches!(error, Some(Error::OutOfOrder { .. })));
}

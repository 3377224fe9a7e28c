//! What it costs to answer "everything after X" with 100 operations from the cache, beside reading the
//! same bytes from a plain file whose pages are in memory, and beside what a log has to do with them.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;

use criterion::{BatchSize, Criterion};
use shape_log::Offset;
use shape_log::cache::{CacheOptions, CachePool};

const OPERATIONS: u64 = 1_000;
const READ: u64 = 100;

/// What a change of a row with some columns looks like: about 200 bytes.
fn json(number: u64) -> Vec<u8> {
    format!(
        "{{\"key\":\"\\\"public\\\".\\\"todos\\\"/\\\"{number}\\\"\",\"value\":{{\"id\":\"{number}\",\
         \"title\":\"task number {number}\",\"done\":\"f\",\"user_id\":\"42\"}},\
         \"headers\":{{\"operation\":\"update\",\"lsn\":\"{}\"}}}}",
        number * 100
    )
    .into_bytes()
}

fn cache(c: &mut Criterion) {
    let options = CacheOptions { ttl_ms: None, ..CacheOptions::default() };
    let pool = CachePool::new(options).expect("options");
    let cache = pool.cache(Offset::ZERO);
    // A file of records: offset, length and JSON, as a log without checksums would have them.
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_owned();
    let mut places = Vec::new();
    let mut length = 0_u64;
    for number in 1..=OPERATIONS {
        let json = json(number);
        cache.append(&[(Offset::new(number, 0), &json)], 0).expect("append");
        let record = [
            &number.to_le_bytes()[..],
            &0_u64.to_le_bytes(),
            &(json.len() as u32).to_le_bytes(),
            &json,
        ]
        .concat();
        places.push(length);
        length += record.len() as u64;
        file.write_all(&record).expect("write");
    }
    let file = file.reopen().expect("open");
    places.push(length);
    let mut group = c.benchmark_group("100 of 1000 operations");
    let mut buffer = vec![0; 64 << 10];
    for (name, from) in [("oldest", 0), ("newest", OPERATIONS - READ)] {
        group.bench_function(format!("cache, {name}"), |b| {
            b.iter(|| {
                let answer =
                    cache.read_since(Offset::new(from, 0), READ as usize, 1).expect("a hit");
                let buffer = &mut buffer[..answer.length()];
                answer.write_to(buffer).expect("as long as it says");
                black_box(buffer.len())
            });
        });
    }
    let (from, to) = (places[(OPERATIONS - READ) as usize], places[OPERATIONS as usize]);
    group.bench_function("file, one pread of the records", |b| {
        b.iter(|| {
            let buffer = &mut buffer[..(to - from) as usize];
            file.read_exact_at(buffer, from).expect("read");
            black_box(buffer[0])
        });
    });
    group.bench_function("file, one pread and the array made of it", |b| {
        b.iter(|| black_box(array_of(&file, from, (to - from) as usize, &mut buffer)));
    });
    group.bench_function("file, opened, one pread and the array made of it", |b| {
        b.iter(|| {
            let file = File::open(&path).expect("open");
            black_box(array_of(&file, from, (to - from) as usize, &mut buffer))
        });
    });
    group.bench_function("file, a pread for each record", |b| {
        b.iter(|| {
            let mut array = vec![b'['];
            for place in places.windows(2).skip((OPERATIONS - READ) as usize) {
                let record = &mut buffer[..(place[1] - place[0]) as usize];
                file.read_exact_at(record, place[0]).expect("read");
                array.extend_from_slice(&record[20..]);
                array.push(b',');
            }
            black_box(array)
        });
    });
    group.finish();

    let mut group = c.benchmark_group("one operation");
    group.bench_function("miss", |b| {
        let far = pool.cache(Offset::new(5, 0));
        b.iter(|| black_box(far.read_since(Offset::ZERO, 100, 1).is_none()));
    });
    group.bench_function("hit, nothing new", |b| {
        b.iter(|| {
            let answer = cache.read_since(Offset::new(OPERATIONS, 0), 100, 1);
            black_box(answer.map(|answer| answer.length()))
        });
    });
    let json = json(1);
    let mut number = OPERATIONS;
    group.bench_function("append to a full cache", |b| {
        b.iter(|| {
            number += 1;
            cache.append(&[(Offset::new(number, 0), &json)], 1).expect("append");
        });
    });
    group.bench_function("first append to an empty cache", |b| {
        b.iter_batched(
            || pool.cache(Offset::ZERO),
            |cache| {
                cache.append(&[(Offset::new(1, 0), &json)], 1).expect("append");
                cache
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn array_of(file: &File, from: u64, length: usize, buffer: &mut [u8]) -> Vec<u8> {
    let buffer = &mut buffer[..length];
    file.read_exact_at(buffer, from).expect("read");
    let mut array = Vec::with_capacity(length);
    array.push(b'[');
    let mut place = 0;
    while place < buffer.len() {
        let size = u32::from_le_bytes(buffer[place + 16..place + 20].try_into().expect("4 bytes"));
        array.extend_from_slice(&buffer[place + 20..place + 20 + size as usize]);
        array.push(b',');
        place += 20 + size as usize;
    }
    array.pop();
    array.push(b']');
    array
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    cache(&mut criterion);
    criterion.final_summary();
}

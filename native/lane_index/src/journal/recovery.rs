//! Reading a journal back: what is certain, what was cut by a crash, what is damaged.
//!
//! A frame whose checksum is wrong is a write that a crash cut, or a frame that was damaged after
//! it was acknowledged. The two are told apart by what was written later: each frame says up to
//! where everything was durable when it was written, and a file is only begun when all before it
//! is durable. If something later says that the broken frame was durable, it is damage, and an
//! error. If nothing does, nothing after it was acknowledged under `:always` either, and the
//! journal ends before it. Frames that the segments cover are not needed, so damage in them does
//! no harm.

use super::Place;
use super::format::{FRAME, Frame, HEADER, Header, OP};
use crate::Error;
use crate::storage::Storage;
use crate::storage::names::{self, Kind};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The frames that were handed out.
    pub frames: u64,
    /// The operations in them.
    pub ops: u64,
    /// The last sequence number: of the last frame, or what the segments cover.
    pub last_seq: u64,
    /// Where the journal was cut, when it did not end cleanly: the file and the offset.
    pub torn: Option<(String, u64)>,
}

/// A file of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileInfo {
    pub(super) number: u64,
    pub(super) first_seq: u64,
}

/// What to read.
pub(super) struct Request {
    /// What the segments cover: frames up to here are not handed out.
    pub(super) applied_seq: u64,
    /// The oldest file that is needed; it must be there.
    pub(super) oldest: Option<u64>,
    /// Which index the files must belong to.
    pub(super) index: u64,
    /// What the files start with.
    pub(super) magic: [u8; 8],
}

/// Takes a frame: its number, its payload, and where that stands.
pub(super) type Each<'e> = dyn FnMut(u64, &[u8], Place<'_>) -> Result<(), Error> + 'e;

/// Reads all files, oldest first, and hands out the frames that the segments do not cover.
pub(super) fn recover(
    storage: &dyn Storage,
    request: &Request,
    each: &mut Each<'_>,
) -> Result<(Recovered, Vec<FileInfo>), Error> {
    let headers = headers(storage, request)?;
    let mut found = Recovered { last_seq: request.applied_seq, ..Recovered::default() };
    if let Some(first) = headers.first()
        && first.first_seq > request.applied_seq.saturating_add(1)
    {
        return Err(damaged(first, 24, "frames between the segments and this file are missing"));
    }
    for (position, header) in headers.iter().enumerate() {
        let next = headers.get(position + 1).map(|next| next.first_seq);
        let bytes = storage.map(&names::journal(header.number), false)?;
        let bytes = bytes.get(..header.allocated as usize).unwrap_or(&bytes);
        let scan = Scan { header, bytes, next, applied: request.applied_seq, last: u64::MAX };
        scan.run(&mut found, each)?;
    }
    if let Some(last) = headers.last() {
        // What was read may only be in the page cache; frames to come build on it.
        storage.sync_file(&names::journal(last.number))?;
        storage.sync_directory()?;
    }
    let files = headers.iter();
    let files = files.map(|file| FileInfo { number: file.number, first_seq: file.first_seq });
    Ok((found, files.collect()))
}

/// Reads frames again that were written by this process: those after `applied_seq`, up to `last`.
pub(super) fn read_again(
    storage: &dyn Storage,
    request: &Request,
    files: &[FileInfo],
    last: u64,
    each: &mut Each<'_>,
) -> Result<(), Error> {
    let mut found = Recovered { last_seq: request.applied_seq, ..Recovered::default() };
    for (position, file) in files.iter().enumerate() {
        let next = files.get(position + 1).map(|next| next.first_seq);
        if file.first_seq > last || next.is_some_and(|next| next <= found.last_seq + 1) {
            continue;
        }
        let header = &header(storage, file.number, request)?;
        let bytes = storage.map(&names::journal(file.number), false)?;
        let bytes = bytes.get(..header.allocated as usize).unwrap_or(&bytes);
        Scan { header, bytes, next, applied: request.applied_seq, last }.run(&mut found, each)?;
    }
    if found.last_seq < last {
        let path = files.last().map_or_else(String::new, |file| names::journal(file.number));
        let what = "a frame that was written is not there any more";
        return Err(Error::Damaged { path, offset: 0, what });
    }
    Ok(())
}

/// The headers of the files that are needed, oldest first.
fn headers(storage: &dyn Storage, request: &Request) -> Result<Vec<Header>, Error> {
    let mut numbers: Vec<u64> = Vec::new();
    for name in storage.list()? {
        if let Kind::Journal(number) = names::kind(&name)
            && request.oldest.is_none_or(|oldest| number >= oldest)
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    let missing = |number, why| Error::Missing { path: names::journal(number), why };
    if let Some(oldest) = request.oldest
        && numbers.first() != Some(&oldest)
    {
        return Err(missing(oldest, "the manifest needs it"));
    }
    let mut headers: Vec<Header> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let before = headers.last();
        if let Some(before) = before
            && before.number + 1 != number
        {
            return Err(missing(before.number + 1, "there are journal files before and after it"));
        }
        let header = header(storage, number, request)?;
        if before.is_some_and(|before| before.first_seq > header.first_seq) {
            return Err(damaged(&header, 24, "it begins before the file before it does"));
        }
        headers.push(header);
    }
    Ok(headers)
}

fn header(storage: &dyn Storage, number: u64, request: &Request) -> Result<Header, Error> {
    let path = names::journal(number);
    let file = storage.open(&path)?;
    if file.len() < HEADER as u64 {
        let offset = file.len();
        return Err(Error::Damaged { path, offset, what: "it ends within its header" });
    }
    let mut bytes = [0; HEADER];
    file.read_exact_at(&mut bytes, 0)?;
    let header = Header::decode(&bytes, &path, &request.magic)?;
    if header.number != number {
        // Not by the number that the header says: the file of that name is another one.
        return Err(Error::Damaged {
            path,
            offset: 16,
            what: "its name has another number than its header",
        });
    }
    if header.index != request.index {
        return Err(damaged(&header, 48, "it belongs to another index"));
    }
    if file.len() < header.allocated {
        // A crash cannot shorten a file whose length was synced before it got its name.
        return Err(Error::Damaged { path, offset: file.len(), what: "it was cut off" });
    }
    Ok(header)
}

fn damaged(header: &Header, offset: u64, what: &'static str) -> Error {
    Error::Damaged { path: names::journal(header.number), offset, what }
}

/// One file.
struct Scan<'a> {
    header: &'a Header,
    bytes: &'a [u8],
    /// Where the next file begins, if there is one: all before is in this file, durably.
    next: Option<u64>,
    applied: u64,
    /// The last frame that is wanted.
    last: u64,
}

impl Scan<'_> {
    fn run(&self, found: &mut Recovered, each: &mut Each<'_>) -> Result<(), Error> {
        let path = names::journal(self.header.number);
        let mut offset = HEADER;
        let mut expected = self.header.first_seq;
        // What lies behind the beginning of the next file was cut when that was begun.
        while self.next != Some(expected) && expected <= self.last {
            match Frame::at(self.bytes, offset, self.header.salt) {
                Some(frame) if frame.is_mark() && frame.seq + 1 == expected => {
                    offset += frame.len();
                }
                Some(frame) if frame.seq == expected && !frame.is_mark() => {
                    if expected > self.applied {
                        let place = Place { path: &path, offset: (offset + FRAME) as u64 };
                        each(expected, frame.payload, place)?;
                        found.frames += 1;
                        found.ops += (frame.payload.len() / OP) as u64;
                    }
                    found.last_seq = found.last_seq.max(expected);
                    offset += frame.len();
                    expected += 1;
                }
                _ => match self.resume(offset, expected)? {
                    Some((at, seq)) => (offset, expected) = (at, seq),
                    None => {
                        self.note_end(offset, found);
                        return Ok(());
                    }
                },
            }
        }
        Ok(())
    }

    /// What to do where no frame `expected` starts at `offset`: go on at a later frame when the
    /// segments cover all between, end when nothing says that more was durable, else the error.
    fn resume(&self, offset: usize, expected: u64) -> Result<Option<(usize, u64)>, Error> {
        let next_applied = self.applied.saturating_add(1);
        let needed = expected.max(next_applied);
        let mut was_durable = self.next.is_some_and(|next| next > needed);
        for at in (offset + OP..self.bytes.len()).step_by(OP) {
            let Some(frame) = Frame::at(self.bytes, at, self.header.salt) else { continue };
            if (expected..=next_applied).contains(&frame.seq) && !frame.is_mark() {
                return Ok(Some((at, frame.seq)));
            }
            was_durable |= frame.synced >= needed;
        }
        if was_durable {
            let what = "a frame that was durable is not whole any more";
            return Err(damaged(self.header, offset as u64, what));
        }
        Ok(None)
    }

    fn note_end(&self, offset: usize, found: &mut Recovered) {
        let last = self.next.is_none();
        if last && self.bytes[offset.min(self.bytes.len())..].iter().any(|byte| *byte != 0) {
            found.torn = Some((names::journal(self.header.number), offset as u64));
        }
    }
}

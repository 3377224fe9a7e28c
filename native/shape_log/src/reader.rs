//! Reading a log: from its files and from memory, in order, an entry at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use lane_index::Error as StorageError;

use crate::block::{self, Block, Cursor, Header};
use crate::log::{Log, Snapshot};
use crate::segment::{self, Extent, OpenSegment, Segment, SegmentFile};
use crate::{Entry, Error, Offset};

/// How much to read at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many entries.
    pub entries: u64,
    /// How many bytes of JSON; the first entry is read however long it is.
    pub bytes: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { entries: u64::MAX, bytes: u64::MAX };
}

/// How much of a file is read at once.
const WINDOW: u64 = 128 << 10;

/// The entries of a log behind an offset, up to what was durable when it was made: streamed, with memory
/// for one block and one window of a file. What is removed meanwhile stays readable.
pub struct LogReader {
    log: Arc<Log>,
    parts: VecDeque<Part>,
    after: Offset,
    limits: Limits,
    last: Offset,
    limited: bool,
    file: Option<FilePart>,
    block: Option<Current>,
}

/// The rest of a segment, or of the snapshot part.
pub(crate) struct Section {
    pub reader: LogReader,
    /// Where it ends.
    pub end: Offset,
    /// The newest offset of the log.
    pub newest: Offset,
    /// Whether nothing will be added to it.
    pub complete: bool,
    /// Whether it is all of it.
    pub aligned: bool,
}

enum Part {
    File { file: Arc<SegmentFile>, extent: Extent, start: Offset },
    Memory(Block),
}

struct FilePart {
    open: OpenSegment,
    file: Arc<SegmentFile>,
    extent: Extent,
    at: u64,
    /// The last offset before `at`.
    before: Offset,
    window: Vec<u8>,
    window_at: u64,
}

/// The block that entries are taken from.
struct Current {
    header: Header,
    cursor: Cursor,
    bytes: Bytes,
}

enum Bytes {
    Memory(Arc<[u8]>),
    /// In the window of the file.
    Window(std::ops::Range<usize>),
}

impl LogReader {
    /// What there is of `log` behind `after`, up to the transaction `watermark`.
    pub(crate) fn new(
        log: Arc<Log>,
        after: Offset,
        watermark: u64,
        limits: Limits,
    ) -> Result<Self, Error> {
        let mut parts = VecDeque::new();
        let mut state = log.state.lock();
        if after < state.floor {
            return Err(Error::Gone { log: log.owner.log, offset: after, floor: state.floor });
        }
        match &state.snapshot {
            Snapshot::None => {}
            Snapshot::Awaited => return Err(Error::AwaitsSnapshot { log: log.owner.log }),
            Snapshot::Ready(file, meta) if after < meta.0.last => {
                let (file, extent) = (Arc::clone(file), meta.0);
                parts.push_back(Part::File { file, extent, start: Offset::ZERO });
            }
            Snapshot::Ready(..) => {}
        }
        let blocks = state.blocks_after(after, watermark);
        let from = state.finished.partition_point(|segment| segment.extent.last <= after);
        for segment in &state.finished[from..] {
            let (file, extent) = (Arc::clone(&segment.file), segment.extent);
            parts.push_back(Part::File { file, extent, start: segment.start });
        }
        if state.flushed.last > after && state.flushed.entries > 0 {
            let (file, extent) = (Arc::clone(&state.current), state.flushed);
            parts.push_back(Part::File { file, extent, start: state.start });
        }
        drop(state);
        parts.extend(blocks.into_iter().map(Part::Memory));
        Ok(Self::over(log, parts, after, limits))
    }

    /// What these segments have, which follow each other.
    pub(crate) fn of_segments(log: Arc<Log>, segments: &[Arc<Segment>]) -> Self {
        let start = segments.first().map_or(Offset::ZERO, |segment| segment.start);
        let parts = segments.iter().filter(|segment| segment.extent.entries > 0).map(|segment| {
            let (file, extent) = (Arc::clone(&segment.file), segment.extent);
            Part::File { file, extent, start: segment.start }
        });
        let parts = parts.collect();
        Self::over(log, parts, start, Limits::NONE)
    }

    /// All that a table's log has in these: in its snapshot part, and behind that.
    pub(crate) fn of_table(
        log: Arc<Log>,
        snapshot: Option<(Arc<SegmentFile>, Extent)>,
        segments: &[Arc<Segment>],
    ) -> Self {
        let mut reader = Self::of_segments(log, segments);
        if let Some((file, extent)) = snapshot.filter(|(_, extent)| extent.entries > 0) {
            reader.parts.push_front(Part::File { file, extent, start: Offset::ZERO });
        }
        reader
    }

    /// What one file has.
    pub(crate) fn of_file(
        log: Arc<Log>,
        file: Arc<SegmentFile>,
        extent: Extent,
        start: Offset,
    ) -> Self {
        let parts = VecDeque::from([Part::File { file, extent, start }]);
        Self::over(log, parts, start, Limits::NONE)
    }

    /// What follows `after` in the segment that has it; nothing where `after` is the newest offset.
    pub(crate) fn section(
        log: Arc<Log>,
        after: Offset,
        watermark: u64,
    ) -> Result<Option<Section>, Error> {
        let id = log.owner.log;
        let mut state = log.state.lock();
        if after < state.floor {
            return Err(Error::Gone { log: id, offset: after, floor: state.floor });
        }
        let newest = state.newest(watermark);
        let snapshot = match &state.snapshot {
            Snapshot::None => None,
            Snapshot::Awaited => return Err(Error::AwaitsSnapshot { log: id }),
            Snapshot::Ready(file, meta) => Some((file, meta.0)),
        };
        let newest = newest.max(snapshot.map_or(Offset::ZERO, |(_, extent)| extent.last));
        if after > newest {
            return Err(Error::Ahead { log: id, offset: after, newest });
        }
        if after == newest {
            return Ok(None);
        }
        let mut parts = VecDeque::new();
        let first = snapshot.map_or(Offset::ZERO, |(_, extent)| extent.last);
        let (end, complete, aligned) =
            if let Some((file, extent)) = snapshot.filter(|s| after < s.1.last) {
                let file = Arc::clone(file);
                parts.push_back(Part::File { file, extent, start: Offset::ZERO });
                (extent.last, true, after == Offset::ZERO)
            } else {
                let from = state.finished.partition_point(|segment| segment.end <= after);
                if let Some(segment) = state.finished.get(from) {
                    let (file, extent) = (Arc::clone(&segment.file), segment.extent);
                    if extent.last > after {
                        parts.push_back(Part::File { file, extent, start: segment.start });
                    }
                    (segment.end, true, after == segment.start.max(first))
                } else {
                    if state.flushed.last > after && state.flushed.entries > 0 {
                        let (file, extent) = (Arc::clone(&state.current), state.flushed);
                        parts.push_back(Part::File { file, extent, start: state.start });
                    }
                    let blocks = state.blocks_after(after, watermark);
                    parts.extend(blocks.into_iter().map(Part::Memory));
                    (newest, false, false)
                }
            };
        drop(state);
        let reader = Self::over(log, parts, after, Limits::NONE);
        Ok(Some(Section { reader, end, newest, complete, aligned }))
    }

    fn over(log: Arc<Log>, parts: VecDeque<Part>, after: Offset, limits: Limits) -> Self {
        Self { log, parts, after, limits, last: after, limited: false, file: None, block: None }
    }

    /// The offset of the last entry that was read; where none was, the one it began behind.
    #[must_use]
    pub fn last(&self) -> Offset {
        self.last
    }

    /// Whether it ended because of its limits, with more to read.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// The next entry; its bytes are the reader's until the next call.
    ///
    /// # Errors
    /// [`Error::Storage`]: a file that cannot be read, or whose bytes are not what was written.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        let cursor = loop {
            let Some(block) = &mut self.block else {
                if !self.load()? {
                    return Ok(None);
                }
                continue;
            };
            let bytes = block.bytes.of(self.file.as_ref());
            let before = block.cursor;
            let entry = block.cursor.next(&block.header, bytes);
            let entry = entry.map_err(|bad| damaged_block(&self.log, self.file.as_ref(), bad))?;
            let Some(Entry { offset, json, .. }) = entry else {
                self.block = None;
                continue;
            };
            if offset <= self.after {
                continue;
            }
            let size = json.len() as u64;
            let is_first = self.last == self.after;
            if self.limits.entries == 0 || (self.limits.bytes < size && !is_first) {
                // It stays where it is, and is not passed over should anybody call again.
                block.cursor = before;
                self.limited = true;
                return Ok(None);
            }
            self.limits.entries -= 1;
            self.limits.bytes = self.limits.bytes.saturating_sub(size);
            self.last = offset;
            break before;
        };
        // Once more, for the borrow that is returned.
        let Some(block) = &self.block else { return Ok(None) };
        let mut cursor = cursor;
        let entry = cursor.next(&block.header, block.bytes.of(self.file.as_ref()));
        entry.map_err(|bad| damaged_block(&self.log, self.file.as_ref(), bad))
    }

    /// Finds the next block; false at the end.
    fn load(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(file) = &mut self.file {
                if let Some(block) = file.next_block(&self.log, self.after)? {
                    self.block = Some(block);
                    return Ok(true);
                }
                self.file = None;
            }
            match self.parts.pop_front() {
                None => return Ok(false),
                Some(Part::Memory(block)) => {
                    let Some(header) = block.bytes.first_chunk() else { continue };
                    let header = Header::decode(header);
                    let (cursor, bytes) = (Cursor::new(&header), Bytes::Memory(block.bytes));
                    self.block = Some(Current { header, cursor, bytes });
                    return Ok(true);
                }
                Some(Part::File { file, extent, start }) => {
                    self.file = Some(FilePart::open(&self.log, file, extent, start, self.after)?);
                }
            }
        }
    }
}

impl Bytes {
    fn of<'b>(&'b self, file: Option<&'b FilePart>) -> &'b [u8] {
        match (self, file) {
            (Self::Memory(bytes), _) => bytes,
            (Self::Window(range), Some(file)) => file.window.get(range.clone()).unwrap_or_default(),
            (Self::Window(_), None) => &[],
        }
    }
}

fn damaged_block(log: &Log, file: Option<&FilePart>, bad: lane_index::codec::Bad) -> Error {
    // The checksum was right, so this is what somebody wrote who is not us.
    let path = file.map_or_else(|| log.owner.directory(), |file| file.open.path.clone());
    Error::Storage(StorageError::Damaged { path, offset: bad.at as u64, what: bad.what })
}

impl FilePart {
    fn open(
        log: &Log,
        file: Arc<SegmentFile>,
        extent: Extent,
        start: Offset,
        after: Offset,
    ) -> Result<Self, Error> {
        let storage = log.directory()?;
        let open = file.open(&**storage, &log.owner)?;
        if open.file.len() < extent.bytes {
            let what = "it is shorter than what was written";
            return Err(open.damaged(open.file.len(), what).into());
        }
        let place = file.place_before(after).filter(|(_, place)| *place <= extent.bytes);
        let (before, at) = place.unwrap_or((start, segment::HEADER as u64));
        Ok(Self { open, file, extent, at, before, window: Vec::new(), window_at: at })
    }

    /// The next block that ends behind `after`.
    fn next_block(&mut self, log: &Log, after: Offset) -> Result<Option<Current>, Error> {
        while self.at < self.extent.bytes {
            let at = self.at;
            let range = self.range(at, block::HEADER)?;
            let Some(header) = self.window[range].first_chunk() else { return Ok(None) };
            let header = Header::decode(header);
            let length = block::HEADER + header.length;
            let range = self.range(at, length)?;
            if !header.matches(&self.window[range.clone()], log.owner.salt) {
                return Err(self.open.damaged(at, "the checksum of a block does not match").into());
            }
            if header.first() <= self.before || header.last() < header.first() {
                return Err(self.open.damaged(at, "offsets that do not ascend").into());
            }
            self.at += length as u64;
            self.before = header.last();
            self.file.note(self.before, self.at);
            if header.last() > after {
                let cursor = Cursor::new(&header);
                return Ok(Some(Current { header, cursor, bytes: Bytes::Window(range) }));
            }
        }
        if self.before != self.extent.last {
            let what = "it does not end with the entry that was written last";
            return Err(self.open.damaged(self.at, what).into());
        }
        Ok(None)
    }

    /// Makes sure that so many bytes are in the window; says where there.
    fn range(&mut self, at: u64, length: usize) -> Result<std::ops::Range<usize>, Error> {
        let end = at + length as u64;
        if end > self.extent.bytes {
            let what = "a block goes beyond what was written";
            return Err(self.open.damaged(at, what).into());
        }
        if at < self.window_at || end > self.window_at + self.window.len() as u64 {
            let size = (length as u64).max(WINDOW).min(self.extent.bytes - at);
            self.window.resize(size as usize, 0);
            self.window_at = at;
            self.open.file.read_exact_at(&mut self.window, at)?;
        }
        let from = (at - self.window_at) as usize;
        Ok(from..from + length)
    }
}

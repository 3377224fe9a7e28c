//! The names of the files of an index, and which names are allowed at all.

use crate::Error;

/// The file whose lock is the directory's.
pub const LOCK: &str = "LOCK";
/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// What the names of unfinished files end with; such files are swept on open.
pub const TEMPORARY: &str = ".tmp";
/// What a damaged file's name gets appended when it is put aside.
pub const CORRUPT: &str = ".corrupt";

const SEGMENT: (&str, &str) = ("segment-", ".seg");
const JOURNAL: (&str, &str) = ("journal-", ".log");
const DIGITS: usize = 16;

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The manifest.
    Manifest,
    /// The lock.
    Lock,
    /// The segment of that id.
    Segment(u64),
    /// The journal file of that number.
    Journal(u64),
    /// A file of ours that was not finished.
    Temporary,
    /// A damaged file that was put aside.
    Corrupt,
    /// Nothing of ours.
    Foreign,
}

/// The name of the segment file `id`: `segment-` + 16 hex digits + `.seg`.
#[must_use]
pub fn segment(id: u64) -> String {
    format!("{}{id:0DIGITS$x}{}", SEGMENT.0, SEGMENT.1)
}

/// The name of the journal file `number`: `journal-` + 16 hex digits + `.log`.
#[must_use]
pub fn journal(number: u64) -> String {
    format!("{}{number:0DIGITS$x}{}", JOURNAL.0, JOURNAL.1)
}

/// The name under which a file is written until it is whole.
#[must_use]
pub fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// What the file of that name is.
#[must_use]
pub fn kind(name: &str) -> Kind {
    match name {
        LOCK => Kind::Lock,
        MANIFEST => Kind::Manifest,
        _ => {
            if let Some(id) = number(name, SEGMENT) {
                Kind::Segment(id)
            } else if let Some(number) = number(name, JOURNAL) {
                Kind::Journal(number)
            } else if let Some(of) = name.strip_suffix(TEMPORARY) {
                if is_data(of) { Kind::Temporary } else { Kind::Foreign }
            } else if let Some(of) = name.strip_suffix(CORRUPT) {
                if is_data(of) { Kind::Corrupt } else { Kind::Foreign }
            } else {
                Kind::Foreign
            }
        }
    }
}

fn is_data(name: &str) -> bool {
    matches!(kind(name), Kind::Manifest | Kind::Segment(_) | Kind::Journal(_))
}

/// The number in a name of that prefix and suffix. Only the spelling that we write counts, or two
/// names would mean one file.
fn number(name: &str, (prefix, suffix): (&str, &str)) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let ours = digits.len() == DIGITS
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Whether `name` names a file in the directory itself, on every system.
///
/// # Errors
/// [`Error::InvalidName`].
pub fn validate(name: &str) -> Result<(), Error> {
    let plain = !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control());
    if plain { Ok(()) } else { Err(Error::InvalidName { name: name.to_owned() }) }
}

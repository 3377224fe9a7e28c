//! JSON documents that end with their own checksum, and files that are replaced as a whole: what
//! manifests are made of.

use std::io::ErrorKind;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::Error;
use crate::storage::{Storage, for_each_chunk, names};

/// What stands between the document and its checksum, and behind that. Part of every version, so
/// that damage is told from a newer version.
const BEFORE: &str = ",\"checksum\":\"";
const AFTER: &str = "\"}\n";
const DIGITS: usize = 16;

/// The text of a file that holds this JSON object.
#[must_use]
pub fn seal(mut object: String) -> String {
    // The closing brace moves behind the checksum.
    object.pop();
    let checksum = xxh3_64(object.as_bytes());
    object.push_str(BEFORE);
    object.push_str(&format!("{checksum:0DIGITS$x}"));
    object.push_str(AFTER);
    object
}

/// What stands before the checksum, once that is right: the object without its closing brace.
/// `path` is for the error.
///
/// # Errors
/// [`Error::Damaged`].
pub fn verified_body<'b>(bytes: &'b [u8], path: &str) -> Result<&'b [u8], Error> {
    let damaged = |offset, what| Error::Damaged { path: path.to_owned(), offset, what };
    let tail = BEFORE.len() + DIGITS + AFTER.len();
    let end = bytes.len().checked_sub(tail).ok_or_else(|| damaged(0, "it is cut off"))?;
    let (body, tail) = bytes.split_at(end);
    let offset = end as u64;
    let digits = tail
        .strip_prefix(BEFORE.as_bytes())
        .and_then(|rest| rest.strip_suffix(AFTER.as_bytes()))
        .ok_or_else(|| damaged(offset, "it does not end with its checksum"))?;
    let written = parse_hex(digits).ok_or_else(|| damaged(offset, "the checksum is no number"))?;
    if written != u128::from(xxh3_64(body)) {
        return Err(damaged(offset, "the checksum does not match"));
    }
    Ok(body)
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    #[serde(flatten)]
    fields: &'a T,
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u32,
}

/// The text of a manifest: a JSON object of a version and these fields, sealed. `path` is for the error.
///
/// # Errors
/// None that fields with valid numbers could cause.
pub fn write_manifest<T: Serialize>(path: &str, version: u32, fields: &T) -> Result<String, Error> {
    let what = "it cannot be written as JSON";
    let text = serde_json::to_string(&Written { version, fields });
    let damaged = |_| Error::Damaged { path: path.to_owned(), offset: 0, what };
    Ok(seal(text.map_err(damaged)?))
}

/// The fields of what [`write_manifest`] wrote, once version and checksum are right. `path` is for the
/// error.
///
/// # Errors
/// [`Error::Damaged`], [`Error::UnknownVersion`].
pub fn read_manifest<T: DeserializeOwned>(
    path: &str,
    supported: u32,
    bytes: &[u8],
) -> Result<T, Error> {
    let damaged = |what| Error::Damaged { path: path.to_owned(), offset: 0, what };
    let body = verified_body(bytes, path)?;
    let mut document = Vec::with_capacity(body.len() + 1);
    document.extend_from_slice(body);
    document.push(b'}');
    // The version before anything else: another version may look different otherwise.
    let OnlyVersion { version } = serde_json::from_slice(&document)
        .map_err(|_| damaged("it is not the JSON of a manifest"))?;
    if version != supported {
        return Err(Error::UnknownVersion { path: path.to_owned(), version, supported });
    }
    let first = format!("{{\"version\":{supported},");
    let fields = body.strip_prefix(first.as_bytes());
    let fields = fields.ok_or_else(|| damaged("it does not begin with its version"))?;
    document.truncate(1);
    document.extend_from_slice(fields);
    document.push(b'}');
    serde_json::from_slice(&document)
        .map_err(|_| damaged("a field is missing, unknown, doubled or of the wrong type"))
}

/// The bytes of a file that is not longer than any manifest may be.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`].
pub fn read(storage: &dyn Storage, name: &str, longest: u64) -> Result<Vec<u8>, Error> {
    let file = storage.open(name)?;
    if file.len() > longest {
        let what = "it is longer than any manifest";
        return Err(Error::Damaged { path: name.to_owned(), offset: 0, what });
    }
    let mut bytes = Vec::with_capacity(file.len() as usize);
    for_each_chunk(&*file, |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok(bytes)
}

/// Digits as we write them, lower case.
pub(crate) fn parse_hex(digits: &[u8]) -> Option<u128> {
    if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Creates a file; one of that name, which only an interrupted attempt can have left, goes first.
///
/// # Errors
/// [`Error::Io`].
pub fn create_anew(
    storage: &dyn Storage,
    name: &str,
) -> Result<Box<dyn crate::StorageFile>, Error> {
    match storage.create(name) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
            storage.remove(name)?;
            storage.create(name)
        }
        result => result,
    }
}

/// Writes what a file is to hold, under its temporary name, durably. An error has changed nothing that
/// matters.
///
/// # Errors
/// [`Error::Io`].
pub fn write_temporary(storage: &dyn Storage, name: &str, text: &str) -> Result<(), Error> {
    // What it names must be found after a power cut that leaves this file.
    storage.sync_directory()?;
    let temporary = names::temporary(name);
    let write = || {
        let mut file = create_anew(storage, &temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync()
    };
    // The removal is best effort: the next attempt and the next open remove it too.
    write().inspect_err(|_| drop(storage.remove(&temporary)))
}

/// Puts what [`write_temporary`] wrote in place. After an error either the old file or the new one may
/// be there.
///
/// # Errors
/// [`Error::Io`].
pub fn put_in_place(storage: &dyn Storage, name: &str) -> Result<(), Error> {
    storage.rename(&names::temporary(name), name)?;
    storage.sync_directory()
}

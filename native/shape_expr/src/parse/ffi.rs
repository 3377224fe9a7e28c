//! libpg_query, called directly: the `pg_query` crate links it, but its own `parse` drops the
//! position of an error.

use std::ffi::{CStr, CString, c_char, c_int};

use pg_query::protobuf::ParseResult;
use prost::Message;

/// What the grammar objects to, and at which character of the text (from 1; 0 is nowhere).
pub(super) struct GrammarError {
    pub message: String,
    pub cursor: usize,
}

#[repr(C)]
struct RawError {
    message: *mut c_char,
    funcname: *mut c_char,
    filename: *mut c_char,
    lineno: c_int,
    cursorpos: c_int,
    context: *mut c_char,
}

#[repr(C)]
struct RawTree {
    len: usize,
    data: *mut c_char,
}

#[repr(C)]
struct RawResult {
    parse_tree: RawTree,
    stderr_buffer: *mut c_char,
    error: *mut RawError,
}

// SAFETY: signatures and layouts as pg_query.h of libpg_query 18 declares them.
unsafe extern "C" {
    fn pg_query_parse_protobuf_opts(input: *const c_char, parser_options: c_int) -> RawResult;
    fn pg_query_free_protobuf_parse_result(result: RawResult);
}

/// Parses a statement.
pub(super) fn parse(statement: &str) -> Result<ParseResult, GrammarError> {
    let nowhere = |message: String| GrammarError { message, cursor: 0 };
    let input = CString::new(statement).map_err(|_| nowhere("NUL byte".to_owned()))?;
    // SAFETY: `input` is a NUL-terminated string that outlives the call; the function keeps no
    // pointer to it and may be called from any thread.
    let raw = unsafe { pg_query_parse_protobuf_opts(input.as_ptr(), 0) };
    let result = if raw.error.is_null() {
        let bytes = if raw.parse_tree.data.is_null() {
            &[]
        } else {
            // SAFETY: without an error the library hands over `len` bytes at `data`, alive until
            // the result is freed below.
            unsafe {
                std::slice::from_raw_parts(raw.parse_tree.data.cast::<u8>(), raw.parse_tree.len)
            }
        };
        ParseResult::decode(bytes).map_err(|error| nowhere(error.to_string()))
    } else {
        // SAFETY: `error` is not null, so it points to an error whose message is a C string or
        // null; both live until the result is freed below.
        let (message, cursor) = unsafe {
            let error = &*raw.error;
            let message = match error.message.is_null() {
                true => String::new(),
                false => CStr::from_ptr(error.message).to_string_lossy().into_owned(),
            };
            (message, usize::try_from(error.cursorpos).unwrap_or(0))
        };
        Err(GrammarError { message, cursor })
    };
    // SAFETY: the result came from the call above and nothing borrows from it any more.
    unsafe { pg_query_free_protobuf_parse_result(raw) };
    result
}

//! Lists that callers give. `[1 | 2]` is a list to Erlang too, but an improper one: at its end rustler's
//! iterator panics, and with it all that decodes a list by it.

use rustler::types::ListIterator;
use rustler::{Decoder, Error, NifResult, Term};

/// What is in a list; `None` of what is none, or an improper one.
pub(crate) fn items(term: Term<'_>) -> Option<ListIterator<'_>> {
    // Of an improper list Erlang knows no length.
    term.list_length().ok()?;
    term.into_list_iterator().ok()
}

/// A proper list of values that all can be decoded: what a function takes in the place of a `Vec`.
pub(crate) struct List<T>(pub Vec<T>);

impl<'a, T: Decoder<'a>> Decoder<'a> for List<T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let items = items(term).ok_or(Error::BadArg)?;
        items.map(|item| item.decode()).collect::<NifResult<_>>().map(Self)
    }
}

//! Extraction by path: from jsonb by look-up, from json by reading its text through, with what that
//! means for repeated keys.

use bumpalo::Bump;
use smallvec::SmallVec;

use super::json::{Json, Node};
use super::json_scan::{self, Span, Token, Visitor};
use crate::error::EvalError;

/// One step into a document: into an object by name, into an array by subscript.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'p> {
    pub name: Option<&'p str>,
    pub index: Option<i32>,
}

impl<'p> Step<'p> {
    /// A path's element serves as both, if it is a number.
    pub(crate) fn of_path(element: &'p str) -> Step<'p> {
        Step { name: Some(element), index: subscript(element) }
    }
}

/// C's strtol of the whole text, if it gives an int4.
fn subscript(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let skip = bytes.iter().take_while(|b| super::text::is_space(**b)).count();
    let word = text.get(skip..)?;
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    match !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        // The least int4 stands for "no number" in PostgreSQL.
        true => word.parse::<i32>().ok().filter(|i| *i != i32::MIN),
        false => None,
    }
}

/// jsonb_extract_path for a path that is not empty; for an empty one the document itself.
pub(crate) fn in_jsonb<'a>(json: Json<'a>, path: &[Step<'_>]) -> Option<Json<'a>> {
    let mut at = json;
    for step in path {
        at = match at.node() {
            Node::Object(object) => object.get(step.name?.as_bytes())?,
            Node::Array(array) => array.subscript(i64::from(step.index?))?,
            _ => return None,
        };
    }
    Some(at)
}

/// What was found in a json text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'t> {
    Scalar(Span<'t>),
    /// An object or array, as written.
    Container(&'t str),
    /// A document that is a scalar, for a path that is empty: with the blanks before it.
    Document(Span<'t>, &'t str),
}

impl<'t> Found<'t> {
    /// As it is written.
    pub(crate) fn raw(self) -> &'t str {
        match self {
            Found::Scalar(span) => span.text,
            Found::Container(text) | Found::Document(_, text) => text,
        }
    }

    /// As text: strings without quotes and escapes, `null` as NULL. `arena` takes what was unescaped.
    pub(crate) fn text(self, arena: &'t Bump) -> Option<&'t str> {
        match self {
            Found::Scalar(Span { token: Token::Null, .. })
            | Found::Document(Span { token: Token::Null, .. }, _) => None,
            Found::Scalar(Span { token: Token::String { escaped }, text })
            | Found::Document(Span { token: Token::String { escaped }, text }, _) => {
                match escaped {
                    false => text.get(1..text.len() - 1),
                    true => {
                        let mut bytes =
                            bumpalo::collections::Vec::with_capacity_in(text.len(), arena);
                        json_scan::unescape(text, |part| bytes.extend_from_slice(part));
                        std::str::from_utf8(bytes.into_bump_slice()).ok()
                    }
                }
            }
            other => Some(other.raw()),
        }
    }
}

/// The last value at this path, as json_extract_path finds it. Reads the whole text, so what is
/// wrong with any escape in it raises.
pub(crate) fn in_json<'t>(
    text: &'t str,
    path: &[Step<'_>],
) -> Result<Option<Found<'t>>, EvalError> {
    let mut search = Search {
        text,
        path: path.iter().copied().collect(),
        on_path: SmallVec::from_elem(false, path.len() + 1),
        counts: SmallVec::from_elem(-1, path.len()),
        level: 0,
        wanted: path.is_empty(),
        taking: None,
        found: None,
    };
    search.on_path[0] = true;
    json_scan::walk(text, true, &mut search)?;
    Ok(search.found)
}

/// What may stand between tokens.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

struct Search<'t, 'p> {
    text: &'t str,
    path: SmallVec<[Step<'p>; 8]>,
    /// By level: does the container open there lie on the path?
    on_path: SmallVec<[bool; 9]>,
    /// By level: the element last met in the array open there.
    counts: SmallVec<[i32; 8]>,
    /// Open containers.
    level: usize,
    /// The next value is one that the path leads to.
    wanted: bool,
    /// Such a container is open, at this level, from this place on.
    taking: Option<(usize, usize)>,
    found: Option<Found<'t>>,
}

impl Search<'_, '_> {
    /// A member or element of the container at `level` follows; `matches` says if its step fits.
    fn child(&mut self, matches: bool) {
        let matches = matches && self.on_path[self.level - 1];
        match self.level < self.path.len() {
            true => self.on_path[self.level] = matches,
            false if matches => {
                self.wanted = true;
                self.found = None;
            }
            false => {}
        }
    }
}

impl<'t> Visitor<'t> for Search<'t, '_> {
    fn begin(&mut self, object: bool, start: usize) -> Result<(), EvalError> {
        if std::mem::take(&mut self.wanted) {
            self.taking = Some((self.level, start));
        }
        if let (false, Some(step)) = (object, self.path.get_mut(self.level)) {
            self.counts[self.level] = -1;
            // PostgreSQL turns a negative subscript into a positive one at the first array of that
            // level that is long enough, on the path or not, for all that follow.
            if let Some(index) = step.index.filter(|index| *index < 0) {
                let count = json_scan::count_elements(self.text, start) as i64;
                if -i64::from(index) <= count {
                    step.index = i32::try_from(i64::from(index) + count).ok();
                }
            }
        }
        self.level += 1;
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), EvalError> {
        self.level = self.level.saturating_sub(1);
        if let Some((level, start)) = self.taking
            && level == self.level
        {
            self.taking = None;
            self.found = self.text.get(start..end).map(Found::Container);
        }
        Ok(())
    }

    fn key(&mut self, key: Span<'t>) -> Result<(), EvalError> {
        if self.level > self.path.len() {
            return Ok(());
        }
        let matches = match self.path[self.level - 1].name {
            Some(name) => same(key, name),
            None => false,
        };
        self.child(matches);
        Ok(())
    }

    fn element(&mut self) -> Result<(), EvalError> {
        if self.level > self.path.len() {
            return Ok(());
        }
        let count = self.counts[self.level - 1].saturating_add(1);
        self.counts[self.level - 1] = count;
        self.child(self.path[self.level - 1].index == Some(count));
        Ok(())
    }

    fn scalar(&mut self, scalar: Span<'t>) -> Result<(), EvalError> {
        if std::mem::take(&mut self.wanted) {
            self.found = Some(Found::Scalar(scalar));
            if self.path.is_empty() {
                let before = self.text.len() - self.text.trim_start_matches(BLANKS).len();
                let document = self.text.get(..before + scalar.text.len()).unwrap_or(scalar.text);
                self.found = Some(Found::Document(scalar, document));
            }
        }
        Ok(())
    }
}

/// Does a key's token stand for this name?
fn same(key: Span<'_>, name: &str) -> bool {
    if key.token == (Token::String { escaped: false }) {
        return key.text.get(1..key.text.len() - 1) == Some(name);
    }
    let mut rest = Some(name.as_bytes());
    json_scan::unescape(key.text, |part| rest = rest.and_then(|rest| rest.strip_prefix(part)));
    rest == Some(&[])
}

/// jsonb_array_length of a json text: `None` for what is no array.
pub(crate) fn json_array_length(text: &str) -> Result<Option<i64>, EvalError> {
    match json_scan::first_token(text)? {
        Token::ArrayStart => {
            let start = text.find('[').unwrap_or(0);
            Ok(Some(json_scan::count_elements(text, start) as i64))
        }
        _ => Ok(None),
    }
}

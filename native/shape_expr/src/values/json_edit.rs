//! Changes of a jsonb by path: what `#-`, `jsonb_set` and `jsonb_insert` do.

use super::json::{Array, Builder, Json, Node, Object};
use super::json_order::deep;
use crate::error::{EvalError, Raise};

/// What happens where the path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Delete,
    /// Another value for one that is there.
    Replace,
    /// The same, or a new one.
    Create,
    InsertBefore,
    InsertAfter,
}

impl Edit {
    /// May it add what the path names and the document has not?
    fn creates(self) -> bool {
        matches!(self, Edit::Create | Edit::InsertBefore | Edit::InsertAfter)
    }

    fn inserts(self) -> bool {
        matches!(self, Edit::InsertBefore | Edit::InsertAfter)
    }
}

/// A change on its way through a document: PostgreSQL's `setPath`.
pub(crate) struct Change<'p, 'v> {
    /// Elements of the path, which is not empty. A NULL raises when the path gets there.
    pub path: &'p [Option<&'p str>],
    pub value: Json<'v>,
    pub edit: Edit,
}

impl Change<'_, '_> {
    /// Writes the changed document.
    pub(crate) fn apply(
        &self,
        json: Json<'_>,
        level: usize,
        built: &mut Builder<'_>,
    ) -> Result<(), EvalError> {
        let Some(Some(step)) = self.path.get(level) else {
            return Err(EvalError::new(Raise::NullNotAllowed));
        };
        match json.node() {
            Node::Array(array) => {
                built.open(false);
                deep(|| self.in_array(array, step, level, built))?;
                built.close()
            }
            Node::Object(object) => {
                built.open(true);
                deep(|| self.in_object(object, step, level, built))?;
                built.close()
            }
            // The path leads beyond a scalar.
            _ => built.copy(json),
        }
    }

    fn in_object(
        &self,
        object: Object<'_>,
        step: &str,
        level: usize,
        built: &mut Builder<'_>,
    ) -> Result<(), EvalError> {
        let last = level + 1 == self.path.len();
        let mut met = false;
        for (key, value) in object.iter() {
            if key != step.as_bytes() {
                built.key_bytes(key);
                built.copy(value)?;
                continue;
            }
            met = true;
            if !last {
                built.key_bytes(key);
                self.apply(value, level + 1, built)?;
            } else if self.edit.inserts() {
                return Err(EvalError::new(Raise::InvalidParameter));
            } else if self.edit != Edit::Delete {
                built.key_bytes(key);
                built.copy(self.value)?;
            }
        }
        if last && !met && self.edit.creates() {
            built.key_bytes(step.as_bytes());
            built.copy(self.value)?;
        }
        Ok(())
    }

    fn in_array(
        &self,
        array: Array<'_>,
        step: &str,
        level: usize,
        built: &mut Builder<'_>,
    ) -> Result<(), EvalError> {
        let last = level + 1 == self.path.len();
        let count = array.len() as i64;
        // The place that is meant, `None` standing for before the first.
        let place = match i64::from(subscript(step)?) {
            place @ 0.. => Some(place.min(count)),
            place if -place > count => None,
            place => Some(count + place),
        };
        let adds = last && self.edit.creates();
        let mut done = false;
        if adds && (place.is_none() || count == 0) {
            built.copy(self.value)?;
            done = true;
        }
        for (at, item) in array.iter().enumerate() {
            if place != Some(at as i64) {
                built.copy(item)?;
                continue;
            }
            done = true;
            if !last {
                self.apply(item, level + 1, built)?;
                continue;
            }
            if matches!(self.edit, Edit::InsertBefore | Edit::Create) {
                built.copy(self.value)?;
            }
            if self.edit.inserts() {
                built.copy(item)?;
            }
            if matches!(self.edit, Edit::InsertAfter | Edit::Replace) {
                built.copy(self.value)?;
            }
        }
        match adds && !done {
            true => built.copy(self.value),
            false => Ok(()),
        }
    }
}

/// C's strtol of the whole text, which must give an int4.
fn subscript(step: &str) -> Result<i32, EvalError> {
    let bad = EvalError::new(Raise::InvalidText);
    let bytes = step.as_bytes();
    let skip = bytes.iter().take_while(|b| super::text::is_space(**b)).count();
    let word = step.get(skip..).ok_or(bad)?;
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    match !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => word.parse::<i32>().map_err(|_| bad),
        false => Err(bad),
    }
}

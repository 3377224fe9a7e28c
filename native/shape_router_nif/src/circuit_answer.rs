//! A view's rows and changes -> terms.

use crate::atoms;
use crate::circuit_view::{Level, ViewInfo};
use crate::error::NifError;
use bumpalo::Bump;
use rustler::{Atom, Encoder, Env, NewBinary, Term};
use shape_expr::{Owned, Type, Value};
use std::sync::Arc;
use view_circuit::{Change, ContentHash, Key, TreeRow, ViewUpdate};

/// What a batch did to a view, and the ids of all its rows where those are told.
pub(crate) struct Told {
    pub info: Arc<ViewInfo>,
    pub update: ViewUpdate,
    pub ids: Option<Vec<Key>>,
}

/// Writes rows of one view.
pub(crate) struct RowWriter<'a, 'v> {
    env: Env<'a>,
    arena: Bump,
    names: Vec<Term<'a>>,
    types: &'v [Type],
    id_types: &'v [Type],
    as_text: bool,
    values: Vec<Term<'a>>,
    /// Of a tree, whatever hangs on each row.
    branches: Vec<RowWriter<'a, 'v>>,
}

pub(crate) fn text<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    NewBinary::from_slice(env, text.as_bytes()).into()
}

impl<'a, 'v> RowWriter<'a, 'v> {
    pub fn new<'n>(
        env: Env<'a>,
        names: impl Iterator<Item = &'n str>,
        types: &'v [Type],
        id_types: &'v [Type],
    ) -> Self {
        let names = names.map(|name| text(env, name)).collect();
        let (arena, values, branches) = (Bump::new(), Vec::new(), Vec::new());
        Self { env, arena, names, types, id_types, as_text: false, values, branches }
    }

    pub fn of(env: Env<'a>, info: &'v ViewInfo) -> Self {
        Self::of_level(env, &info.level).with_texts(info.telling.as_text)
    }

    fn of_level(env: Env<'a>, level: &'v Level) -> Self {
        let names = level.names.iter().map(String::as_str);
        let writer = Self::new(env, names, &level.types, &level.id_types);
        let branches = level.branches.iter().map(|branch| Self::of_level(env, branch)).collect();
        Self { branches, ..writer }
    }

    /// Whether every value is told as PostgreSQL's text.
    pub fn with_texts(self, as_text: bool) -> Self {
        let branches = self.branches.into_iter().map(|branch| branch.with_texts(as_text)).collect();
        Self { as_text, branches, ..self }
    }

    /// A map by the columns' names.
    pub fn row(&mut self, row: &[Owned]) -> Result<Term<'a>, NifError> {
        self.values.clear();
        self.columns(row);
        self.map()
    }

    fn columns(&mut self, row: &[Owned]) {
        self.arena.reset();
        for (value, ty) in row.iter().zip(self.types) {
            self.values.push(term(self.env, value, ty, self.as_text, &self.arena));
        }
    }

    fn map(&self) -> Result<Term<'a>, NifError> {
        let map = Term::map_from_term_arrays(self.env, &self.names, &self.values);
        map.map_err(|_| NifError::new("internal", "a row is no map"))
    }

    /// `[{id, row}]`, and so on down a tree.
    pub fn rows(&mut self, rows: &[TreeRow]) -> Result<Term<'a>, NifError> {
        let mut terms = Vec::with_capacity(rows.len());
        for row in rows {
            self.values.clear();
            self.columns(&row.values);
            for (branch, children) in self.branches.iter_mut().zip(&row.children) {
                self.values.push(branch.rows(children)?);
            }
            terms.push((self.id(&row.id), self.map()?));
        }
        Ok(terms.encode(self.env))
    }

    /// `[%{event:, id:, record:}]`, and so on down a tree.
    pub fn changes(&mut self, changes: &[Change]) -> Result<Term<'a>, NifError> {
        let keys = [atoms::event(), atoms::id(), atoms::record()].map(|key| key.to_term(self.env));
        let mut records = Vec::with_capacity(changes.len());
        for change in changes {
            let (event, row) = match (change.before(), change.after()) {
                (None, Some(row)) => (atoms::created(), row),
                (Some(_), Some(row)) => (atoms::updated(), row),
                // What it was.
                (Some(row), None) => (atoms::deleted(), row),
                (None, None) => continue,
            };
            self.values.clear();
            self.columns(row);
            for (branch, children) in self.branches.iter_mut().zip(change.children()) {
                self.values.push(branch.changes(children)?);
            }
            let values = [event.to_term(self.env), self.id(change.id()), self.map()?];
            records.push(map(self.env, &keys, &values)?);
        }
        Ok(records.encode(self.env))
    }

    /// One value, or the list of several.
    pub fn id(&mut self, id: &Key) -> Term<'a> {
        self.arena.reset();
        let one = |(value, ty)| term(self.env, value, ty, self.as_text, &self.arena);
        match (id.values(), self.id_types) {
            ([value], [ty]) => one((value, ty)),
            (values, types) => {
                values.iter().zip(types).map(one).collect::<Vec<_>>().encode(self.env)
            }
        }
    }
}

/// Integers, booleans, NULL and finite floats as what they are; all else, or all but NULL, as PostgreSQL's
/// text.
fn term<'a>(env: Env<'a>, value: &Owned, ty: &Type, as_text: bool, arena: &Bump) -> Term<'a> {
    match value.value() {
        Value::Null => atoms::nil().to_term(env),
        Value::Bool(bool) if !as_text => bool.encode(env),
        Value::Int(int) if !as_text => int.encode(env),
        Value::Float(float) if !as_text && float.is_finite() => float.encode(env),
        _ => match value.text(ty, arena) {
            Some(shown) => text(env, shown),
            None => atoms::nil().to_term(env),
        },
    }
}

/// Sixteen bytes in hexadecimal.
pub(crate) fn hash<'a>(env: Env<'a>, hash: Option<ContentHash>) -> Term<'a> {
    match hash {
        Some(ContentHash(hash)) => text(env, &format!("{hash:032x}")),
        None => atoms::nil().to_term(env),
    }
}

/// `%ShapeRouter.ViewUpdate{}`.
pub(crate) fn update<'a>(env: Env<'a>, told: &Told) -> Result<Term<'a>, NifError> {
    let Told { info, update, ids } = told;
    let mut rows = RowWriter::of(env, info);
    let all_ids = match ids {
        Some(ids) => ids.iter().map(|id| rows.id(id)).collect::<Vec<_>>().encode(env),
        None => atoms::nil().to_term(env),
    };
    let records = rows.changes(&update.changes)?;
    let fields: [(Atom, Term<'a>); 6] = [
        (atoms::__struct__(), atoms::view_update().to_term(env)),
        (atoms::view_id(), info.name.encode(env)),
        (atoms::format(), info.telling.format.to_term(env)),
        (atoms::hash(), hash(env, update.hash)),
        (atoms::ids(), all_ids),
        (atoms::records(), records),
    ];
    let keys = fields.map(|(key, _)| key.to_term(env));
    map(env, &keys, &fields.map(|(_, value)| value))
}

pub(crate) fn map<'a>(
    env: Env<'a>,
    keys: &[Term<'a>],
    values: &[Term<'a>],
) -> Result<Term<'a>, NifError> {
    let map = Term::map_from_term_arrays(env, keys, values);
    map.map_err(|_| NifError::new("internal", "the names of a map are not unique"))
}

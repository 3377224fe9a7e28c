//! The condition indexes of a table: what is filed, and what a row looks up.

use crate::filing::{Condition, Filed};
use crate::index::{ColumnIndex, Hashed, InfixIndex, Making, Multimap, PrefixIndex, Secret, Slot};
use crate::sets::MemberIndex;
use bumpalo::Bump;
use shape_expr::{Access, Row};

/// A condition that a shape is to be filed under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted<'p> {
    Ready(Condition),
    /// Its place depends on what is filed when it comes to it.
    Prefix {
        column: u32,
        prefix: &'p [u8],
    },
    Infix {
        column: u32,
        fold: bool,
        literal: &'p [u8],
    },
}

/// An index of literals: its column, and whether they are in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InfixPlace {
    column: usize,
    fold: bool,
}

/// The condition indexes of a table, by column.
pub(crate) struct Conditions {
    secret: Secret,
    making: Making,
    /// Shapes are filed that were stored, before anybody looks anything up.
    loading: bool,
    by_column: Vec<Option<Box<ColumnIndex>>>,
    /// The columns that have an index with something in it.
    indexed: Vec<usize>,
    /// What is filed under sets.
    pub members: MemberIndex,
    /// The indexes of literals, whose look-ups may take long.
    infixes: Vec<InfixPlace>,
}

impl Conditions {
    pub fn new(secret: (u64, u64), making: Making) -> Self {
        let secret = Secret(secret);
        Self {
            secret,
            making,
            loading: false,
            by_column: Vec::new(),
            indexed: Vec::new(),
            members: MemberIndex::new(making),
            infixes: Vec::new(),
        }
    }

    /// Until [`Conditions::end_load`] shapes are only filed; nothing is looked up nor taken away.
    pub fn begin_load(&mut self) {
        self.loading = true;
    }

    pub fn end_load(&mut self) {
        self.loading = false;
        let making = self.making;
        self.multimaps_mut().for_each(|index| index.end_load(making));
    }

    /// The conditions that were stored, with nothing in them yet.
    pub fn stored(secret: Secret, making: Making) -> Self {
        Self::new(secret.0, making)
    }

    /// The index of a column that has or gets something.
    fn opened(&mut self, column: usize) -> &mut ColumnIndex {
        if self.by_column.len() <= column {
            self.by_column.resize_with(column + 1, || None);
        }
        if self.by_column[column].is_none() {
            self.indexed.push(column);
        }
        self.by_column[column].get_or_insert_default()
    }

    /// Puts an index of hashes in place that was stored.
    pub fn adopt_hashes(&mut self, column: usize, kind: Hashed, index: Multimap) {
        self.opened(column).adopt_hashes(kind, index);
    }

    /// Puts an index of beginnings in place that was stored.
    pub fn adopt_prefixes(&mut self, column: usize, index: PrefixIndex) {
        self.opened(column).adopt_prefixes(index);
    }

    /// Puts an index of literals in place that was stored.
    pub fn adopt_infixes(&mut self, column: usize, fold: bool, index: InfixIndex) {
        self.opened(column).adopt_infixes(fold, index);
        let place = InfixPlace { column, fold };
        if !self.infixes.contains(&place) {
            self.infixes.push(place);
        }
    }

    /// Files a slot that was filed under these conditions, as far as they are none of the indexes that
    /// are stored.
    pub fn file_again(&mut self, filed: &Filed, slot: Slot) {
        for condition in filed.conditions() {
            match condition {
                Condition::Member { columns, set } => self.members.insert(columns, *set, slot),
                Condition::Element { column, kind, also, hash } => {
                    self.opened(*column as usize).insert_element(*kind, *hash, *also, slot);
                }
                Condition::Words { column, low, high } => {
                    self.opened(*column as usize).insert_words(*low, *high, slot);
                }
                Condition::Edges { column, edges } => {
                    self.opened(*column as usize).insert_edges(edges, slot);
                }
                Condition::Hash { .. } | Condition::Prefix { .. } | Condition::Infix { .. } => {}
            }
        }
    }

    /// The indexes of a column, of all of them.
    pub fn columns(&self) -> impl Iterator<Item = (usize, &ColumnIndex)> {
        let columns = self.by_column.iter().enumerate();
        columns.filter_map(|(column, index)| Some((column, index.as_deref()?)))
    }

    pub fn secret(&self) -> Secret {
        self.secret
    }

    pub fn column(&self, column: usize) -> Option<&ColumnIndex> {
        self.by_column.get(column)?.as_deref()
    }

    fn column_mut(&mut self, column: usize) -> Option<&mut ColumnIndex> {
        self.by_column.get_mut(column)?.as_deref_mut()
    }

    /// Appends the slots that are filed under one of a row's values; where a value is unknown or
    /// unreadable, all that are filed under its column. How much work that was.
    pub fn look_up(&self, row: &Row<'_>, out: &mut Vec<Slot>) -> u64 {
        let look_up = |&column: &usize| {
            self.column(column).map_or(0, |index| index.look_up(self.secret, row, column, out))
        };
        self.indexed.iter().map(look_up).sum()
    }

    /// [`Conditions::look_up`] in the columns of which there is more than an index of values.
    pub fn look_up_apart(&self, row: &Row<'_>, out: &mut Vec<Slot>) -> u64 {
        let look_up = |&column: &usize| match self.column(column) {
            Some(index) if index.only_equal().is_none() => {
                index.look_up(self.secret, row, column, out)
            }
            _ => 0,
        };
        self.indexed.iter().map(look_up).sum()
    }

    /// The columns of which there is an index of values, and nothing else.
    pub fn only_equal(&self) -> impl Iterator<Item = (usize, &Multimap)> {
        let only = |&column: &usize| Some((column, self.column(column)?.only_equal()?));
        self.indexed.iter().filter_map(only)
    }

    /// Whether [`Conditions::infix_units`] may be more than 0.
    pub fn has_infixes(&self) -> bool {
        !self.infixes.is_empty()
    }

    /// About how many units of the budget it takes to seek literals in a row's texts.
    pub fn infix_units(&self, row: &Row<'_>) -> u64 {
        let units = |place: &InfixPlace| match self.column(place.column) {
            // Both indexes of a column are counted with the first.
            Some(index) if !(place.fold && index.infixes(false).is_some()) => {
                index.infix_units(row, place.column)
            }
            _ => 0,
        };
        self.infixes.iter().map(units).sum()
    }

    /// Files a slot; `None`: there is nothing to file it under.
    pub fn insert(&mut self, wanted: Option<Vec<Wanted<'_>>>, slot: Slot) -> Filed {
        let Some(mut wanted) = wanted else { return Filed::Scan };
        wanted.sort_unstable();
        wanted.dedup();
        Filed::new(wanted.into_iter().map(|w| self.insert_one(w, slot)).collect())
    }

    /// What a shape was filed under whose filing [follows](Filed::follows_from_clause) from its clause.
    pub fn derive(&self, access: &Access<'_>) -> Filed {
        let arena = Bump::new();
        let Some(mut wanted) = self.choose(access, &arena) else { return Filed::Scan };
        wanted.sort_unstable();
        wanted.dedup();
        let ready = wanted.into_iter().filter_map(|wanted| match wanted {
            Wanted::Ready(condition) => Some(condition),
            Wanted::Prefix { .. } | Wanted::Infix { .. } => None,
        });
        Filed::new(ready.collect())
    }

    fn insert_one(&mut self, wanted: Wanted<'_>, slot: Slot) -> Condition {
        let column = match &wanted {
            Wanted::Ready(Condition::Member { columns, set }) => {
                self.members.insert(columns, *set, slot);
                return Condition::Member { columns: columns.clone(), set: *set };
            }
            Wanted::Ready(condition) => condition.column(),
            Wanted::Prefix { column, .. } | Wanted::Infix { column, .. } => *column as usize,
        };
        let (secret, making) = (self.secret, self.making);
        let hashes = (!self.loading).then_some(making);
        let index = self.opened(column);
        match wanted {
            Wanted::Ready(condition) => {
                match &condition {
                    Condition::Hash { kind, hash, .. } => {
                        index.insert_hash(*kind, *hash, slot, hashes);
                    }
                    Condition::Element { kind, also, hash, .. } => {
                        index.insert_element(*kind, *hash, *also, slot);
                    }
                    Condition::Words { low, high, .. } => index.insert_words(*low, *high, slot),
                    Condition::Edges { edges, .. } => index.insert_edges(edges, slot),
                    // Those come as what they are made of, or were filed already.
                    Condition::Prefix { .. }
                    | Condition::Infix { .. }
                    | Condition::Member { .. } => {}
                }
                condition
            }
            Wanted::Prefix { column, prefix } => Condition::Prefix {
                column,
                beginning: index.insert_prefix(secret, prefix, slot, making),
            },
            Wanted::Infix { column, fold, literal } => {
                let gram = index.insert_infix(secret, fold, literal, slot, making);
                let place = InfixPlace { column: column as usize, fold };
                if !self.infixes.contains(&place) {
                    self.infixes.push(place);
                }
                Condition::Infix { column, fold, gram }
            }
        }
    }

    /// Takes a slot from all that it is filed under.
    pub fn remove(&mut self, filed: &Filed, slot: Slot) {
        for condition in filed.conditions() {
            if let Condition::Member { columns, set } = condition {
                self.members.remove(columns, *set, slot);
                continue;
            }
            let column = condition.column();
            let Some(index) = self.column_mut(column) else { continue };
            match condition {
                Condition::Hash { kind, hash, .. } => index.remove_hash(*kind, *hash, slot),
                Condition::Element { kind, also, hash, .. } => {
                    index.remove_element(*kind, *hash, *also, slot);
                }
                Condition::Prefix { beginning, .. } => index.remove_prefix(*beginning, slot),
                Condition::Words { low, high, .. } => index.remove_words(*low, *high, slot),
                Condition::Edges { edges, .. } => index.remove_edges(edges, slot),
                Condition::Infix { fold, gram, .. } => index.remove_infix(*fold, *gram, slot),
                Condition::Member { .. } => {}
            }
            self.tidy(column);
        }
    }

    /// Lets go of a column's indexes if nothing is filed there.
    fn tidy(&mut self, column: usize) {
        let by_column = &self.by_column;
        let index = |column: usize| by_column.get(column).and_then(Option::as_deref);
        self.infixes.retain(|place| {
            place.column != column || index(column).is_some_and(|i| i.infixes(place.fold).is_some())
        });
        if index(column).is_some_and(ColumnIndex::is_empty) {
            self.by_column[column] = None;
            self.indexed.retain(|&c| c != column);
        }
    }

    /// How many shapes share a condition.
    pub fn count(&self, condition: &Condition) -> usize {
        if let Condition::Member { columns, set } = condition {
            return self.members.count(columns, *set);
        }
        let Some(index) = self.column(condition.column()) else { return 0 };
        match condition {
            Condition::Hash { kind, hash, .. } => index.hashed(*kind).map_or(0, |i| i.count(*hash)),
            Condition::Element { kind, hash, .. } => {
                index.elements(*kind).map_or(0, |i| i.count(*hash))
            }
            Condition::Prefix { beginning, .. } => {
                index.prefixes().map_or(0, |i| i.count(*beginning))
            }
            Condition::Words { .. } | Condition::Edges { .. } => index.intervals(),
            Condition::Infix { fold, gram, .. } => {
                index.infixes(*fold).map_or(0, |i| i.count(*gram))
            }
            Condition::Member { .. } => 0,
        }
    }

    /// What is looked up by hashes.
    pub fn multimaps(&self) -> impl Iterator<Item = &Multimap> {
        let columns = self.by_column.iter().flatten().flat_map(|index| index.multimaps());
        columns.chain(self.members.multimaps())
    }
    pub fn multimaps_mut(&mut self) -> impl Iterator<Item = &mut Multimap> {
        let columns = self.by_column.iter_mut().flatten().flat_map(|index| index.multimaps_mut());
        columns.chain(self.members.multimaps_mut())
    }

    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.by_column.iter().flatten().map(|i| i.memory_bytes()).sum();
        columns + self.members.memory_bytes()
    }
}

//! Which sets there are, who uses them, and what they are compared as.

use super::content::Contents;
use super::feeders::Feeders;
use super::group::Group;
use super::row::{Hashed, Secret};
use crate::change::KeyParts;
use crate::index::{Making, Multimap, Slot};
use bumpalo::Bump;
use hashbrown::HashMap;
use shape_expr::{
    Column, ColumnType, Polarity, PredicateRef, Row, Schema, SetColumn, SetUse, Subqueries,
    Subquery, Vm, decode,
};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

type Tell = dyn Fn(&Subquery) -> Result<Option<Vec<ColumnType>>, shape_expr::Error>
    + Send
    + Sync
    + std::panic::UnwindSafe
    + std::panic::RefUnwindSafe;

/// Says which types a subquery selects; `None`: those of what it is compared with.
#[derive(Clone)]
pub struct ItemTypes(pub Arc<Tell>);

impl fmt::Debug for ItemTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemTypes").finish_non_exhaustive()
    }
}

/// A set of values, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// The subquery's text, in one form for all that mean the same.
    pub subquery: String,
    /// What the subquery selects.
    pub types: Vec<String>,
    /// Whether it was seeded.
    pub ready: bool,
    /// How many values it has, by what is acknowledged.
    pub values: u64,
    /// How many shapes use it.
    pub shapes: u64,
}

/// A set.
pub(crate) struct Set {
    pub subquery: String,
    pub columns: Vec<SetColumn>,
    /// The items as columns, for what casts them.
    items: Schema,
    pub ready: bool,
    pub content: u32,
    pub shapes: u64,
    /// How many shapes feed it, besides those that use it.
    pub feeders: u64,
    /// Who they are, and in what they differ.
    pub group: Option<Box<Group>>,
    /// The set of the same subquery that is never ready, for shapes that do not feed all yet.
    pub twin: Option<u32>,
}

impl Set {
    /// Is it compared as these types?
    fn compares(&self, columns: &[SetColumn]) -> bool {
        same(&self.columns, columns)
    }

    pub fn width(&self) -> u8 {
        self.columns.len() as u8
    }

    /// A row that the subquery selected, as it is compared; `Err` says which column is no value.
    pub fn read(&self, secret: Secret, row: &KeyParts<'_>, arena: &Bump) -> Result<Hashed, String> {
        let row = row.as_slice();
        if row.len() != self.columns.len() {
            let (found, wanted) = (row.len(), self.columns.len());
            return Err(format!("it has {found} columns, the subquery selects {wanted}"));
        }
        let mut values = SmallVec::<[_; 4]>::new();
        for (at, (column, datum)) in self.columns.iter().zip(row).enumerate() {
            let value = decode(&column.item, *datum, arena)
                .map_err(|error| format!("column {at}: {error} ({})", error.sqlstate()))?;
            values.push(value);
        }
        if self.columns.iter().any(|column| column.convert.is_some()) {
            let items = Row::of_values(arena, &self.items, values.clone().into_iter());
            for (at, column) in self.columns.iter().enumerate() {
                let Some(convert) = &column.convert else { continue };
                let value = convert.eval(&items, &mut Vm::default());
                let value = value
                    .map_err(|error| format!("column {at}: {error} ({})", error.sqlstate()))?;
                // It lies in the constants, or in the arena.
                values[at] = match shape_expr::Owned::new(&value) {
                    Some(owned) => arena_value(arena, &owned, &column.compared)
                        .ok_or_else(|| format!("column {at} is no value"))?,
                    None => return Err(format!("column {at} is no value")),
                };
            }
        }
        Hashed::new(secret, values.into_iter()).ok_or_else(|| "a column is missing".to_owned())
    }
}

/// A value in an arena, by way of its text: for what was cast, which is rare.
fn arena_value<'a>(
    arena: &'a Bump,
    owned: &shape_expr::Owned,
    ty: &shape_expr::Type,
) -> Option<shape_expr::Value<'a>> {
    if owned.is_null() {
        return Some(shape_expr::Value::Null);
    }
    let text = arena.alloc_str(owned.text(ty, arena)?);
    decode(&ColumnType::new(ty.clone()), shape_expr::Datum::Text(text.as_bytes()), arena).ok()
}

/// All sets of a router.
pub(crate) struct ValueSets {
    sets: Vec<Option<Set>>,
    free: Vec<u32>,
    /// By the subquery's text: one for each list of types that it is compared as.
    by_text: HashMap<String, SmallVec<[u32; 2]>, ahash::RandomState>,
    count: usize,
    pub contents: Contents,
    /// From a set to the shapes that use it.
    users: Multimap,
    /// The sets that are not ready.
    pub unready: BTreeSet<u32>,
    /// Sets that no shape uses yet: they come with the shapes that are being added, or go.
    fresh: Vec<u32>,
    /// Shapes that feed their sets themselves; `None`: each set is fed as a whole.
    pub feeders: Option<Box<Feeders>>,
}

/// Sets by number, spread over all hashes.
pub(crate) fn spread(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl ValueSets {
    pub fn new(secret: (u64, u64), making: Making) -> Self {
        Self {
            sets: Vec::new(),
            free: Vec::new(),
            by_text: HashMap::default(),
            count: 0,
            contents: Contents::new(Secret(secret.0, secret.1)),
            users: Multimap::new(making),
            unready: BTreeSet::new(),
            fresh: Vec::new(),
            feeders: None,
        }
    }

    /// True if there are no sets.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// What a group is changed with.
    pub fn parts(&mut self) -> (&mut Vec<Option<Set>>, &mut Contents) {
        (&mut self.sets, &mut self.contents)
    }

    pub fn get_mut(&mut self, set: u32) -> Option<&mut Set> {
        self.sets.get_mut(set as usize)?.as_mut()
    }

    #[inline]
    pub fn get(&self, set: u32) -> Option<&Set> {
        self.sets.get(set as usize)?.as_ref()
    }

    /// The sets of this subquery: one for each list of types that it is compared as.
    pub fn of_subquery(&self, subquery: &str) -> &[u32] {
        self.by_text.get(subquery).map_or(&[], |sets| sets)
    }

    /// The number of a set, which is made if there is none.
    pub fn open(&mut self, subquery: &Subquery, columns: Vec<SetColumn>) -> u32 {
        let is = |number: &u32| self.get(*number).is_some_and(|set| set.compares(&columns));
        if let Some(number) = self.of_subquery(&subquery.text).iter().copied().find(|n| is(n)) {
            return number;
        }
        let number = self.make(subquery.text.clone(), columns);
        self.by_text.entry(subquery.text.clone()).or_default().push(number);
        number
    }

    /// The set of the same subquery and types that is never ready, which is made if there is none.
    pub fn open_twin(&mut self, of: u32) -> Option<u32> {
        let set = self.get(of)?;
        if let Some(twin) = set.twin {
            return Some(twin);
        }
        let (subquery, columns) = (set.subquery.clone(), set.columns.clone());
        let twin = self.make(subquery, columns);
        if let Some(Some(set)) = self.sets.get_mut(of as usize) {
            set.twin = Some(twin);
        }
        Some(twin)
    }

    fn make(&mut self, subquery: String, columns: Vec<SetColumn>) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.sets.push(None);
            (self.sets.len() - 1) as u32
        });
        let item = |(at, column): (usize, &SetColumn)| {
            Column::new(&format!("item {at}"), column.item.clone())
        };
        let items = Schema::new("items", columns.iter().enumerate().map(item).collect());
        let set = Set {
            subquery,
            columns,
            items: items.unwrap_or_else(|_| Schema::open("items")),
            ready: false,
            content: self.contents.open(number),
            shapes: 0,
            feeders: 0,
            group: None,
            twin: None,
        };
        self.sets[number as usize] = Some(set);
        self.count += 1;
        self.unready.insert(number);
        self.fresh.push(number);
        number
    }

    /// A shape uses its sets from now on.
    pub fn attach(&mut self, predicate: PredicateRef<'_>, slot: Slot) {
        for number in distinct(predicate) {
            self.users.insert(spread(u64::from(number)), slot);
            if let Some(Some(set)) = self.sets.get_mut(number as usize) {
                set.shapes += 1;
            }
        }
    }

    /// A shape uses its sets no more.
    pub fn detach(&mut self, predicate: PredicateRef<'_>, slot: Slot) {
        for number in distinct(predicate) {
            self.users.remove(spread(u64::from(number)), slot);
            let Some(Some(set)) = self.sets.get_mut(number as usize) else { continue };
            set.shapes = set.shapes.saturating_sub(1);
            self.free_unused(number);
        }
    }

    /// True if there are sets that came with shapes which are being added.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Lets go of sets that came with shapes which were not added after all.
    pub fn release_fresh(&mut self) {
        for number in std::mem::take(&mut self.fresh) {
            self.free_unused(number);
        }
    }

    /// Lets go of a set that no shape uses, and none feeds.
    pub fn free_unused(&mut self, number: u32) {
        if self.get(number).is_some_and(|set| set.shapes == 0 && set.feeders == 0) {
            self.free_set(number);
        }
    }

    fn free_set(&mut self, number: u32) {
        let Some(set) = self.sets.get_mut(number as usize).and_then(Option::take) else { return };
        if let Some(others) = self.by_text.get_mut(&set.subquery) {
            others.retain(|other| *other != number);
            for other in others.iter() {
                if let Some(Some(other)) = self.sets.get_mut(*other as usize) {
                    other.twin = other.twin.filter(|twin| *twin != number);
                }
            }
            if others.is_empty() {
                self.by_text.remove(&set.subquery);
            }
        }
        self.count -= 1;
        self.unready.remove(&number);
        self.contents.close_of(number);
        self.free.push(number);
    }

    /// The shapes that use a set.
    pub fn users(&self, set: u32, out: &mut Vec<Slot>) {
        self.users.get_verified(spread(u64::from(set)), out);
    }

    /// Says whether what a set holds is all that it holds. Whether that is news.
    pub fn mark(&mut self, number: u32, ready: bool) -> bool {
        let Some(Some(set)) = self.sets.get_mut(number as usize) else { return false };
        let news = set.ready != ready;
        set.ready = ready;
        if ready {
            self.unready.remove(&number);
        } else {
            self.unready.insert(number);
        }
        news
    }

    /// Gives a set a content of its own, empty and not to be seen before it takes the old one's place.
    pub fn begin_seed(&mut self, number: u32) -> u32 {
        self.contents.open(number)
    }

    /// Puts a content in the place of the one that a set had.
    pub fn end_seed(&mut self, number: u32, content: u32) {
        // The set may be gone, and its number another one's.
        if self.contents.set_of(content) == Some(number)
            && let Some(Some(set)) = self.sets.get_mut(number as usize)
        {
            let old = std::mem::replace(&mut set.content, content);
            self.contents.close(old);
            self.mark(number, true);
        }
    }

    /// All sets.
    pub fn infos(&self) -> Vec<SetInfo> {
        self.sets.iter().flatten().map(|set| self.info(set)).collect()
    }

    pub fn info(&self, set: &Set) -> SetInfo {
        SetInfo {
            subquery: set.subquery.clone(),
            types: set.columns.iter().map(|column| column.item.to_string()).collect(),
            ready: set.ready,
            values: self.contents.rows(set.content),
            shapes: set.shapes,
        }
    }

    /// How many values all sets have.
    pub fn rows(&self) -> u64 {
        self.sets.iter().flatten().map(|set| self.contents.rows(set.content)).sum()
    }

    pub fn multimaps(&self) -> impl Iterator<Item = &Multimap> {
        std::iter::once(&self.users)
    }
    pub fn multimaps_mut(&mut self) -> impl Iterator<Item = &mut Multimap> {
        std::iter::once(&mut self.users)
    }

    pub fn memory_bytes(&self) -> usize {
        let group = |set: &Set| set.group.as_ref().map_or(0, |group| group.memory_bytes());
        let own = |set: &Set| size_of::<Set>() + 2 * set.subquery.len() + group(set);
        self.contents.memory_bytes()
            + self.users.memory_bytes()
            + self.by_text.allocation_size()
            + self.feeders.as_ref().map_or(0, |feeders| feeders.memory_bytes())
            + self.sets.iter().flatten().map(own).sum::<usize>()
    }
}

/// Do columns select the same, and are they compared as the same?
pub(crate) fn same(some: &[SetColumn], others: &[SetColumn]) -> bool {
    let same = |(a, b): (&SetColumn, &SetColumn)| a.item == b.item && a.compared == b.compared;
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// The sets of a clause, each once.
fn distinct(predicate: PredicateRef<'_>) -> Vec<u32> {
    let mut all: Vec<u32> = predicate.sets().map(|used| used.set).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// How a clause uses a set.
pub(crate) fn polarity(predicate: PredicateRef<'_>, set: u32) -> Option<Polarity> {
    let of = predicate.sets().filter(|used: &SetUse| used.set == set).map(|used| used.polarity);
    of.reduce(Polarity::with)
}

/// What the compiler asks, answered by a router.
pub(crate) struct Asked<'r> {
    pub open: &'r mut dyn FnMut(&Subquery, Vec<SetColumn>) -> u32,
    pub types: Option<&'r ItemTypes>,
    /// What was said of the types of each subquery.
    pub told: Vec<Told>,
}

/// A subquery's text, and the types that it selects, if they are known.
pub(crate) type Told = (String, Option<Vec<ColumnType>>);

impl Subqueries for Asked<'_> {
    fn types(&mut self, subquery: &Subquery) -> Result<Option<Vec<ColumnType>>, shape_expr::Error> {
        let types = self.types.map_or(Ok(None), |types| (types.0)(subquery))?;
        self.told.push((subquery.text.clone(), types.clone()));
        Ok(types)
    }

    fn set(
        &mut self,
        subquery: &Subquery,
        columns: Vec<SetColumn>,
    ) -> Result<u32, shape_expr::Error> {
        Ok((self.open)(subquery, columns))
    }
}

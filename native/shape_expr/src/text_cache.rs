//! Texts seen before: what a clause of a known template needs no parser for.
//!
//! A text is taken apart into its literals and the rest, and the rest is the key. Under it lie the
//! syntax tree, into which other literals are put (nothing is parsed again, all else is done as
//! ever), and *variants*: of a schema, which literals decide what the clause is compiled to and must
//! be the same, and how each constant is made of the others. A variant answers without resolving
//! anything.
//!
//! What fails in either way is compiled from scratch, so that errors are those of the text at hand.

mod recipe;
mod skeleton;

use std::sync::{Arc, Weak};

use bumpalo::Bump;

use crate::codegen::Code;
use crate::constants::Constants;
use crate::expr::Expr;
use crate::parse::ast::Ast;
use crate::parse::literals::Tokens;
use crate::program::Template;
use crate::types::Type;
use crate::values::datetime::Zone;

use recipe::Variant;
pub(crate) use skeleton::Skeleton;

/// Longer clauses are not kept.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Deeper clauses are not kept: a tree is freed by recursion, on whatever stack that happens.
const DEEPEST: usize = 64;

/// Clauses with more literals are not kept.
const MOST_LITERALS: usize = 2_000;

/// How many syntax trees one key may have (they differ in what the grammar makes no literal of, as
/// the length of `varchar(20)`), and how many variants one tree.
const MOST_SKELETONS: usize = 4;
const MOST_VARIANTS: usize = 8;

/// Everything that has one key.
#[derive(Default)]
struct Entry {
    skeletons: Vec<Skeleton>,
    bytes: usize,
}

type Map = hashbrown::HashMap<Box<[u8]>, Entry, ahash::RandomState>;

/// The cache: two generations. When the younger has grown to half of what is allowed, the older is
/// dropped and the younger takes its place; what is used moves to the younger.
#[derive(Default)]
pub(crate) struct TextCache {
    limit: usize,
    young: Map,
    old: Map,
    young_bytes: usize,
    old_bytes: usize,
    scratch: Bump,
}

impl std::fmt::Debug for TextCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextCache").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// What is known of a resolved clause before its constants are folded.
pub(crate) struct Known<'k> {
    pub schema: u64,
    pub code: &'k Code,
    pub sites: recipe::Sites,
    pub reads: Vec<(usize, Type)>,
    pub zone: &'k Zone,
    pub template: &'k Arc<Template>,
}

pub(crate) use recipe::Sites;

impl TextCache {
    /// A cache of so many bytes at most; 0 keeps nothing.
    pub(crate) fn new(limit: usize) -> TextCache {
        TextCache { limit, ..TextCache::default() }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.limit == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    /// The entry, in the younger generation.
    fn entry(&mut self, key: &[u8]) -> Option<&mut Entry> {
        if !self.young.contains_key(key) {
            let (key, entry) = self.old.remove_entry(key)?;
            self.old_bytes -= entry.bytes;
            self.young_bytes += entry.bytes;
            self.young.insert(key, entry);
        }
        self.young.get_mut(key)
    }

    /// The clause by a variant: its template and its constants. `light`: by one alone whose constants are
    /// made at once, on whatever stack.
    pub(crate) fn find(
        &mut self,
        key: &[u8],
        tokens: &Tokens<'_>,
        schema: u64,
        zone: &Zone,
        light: bool,
    ) -> Option<(Arc<Template>, Constants)> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let found = self.entry(key).and_then(|entry| {
            let skeleton = entry.skeletons.iter().find(|skeleton| skeleton.fits(tokens))?;
            let fits =
                |variant: &&Variant| variant.fits(schema, tokens) && (!light || variant.is_light());
            skeleton.variants.iter().filter(fits).find_map(|variant| {
                let template = variant.template.upgrade()?;
                Some((template, variant.constants(skeleton, tokens, zone, &mut scratch)?))
            })
        });
        self.scratch = scratch;
        found
    }

    /// The clause's syntax tree, positions being those of the text it was first read from.
    pub(crate) fn tree(&mut self, key: &[u8], tokens: &Tokens<'_>) -> Option<(&Ast, usize)> {
        let entry = self.entry(key)?;
        let skeleton = entry.skeletons.iter_mut().find(|skeleton| skeleton.fits(tokens))?;
        skeleton.substitute(tokens);
        Some((&skeleton.ast, skeleton.depth))
    }

    /// Where the literals of a tree of the cache stand.
    pub(crate) fn positions(&mut self, key: &[u8], tokens: &Tokens<'_>) -> Vec<usize> {
        let entry = self.entry(key);
        let skeleton = entry.and_then(|e| e.skeletons.iter().find(|s| s.fits(tokens)));
        skeleton.map_or_else(Vec::new, Skeleton::positions)
    }

    /// Keeps a text's syntax tree.
    pub(crate) fn keep(&mut self, key: &[u8], mut skeleton: Skeleton) {
        let bytes = skeleton.bytes() + 2 * key.len() + size_of::<Entry>() + 32;
        if bytes > self.limit / 4 {
            return;
        }
        let mut entry = self.entry(key).map(std::mem::take).unwrap_or_default();
        self.young_bytes -= entry.bytes;
        if entry.skeletons.len() >= MOST_SKELETONS {
            let oldest = entry.skeletons.remove(0);
            entry.bytes -= oldest.charged;
        }
        entry.bytes += bytes;
        skeleton.charged = bytes;
        entry.skeletons.push(skeleton);
        self.put(key, entry);
    }

    fn put(&mut self, key: &[u8], entry: Entry) {
        let bytes = entry.bytes;
        match self.young.get_mut(key) {
            Some(place) => *place = entry,
            None => drop(self.young.insert(key.into(), entry)),
        }
        self.young_bytes += bytes;
        if self.young_bytes > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
    }

    /// Keeps how the constants of a clause are made of its literals.
    pub(crate) fn learn(&mut self, key: &[u8], tokens: &Tokens<'_>, known: Known<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let most = self.limit / 4;
        let mut added = 0_isize;
        if let Some(entry) = self.entry(key)
            && let Some(skeleton) = entry.skeletons.iter_mut().find(|s| s.fits(tokens))
        {
            let variant = Variant::new(skeleton, tokens, known, &mut scratch);
            let bytes = variant.bytes();
            if entry.bytes + bytes <= most {
                // One whose template is gone, or else the oldest, makes room.
                let same = |v: &Variant| v.is_stale() || v.replaces(&variant);
                let gone = skeleton.variants.iter().position(same);
                let full = (skeleton.variants.len() >= MOST_VARIANTS).then_some(0);
                if let Some(at) = gone.or(full) {
                    let bytes = skeleton.variants.remove(at).bytes();
                    skeleton.charged -= bytes;
                    entry.bytes -= bytes;
                    added -= bytes as isize;
                }
                skeleton.charged += bytes;
                entry.bytes += bytes;
                added += bytes as isize;
                skeleton.variants.push(variant);
            }
        }
        self.young_bytes = self.young_bytes.saturating_add_signed(added);
        self.scratch = scratch;
    }
}

/// May a clause of this depth with these literals be kept?
pub(crate) fn may_keep(tokens: &Tokens<'_>, depth: usize) -> bool {
    depth <= DEEPEST && tokens.len() <= MOST_LITERALS
}

type WeakTemplate = Weak<Template>;

/// An expression and everything below it, for accounts.
fn expr_bytes(expr: &Expr) -> usize {
    expr.size() * (size_of::<Expr>() + 32)
}

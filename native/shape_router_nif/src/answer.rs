//! An answer as terms.

use crate::atoms;
use crate::bare::Bare;
use rustler::{Encoder, Env, Term};
use shape_router::{Class, Routed, Scratch};

/// `[id]`, or `[{id, op}]`; `name` tells a column's.
pub(crate) fn list<'a, 'n>(
    env: Env<'a>,
    scratch: &Scratch,
    name: impl Fn(usize) -> Option<&'n str>,
    classify: bool,
) -> Term<'a> {
    parts(env, scratch.routed(), scratch.missing(), name, classify)
}

/// The same of an answer's parts.
pub(crate) fn parts<'a, 'n>(
    env: Env<'a>,
    routed: &[Routed],
    missing: &[usize],
    name: impl Fn(usize) -> Option<&'n str>,
    classify: bool,
) -> Term<'a> {
    if !classify {
        let any = Bare::new(atoms::nil().to_term(env));
        return any.list(routed.iter().rev().map(|routed| routed.id)).term();
    }
    let mut list = Term::list_new_empty(env);
    let mut incomplete = None;
    for routed in routed.iter().rev() {
        let op = match routed.class {
            Class::InsertMissing => {
                *incomplete.get_or_insert_with(|| insert_missing(env, missing, &name))
            }
            class => self::class(class).to_term(env),
        };
        list = list.list_prepend((routed.id, op));
    }
    list
}

/// `{:insert, missing: [column]}`.
fn insert_missing<'a, 'n>(
    env: Env<'a>,
    missing: &[usize],
    name: impl Fn(usize) -> Option<&'n str>,
) -> Term<'a> {
    let names: Vec<&str> = missing.iter().filter_map(|&c| name(c)).collect();
    (atoms::insert(), vec![(atoms::missing(), names)]).encode(env)
}

/// A class's atom.
pub(crate) fn class(class: Class) -> rustler::Atom {
    match class {
        Class::Insert | Class::InsertMissing => atoms::insert(),
        Class::Update => atoms::update(),
        Class::Delete => atoms::delete(),
        Class::Rekey => atoms::rekey(),
        Class::Upsert => atoms::upsert(),
        Class::DeleteIfPresent => atoms::delete_if_present(),
        Class::Truncate => atoms::truncate(),
        Class::Unknown => atoms::unknown(),
    }
}

//! Which operator or function is meant: PostgreSQL's `parse_oper.c` and `parse_func.c`.

use crate::catalog::{self, CastContext, FunctionRow, Operator};
use crate::error::Error;
use crate::types::{Category, TYPES, Type};

use super::polymorphic;

/// Can a value of this type go there unasked?
pub(super) fn can_coerce(from: &Type, to: &Type) -> bool {
    if let (Type::Array(from), Type::Array(to)) = (from, to) {
        return can_coerce(from, to);
    }
    // The table's row type is a record too.
    let is_record = (from, to) == (&Type::Composite, &Type::Record);
    from == to
        || *from == Type::Unknown
        || is_record
        || catalog::cast(from, to, CastContext::Implicit).is_some()
}

/// The operator of this name for these operand types (one type: a prefix operator).
pub(super) fn operator(
    name: &str,
    types: &[Type],
    position: usize,
) -> Result<&'static Operator, Error> {
    let prefix = types.len() == 1;
    let rows = catalog::named_operators(name, prefix);
    if rows.is_empty() && catalog::missing_operator(name) {
        let what = if catalog::takes_path(name) { ", which takes a jsonpath," } else { "" };
        return Err(Error::unsupported(format!("operator {name}{what}"), position));
    }
    let arguments = |row: &&'static Operator| -> Vec<&'static Type> {
        row.left.iter().chain([&row.right]).collect()
    };
    // An untyped literal first tries the other operand's type.
    let assumed: Vec<&Type> = match types {
        [Type::Unknown, right] => vec![right, right],
        [left, Type::Unknown] => vec![left, left],
        _ => types.iter().collect(),
    };
    if let Some(exact) = rows.iter().find(|row| arguments(row) == assumed) {
        return Ok(exact);
    }
    let all: Vec<(Vec<&Type>, &'static Operator)> =
        rows.iter().map(|row| (arguments(row), *row)).collect();
    let signature = || match types {
        [left, right] => format!("{left} {name} {right}"),
        _ => format!("{name} {}", types.iter().map(Type::to_string).collect::<String>()),
    };
    match select(types, all, catalog::foreign(name, prefix)) {
        Selected::One(row) => Ok(row),
        // A range or a multirange may hold whatever it is.
        Selected::None
            if matches!((name, types), ("@>", [Type::Unknown, _]) | ("<@", [_, Type::Unknown])) =>
        {
            Err(Error::Ambiguous { what: format!("operator {}", signature()), position })
        }
        Selected::None => Err(Error::UnknownOperator { signature: signature(), position }),
        Selected::Many => {
            Err(Error::Ambiguous { what: format!("operator {}", signature()), position })
        }
    }
}

/// Is there a function of this name for just these argument types?
pub(super) fn has_exact(name: &str, types: &[Type]) -> bool {
    let matches = |args: &[Type]| args.len() == types.len() && args.iter().eq(types);
    catalog::named_functions(name).iter().any(|row| matches(row.args))
}

/// Of the functions that cast to a type, the argument of the one that takes this type.
pub(super) fn cast_through(
    name: &str,
    from: &Type,
    to: &Type,
    position: usize,
) -> Result<Option<Type>, Error> {
    let known = TYPES.iter().map(|row| &row.ty);
    let all = known
        .filter(|ty| *ty != to && super::coerce::has_own_function(ty, to))
        .filter(|ty| !super::coerce::needs_no_function(ty, to))
        .map(|ty| (vec![ty], ty))
        .collect();
    match select(std::slice::from_ref(from), all, &[]) {
        Selected::One(ty) => Ok(Some(ty.clone())),
        Selected::None => Ok(None),
        Selected::Many => {
            Err(Error::Ambiguous { what: format!("function {name}({from})"), position })
        }
    }
}

/// The function of this name for these argument types.
pub(super) fn function(
    name: &str,
    types: &[Type],
    position: usize,
) -> Result<&'static FunctionRow, Error> {
    if catalog::named_functions(name).is_empty()
        && let Some(what) = catalog::missing_function(name)
    {
        return Err(Error::unsupported(what, position));
    }
    let rows = catalog::named_functions(name).iter().filter(|row| row.args.len() == types.len());
    let all: Vec<(Vec<&Type>, &'static FunctionRow)> =
        rows.map(|row| (row.args.iter().collect(), *row)).collect();
    let exact = all.iter().find(|(args, _)| args.iter().zip(types).all(|(a, b)| **a == *b));
    if let Some((_, row)) = exact {
        return Ok(row);
    }
    let signature = || {
        let types: Vec<String> = types.iter().map(Type::to_string).collect();
        format!("{name}({})", types.join(", "))
    };
    match select(types, all, catalog::foreign_arguments(name, types.len())) {
        Selected::One(row) => Ok(row),
        Selected::None => Err(Error::UnknownFunction { signature: signature(), position }),
        Selected::Many => {
            Err(Error::Ambiguous { what: format!("function {}", signature()), position })
        }
    }
}

enum Selected<T> {
    None,
    One(T),
    Many,
}

/// `func_match_argtypes` and `func_select_candidate`.
fn select<T: Copy>(types: &[Type], all: Vec<(Vec<&Type>, T)>, foreign: &[Category]) -> Selected<T> {
    let mut rows: Vec<(Vec<&Type>, T)> =
        all.into_iter().filter(|(args, _)| polymorphic::accepts(types, args)).collect();
    let unknowns = types.iter().filter(|ty| **ty == Type::Unknown).count();
    // Candidates for types not known here compete for operands that are all untyped.
    let foreign = if unknowns == types.len() { foreign } else { &[] };
    match rows.len() {
        0 => return Selected::None,
        1 if foreign.is_empty() => return Selected::One(rows[0].1),
        _ => {}
    }
    let known = || types.iter().enumerate().filter(|(_, ty)| **ty != Type::Unknown);
    // Most exact matches, then most exact or preferred ones.
    keep_best(&mut rows, |args| known().filter(|(i, ty)| args[*i] == *ty).count());
    if let [(_, row)] = rows.as_slice()
        && foreign.is_empty()
    {
        return Selected::One(*row);
    }
    keep_best(&mut rows, |args| {
        let fits = |i: usize, ty: &Type| {
            args[i] == ty || (args[i].is_preferred() && args[i].category() == ty.category())
        };
        known().filter(|(i, ty)| fits(*i, ty)).count()
    });
    if let [(_, row)] = rows.as_slice()
        && foreign.is_empty()
    {
        return Selected::One(*row);
    }
    if unknowns == 0 {
        return Selected::Many;
    }
    match by_category(types, &rows, foreign) {
        None => {}
        Some(remaining) => {
            if !remaining.is_empty() {
                rows = remaining;
            }
            if let [(_, row)] = rows.as_slice() {
                return Selected::One(*row);
            }
        }
    }
    // Last: if all known types are one, take the untyped ones for that too.
    let mut kinds = types.iter().filter(|ty| **ty != Type::Unknown);
    if let Some(first) = kinds.next()
        && kinds.all(|ty| ty == first)
    {
        let mut fitting = rows
            .iter()
            .filter(|(args, _)| polymorphic::accepts(&vec![first.clone(); args.len()], args));
        if let (Some((_, row)), None) = (fitting.next(), fitting.next()) {
            return Selected::One(*row);
        }
    }
    Selected::Many
}

fn keep_best<'t, T: Copy>(
    rows: &mut Vec<(Vec<&'t Type>, T)>,
    score: impl Fn(&[&'t Type]) -> usize,
) {
    let best = rows.iter().map(|(args, _)| score(args)).max().unwrap_or(0);
    rows.retain(|(args, _)| score(args) == best);
}

/// Untyped operands take the category STRING where a candidate has it, else the one all candidates
/// agree on. `None` when they do not agree.
fn by_category<'t, T: Copy>(
    types: &[Type],
    rows: &[(Vec<&'t Type>, T)],
    foreign: &[Category],
) -> Option<Vec<(Vec<&'t Type>, T)>> {
    let mut wanted: Vec<Option<(Category, bool)>> = vec![None; types.len()];
    for (i, _) in types.iter().enumerate().filter(|(_, ty)| **ty == Type::Unknown) {
        let own = || rows.iter().map(|(args, _)| args[i]);
        let category = if own().any(|ty| ty.category() == Category::String) {
            Category::String
        } else {
            let first = own().next()?.category();
            let agree = own().all(|ty| ty.category() == first)
                && foreign.iter().all(|category| *category == first);
            if !agree {
                return None;
            }
            first
        };
        let preferred = own().any(|ty| ty.category() == category && ty.is_preferred());
        wanted[i] = Some((category, preferred));
    }
    let fits = |args: &[&Type]| {
        wanted.iter().zip(args).all(|(wanted, ty)| match wanted {
            None => true,
            Some((category, preferred)) => {
                ty.category() == *category && (!preferred || ty.is_preferred())
            }
        })
    };
    Some(rows.iter().filter(|(args, _)| fits(args)).cloned().collect())
}

//! `anyelement` and its kin: what they stand for in one call. PostgreSQL's `parse_coerce.c`.

use super::candidates::can_coerce;
use crate::error::Error;
use crate::types::{Category, Type};

/// What the polymorphic types stand for; `None` where nothing says.
#[derive(Default)]
struct Bound {
    element: Option<Type>,
    compatible: Option<Type>,
}

fn is_polymorphic(ty: &Type) -> bool {
    ty.category() == Category::Pseudo && *ty != Type::Record
}

/// Do these actual types fit those declared ones, all together?
pub(super) fn accepts(actual: &[Type], declared: &[&Type]) -> bool {
    let fits = |(from, to): (&Type, &&Type)| is_polymorphic(to) || can_coerce(from, to);
    if !actual.iter().zip(declared).all(fits) {
        return false;
    }
    !declared.iter().any(|ty| is_polymorphic(ty)) || bind(actual, declared).is_some()
}

/// `check_generic_type_consistency`.
fn bind(actual: &[Type], declared: &[&Type]) -> Option<Bound> {
    let mut bound = Bound::default();
    let mut compatible = Vec::new();
    for (from, to) in actual.iter().zip(declared) {
        if *from == Type::Unknown {
            continue;
        }
        let element = match to {
            Type::AnyElement => from,
            Type::AnyNonArray if from.element().is_none() => from,
            Type::AnyEnum if matches!(from, Type::Enum(_)) => from,
            Type::AnyNonArray | Type::AnyEnum => return None,
            Type::AnyArray => from.element()?,
            Type::AnyCompatible => {
                compatible.push(from.clone());
                continue;
            }
            Type::AnyCompatibleArray => {
                compatible.push(from.element()?.clone());
                continue;
            }
            _ => continue,
        };
        match &bound.element {
            Some(known) if known != element => return None,
            _ => bound.element = Some(element.clone()),
        }
    }
    // An enum must be a known one.
    if bound.element.is_none() && declared.iter().any(|ty| **ty == Type::AnyEnum) {
        return None;
    }
    // An array of what already is an array there is not.
    let arrays = declared.iter().any(|ty| **ty == Type::AnyArray);
    if arrays && matches!(bound.element, Some(Type::Array(_))) {
        return None;
    }
    if !compatible.is_empty() {
        let common = super::forms::common_of(compatible.iter())?;
        if !compatible.iter().all(|ty| can_coerce(ty, &common)) {
            return None;
        }
        let arrays = declared.iter().any(|ty| **ty == Type::AnyCompatibleArray);
        if arrays && matches!(common, Type::Array(_)) {
            return None;
        }
        bound.compatible = Some(common);
    }
    Some(bound)
}

/// `enforce_generic_type_consistency`: the declared types, polymorphic ones replaced by what they
/// stand for, and the same for the result.
pub(super) fn settle(
    actual: &[Type],
    declared: &[&Type],
    result: &Type,
    position: usize,
) -> Result<(Vec<Type>, Type), Error> {
    let all = || declared.iter().copied().chain([result]);
    if !all().any(is_polymorphic) {
        return Ok((declared.iter().map(|ty| (*ty).clone()).collect(), result.clone()));
    }
    let undetermined = || {
        let message = "could not determine polymorphic type because input has type unknown";
        Error::mismatch(message, position)
    };
    let bound = bind(actual, declared).ok_or_else(undetermined)?;
    let replace = |ty: &Type| -> Result<Type, Error> {
        let element = || bound.element.clone().ok_or_else(undetermined);
        // All of them untyped: text.
        let compatible = || bound.compatible.clone().unwrap_or(Type::Text);
        Ok(match ty {
            Type::AnyElement | Type::AnyNonArray | Type::AnyEnum => element()?,
            Type::AnyArray => element()?.array_of(),
            Type::AnyCompatible => compatible(),
            Type::AnyCompatibleArray => compatible().array_of(),
            ty => ty.clone(),
        })
    };
    let types: Result<Vec<Type>, Error> = declared.iter().map(|ty| replace(ty)).collect();
    Ok((types?, replace(result)?))
}

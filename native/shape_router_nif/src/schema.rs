//! A table's columns and their types.

use crate::atoms;
use crate::error::NifError;
use crate::list::List;
use rustler::types::tuple::get_tuple;
use rustler::{Atom, Term};
use shape_expr::{Column, ColumnType, Schema};

/// So deep may `{:array, {:array, ...}}` be nested. PostgreSQL has one type of arrays of any depth.
const DEEPEST: usize = 16;

/// `nil` (learned from the clauses), or `[{name, type}]`, where a type is its name as text,
/// `{:enum, labels}`, `{:array, type}` or `{:collate, type, name}`.
pub(crate) fn schema(table: &str, columns: Term<'_>) -> Result<Schema, NifError> {
    if columns.is_atom() {
        return Ok(Schema::open(table));
    }
    let List(pairs): List<(String, Term<'_>)> = columns
        .decode()
        .map_err(|_| NifError::argument("columns is not a list of {name, type}"))?;
    let column = |(name, ty): (String, Term<'_>)| {
        let ty = column_type(ty, DEEPEST).map_err(|error| {
            let shown: String = format!("{ty:?}").chars().take(100).collect();
            error.at(format_args!("the type {shown} of column {name:?}"))
        })?;
        Ok(Column { name, ty: Some(ty) })
    };
    let columns = pairs.into_iter().map(column).collect::<Result<Vec<_>, NifError>>()?;
    Ok(Schema::new(table, columns)?)
}

fn column_type(term: Term<'_>, depth: usize) -> Result<ColumnType, NifError> {
    let invalid = || NifError::argument("it is no column type");
    let deeper = || depth.checked_sub(1).ok_or_else(invalid);
    if let Ok(name) = term.decode::<&str>() {
        return Ok(name.parse()?);
    }
    let parts = get_tuple(term).map_err(|_| invalid())?;
    let kind: Atom = parts.first().and_then(|kind| kind.decode().ok()).ok_or_else(invalid)?;
    match parts[1..] {
        [labels] if kind == atoms::enumeration() => {
            let List(labels): List<&str> = labels.decode().map_err(|_| invalid())?;
            Ok(ColumnType::enumeration(&labels))
        }
        [element] if kind == atoms::array() => Ok(column_type(element, deeper()?)?.array_of()),
        [ty, name] if kind == atoms::collate() => {
            let name: &str = name.decode().map_err(|_| invalid())?;
            Ok(column_type(ty, deeper()?)?.collated(name)?)
        }
        _ => Err(invalid()),
    }
}

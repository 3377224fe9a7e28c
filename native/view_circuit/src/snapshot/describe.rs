//! Tables, options, views and their parameters as bytes.

use lane_index::codec::{Bad, Input, put, put_bytes, unzigzag, zigzag};
use shape_expr::{Collation, Column, ColumnType, Options, Type};

use crate::builder::Plan;
use crate::definition::{Asked, Definition, ParamValue};
use crate::table::{Table, TableSpec};
use crate::view::Format;

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_flag(out: &mut Vec<u8>, flag: bool) {
    out.push(flag.into());
}

fn flag(input: &mut Input<'_>) -> Result<bool, Bad> {
    match input.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => input.bad("neither yes nor no"),
    }
}

pub fn put_options(out: &mut Vec<u8>, options: &Options) {
    put_text(out, &options.time_zone);
    put_flag(out, options.ascii_case);
    put_flag(out, options.order_any_collation_by_bytes);
    put(out, options.text_cache_bytes as u64);
}

pub fn options(input: &mut Input<'_>) -> Result<Options, Bad> {
    let mut options = Options::default();
    input.text()?.clone_into(&mut options.time_zone);
    options.ascii_case = flag(input)?;
    options.order_any_collation_by_bytes = flag(input)?;
    options.text_cache_bytes = usize::try_from(input.number()?).unwrap_or(usize::MAX);
    Ok(options)
}

/// What a type is, before its modifier.
const PLAIN: u8 = 0;
const ENUM: u8 = 1;
const NAMED_ENUM: u8 = 2;
/// Added for an array of it.
const ARRAY: u8 = 16;

fn put_type(out: &mut Vec<u8>, ty: &ColumnType) {
    let array = if ty.ty.element().is_some() { ARRAY } else { 0 };
    match ty.ty.element().unwrap_or(&ty.ty) {
        Type::Enum(own) => {
            out.push(array + if own.name().is_some() { NAMED_ENUM } else { ENUM });
            own.name().into_iter().for_each(|name| put_text(out, name));
            put(out, own.labels().count() as u64);
            own.labels().for_each(|label| put_text(out, label));
        }
        own => {
            out.push(array + PLAIN);
            put_text(out, &own.to_string());
        }
    }
    put(out, zigzag(ty.typmod.into()));
    out.push(match ty.collation {
        Collation::Default => 0,
        Collation::C => 1,
        Collation::CUtf8 => 2,
        // Of one that is none of ours nothing but that is asked.
        _ => 3,
    });
}

fn column_type(input: &mut Input<'_>) -> Result<ColumnType, Bad> {
    let kind = input.byte()?;
    let mut ty = match kind & !ARRAY {
        PLAIN => match input.text()?.parse::<ColumnType>() {
            Ok(ty) if ty.ty.element().is_none() => ColumnType::new(ty.ty),
            _ => return input.bad("no such type"),
        },
        enumeration @ (ENUM | NAMED_ENUM) => {
            let name = match enumeration {
                NAMED_ENUM => Some(input.text()?),
                _ => None,
            };
            let count = input.count(1)?;
            let labels = (0..count).map(|_| input.text()).collect::<Result<Vec<&str>, Bad>>()?;
            let ty = ColumnType::enumeration(&labels);
            name.map_or(ty.clone(), |name| ty.named(name))
        }
        _ => return input.bad("no such kind of type"),
    };
    if kind & ARRAY != 0 {
        ty = ty.array_of();
    }
    let typmod = unzigzag(input.number()?);
    ty.typmod = i32::try_from(typmod).or_else(|_| input.bad("no such modifier of a type"))?;
    ty.collation = match input.byte()? {
        0 => Collation::Default,
        1 => Collation::C,
        2 => Collation::CUtf8,
        3 => Collation::named("other"),
        _ => return input.bad("no such collation"),
    };
    Ok(ty)
}

pub fn put_table(out: &mut Vec<u8>, table: &Table) {
    put_text(out, table.name());
    put(out, table.types.len() as u64);
    for (column, ty) in table.schema.columns().iter().zip(&table.types) {
        put_text(out, &column.name);
        put_type(out, ty);
    }
    put(out, table.key.len() as u64);
    table.key.iter().for_each(|column| put(out, *column as u64));
}

pub fn table(input: &mut Input<'_>) -> Result<TableSpec, Bad> {
    let name = input.text()?.to_owned();
    let count = input.count(5)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let name = input.text()?;
        columns.push(Column::new(name, column_type(input)?));
    }
    let count = input.count(1)?;
    let mut primary_key = Vec::new();
    for _ in 0..count {
        let column = usize::try_from(input.number()?).ok().and_then(|at| columns.get(at));
        let Some(column) = column else { return input.bad("a key of a column that is not there") };
        primary_key.push(column.name.clone());
    }
    Ok(TableSpec { name, columns, primary_key })
}

const SQL: u8 = 0;
const PLAN: u8 = 1;

fn put_format(out: &mut Vec<u8>, format: Format) {
    out.push(match format {
        Format::Flat => 0,
        Format::Streaming => 1,
        Format::Tree => 2,
    });
}

fn format(input: &mut Input<'_>) -> Result<Format, Bad> {
    match input.byte()? {
        0 => Ok(Format::Flat),
        1 => Ok(Format::Streaming),
        2 => Ok(Format::Tree),
        _ => input.bad("no such format"),
    }
}

pub fn put_definition(out: &mut Vec<u8>, definition: &Definition) {
    put_format(out, definition.format);
    match &definition.query {
        Asked::Sql(sql) => {
            out.push(SQL);
            put_text(out, sql);
        }
        Asked::Plan(plan) => {
            out.push(PLAN);
            plan.put(out);
        }
    }
    put(out, definition.params.len() as u64);
    for param in &definition.params {
        match param {
            ParamValue::Null => out.push(0),
            ParamValue::Text(text) => {
                out.push(1);
                put_text(out, text);
            }
            ParamValue::Int(i) => {
                out.push(2);
                put(out, zigzag(*i));
            }
            ParamValue::Float(x) => {
                out.push(3);
                out.extend_from_slice(&x.to_bits().to_le_bytes());
            }
            ParamValue::Bool(b) => out.push(4 + u8::from(*b)),
        }
    }
}

pub fn definition(input: &mut Input<'_>) -> Result<Definition, Bad> {
    let format = format(input)?;
    let query = match input.byte()? {
        SQL => Asked::Sql(input.text()?.into()),
        PLAN => Asked::Plan(Box::new(Plan::read(input)?)),
        _ => return input.bad("neither a query nor a plan"),
    };
    let count = input.count(1)?;
    let mut params = Vec::new();
    for _ in 0..count {
        params.push(match input.byte()? {
            0 => ParamValue::Null,
            1 => ParamValue::Text(input.text()?.into()),
            2 => ParamValue::Int(unzigzag(input.number()?)),
            3 => {
                let mut bits = [0; 8];
                bits.copy_from_slice(input.take(8)?);
                ParamValue::Float(f64::from_bits(u64::from_le_bytes(bits)))
            }
            4 => ParamValue::Bool(false),
            5 => ParamValue::Bool(true),
            _ => return input.bad("no such kind of parameter"),
        });
    }
    Ok(Definition { query, params, format })
}

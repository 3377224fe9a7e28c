//! [`Definition`]: a view as it was asked for, so that it can be asked for again.

use shape_expr::Param;

use crate::builder::Plan;
use crate::view::Format;

/// Everything that a registration is given, its id apart.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub query: Asked,
    pub params: Vec<ParamValue>,
    pub format: Format,
}

/// How it was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Sql(Box<str>),
    Plan(Box<Plan>),
}

/// A [`Param`] that is kept.
#[derive(Clone, Debug)]
pub(crate) enum ParamValue {
    Null,
    Text(Box<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Definition {
    pub fn new(query: Asked, params: &[Param<'_>], format: Format) -> Definition {
        let params = params.iter().map(|param| match param {
            Param::Null => ParamValue::Null,
            Param::Text(text) => ParamValue::Text((*text).into()),
            Param::Int(i) => ParamValue::Int(*i),
            Param::Float(x) => ParamValue::Float(*x),
            Param::Bool(b) => ParamValue::Bool(*b),
        });
        Definition { query, params: params.collect(), format }
    }

    pub fn params(&self) -> Vec<Param<'_>> {
        let mut params = Vec::with_capacity(self.params.len());
        for param in &self.params {
            params.push(match param {
                ParamValue::Null => Param::Null,
                ParamValue::Text(text) => Param::Text(text),
                ParamValue::Int(i) => Param::Int(*i),
                ParamValue::Float(x) => Param::Float(*x),
                ParamValue::Bool(b) => Param::Bool(*b),
            });
        }
        params
    }
}

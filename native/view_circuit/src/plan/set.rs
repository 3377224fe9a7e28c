//! UNION, INTERSECT and EXCEPT: columns are given common types, and rows their ids.

use shape_expr::sql::SetKind;
use shape_expr::{Analysed, Collation, ColumnType, Owned, Type};

use super::{Planner, Relation};
use crate::error::Error;
use crate::graph::{NodeId, Operator, Output, SetOperation};

/// What a column of both queries becomes.
struct Matched {
    ty: ColumnType,
    /// What is made of it on either side.
    outputs: [Output; 2],
}

impl Planner<'_> {
    /// Two queries put together.
    pub(super) fn set(
        &mut self,
        kind: SetKind,
        all: bool,
        sides: [Relation; 2],
        position: usize,
    ) -> Result<Relation, Error> {
        let matched = self.matched(kind, &sides, position)?;
        let width = matched.len();
        let mut types = Vec::with_capacity(width + 1);
        let mut outputs = [Vec::with_capacity(width), Vec::with_capacity(width)];
        for column in matched {
            if kind != SetKind::Union || !all {
                let value = Analysed::column(0, column.ty.ty.clone(), position);
                self.compiler.check_equality(&value)?;
            }
            types.push(column.ty);
            for (outputs, output) in outputs.iter_mut().zip(column.outputs) {
                outputs.push(output);
            }
        }
        let mut columns = sides[0].columns.clone();
        for (column, ty) in columns.iter_mut().zip(&types) {
            column.ty = ty.ty.clone();
        }
        let (node, id) = match (kind, all) {
            (SetKind::Union, true) => self.union_all(&sides, outputs, &mut types),
            _ => {
                let [left, right] = outputs;
                let left = self.node(Operator::Map(left), &[sides[0].node]);
                let right = self.node(Operator::Map(right), &[sides[1].node]);
                let node = if kind == SetKind::Union {
                    let both = self.node(Operator::Union, &[left, right]);
                    self.distinct(both, &types)
                } else {
                    let by_all: Vec<usize> = (0..width).collect();
                    let left = self.node(Operator::Arrange(by_all.clone()), &[left]);
                    let right = self.node(Operator::Arrange(by_all), &[right]);
                    let intersect = kind == SetKind::Intersect;
                    self.node(Operator::Set(SetOperation { intersect, all }), &[left, right])
                };
                if all {
                    // Rows that are alike are numbered.
                    types.push(ColumnType::new(Type::Int8));
                }
                (node, (0..types.len()).collect())
            }
        };
        let literals = vec![None; columns.len()];
        Ok(Relation { node, columns, types, id, order: Vec::new(), literals })
    }

    /// Rows of both. Which side a row is of is a part of its id, and so are its own side's ids: each side
    /// has columns of its own for them, NULL in rows of the other.
    fn union_all(
        &mut self,
        sides: &[Relation; 2],
        mut outputs: [Vec<Output>; 2],
        types: &mut Vec<ColumnType>,
    ) -> (NodeId, Vec<usize>) {
        let first = types.len();
        types.push(ColumnType::new(Type::Int4));
        for (number, outputs) in outputs.iter_mut().enumerate() {
            outputs.push(Output::Constant(Owned::from(number as i64)));
        }
        for (number, side) in sides.iter().enumerate() {
            for column in &side.id {
                types.push(side.types[*column].clone());
                outputs[number].push(Output::Column(*column));
                outputs[1 - number].push(Output::Constant(Owned::NULL));
            }
        }
        let id = (first..types.len()).collect();
        let [left, right] = outputs;
        let left = self.node(Operator::Map(left), &[sides[0].node]);
        let right = self.node(Operator::Map(right), &[sides[1].node]);
        (self.node(Operator::Union, &[left, right]), id)
    }

    fn matched(
        &mut self,
        kind: SetKind,
        sides: &[Relation; 2],
        position: usize,
    ) -> Result<Vec<Matched>, Error> {
        let [left, right] = sides;
        if left.columns.len() != right.columns.len() {
            let message = format!("each {kind} query must have the same number of columns");
            return Err(shape_expr::Error::Syntax { message, position }.into());
        }
        let what = kind.to_string();
        let mut matched = Vec::with_capacity(left.columns.len());
        for at in 0..left.columns.len() {
            let own = |side: &Relation| match side.literals[at] {
                Some(_) => Type::Unknown,
                None => side.types[at].ty.clone(),
            };
            let ty = self.compiler.common_type(&own(left), &own(right), &what, position)?;
            let mut cast = |side: &Relation| -> Result<Output, Error> {
                let value = match &side.literals[at] {
                    Some(literal) => literal.clone(),
                    None if side.types[at].ty == ty => return Ok(Output::Column(at)),
                    None => Analysed::column(at, side.types[at].ty.clone(), position),
                };
                let value = self.compiler.cast(value, &ty)?;
                self.computed(value)
            };
            let outputs = [cast(left)?, cast(right)?];
            let (a, b) = (left.types[at].collation, right.types[at].collation);
            let collation = match a == b {
                true => a,
                false if [a, b].contains(&Collation::Other) => Collation::Other,
                false => Collation::Default,
            };
            matched.push(Matched { ty: ColumnType { collation, ..ColumnType::new(ty) }, outputs });
        }
        Ok(matched)
    }
}

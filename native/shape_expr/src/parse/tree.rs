//! PostgreSQL's raw parse tree -> our syntax tree.

use std::cell::RefCell;

use pg_query::protobuf::{
    self, AExprKind, BoolExprType, BoolTestType, NullTestType, a_const, node::Node,
};

use super::ast::{Ast, AstKind, TypeName};
use super::{aggregates, select};
use crate::error::Error;
use crate::program::Test;

pub(super) type Boxed = Option<Box<protobuf::Node>>;

/// What turning locations of the statement into positions in the clause needs.
pub(super) struct Tree<'c> {
    pub clause: &'c str,
    pub prefix: usize,
    /// Where subqueries go; without it they are refused.
    pub subqueries: Option<&'c RefCell<Vec<select::Raw>>>,
    /// Where calls of aggregate functions go; without it they are refused.
    pub aggregates: Option<&'c aggregates::Found>,
}

impl<'c> Tree<'c> {
    /// A tree of nothing but a row's own values.
    pub(super) fn plain(clause: &'c str, prefix: usize) -> Tree<'c> {
        Tree { clause, prefix, subqueries: None, aggregates: None }
    }

    pub(super) fn position(&self, location: i32) -> usize {
        let position = usize::try_from(location).unwrap_or(0).saturating_sub(self.prefix);
        position.min(self.clause.len())
    }

    pub(super) fn boxed(&self, node: Boxed, parent: usize) -> Result<Box<Ast>, Error> {
        let node = node.ok_or_else(|| Error::syntax("an operand is missing", parent))?;
        Ok(Box::new(self.expression(*node)?))
    }

    pub(super) fn expression(&self, node: protobuf::Node) -> Result<Ast, Error> {
        let Some(node) = node.node else { return Err(Error::syntax("an operand is missing", 0)) };
        match node {
            Node::AConst(constant) => self.constant(constant),
            Node::ColumnRef(column) => self.column(column),
            Node::ParamRef(param) => {
                let number = i64::from(param.number);
                Ok(Ast::new(self.position(param.location), AstKind::Param(number)))
            }
            Node::AExpr(expr) => self.operator(*expr),
            Node::BoolExpr(expr) => self.boolean(*expr),
            Node::NullTest(test) => {
                let position = self.position(test.location);
                let kind = match test.nulltesttype() {
                    NullTestType::IsNotNull => Test::NotNull,
                    _ => Test::Null,
                };
                Ok(Ast::new(position, AstKind::Test(kind, self.boxed(test.arg, position)?)))
            }
            Node::BooleanTest(test) => {
                let position = self.position(test.location);
                let kind = match test.booltesttype() {
                    BoolTestType::IsTrue | BoolTestType::Undefined => Test::True,
                    BoolTestType::IsNotTrue => Test::NotTrue,
                    BoolTestType::IsFalse => Test::False,
                    BoolTestType::IsNotFalse => Test::NotFalse,
                    BoolTestType::IsUnknown => Test::Unknown,
                    BoolTestType::IsNotUnknown => Test::NotUnknown,
                };
                Ok(Ast::new(position, AstKind::Test(kind, self.boxed(test.arg, position)?)))
            }
            Node::TypeCast(cast) => {
                let position = self.position(cast.location);
                let ty =
                    cast.type_name.ok_or_else(|| Error::syntax("a type is missing", position))?;
                let ty = self.type_name(ty)?;
                Ok(Ast::new(position, AstKind::Cast { value: self.boxed(cast.arg, position)?, ty }))
            }
            Node::FuncCall(call) => self.call(*call),
            Node::CaseExpr(case) => self.case(*case),
            Node::CoalesceExpr(coalesce) => {
                let position = self.position(coalesce.location);
                Ok(Ast::new(position, AstKind::Coalesce(self.all(coalesce.args)?)))
            }
            Node::MinMaxExpr(minmax) => {
                let position = self.position(minmax.location);
                let greatest = minmax.op() == protobuf::MinMaxOp::IsGreatest;
                let args = self.all(minmax.args)?;
                Ok(Ast::new(position, AstKind::MinMax { args, greatest }))
            }
            Node::RowExpr(row) => {
                let position = self.position(row.location);
                Ok(Ast::new(position, AstKind::Row(self.all(row.args)?)))
            }
            Node::CollateClause(collate) => self.collate(*collate),
            Node::AArrayExpr(array) => {
                let position = self.position(array.location);
                Ok(Ast::new(position, AstKind::Array(self.all(array.elements)?)))
            }
            Node::AIndirection(indirection) => self.indirection(*indirection),
            Node::SubLink(link) => match self.subqueries {
                Some(found) => self.subquery(*link, found),
                None => Err(self.refuse(&Node::SubLink(link))),
            },
            other => Err(self.refuse(&other)),
        }
    }

    /// What the grammar knows and this crate does not (yet, or ever).
    fn refuse(&self, node: &Node) -> Error {
        let (what, location) = match node {
            Node::SubLink(n) => ("a subquery", n.location),
            Node::SqlvalueFunction(n) => {
                let position = self.position(n.location);
                let rest = self.clause.get(position..).unwrap_or("");
                let word: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                return Error::VolatileFunction { name: word.to_ascii_lowercase(), position };
            }
            Node::GroupingFunc(n) => ("GROUPING", n.location),
            Node::XmlExpr(n) => ("XML", n.location),
            Node::XmlSerialize(n) => ("XML", n.location),
            Node::JsonIsPredicate(n) => ("IS JSON", n.location),
            Node::SetToDefault(n) => ("DEFAULT", n.location),
            Node::CurrentOfExpr(_) => ("CURRENT OF", self.prefix as i32),
            _ => ("this syntax", self.prefix as i32),
        };
        Error::unsupported(what, self.position(location))
    }

    pub(super) fn all(&self, nodes: Vec<protobuf::Node>) -> Result<Vec<Ast>, Error> {
        nodes.into_iter().map(|node| self.expression(node)).collect()
    }

    fn constant(&self, constant: protobuf::AConst) -> Result<Ast, Error> {
        let position = self.position(constant.location);
        let kind = match constant.val {
            None => AstKind::Null,
            Some(_) if constant.isnull => AstKind::Null,
            Some(a_const::Val::Ival(i)) => AstKind::Integer(i.ival),
            Some(a_const::Val::Fval(f)) => AstKind::Number(f.fval),
            Some(a_const::Val::Boolval(b)) => AstKind::Bool(b.boolval),
            Some(a_const::Val::Sval(s)) => AstKind::String(s.sval),
            Some(a_const::Val::Bsval(_)) => {
                return Err(Error::unsupported("a bit string", position));
            }
        };
        Ok(Ast::new(position, kind))
    }

    fn column(&self, column: protobuf::ColumnRef) -> Result<Ast, Error> {
        let position = self.position(column.location);
        let mut names = Vec::with_capacity(column.fields.len());
        for field in column.fields {
            match field.node {
                Some(Node::String(name)) => names.push(name.sval),
                Some(Node::AStar(_)) if !names.is_empty() => {
                    return Ok(Ast::new(position, AstKind::WholeRow(names)));
                }
                _ => return Err(Error::unsupported("* without a table", position)),
            }
        }
        Ok(Ast::new(position, AstKind::Column(names)))
    }

    fn operator(&self, expr: protobuf::AExpr) -> Result<Ast, Error> {
        let position = self.position(expr.location);
        let kind = expr.kind();
        let name = self.qualified(&expr.name, position)?;
        let unsupported = |what: &str| Err(Error::unsupported(what, position));
        let kind = match kind {
            AExprKind::AexprOp
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => {
                let left = match expr.lexpr {
                    None => None,
                    left => Some(self.boxed(left, position)?),
                };
                AstKind::Operator { name, left, right: self.boxed(expr.rexpr, position)? }
            }
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct => AstKind::Distinct {
                left: self.boxed(expr.lexpr, position)?,
                right: self.boxed(expr.rexpr, position)?,
                negated: kind == AExprKind::AexprNotDistinct,
            },
            AExprKind::AexprIn => AstKind::In {
                left: self.boxed(expr.lexpr, position)?,
                items: self.list(expr.rexpr, position)?,
                negated: name == "<>",
            },
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                let value = self.boxed(expr.lexpr, position)?;
                let mut bounds = self.list(expr.rexpr, position)?;
                let (Some(high), Some(low)) = (bounds.pop(), bounds.pop()) else {
                    return Err(Error::syntax("BETWEEN needs two bounds", position));
                };
                AstKind::Between {
                    value,
                    low: Box::new(low),
                    high: Box::new(high),
                    negated: matches!(
                        kind,
                        AExprKind::AexprNotBetween | AExprKind::AexprNotBetweenSym
                    ),
                    symmetric: matches!(
                        kind,
                        AExprKind::AexprBetweenSym | AExprKind::AexprNotBetweenSym
                    ),
                }
            }
            AExprKind::AexprOpAny | AExprKind::AexprOpAll => AstKind::AnyArray {
                name,
                left: self.boxed(expr.lexpr, position)?,
                array: self.boxed(expr.rexpr, position)?,
                all: kind == AExprKind::AexprOpAll,
            },
            AExprKind::AexprNullif => {
                let (left, right) =
                    (self.boxed(expr.lexpr, position)?, self.boxed(expr.rexpr, position)?);
                AstKind::NullIf(Box::new([*left, *right]))
            }
            AExprKind::Undefined => return unsupported("this operator"),
        };
        Ok(Ast::new(position, kind))
    }

    fn boolean(&self, expr: protobuf::BoolExpr) -> Result<Ast, Error> {
        let position = self.position(expr.location);
        let op = expr.boolop();
        let mut args = Vec::with_capacity(expr.args.len());
        for arg in expr.args {
            args.push(self.expression(arg)?);
        }
        let kind = match op {
            BoolExprType::OrExpr => AstKind::Or(args),
            BoolExprType::NotExpr => {
                let arg = args.pop();
                AstKind::Not(Box::new(
                    arg.ok_or_else(|| Error::syntax("NOT of nothing", position))?,
                ))
            }
            _ => AstKind::And(args),
        };
        Ok(Ast::new(position, kind))
    }

    fn list(&self, node: Boxed, position: usize) -> Result<Vec<Ast>, Error> {
        match node.and_then(|node| node.node) {
            Some(Node::List(list)) => {
                list.items.into_iter().map(|item| self.expression(item)).collect()
            }
            _ => Err(Error::syntax("a list is missing", position)),
        }
    }

    /// An operator's or a function's name; of schemas only `pg_catalog` is known.
    fn qualified(&self, names: &[protobuf::Node], position: usize) -> Result<String, Error> {
        let mut parts = Vec::with_capacity(names.len());
        for name in names {
            match &name.node {
                Some(Node::String(part)) => parts.push(part.sval.as_str()),
                _ => return Err(Error::unsupported("this name", position)),
            }
        }
        match parts.as_slice() {
            [name] | ["pg_catalog", name] => Ok((*name).to_owned()),
            _ => Err(Error::UnknownFunction { signature: parts.join("."), position }),
        }
    }

    fn type_name(&self, ty: protobuf::TypeName) -> Result<TypeName, Error> {
        let position = self.position(ty.location);
        let unknown = |name: String| Error::UnknownType { name, position: Some(position) };
        let parts: Vec<String> = ty
            .names
            .iter()
            .map(|name| match &name.node {
                Some(Node::String(part)) => part.sval.clone(),
                _ => String::new(),
            })
            .collect();
        let name = match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            // Unqualified, `char` is not the grammar's CHAR but the one-byte type "char".
            ["char"] | ["pg_catalog", "char"] => return Err(unknown("\"char\"".to_owned())),
            [name] | ["pg_catalog", name] => (*name).to_owned(),
            _ => return Err(unknown(parts.join("."))),
        };
        if ty.setof || ty.pct_type {
            return Err(unknown(name));
        }
        let mut modifiers = Vec::new();
        for modifier in ty.typmods {
            match modifier.node {
                Some(Node::AConst(protobuf::AConst {
                    val: Some(a_const::Val::Ival(i)), ..
                })) => modifiers.push(i64::from(i.ival)),
                _ => return Err(Error::unsupported("this type modifier", position)),
            }
        }
        Ok(TypeName { name, modifiers, dimensions: ty.array_bounds.len(), position })
    }

    fn call(&self, call: protobuf::FuncCall) -> Result<Ast, Error> {
        let position = self.position(call.location);
        let name = self.qualified(&call.funcname, position)?;
        if call.over.is_some() {
            return Err(Error::WindowFunction { name, position });
        }
        if let Some(found) = self.aggregates
            && aggregates::is_aggregate(&name)
        {
            return self.aggregate(name, call, found);
        }
        let aggregate = call.agg_star
            || call.agg_distinct
            || call.agg_within_group
            || call.agg_filter.is_some()
            || !call.agg_order.is_empty();
        if aggregate {
            return Err(Error::Aggregate { name, position });
        }
        if call.func_variadic {
            return Err(Error::unsupported("VARIADIC", position));
        }
        if name == "make_interval" {
            return self.make_interval(name, call.args, position);
        }
        let mut args = Vec::with_capacity(call.args.len());
        for arg in call.args {
            if let Some(Node::NamedArgExpr(named)) = &arg.node {
                return Err(Error::unsupported("a named argument", self.position(named.location)));
            }
            args.push(self.expression(arg)?);
        }
        // Arguments that have defaults.
        match (&*name, args.len()) {
            ("parse_ident", 1) => args.push(Ast::new(position, AstKind::Bool(true))),
            ("normalize" | "is_normalized", 1) => {
                args.push(Ast::new(position, AstKind::String("NFC".to_owned())));
            }
            _ => {}
        }
        Ok(Ast::new(position, AstKind::Call { name, args }))
    }

    /// The one function here whose arguments have defaults, and are given by name for that.
    fn make_interval(
        &self,
        name: String,
        given: Vec<protobuf::Node>,
        position: usize,
    ) -> Result<Ast, Error> {
        const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
        let unknown = || {
            let signature = "make_interval with these arguments".to_owned();
            Error::UnknownFunction { signature, position }
        };
        let mut args: [Option<Ast>; 7] = Default::default();
        for (i, arg) in given.into_iter().enumerate() {
            let (slot, value) = match arg.node {
                Some(Node::NamedArgExpr(named)) => {
                    let slot = NAMES.iter().position(|known| *known == named.name);
                    let place = self.position(named.location);
                    (slot, *self.boxed(named.arg, place)?)
                }
                node => (Some(i), self.expression(protobuf::Node { node })?),
            };
            let slot = slot.and_then(|slot| args.get_mut(slot)).ok_or_else(unknown)?;
            if slot.replace(value).is_some() {
                return Err(unknown());
            }
        }
        let zero = || Ast::new(position, AstKind::Integer(0));
        let args = args.into_iter().map(|arg| arg.unwrap_or_else(zero)).collect();
        Ok(Ast::new(position, AstKind::Call { name, args }))
    }
}

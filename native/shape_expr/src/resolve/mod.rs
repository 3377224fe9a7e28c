//! From syntax to types: PostgreSQL's parse analysis for row-local expressions.

mod arrays;
mod candidates;
mod coerce;
mod collation;
mod columns;
mod control;
mod forms;
mod json;
mod locale;
mod polymorphic;
mod rows;
pub(crate) mod sets;
pub(crate) mod sorting;

use bumpalo::Bump;

use crate::catalog::{self, CastContext, Refusal};
use crate::compiler::{MAX_NODES, Options, Param};
use crate::constants::Const;
use crate::coverage;
use crate::error::Error;
use crate::expr::{Expr, Function, Node, Strategy, Volatility};
use crate::parse::ast::{Ast, AstKind};
use crate::program::Test;
use crate::schema::Schema;
use crate::sql::answer;
use crate::types::{Category, Collation, Type};
use crate::values::datetime::Zone;

/// Resolves one clause.
pub(crate) struct Resolver<'c> {
    pub options: &'c Options,
    /// The session's time zone.
    pub zone: &'c Zone,
    pub params: &'c [Param<'c>],
    /// The caller's schema, or, once an open one has grown, the grown copy.
    schema: std::borrow::Cow<'c, Schema>,
    /// Open schema: two columns met before either had a type. The first such place.
    undetermined: Option<Error>,
    /// What is wrong only once nothing else is.
    late: Option<Error>,
    /// Which type each literal was read as, by its place.
    reads: Vec<(usize, Type)>,
    /// For reading literals.
    scratch: Bump,
    /// The subqueries that the clause may name.
    subqueries: &'c [sets::Known],
    /// Nodes made so far: forms that repeat their operand must not explode.
    nodes: usize,
}

/// A resolved clause.
pub(crate) struct Resolved {
    pub expr: Expr,
    /// The schema, if it grew.
    pub schema: Option<Schema>,
    /// What is wrong if a node that raises [`Raise::UndefinedFunction`](crate::Raise) is still there
    /// when constants are folded.
    pub late: Option<Error>,
    /// Where each untyped literal stands that was read by a type's input function, and the type.
    pub reads: Vec<(usize, Type)>,
}

/// Resolves a clause to an expression of whatever type. What nothing gives a type is a text, or stays
/// what it is where the caller will see to it.
pub(crate) fn resolve_value(
    ast: &Ast,
    schema: &Schema,
    params: &[Param<'_>],
    options: &Options,
    zone: &Zone,
    keeps_unknown: bool,
) -> Result<Resolved, Error> {
    let mut resolver = Resolver::new(schema, params, options, zone);
    let mut expr = resolver.expression(ast)?;
    if expr.ty == Type::Unknown && !keeps_unknown {
        expr = resolver.coerce(expr, &Type::Text, catalog::CastContext::Implicit)?;
    }
    if rows::is_row(&expr.ty) {
        return Err(Error::unsupported("a row as a value", expr.position));
    }
    if let Some(error) = resolver.undetermined.take() {
        return Err(error);
    }
    collation::check(&expr)?;
    Ok(Resolved { expr, schema: None, late: resolver.late, reads: resolver.reads })
}

/// Resolves a clause to a boolean expression.
pub(crate) fn resolve(
    ast: &Ast,
    schema: &Schema,
    params: &[Param<'_>],
    options: &Options,
    zone: &Zone,
) -> Result<Resolved, Error> {
    resolve_with(ast, &[], schema, params, options, zone)
}

/// The same for a clause with these subqueries.
pub(crate) fn resolve_with(
    ast: &Ast,
    subqueries: &[sets::Known],
    schema: &Schema,
    params: &[Param<'_>],
    options: &Options,
    zone: &Zone,
) -> Result<Resolved, Error> {
    let mut resolver = Resolver::new(schema, params, options, zone);
    resolver.subqueries = subqueries;
    loop {
        resolver.nodes = 0;
        resolver.reads.clear();
        let before = resolver.schema.columns().iter().filter(|c| c.ty.is_some()).count();
        let expr = resolver.condition(ast, "WHERE")?;
        let Some(error) = resolver.undetermined.take() else {
            collation::check(&expr)?;
            let schema = match resolver.schema {
                std::borrow::Cow::Borrowed(_) => None,
                std::borrow::Cow::Owned(schema) => Some(schema),
            };
            return Ok(Resolved { expr, schema, late: resolver.late, reads: resolver.reads });
        };
        // A later part of the clause may have said what an earlier one left open.
        if resolver.schema.columns().iter().filter(|c| c.ty.is_some()).count() == before {
            return Err(error);
        }
    }
}

impl<'c> Resolver<'c> {
    fn new(
        schema: &'c Schema,
        params: &'c [Param<'c>],
        options: &'c Options,
        zone: &'c Zone,
    ) -> Resolver<'c> {
        Resolver {
            options,
            zone,
            params,
            schema: std::borrow::Cow::Borrowed(schema),
            undetermined: None,
            late: None,
            reads: Vec::new(),
            scratch: Bump::new(),
            subqueries: &[],
            nodes: 0,
        }
    }
}

impl Resolver<'_> {
    /// An expression used as a condition.
    fn condition(&mut self, ast: &Ast, place: &str) -> Result<Expr, Error> {
        let expr = self.expression(ast)?;
        self.demand_boolean(expr, place)
    }

    fn demand_boolean(&mut self, expr: Expr, place: &str) -> Result<Expr, Error> {
        let expr = self.settle(expr, &Type::Bool)?;
        match expr.ty {
            Type::Bool => Ok(expr),
            Type::Unknown => self.read_literal(expr, &Type::Bool),
            ref ty => {
                let message = format!("argument of {place} must be type boolean, not type {ty}");
                let position = expr.position;
                Err(self.blame(&[&expr], Error::mismatch(message, position)))
            }
        }
    }

    /// Pays for nodes about to be made.
    fn grow(&mut self, nodes: usize, position: usize) -> Result<(), Error> {
        self.nodes += nodes;
        match self.nodes > MAX_NODES {
            true => Err(Error::TooComplex { limit: MAX_NODES, position }),
            false => Ok(()),
        }
    }

    fn expression(&mut self, ast: &Ast) -> Result<Expr, Error> {
        let position = ast.position;
        self.grow(1, position)?;
        coverage::note(|| coverage::form(&ast.kind));
        match &ast.kind {
            AstKind::Column(names) => match answer(names) {
                Some(number) if !self.subqueries.is_empty() => self.in_subquery(number, position),
                _ => self.column(names, position),
            },
            AstKind::Null => Ok(Expr::constant(Type::Unknown, position, Const::Null)),
            AstKind::Bool(b) => Ok(Expr::constant(Type::Bool, position, Const::Bool(*b))),
            AstKind::Integer(i) => {
                Ok(Expr::constant(Type::Int4, position, Const::Int(i64::from(*i))))
            }
            AstKind::Number(text) => self.number(text, position),
            AstKind::String(text) => {
                Ok(Expr::constant(Type::Unknown, position, Const::Text(text.as_str().into())))
            }
            AstKind::Param(number) => self.param(*number, position),
            AstKind::Operator { name, left, right } => {
                let left = match left {
                    Some(left) => return self.compare(name, left, right, position),
                    None => None,
                };
                let right = self.expression(right)?;
                self.operator(name, left, right, position)
            }
            AstKind::And(arms) => {
                let arms = self.conditions(arms, "AND")?;
                Ok(Expr::new(Type::Bool, position, Node::And(arms)))
            }
            AstKind::Or(arms) => {
                let arms = self.conditions(arms, "OR")?;
                Ok(Expr::new(Type::Bool, position, Node::Or(arms)))
            }
            AstKind::Not(inner) => {
                let inner = Box::new(self.condition(inner, "NOT")?);
                Ok(Expr::new(Type::Bool, position, Node::Not(inner)))
            }
            AstKind::Test(test, inner) => self.test(*test, inner, position),
            AstKind::Distinct { left, right, negated } => {
                self.distinct(left, right, *negated, position)
            }
            AstKind::In { left, items, negated } => self.in_list(left, items, *negated, position),
            AstKind::Between { value, low, high, negated, symmetric } => {
                let parts = [&**value, low, high];
                self.between(parts, *negated, *symmetric, position)
            }
            AstKind::Cast { value, ty } => self.cast(value, ty, position),
            AstKind::Call { name, args } => self.call(name, args, position),
            AstKind::Case { operand, arms, otherwise } => {
                self.case(operand.as_deref(), arms, otherwise.as_deref(), position)
            }
            AstKind::Coalesce(args) => self.coalesce(args, position),
            AstKind::NullIf(args) => self.null_if(args, position),
            AstKind::MinMax { args, greatest } => self.min_max(args, *greatest, position),
            AstKind::Row(fields) => self.row_value(fields, position),
            AstKind::WholeRow(table) => self.whole_row(table, position),
            AstKind::Collate { value, name } => self.collate(value, name, position),
            AstKind::Array(items) => self.array(items, None, position),
            AstKind::AnyArray { name, left, array, all } => {
                self.any_array(name, left, array, *all, position)
            }
            AstKind::Subscript { value, subscripts } => self.subscript(value, subscripts, position),
        }
    }

    fn conditions(&mut self, arms: &[Ast], place: &str) -> Result<Vec<Expr>, Error> {
        arms.iter().map(|arm| self.condition(arm, place)).collect()
    }

    /// A number that is no int4: int8 if it is an integer that fits, else numeric.
    fn number(&mut self, text: &str, position: usize) -> Result<Expr, Error> {
        if let Ok(i) = text.parse::<i64>() {
            let ty = if i32::try_from(i).is_ok() { Type::Int4 } else { Type::Int8 };
            return Ok(Expr::constant(ty, position, Const::Int(i)));
        }
        let value = self.read(&Type::Numeric, text, position)?;
        Ok(Expr::constant(Type::Numeric, position, value))
    }

    fn param(&mut self, number: i64, position: usize) -> Result<Expr, Error> {
        let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        let Some(param) = index.and_then(|index| self.params.get(index)) else {
            return Err(Error::UnknownParameter { number, position });
        };
        Ok(match param {
            Param::Null => Expr::constant(Type::Unknown, position, Const::Null),
            Param::Text(text) => {
                if text.contains('\0') {
                    return Err(coerce::invalid(&Type::Text, text, "22021", position));
                }
                Expr::constant(Type::Unknown, position, Const::Text((*text).into()))
            }
            Param::Int(i) => {
                let ty = if i32::try_from(*i).is_ok() { Type::Int4 } else { Type::Int8 };
                Expr::constant(ty, position, Const::Int(*i))
            }
            Param::Bool(b) => Expr::constant(Type::Bool, position, Const::Bool(*b)),
            Param::Float(x) if x.is_finite() => {
                let text = crate::values::float::output8(*x);
                let value = self.read(&Type::Numeric, &text, position)?;
                Expr::constant(Type::Numeric, position, value)
            }
            Param::Float(x) => Expr::constant(Type::Float8, position, Const::Float(*x)),
        })
    }

    /// Finds the operator for these operands and applies it.
    fn operator(
        &mut self,
        name: &str,
        left: Option<Expr>,
        right: Expr,
        position: usize,
    ) -> Result<Expr, Error> {
        // `!=` is the grammar's own spelling of `<>`.
        let name = if name == "!=" { "<>" } else { name };
        let mut args: Vec<Expr> = left.into_iter().chain([right]).collect();
        self.settle_array(name, &mut args)?;
        self.settle_json(name, &mut args)?;
        if let Some(placeholder) = self.settle_together(&mut args, position)? {
            return Ok(placeholder);
        }
        let types: Vec<Type> = args.iter().map(|arg| arg.ty.clone()).collect();
        let found = match candidates::operator(name, &types, position) {
            Ok(found) => found,
            Err(error) => return Err(self.blame(&args.iter().collect::<Vec<_>>(), error)),
        };
        let declared: Vec<&Type> = found.left.iter().chain([&found.right]).collect();
        if found.right != Type::Record && types.iter().any(rows::is_row) {
            return Err(Error::unsupported(format!("a row as an operand of {name}"), position));
        }
        let (wanted, result) = polymorphic::settle(&types, &declared, &found.result, position)?;
        let function = arrays::typed(found.function(), result);
        let mut args = self.coerce_all(args, &wanted)?;
        for (arg, declared) in args.iter_mut().zip(declared) {
            if catalog::arrays::wants_text(name, declared) {
                *arg = self.coerce(arg.clone(), &Type::Text, CastContext::Explicit)?;
            }
        }
        let function = self.localised(function, &args, position)?;
        self.check_order(&function, &args, position)?;
        let function = self.collated_comparison(function, &args)?;
        if lacks_operator(&found.right, function.strategy, &args) {
            let function = catalog::undefined(true, &function.result);
            return Ok(Expr::new(function.result.clone(), position, Node::Call { function, args }));
        }
        coverage::note(|| found.key());
        Ok(Expr::new(function.result.clone(), position, Node::Call { function, args }))
    }

    fn coerce_all(&mut self, args: Vec<Expr>, wanted: &[Type]) -> Result<Vec<Expr>, Error> {
        let mut coerced = Vec::with_capacity(args.len());
        let column = args.iter().find(|arg| matches!(arg.node, Node::Column(_))).cloned();
        for (arg, ty) in args.into_iter().zip(wanted) {
            let result = self.coerce(arg, ty, CastContext::Implicit);
            coerced.push(result.map_err(|error| match &column {
                Some(column) => self.blame(&[column], error),
                None => error,
            })?);
        }
        Ok(coerced)
    }

    /// Refuses to order text by a collation that is not bytewise.
    fn check_order(
        &self,
        function: &Function,
        args: &[Expr],
        position: usize,
    ) -> Result<(), Error> {
        let orders = matches!(
            function.strategy,
            Strategy::Less | Strategy::LessEqual | Strategy::Greater | Strategy::GreaterEqual
        );
        let text = args.iter().any(|arg| is_ordered_as_text(arg.ty.element().unwrap_or(&arg.ty)));
        if !orders || !text || self.options.order_any_collation_by_bytes {
            return Ok(());
        }
        // An explicit collation counts for all operands.
        let explicit = args.iter().find_map(|arg| match arg.node {
            Node::Collate { bytewise, .. } => Some(bytewise),
            _ => None,
        });
        let other = match explicit {
            Some(bytewise) => !bytewise,
            None => args.iter().any(|arg| self.collated(arg)),
        };
        match other {
            true => Err(Error::unsupported("ordering text by a collation other than C", position)),
            false => Ok(()),
        }
    }

    fn collated(&self, expr: &Expr) -> bool {
        match &expr.node {
            Node::Column(column) => self.schema.columns().get(*column).is_some_and(|column| {
                column.ty.as_ref().is_some_and(|ty| ty.collation == Collation::Other)
            }),
            Node::Collate { bytewise, .. } => !bytewise,
            _ => {
                let mut collated = false;
                expr.children(&mut |child| collated |= self.collated(child));
                collated
            }
        }
    }

    fn call(&mut self, name: &str, args: &[Ast], position: usize) -> Result<Expr, Error> {
        let owned = || name.to_owned();
        match catalog::refusal(name) {
            Some(Refusal::Volatile) => {
                return Err(Error::VolatileFunction { name: owned(), position });
            }
            Some(Refusal::Aggregate) => return Err(Error::Aggregate { name: owned(), position }),
            Some(Refusal::Set) => {
                let what = format!("function {name}, which returns a set,");
                return Err(Error::unsupported(what, position));
            }
            Some(Refusal::Window) => return Err(Error::WindowFunction { name: owned(), position }),
            None => {}
        }
        let mut resolved = Vec::with_capacity(args.len());
        for arg in args {
            let arg = self.expression(arg)?;
            // Of an undetermined column a function says nothing: text is the commonest argument.
            resolved.push(self.settle(arg, &Type::Text)?);
        }
        if resolved.iter().any(|arg| rows::is_row(&arg.ty)) {
            return Err(Error::unsupported(format!("a row as an argument of {name}"), position));
        }
        if let Some(call) = self.json_path_call(name, &resolved, position)? {
            coverage::note(|| format!("function {name}"));
            return Ok(call);
        }
        if let Some(called) = self.variadic(name, &mut resolved, position)? {
            coverage::note(|| format!("function {name}"));
            return Ok(called);
        }
        // `date('2024-01-01')` is a literal of that type.
        if let ([arg], Some(ty)) = (resolved.as_slice(), Type::by_own_name(name))
            && arg.ty == Type::Unknown
        {
            if matches!(arg.node, Node::Const(_)) {
                return self.read_literal(arg.clone(), &ty);
            }
            // Under a COLLATE it is one only of a text; elsewhere functions compete for it.
            if ty.category() == Category::String {
                return self.coerce(arg.clone(), &ty, CastContext::Explicit);
            }
        }
        if let Some(call) = self.json_of_values(name, &mut resolved, position)? {
            return Ok(call);
        }
        self.add_defaults(name, &mut resolved, position);
        let types: Vec<Type> = resolved.iter().map(|arg| arg.ty.clone()).collect();
        // `date(title)` is a cast, unless there is a function of just that name and type; and where a
        // cast has a function, such as `int4(price)`, that has the type's name.
        if let ([from], Some(ty)) = (types.as_slice(), Type::by_own_name(name))
            && !candidates::has_exact(name, &types)
            && (coerce::needs_no_function(from, &ty) || coerce::has_own_function(from, &ty))
        {
            let arg = resolved.remove(0);
            return self.coerce(arg, &ty, CastContext::Explicit);
        }
        // Or such a function takes it once it is cast unasked: `bool(smallint)` is `bool(integer)`.
        if let ([from], Some(ty), true) =
            (types.as_slice(), Type::by_own_name(name), catalog::named_functions(name).is_empty())
            && let Some(middle) = candidates::cast_through(name, from, &ty, position)?
        {
            let arg = self.coerce(resolved.remove(0), &middle, CastContext::Implicit)?;
            return self.coerce(arg, &ty, CastContext::Explicit);
        }
        let row = candidates::function(name, &types, position)?;
        match row.volatility {
            Volatility::Volatile => {
                return Err(Error::VolatileFunction { name: owned(), position });
            }
            Volatility::Missing => {
                return Err(Error::unsupported(format!("function {name}"), position));
            }
            Volatility::Immutable | Volatility::Stable => {}
        }
        if row.is_variadic() && args.len() == row.args.len() {
            let types: Vec<String> = types.iter().map(Type::to_string).collect();
            let signature = format!("{name}({})", types.join(", "));
            return Err(Error::UnknownFunction { signature, position });
        }
        if catalog::depends_on_machine(name, row.args) {
            let what =
                format!("{name} of double precision, whose last digit depends on the machine,");
            return Err(Error::unsupported(what, position));
        }
        let declared: Vec<&Type> = row.args.iter().collect();
        let (wanted, result) = polymorphic::settle(&types, &declared, &row.result, position)?;
        let function = arrays::typed(row.function(), result);
        coverage::note(|| row.key());
        let mut args = self.coerce_all(resolved, &wanted)?;
        if let ("substring", [Type::Text, Type::Text, Type::Text]) = (name, row.args) {
            return self.similar_substring(args, position);
        }
        check_encodings(name, &args)?;
        let function = self.localised(function, &args, position)?;
        let function = self.collated_comparison(function, &args)?;
        if catalog::wants_own_type(name) {
            let ty = args.first().map_or(Type::Text, |arg| arg.ty.clone());
            args.push(Expr::constant(Type::Unknown, position, Const::Type(ty.into())));
        }
        if catalog::arrays::wants_type(name) {
            let element = args.first().and_then(|arg| arg.ty.element()).unwrap_or(&Type::Text);
            let ty = Const::Type(element.clone().into());
            args.push(Expr::constant(Type::Unknown, position, ty));
        }
        if name == "overlaps" {
            self.lengths_to_ends(&mut args, position)?;
        }
        Ok(Expr::new(function.result.clone(), position, Node::Call { function, args }))
    }

    fn test(&mut self, test: Test, inner: &Ast, position: usize) -> Result<Expr, Error> {
        if let (Test::Null | Test::NotNull, AstKind::Row(columns)) = (test, &inner.kind) {
            return self.row_test(test, columns, position);
        }
        if let (Test::Null | Test::NotNull, Some(table)) = (test, self.is_whole_row(&inner.kind)) {
            return self.whole_row_test(test, table, (inner.position, position));
        }
        let inner = match test {
            // Any type will do, and an open schema's column stays undetermined.
            Test::Null | Test::NotNull => self.expression(inner)?,
            _ => self.condition(inner, "IS")?,
        };
        if matches!(inner.ty, Type::Record | Type::Composite) {
            return Ok(self.record_test(test, inner, position));
        }
        Ok(Expr::new(Type::Bool, position, Node::Test(test, Box::new(inner))))
    }
}

/// Text, and rows, which may hold text.
fn is_ordered_as_text(ty: &Type) -> bool {
    ty.category() == Category::String || *ty == Type::Record
}

/// Encodings must be named, and be known here.
fn check_encodings(name: &str, args: &[Expr]) -> Result<(), Error> {
    for &at in catalog::encoding_arguments(name, args.len()) {
        let Some(arg) = args.get(at) else { continue };
        let what = match arg.as_const() {
            Some(Const::Null) => continue,
            Some(Const::Text(text)) if catalog::is_known_encoding(text) => continue,
            Some(Const::Text(text)) => format!("the encoding {text}"),
            _ => format!("{name} with an encoding that is no literal"),
        };
        return Err(Error::unsupported(what, arg.position));
    }
    Ok(())
}

/// Arrays are compared by their elements' operators, which some types do not have.
fn lacks_operator(declared: &Type, strategy: Strategy, args: &[Expr]) -> bool {
    let element = args.first().and_then(|arg| arg.ty.element());
    let (Type::AnyArray, Some(element)) = (declared, element) else { return false };
    let name = match strategy {
        Strategy::Plain | Strategy::Equal | Strategy::NotEqual => "=",
        _ => "<",
    };
    candidates::operator(name, &[element.clone(), element.clone()], 0).is_err()
}

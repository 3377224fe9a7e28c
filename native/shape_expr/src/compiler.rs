//! [`Compiler`]: from a clause's text to a predicate.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::codegen::{self, Code};
use crate::constants::Constants;
use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::expression::{Analysed, Expression};
use crate::fold;
use crate::parse;
use crate::parse::ast::Ast;
use crate::parse::literals::{self, Tokens};
use crate::predicate::{Compiled, Predicate};
use crate::program::{self, Template};
use crate::resolve::sets::Known as KnownTypes;
use crate::resolve::{self, Resolved, sorting};
use crate::schema::Schema;
use crate::sets::{FIRST_ITEM, SetColumn, Subqueries};
use crate::sql::SqlExpr;
use crate::text_cache::{self, Known, Sites, Skeleton, TextCache};
use crate::types::{ColumnType, Type};
use crate::values::datetime::Zone;

/// The longest clause that is accepted.
pub const MAX_CLAUSE_BYTES: usize = 64 * 1024;

/// The deepest nesting that is accepted.
pub const MAX_DEPTH: usize = 256;

/// The most operations a clause may expand to.
pub const MAX_NODES: usize = 100_000;

/// The value of `$1`, `$2` and so on.
#[derive(Clone, Debug)]
pub enum Param<'a> {
    /// NULL, of unknown type.
    Null,
    /// As a quoted literal: its place decides its type.
    Text(&'a str),
    /// As an integer written in the clause.
    Int(i64),
    /// As the shortest decimal that reads back the same, written in the clause.
    Float(f64),
    /// As TRUE or FALSE written in the clause.
    Bool(bool),
}

/// The settings that answers depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// PostgreSQL's `TimeZone`: an IANA name or a POSIX rule. Default `UTC`.
    pub time_zone: String,
    /// Letters beyond ASCII have no case where no collation is said, as in a database whose own is
    /// C or POSIX. Default `false`: they have the case that C.UTF-8 gives them.
    pub ascii_case: bool,
    /// Order text bytewise under collations other than C too. Default `false`: refused.
    pub order_any_collation_by_bytes: bool,
    /// How many bytes a compiler may spend on remembering texts, so that one that comes again with
    /// other literals needs no parser. Default 1 MiB; 0 remembers nothing.
    pub text_cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            time_zone: "UTC".to_owned(),
            ascii_case: false,
            order_any_collation_by_bytes: false,
            text_cache_bytes: 1 << 20,
        }
    }
}

/// Compiles clauses and keeps their templates.
///
/// A template lives as long as a predicate that uses it.
#[derive(Debug)]
pub struct Compiler {
    options: Options,
    zone: Zone,
    templates: HashMap<Arc<[u64]>, Weak<Template>>,
    texts: TextCache,
    /// Clauses that needed no resolution, and those that needed no parser.
    hits: (u64, u64),
    /// For the key of the text at hand.
    key: Vec<u8>,
    /// Dead templates are swept out when the map has grown to this size.
    sweep_at: usize,
    next_id: u64,
}

/// The longest clause that [`Compiler::compile_known`] takes.
const SHORT_CLAUSE: usize = 1024;

/// Resolves an expression on a stack that is deep enough for it.
fn analyse(
    expr: &SqlExpr,
    resolve: impl FnOnce() -> Result<Resolved, Error>,
) -> Result<Analysed, Error> {
    let Resolved { expr: resolved, late, .. } = on_big_stack(expr.depth, resolve)?;
    Ok(Analysed { expr: resolved, late, depth: expr.depth })
}

/// Stack for the parts that recurse: a base, and so much for each level of the tree.
const STACK_BASE: usize = 192 * 1024;
const STACK_PER_LEVEL: usize = 24 * 1024;

impl Compiler {
    /// A compiler with these settings.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a time zone that is not known.
    pub fn new(options: Options) -> Result<Compiler, Error> {
        let Some(zone) = Zone::named(&options.time_zone) else {
            let message = format!("{:?} is no time zone", options.time_zone);
            return Err(Error::InvalidOption { name: "time_zone", message });
        };
        let texts = TextCache::new(options.text_cache_bytes);
        let (templates, key) = (HashMap::new(), Vec::new());
        let hits = (0, 0);
        Ok(Compiler { options, zone, templates, texts, hits, key, sweep_at: 64, next_id: 0 })
    }

    /// Compiles a clause against a table's columns.
    ///
    /// A text that was compiled before, or that differs from one only in its literals, is not parsed
    /// again; what comes of it is the same either way.
    ///
    /// # Errors
    /// Everything [`Error`] lists: the clause is refused, with the reason and its place.
    pub fn compile(
        &mut self,
        clause: &str,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Result<Compiled, Error> {
        if self.texts.is_off() || clause.len() > text_cache::LONGEST {
            return self.parse_and_build(clause, schema, params, None);
        }
        let mut key = std::mem::take(&mut self.key);
        let result = match literals::split(clause, params, &mut key) {
            None => self.parse_and_build(clause, schema, params, None),
            Some(tokens) => match self.known(&key, &tokens, schema, params) {
                Some(compiled) => Ok(compiled),
                None => self.parse_and_build(clause, schema, params, Some((&key, &tokens))),
            },
        };
        self.key = key;
        result
    }

    /// Compiles a clause that may contain `IN (SELECT ...)`; `subqueries` says what those are. A clause
    /// without one is compiled as [`Compiler::compile`] does.
    ///
    /// # Errors
    /// As [`Compiler::compile`]; those of `subqueries`.
    pub fn compile_with_sets(
        &mut self,
        clause: &str,
        schema: &Schema,
        params: &[Param<'_>],
        subqueries: &mut dyn Subqueries,
    ) -> Result<Compiled, Error> {
        if !may_have_subquery(clause) {
            return self.compile(clause, schema, params);
        }
        let depth = parse::check(clause)?;
        let (ast, found) = on_big_stack(depth, || parse::subquery::parse(clause, params))?;
        if found.is_empty() {
            return self.compile(clause, schema, params);
        }
        let mut known = Vec::with_capacity(found.len());
        for compared in found {
            let types = subqueries.types(&compared.subquery)?;
            known.push(KnownTypes { compared, types });
        }
        let mut resolved = on_big_stack(depth, || {
            resolve::resolve_with(&ast, &known, schema, params, &self.options, &self.zone)
        })?;
        on_big_stack(depth, || {
            let numbers = &mut HashMap::new();
            self.number(&mut resolved.expr, &known, depth, subqueries, numbers)
        })?;
        let built = on_big_stack(depth, || build_resolved(resolved, &self.zone, None))?;
        Ok(self.finish(built, schema, None))
    }

    /// Puts the numbers of sets in the place of those of the subqueries.
    fn number(
        &mut self,
        expr: &mut Expr,
        known: &[KnownTypes],
        depth: usize,
        subqueries: &mut dyn Subqueries,
        numbers: &mut HashMap<u32, u32>,
    ) -> Result<(), Error> {
        if let Node::InSet { set, left, items } = &mut expr.node {
            let at = *set as usize;
            *set = match numbers.get(set) {
                Some(number) => *number,
                None => {
                    let types = known.get(at).and_then(|known| known.types.as_deref());
                    let items = std::mem::take(items);
                    let mut columns = Vec::with_capacity(items.len());
                    for (at, (item, left)) in items.into_iter().zip(left.iter()).enumerate() {
                        let ty = types.and_then(|types| types.get(at)).cloned();
                        columns.push(self.set_column(item, ty, left.ty.clone(), depth)?);
                    }
                    let subquery = &known[at].compared.subquery;
                    let number = subqueries.set(subquery, columns)?;
                    numbers.insert(*set, number);
                    number
                }
            };
        }
        let mut result = Ok(());
        expr.children_mut(&mut |child| {
            if result.is_ok() {
                result = self.number(child, known, depth, subqueries, numbers);
            }
        });
        result
    }

    /// What the item of a subquery is, and how it becomes what is compared.
    fn set_column(
        &mut self,
        mut item: Expr,
        selected: Option<ColumnType>,
        compared: Type,
        depth: usize,
    ) -> Result<SetColumn, Error> {
        if let Node::Column(_) = item.node {
            let item = selected.unwrap_or_else(|| ColumnType::new(item.ty.clone()));
            return Ok(SetColumn { item, compared, convert: None });
        }
        let mut innermost = &item;
        while let Node::Call { args, .. } | Node::Map { args, .. } = &innermost.node {
            match args.first() {
                Some(first) => innermost = first,
                None => break,
            }
        }
        let selected = selected.unwrap_or_else(|| ColumnType::new(innermost.ty.clone()));
        item.move_columns(&mut |column| column.saturating_sub(FIRST_ITEM));
        let (template, constants, ty) =
            self.generate(Analysed { expr: item, late: None, depth })?;
        let convert = Some(Expression { template, constants, ty });
        Ok(SetColumn { item: selected, compared, convert })
    }

    /// Resolves a condition of a query.
    ///
    /// # Errors
    /// Everything [`Error`] lists.
    pub fn analyse_condition(
        &self,
        expr: &SqlExpr,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Result<Analysed, Error> {
        analyse(expr, || resolve::resolve(&expr.ast, schema, params, &self.options, &self.zone))
    }

    /// Resolves a value of a query: a literal that nothing gives a type is a text.
    ///
    /// # Errors
    /// Everything [`Error`] lists.
    pub fn analyse_value(
        &self,
        expr: &SqlExpr,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Result<Analysed, Error> {
        analyse(expr, || {
            resolve::resolve_value(&expr.ast, schema, params, &self.options, &self.zone, false)
        })
    }

    /// As [`Compiler::analyse_value`], but a literal that nothing gives a type stays without one:
    /// [`Compiler::cast`] has to give it one before it is compiled.
    ///
    /// # Errors
    /// Everything [`Error`] lists.
    pub fn analyse_item(
        &self,
        expr: &SqlExpr,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Result<Analysed, Error> {
        analyse(expr, || {
            resolve::resolve_value(&expr.ast, schema, params, &self.options, &self.zone, true)
        })
    }

    /// The value cast to this type, as PostgreSQL does unasked.
    ///
    /// # Errors
    /// There is no such cast, or the literal is no value of the type.
    pub fn cast(&self, value: Analysed, ty: &Type) -> Result<Analysed, Error> {
        let Analysed { expr, late, depth } = value;
        let expr = sorting::cast(expr, ty, (&self.options, &self.zone))?;
        Ok(Analysed { expr, late, depth: depth + 1 })
    }

    /// The type of a column that one query gives as this type and another as that one; `what` puts
    /// them together.
    ///
    /// # Errors
    /// [`Error::DatatypeMismatch`]: there is none.
    pub fn common_type(
        &self,
        left: &Type,
        right: &Type,
        what: &str,
        position: usize,
    ) -> Result<Type, Error> {
        sorting::common(left, right, what, position)
    }

    /// Can the value be grouped by, that is, has its type an equality?
    ///
    /// # Errors
    /// [`Error::UnknownOperator`]: it has none.
    pub fn check_equality(&self, value: &Analysed) -> Result<(), Error> {
        sorting::has_equality(&value.expr.ty, value.expr.position)
    }

    /// Can the value be sorted by?
    ///
    /// # Errors
    /// [`Error::UnknownOperator`] for a type without an order; [`Error::NotSupported`] for a text under
    /// a collation that does not order by bytes.
    pub fn check_order(
        &self,
        value: &Analysed,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Result<(), Error> {
        sorting::has_order(&value.expr, schema, params, (&self.options, &self.zone))
    }

    /// The type that a column of such values has, its collation with it.
    #[must_use]
    pub fn column_type(&self, value: &Analysed, schema: &Schema) -> ColumnType {
        let collation = sorting::collation(&value.expr, schema, &self.options, &self.zone);
        ColumnType { collation, ..ColumnType::new(value.expr.ty.clone()) }
    }

    /// Compiles what was resolved as a condition.
    ///
    /// # Errors
    /// As [`Compiler::compile`], for what only shows when constants are folded.
    pub fn predicate(&mut self, analysed: Analysed) -> Result<Predicate, Error> {
        let (template, constants, _) = self.generate(analysed)?;
        Ok(Predicate { template, constants })
    }

    /// Compiles what was resolved as a value.
    ///
    /// # Errors
    /// As [`Compiler::predicate`].
    pub fn expression(&mut self, analysed: Analysed) -> Result<Expression, Error> {
        let (template, constants, ty) = self.generate(analysed)?;
        Ok(Expression { template, constants, ty })
    }

    fn generate(&mut self, analysed: Analysed) -> Result<(Arc<Template>, Constants, Type), Error> {
        let Analysed { expr, late, depth } = analysed;
        let (position, ty) = (expr.position, expr.ty.clone());
        let mut code = on_big_stack(depth, || {
            let folded = fold::fold(expr, &self.zone)
                .unwrap_or_else(|raise| Expr::new(ty.clone(), position, Node::Raise(raise)));
            match (late, folded.lacks_a_function()) {
                (Some(error), true) => Err(error),
                _ => codegen::generate(&folded),
            }
        })?;
        let template = self.template(&mut code);
        Ok((template, Constants::new(code.constants), ty))
    }

    /// As [`Compiler::compile`], where that takes a microsecond or so and no deep stack: for a short
    /// clause that differs from a known one in plain literals alone. `None`: it may be fine, and
    /// [`Compiler::compile`] will tell.
    ///
    /// ```
    /// use shape_expr::{Column, Compiler, Options, Schema};
    /// # fn main() -> Result<(), shape_expr::Error> {
    /// let schema = Schema::new("todos", vec![Column::new("user_id", "int8".parse()?)])?;
    /// let mut compiler = Compiler::new(Options::default())?;
    /// assert!(compiler.compile_known("user_id = 1", &schema, &[]).is_none());
    /// // What clauses have in common is known as long as somebody has one of them.
    /// let first = compiler.compile("user_id = 1", &schema, &[])?.predicate;
    /// assert!(compiler.compile_known("user_id = 2", &schema, &[]).is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compile_known(
        &mut self,
        clause: &str,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Option<Predicate> {
        if self.texts.is_off() || clause.len() > SHORT_CLAUSE {
            return None;
        }
        let mut key = std::mem::take(&mut self.key);
        let found = literals::split(clause, params, &mut key)
            .and_then(|tokens| self.texts.find(&key, &tokens, schema.number(), &self.zone, true));
        self.key = key;
        let (template, constants) = found?;
        self.hits.0 += 1;
        Some(Predicate { template, constants })
    }

    /// By what is known of the text without its literals. `None`: nothing, or it does not compile.
    fn known(
        &mut self,
        key: &[u8],
        tokens: &Tokens<'_>,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Option<Compiled> {
        let found = self.texts.find(key, tokens, schema.number(), &self.zone, false);
        if let Some((template, constants)) = found {
            self.hits.0 += 1;
            return Some(Compiled { predicate: Predicate { template, constants }, schema: None });
        }
        let positions = self.texts.positions(key, tokens);
        let (ast, depth) = self.texts.tree(key, tokens)?;
        let resolver = (schema, params, &self.options, &self.zone);
        let built = on_big_stack(depth, || build(ast, resolver, Some(&positions))).ok()?;
        self.hits.1 += 1;
        Some(self.finish(built, schema, Some((key, tokens))))
    }

    /// With the parser.
    fn parse_and_build(
        &mut self,
        clause: &str,
        schema: &Schema,
        params: &[Param<'_>],
        text: Option<(&[u8], &Tokens<'_>)>,
    ) -> Result<Compiled, Error> {
        let depth = parse::check(clause)?;
        let resolver = (schema, params, &self.options, &self.zone);
        let texts = &mut self.texts;
        // Callers sit on small stacks (an Erlang scheduler's), where running out is no panic.
        let built = on_big_stack(depth, || {
            let ast = parse::parse(clause)?;
            let Some((key, tokens)) = text.filter(|(_, t)| text_cache::may_keep(t, depth)) else {
                return build(&ast, resolver, None);
            };
            let skeleton = Skeleton::new(ast, depth, tokens);
            let built = build(&skeleton.ast, resolver, Some(&skeleton.positions()))?;
            texts.keep(key, skeleton);
            Ok(built)
        })?;
        Ok(self.finish(built, schema, text))
    }

    /// The predicate, its template shared; what was learnt of the text is kept.
    fn finish(
        &mut self,
        built: Built,
        before: &Schema,
        text: Option<(&[u8], &Tokens<'_>)>,
    ) -> Compiled {
        let Built { mut code, schema, reads, sites } = built;
        let template = self.template(&mut code);
        // A schema that grew is another one: this text settles nothing for the one it came from.
        if let (Some((key, tokens)), Some(sites), None) = (text, sites, &schema) {
            let (zone, number) = (&self.zone, before.number());
            let known =
                Known { schema: number, code: &code, sites, reads, zone, template: &template };
            self.texts.learn(key, tokens, known);
        }
        let constants = Constants::new(code.constants);
        Compiled { predicate: Predicate { template, constants }, schema }
    }

    fn template(&mut self, code: &mut Code) -> Arc<Template> {
        let key = program::key(&code.ops, &code.access, code.residual.as_ref());
        if let Some(template) = self.templates.get(&key).and_then(Weak::upgrade) {
            return template;
        }
        self.sweep();
        let id = self.next_id;
        self.next_id += 1;
        let template = Arc::new(Template {
            id,
            is_conjunction: program::is_conjunction(&code.ops),
            ops: code.ops.as_slice().into(),
            depth: code.depth,
            columns: code.columns.clone(),
            sets: code.sets.as_slice().into(),
            access: code.access.clone(),
            residual: code.residual.take(),
            shared_ops: program::share(&code.ops),
            zone: self.zone.clone(),
        });
        self.templates.insert(key, Arc::downgrade(&template));
        template
    }

    fn sweep(&mut self) {
        if self.templates.len() >= self.sweep_at {
            self.templates.retain(|_, template| template.strong_count() > 0);
            self.sweep_at = (2 * self.templates.len()).max(64);
        }
    }

    /// Bytes that texts seen before take, about: at most what the options allow.
    #[must_use]
    pub fn text_cache_bytes(&self) -> usize {
        self.texts.bytes()
    }

    /// How many clauses were compiled by their literals alone, and how many others without parsing
    /// their text.
    #[must_use]
    pub fn text_cache_hits(&self) -> (u64, u64) {
        self.hits
    }

    /// How many templates are in use.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.templates.values().filter(|template| template.strong_count() > 0).count()
    }
}

type Settings<'s> = (&'s Schema, &'s [Param<'s>], &'s Options, &'s Zone);

/// A clause from its tree to its code.
struct Built {
    code: Code,
    schema: Option<Schema>,
    reads: Vec<(usize, Type)>,
    sites: Option<Sites>,
}

/// Everything after the parser. `positions` are those of the literals, if the text is to be kept.
fn build(
    ast: &Ast,
    (schema, params, options, zone): Settings<'_>,
    positions: Option<&[usize]>,
) -> Result<Built, Error> {
    build_resolved(resolve::resolve(ast, schema, params, options, zone)?, zone, positions)
}

/// Everything after resolution.
fn build_resolved(
    resolved: Resolved,
    zone: &Zone,
    positions: Option<&[usize]>,
) -> Result<Built, Error> {
    let Resolved { expr, schema, late, reads } = resolved;
    let sites = positions.map(|positions| Sites::find(&expr, positions));
    let position = expr.position;
    let folded = fold::fold(expr, zone)
        .unwrap_or_else(|raise| Expr::new(Type::Bool, position, Node::Raise(raise)));
    if let (Some(error), true) = (late, folded.lacks_a_function()) {
        return Err(error);
    }
    Ok(Built { code: codegen::generate(&folded)?, schema, reads, sites })
}

/// Could there be a subquery in the clause?
fn may_have_subquery(clause: &str) -> bool {
    let words: [&[u8]; 4] = [b"select", b"with", b"values", b"table"];
    let clause = clause.as_bytes();
    words.iter().any(|word| clause.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word)))
}

/// Runs what recurses as deep as a clause's tree.
pub(crate) fn on_big_stack<R>(depth: usize, run: impl FnOnce() -> R) -> R {
    let need = STACK_BASE + depth * STACK_PER_LEVEL;
    stacker::maybe_grow(need, 2 * need, run)
}

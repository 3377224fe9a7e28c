//! [`Compiler`]: from a clause's text to a predicate.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::codegen::{self, Code};
use crate::constants::Constants;
use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::fold;
use crate::parse;
use crate::predicate::{Compiled, Predicate};
use crate::program::{self, Template};
use crate::resolve::{self, Resolved};
use crate::schema::Schema;
use crate::types::Type;
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
}

impl Default for Options {
    fn default() -> Options {
        Options {
            time_zone: "UTC".to_owned(),
            ascii_case: false,
            order_any_collation_by_bytes: false,
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
    /// Dead templates are swept out when the map has grown to this size.
    sweep_at: usize,
    next_id: u64,
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
        Ok(Compiler { options, zone, templates: HashMap::new(), sweep_at: 64, next_id: 0 })
    }

    /// Compiles a clause against a table's columns.
    ///
    /// # Errors
    /// Everything [`Error`] lists: the clause is refused, with the reason and its place.
    pub fn compile(
        &mut self,
        clause: &str,
        schema: &Schema,
        params: &[Param<'_>],
    ) -> Result<Compiled, Error> {
        let depth = parse::check(clause)?;
        let need = STACK_BASE + depth * STACK_PER_LEVEL;
        let (options, zone) = (&self.options, &self.zone);
        // Callers sit on small stacks (an Erlang scheduler's), where running out is no panic.
        let (code, schema) = stacker::maybe_grow(need, 2 * need, || {
            let ast = parse::parse(clause)?;
            let Resolved { expr, schema, late } =
                resolve::resolve(&ast, schema, params, options, zone)?;
            let position = expr.position;
            let folded = fold::fold(expr, zone)
                .unwrap_or_else(|raise| Expr::new(Type::Bool, position, Node::Raise(raise)));
            if let (Some(error), true) = (late, folded.lacks_a_function()) {
                return Err(error);
            }
            Ok::<_, Error>((codegen::generate(&folded)?, schema))
        })?;
        let Code { ops, constants, depth, columns, access } = code;
        let key = program::key(&ops, &access);
        let template = match self.templates.get(&key).and_then(Weak::upgrade) {
            Some(template) => template,
            None => {
                self.sweep();
                let id = self.next_id;
                self.next_id += 1;
                let is_conjunction = program::is_conjunction(&ops);
                let ops = ops.into_boxed_slice();
                let template = Arc::new(Template {
                    id,
                    ops,
                    is_conjunction,
                    depth,
                    columns,
                    access,
                    zone: self.zone.clone(),
                });
                self.templates.insert(key, Arc::downgrade(&template));
                template
            }
        };
        let predicate = Predicate { template, constants: Constants::new(constants) };
        Ok(Compiled { predicate, schema })
    }

    fn sweep(&mut self) {
        if self.templates.len() >= self.sweep_at {
            self.templates.retain(|_, template| template.strong_count() > 0);
            self.sweep_at = (2 * self.templates.len()).max(64);
        }
    }

    /// How many templates are in use.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.templates.values().filter(|template| template.strong_count() > 0).count()
    }
}

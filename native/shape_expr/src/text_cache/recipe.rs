//! How a template's constants are made of a text's literals.
//!
//! A literal may differ from clause to clause only where it is proved that nothing but one constant
//! depends on it: it stands, maybe under casts, beside an operand that reads a column, of an operator
//! that resolution chooses by types alone; it was read by its type's input function, or is a number
//! of the same class; and what it is folded to is not NULL. Every other literal must be the same.

use std::collections::HashMap;

use bumpalo::Bump;

use crate::catalog;
use crate::codegen::Origin;
use crate::constants::{Const, Constants, InSet, Search};
use crate::expr::{Expr, Function, Node};
use crate::fold;
use crate::parse::literals::{Literal, Token, Tokens};
use crate::types::Type;
use crate::values;
use crate::values::datetime::Zone;

use super::skeleton::{Place, Skeleton};
use super::{Known, WeakTemplate, expr_bytes};

/// Operators that resolution chooses by the types of their operands and nothing else, and whose
/// literal operands it only reads.
const PLAIN: &[&str] = &[
    "=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~~* (C)", "!~~* (C)", "~", "!~",
    "~*", "!~*", "~ (C)", "!~ (C)", "~* (C)", "!~* (C)", "^@", "@>", "<@", "&&", "||", "+", "-",
    "*", "/", "%", "&", "|", "#", "<<", ">>", "->", "->>", "?",
];

/// A constant operand that holds one literal.
struct Site {
    token: u32,
    subtree: Expr,
    /// It is the array of an ANY, which folding makes a list of.
    is_list: bool,
}

/// The literals of a resolved clause that a constant each depends on.
#[derive(Default)]
pub(crate) struct Sites {
    by_position: HashMap<usize, Option<Site>>,
    /// How often each literal occurs in the tree.
    seen: Vec<u32>,
}

impl Sites {
    /// Looks for them before constants are folded; `positions` says where the literals stand.
    pub(crate) fn find(expr: &Expr, positions: &[usize]) -> Sites {
        let mut sites = Sites { by_position: HashMap::new(), seen: vec![0; positions.len()] };
        let mut places: Vec<(usize, u32)> =
            positions.iter().enumerate().map(|(token, at)| (*at, token as u32)).collect();
        places.sort_unstable();
        let token = |at: usize| {
            let found = places.binary_search_by_key(&at, |(position, _)| *position).ok()?;
            Some(places[found].1)
        };
        count(expr, &token, &mut |token| sites.seen[token as usize] += 1);
        sites.walk(expr, &token);
        sites
    }

    fn walk(&mut self, expr: &Expr, token: &dyn Fn(usize) -> Option<u32>) {
        let operands: Vec<(&Expr, bool)> = match &expr.node {
            Node::Call { function, args } if PLAIN.contains(&function.name) => {
                args.iter().map(|arg| (arg, false)).collect()
            }
            Node::Distinct { args, .. } => args.iter().map(|arg| (arg, false)).collect(),
            Node::AnyOf { items, left, .. } => {
                items.iter().chain([&**left]).map(|arg| (arg, false)).collect()
            }
            Node::AnyArray { args, .. } => vec![(&args[0], false), (&args[1], true)],
            _ => {
                expr.children(&mut |child| self.walk(child, token));
                return;
            }
        };
        let reads: Vec<bool> = operands.iter().map(|(arg, _)| arg.reads_columns()).collect();
        for ((operand, is_list), reads_columns) in operands.iter().zip(&reads) {
            if *reads_columns {
                self.walk(operand, token);
                continue;
            }
            let mut only = None;
            let mut literals = 0;
            count(operand, token, &mut |token| {
                literals += 1;
                only = Some(token);
            });
            if let (1, Some(token), true) = (literals, only, reads.contains(&true)) {
                let subtree = (*operand).clone();
                let site = Site { token, subtree, is_list: *is_list };
                self.by_position
                    .entry(operand.position)
                    .and_modify(|twice| *twice = None)
                    .or_insert(Some(site));
            }
        }
    }

    fn at(&self, position: usize) -> Option<&Site> {
        let site = self.by_position.get(&position)?.as_ref()?;
        (self.seen.get(site.token as usize) == Some(&1)).then_some(site)
    }
}

fn count(expr: &Expr, token: &dyn Fn(usize) -> Option<u32>, found: &mut dyn FnMut(u32)) {
    if let Node::Const(_) | Node::Late(_) = expr.node
        && let Some(token) = token(expr.position)
    {
        found(token);
    }
    expr.children(&mut |child| count(child, token, found));
}

/// How a literal's text becomes a value.
#[derive(Clone, Debug, PartialEq)]
enum Reader {
    Integer,
    Input(Type),
}

/// A constant made of one literal.
struct One {
    token: u32,
    reader: Reader,
    /// What folds the value to the constant, the literal's place in it marked by its position.
    through: Option<(Box<Expr>, usize)>,
}

enum Item {
    Same(Const),
    Made(One),
}

enum Recipe {
    Same(Const),
    One(One),
    Pattern(One, Function),
    Set(Box<[Item]>, Search),
    /// The elements of an array.
    List(One, Search),
}

/// A schema's way from literals to constants.
pub(super) struct Variant {
    schema: u64,
    same: Vec<(u32, Literal<'static>)>,
    pub template: WeakTemplate,
    recipes: Box<[Recipe]>,
    bytes: usize,
}

impl Variant {
    pub(super) fn new(
        skeleton: &Skeleton,
        tokens: &Tokens<'_>,
        known: Known<'_>,
        scratch: &mut Bump,
    ) -> Variant {
        let Known { schema, code, sites, reads, zone, template } = known;
        let one = |position: usize, list: bool| -> Option<One> {
            let site = sites.at(position).filter(|site| site.is_list == list)?;
            let token = tokens.get(site.token as usize)?;
            let Place::Leaf { position, .. } = skeleton.places.get(site.token as usize)? else {
                return None;
            };
            let position = *position;
            let reader = match &token.literal {
                _ if token.at_edge => return None,
                Literal::Int(_) => Reader::Integer,
                Literal::Number(_) => Reader::Input(Type::Numeric),
                Literal::Text(_) => {
                    let mut types = reads.iter().filter(|(at, _)| *at == position);
                    let (_, ty) = types.next()?;
                    types.all(|(_, other)| other == ty).then_some(())?;
                    Reader::Input(ty.clone())
                }
                Literal::Other => return None,
            };
            let leaf = matches!(site.subtree.node, Node::Const(_));
            let through = (!leaf).then(|| (Box::new(site.subtree.clone()), position));
            Some(One { token: site.token, reader, through })
        };
        let mut recipes = Vec::with_capacity(code.constants.len());
        for (constant, origin) in code.constants.iter().zip(&code.origins) {
            let recipe = match origin {
                Origin::One { position } => one(*position, false).map(Recipe::One),
                Origin::Pattern { position, function } => {
                    one(*position, false).map(|one| Recipe::Pattern(one, function.clone()))
                }
                Origin::Set { items, search } => {
                    let list = match items.as_slice() {
                        [(first, _), rest @ ..] if rest.iter().all(|(at, _)| at == first) => {
                            one(*first, true)
                        }
                        _ => None,
                    };
                    Some(match list {
                        Some(list) => Recipe::List(list, *search),
                        None => {
                            let item = |(position, value): &(usize, Const)| {
                                one(*position, false)
                                    .map_or_else(|| Item::Same(value.clone()), Item::Made)
                            };
                            Recipe::Set(items.iter().map(item).collect(), *search)
                        }
                    })
                }
                Origin::None => None,
            };
            // What does not give this very constant was not understood.
            let gives = |recipe: &Recipe, scratch: &mut Bump| {
                recipe
                    .constant(skeleton, tokens, zone, scratch)
                    .is_some_and(|made| made.is_same(constant))
            };
            recipes.push(match recipe {
                Some(recipe) if gives(&recipe, scratch) => recipe,
                _ => Recipe::Same(constant.clone()),
            });
        }
        let mut free = vec![false; tokens.len()];
        for recipe in &recipes {
            recipe.tokens(&mut |token| free[token as usize] = true);
        }
        let same = tokens.iter().zip(&free).enumerate().filter(|(_, (_, free))| !**free);
        let same: Vec<_> =
            same.map(|(at, (token, _))| (at as u32, token.literal.clone().into_owned())).collect();
        let bytes = size_of::<Variant>()
            + recipes.iter().map(Recipe::bytes).sum::<usize>()
            + same.iter().map(|(_, literal)| 40 + text_bytes(literal)).sum::<usize>();
        let template = std::sync::Arc::downgrade(template);
        Variant { schema, same, template, recipes: recipes.into(), bytes }
    }

    pub(super) fn fits(&self, schema: u64, tokens: &Tokens<'_>) -> bool {
        let is = |(at, literal): &(u32, Literal<'static>)| {
            tokens.get(*at as usize).is_some_and(|token| token.literal == *literal)
        };
        self.schema == schema && self.same.iter().all(is)
    }

    /// Whether its constants are made at once, on whatever stack: nothing is folded for them, and no
    /// pattern is prepared.
    pub(super) fn is_light(&self) -> bool {
        let light = |one: &One| one.through.is_none();
        self.recipes.iter().all(|recipe| match recipe {
            Recipe::Same(_) => true,
            Recipe::One(one) | Recipe::List(one, _) => light(one),
            Recipe::Pattern(..) => false,
            Recipe::Set(items, _) => items.iter().all(|item| match item {
                Item::Same(_) => true,
                Item::Made(one) => light(one),
            }),
        })
    }

    pub(super) fn is_stale(&self) -> bool {
        self.template.strong_count() == 0
    }

    /// Does `newer` stand for the same clauses?
    pub(super) fn replaces(&self, newer: &Variant) -> bool {
        self.schema == newer.schema && self.same == newer.same
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn constants(
        &self,
        skeleton: &Skeleton,
        tokens: &Tokens<'_>,
        zone: &Zone,
        scratch: &mut Bump,
    ) -> Option<Constants> {
        let mut constants = Vec::with_capacity(self.recipes.len());
        for recipe in &self.recipes {
            constants.push(recipe.constant(skeleton, tokens, zone, scratch)?);
        }
        Some(Constants::new(constants))
    }
}

fn text_bytes(literal: &Literal<'_>) -> usize {
    match literal {
        Literal::Text(text) | Literal::Number(text) => text.len(),
        _ => 0,
    }
}

impl Recipe {
    fn constant(
        &self,
        skeleton: &Skeleton,
        tokens: &Tokens<'_>,
        zone: &Zone,
        scratch: &mut Bump,
    ) -> Option<Const> {
        Some(match self {
            Recipe::Same(constant) => constant.clone(),
            Recipe::One(one) => one.value(skeleton, tokens, zone, scratch)?,
            Recipe::Pattern(one, function) => {
                let value = one.value(skeleton, tokens, zone, scratch)?;
                Const::Pattern(catalog::prepare(function, &[None, Some(&value)])?.ok()?.into())
            }
            Recipe::Set(items, search) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(match item {
                        Item::Same(value) => value.clone(),
                        Item::Made(one) => one.value(skeleton, tokens, zone, scratch)?,
                    });
                }
                Const::Set(InSet::new(values, *search).into())
            }
            Recipe::List(one, search) => match one.value(skeleton, tokens, zone, scratch)? {
                Const::Array(array) => {
                    Const::Set(InSet::new(array.items().to_vec(), *search).into())
                }
                _ => return None,
            },
        })
    }

    /// The literals it is made of.
    fn tokens(&self, visit: &mut dyn FnMut(u32)) {
        match self {
            Recipe::Same(_) => {}
            Recipe::One(one) | Recipe::Pattern(one, _) | Recipe::List(one, _) => visit(one.token),
            Recipe::Set(items, _) => items.iter().for_each(|item| match item {
                Item::Same(_) => {}
                Item::Made(one) => visit(one.token),
            }),
        }
    }

    fn bytes(&self) -> usize {
        let one = |one: &One| one.through.as_ref().map_or(0, |(expr, _)| expr_bytes(expr));
        size_of::<Recipe>()
            + match self {
                Recipe::Same(value) => value.heap_bytes(),
                Recipe::One(made) | Recipe::Pattern(made, _) | Recipe::List(made, _) => one(made),
                Recipe::Set(items, _) => {
                    let item = |item: &Item| match item {
                        Item::Same(value) => value.heap_bytes(),
                        Item::Made(made) => one(made),
                    };
                    items.iter().map(|i| size_of::<Item>() + item(i)).sum()
                }
            }
    }
}

impl One {
    /// `None`: not this way.
    fn value(
        &self,
        skeleton: &Skeleton,
        tokens: &Tokens<'_>,
        zone: &Zone,
        scratch: &mut Bump,
    ) -> Option<Const> {
        let at = self.token as usize;
        let token: &Token<'_> = tokens.get(at)?;
        let negated = matches!(skeleton.places.get(at)?, Place::Leaf { negated: true, .. });
        let value = match (&self.reader, &token.literal) {
            (Reader::Integer, Literal::Int(i)) => Const::Int(if negated { -i } else { *i }),
            (Reader::Input(ty), Literal::Text(text)) if !negated => read(ty, text, zone, scratch)?,
            (Reader::Input(ty), Literal::Number(raw)) => match negated {
                true => read(ty, &format!("-{raw}"), zone, scratch)?,
                false => read(ty, raw, zone, scratch)?,
            },
            _ => return None,
        };
        let value = match &self.through {
            None => value,
            Some((subtree, position)) => {
                let mut subtree = (**subtree).clone();
                if !put(&mut subtree, *position, &value) {
                    return None;
                }
                match fold::fold(subtree, zone).ok()?.node {
                    Node::Const(value) | Node::Late(value) => value,
                    _ => return None,
                }
            }
        };
        (!value.is_null()).then_some(value)
    }
}

fn read(ty: &Type, text: &str, zone: &Zone, scratch: &mut Bump) -> Option<Const> {
    match ty {
        Type::Text | Type::Varchar => return Some(Const::Text(text.into())),
        _ => scratch.reset(),
    }
    let value = values::input_in(zone, ty, text, scratch).ok()?;
    Const::from_value(&value)
}

/// Puts the value where the literal stands; false if it stands where this does not look.
fn put(expr: &mut Expr, position: usize, value: &Const) -> bool {
    match &mut expr.node {
        Node::Const(place) if expr.position == position => {
            *place = value.clone();
            true
        }
        Node::Call { args, .. } | Node::Map { args, .. } => {
            args.iter_mut().any(|arg| put(arg, position, value))
        }
        Node::Collate { inner, .. } | Node::Not(inner) => put(inner, position, value),
        _ => false,
    }
}

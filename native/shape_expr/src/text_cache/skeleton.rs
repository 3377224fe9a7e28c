//! A syntax tree whose literals can be exchanged.

use crate::parse::ast::{Ast, AstKind};
use crate::parse::literals::{Literal, Token, Tokens};

use super::recipe::Variant;

/// What a literal of the text is in the tree.
pub(super) enum Place {
    /// A leaf, which stands at this position; `negated` if the grammar took the minus before it in.
    Leaf { position: usize, negated: bool },
    /// No leaf of its own (a type's length): it must be the same.
    Fixed(Literal<'static>),
}

/// A clause's tree with what tells where its literals go.
pub(crate) struct Skeleton {
    pub ast: Ast,
    pub(super) depth: usize,
    /// By literal of the text.
    pub(super) places: Vec<Place>,
    /// By leaf of the tree: the literal that it shows, and whether negated.
    leaves: Vec<Option<(u32, bool)>>,
    pub(super) variants: Vec<Variant>,
    /// Bytes it counts for.
    pub(super) charged: usize,
}

/// What the grammar makes of a literal.
fn kind(token: &Token<'_>, negated: bool) -> Option<AstKind> {
    Some(match &token.literal {
        Literal::Text(_) if negated => return None,
        Literal::Text(text) => AstKind::String(text.clone().into_owned()),
        Literal::Int(i) => match i32::try_from(*i) {
            Ok(i) => AstKind::Integer(if negated { -i } else { i }),
            Err(_) => number(token.raw, negated),
        },
        Literal::Number(raw) => number(raw, negated),
        Literal::Other => return None,
    })
}

fn number(raw: &str, negated: bool) -> AstKind {
    AstKind::Number(if negated { format!("-{raw}") } else { raw.to_owned() })
}

fn shows(leaf: &AstKind, token: &Token<'_>, negated: bool) -> bool {
    match (leaf, kind(token, negated)) {
        (AstKind::Integer(a), Some(AstKind::Integer(b))) => *a == b,
        (AstKind::Number(a), Some(AstKind::Number(b)))
        | (AstKind::String(a), Some(AstKind::String(b))) => *a == b,
        _ => false,
    }
}

impl Skeleton {
    pub(crate) fn new(mut ast: Ast, depth: usize, tokens: &Tokens<'_>) -> Skeleton {
        // Position, place in the tree's order, and what it is.
        let mut found: Vec<(usize, usize, AstKind)> = Vec::new();
        ast.literals_mut(&mut |leaf| found.push((leaf.position, found.len(), leaf.kind.clone())));
        let mut leaves = vec![None; found.len()];
        found.sort_by_key(|(position, ..)| *position);
        let at = |position: usize| {
            let from = found.partition_point(|(at, ..)| *at < position);
            match &found[from..] {
                // Two leaves in one place: something the grammar made up stands there too.
                [(a, ..), (b, ..), ..] if *a == position && *b == position => None,
                [(a, index, kind), ..] if *a == position => Some((*index, kind)),
                _ => None,
            }
        };
        let mut places = Vec::with_capacity(tokens.len());
        for (number, token) in tokens.iter().enumerate() {
            let here = at(token.start);
            let place = if token.is_param {
                here.filter(|(_, kind)| matches!(kind, AstKind::Param(_)))
                    .map(|_| Place::Leaf { position: token.start, negated: false })
            } else if let Some((index, _)) = here.filter(|(_, kind)| shows(kind, token, false)) {
                leaves[index] = Some((number as u32, false));
                Some(Place::Leaf { position: token.start, negated: false })
            } else if let Some(minus) = token.minus
                && let Some((index, _)) = at(minus).filter(|(_, kind)| shows(kind, token, true))
            {
                leaves[index] = Some((number as u32, true));
                Some(Place::Leaf { position: minus, negated: true })
            } else {
                None
            };
            let fixed = || Place::Fixed(token.literal.clone().into_owned());
            places.push(place.unwrap_or_else(fixed));
        }
        Skeleton { ast, depth, places, leaves, variants: Vec::new(), charged: 0 }
    }

    /// Are the literals that cannot be exchanged the same?
    pub(super) fn fits(&self, tokens: &Tokens<'_>) -> bool {
        self.places.len() == tokens.len()
            && self.places.iter().zip(tokens).all(|(place, token)| match place {
                Place::Leaf { .. } => true,
                Place::Fixed(literal) => *literal == token.literal,
            })
    }

    /// Puts these literals into the tree.
    pub(super) fn substitute(&mut self, tokens: &Tokens<'_>) {
        let mut leaves = self.leaves.iter();
        self.ast.literals_mut(&mut |leaf| {
            if let Some(Some((token, negated))) = leaves.next()
                && let Some(token) = tokens.get(*token as usize)
                && let Some(kind) = kind(token, *negated)
            {
                leaf.kind = kind;
            }
        });
    }

    /// Where each literal's leaf stands; for what is none, a place that nothing has.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let position = |place: &Place| match place {
            Place::Leaf { position, .. } => *position,
            Place::Fixed(_) => usize::MAX,
        };
        self.places.iter().map(position).collect()
    }

    pub(super) fn bytes(&mut self) -> usize {
        let mut nodes = 0;
        count(&mut self.ast, &mut nodes);
        nodes * (size_of::<Ast>() + 48)
            + self.places.len() * (size_of::<Place>() + 16)
            + size_of::<Skeleton>()
    }
}

fn count(ast: &mut Ast, nodes: &mut usize) {
    *nodes += 1;
    ast.children_mut(&mut |child| count(child, nodes));
}

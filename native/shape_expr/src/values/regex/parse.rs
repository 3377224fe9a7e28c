//! PostgreSQL's advanced regular expressions, read as the automata's own syntax tree.

use regex_syntax::hir::{Hir, Look};

use super::tree::{self, CAPTURES, LONGER, Node, SHORTER};
use super::{Flavor, Refused, set};
use crate::values::ctype::{self, Class, LAST, Locale, complement, normalise};

/// What parsing gives.
pub(super) struct Parsed {
    /// The whole, and, where groups are asked for, what it is made of.
    pub tree: Node,
    /// The word characters, if it has word boundaries: texts are searched with their words marked.
    pub words: Option<Vec<(u32, u32)>>,
    /// How many groups it has.
    pub groups: u32,
}

type Result<T> = std::result::Result<T, Refused>;

/// Groups within groups, and parts after groups.
const DEEPEST: usize = 100;
/// The largest count in braces.
const MOST: u32 = 255;

/// Parses an expression; with `captures`, so that it can be told what its groups match.
pub(super) fn parse(pattern: &str, flavor: Flavor, captures: bool) -> Result<Parsed> {
    let options = flavor.options;
    let mut parser = Parser {
        text: pattern.chars().collect(),
        at: 0,
        ignore_case: flavor.ignore_case,
        locale: flavor.locale,
        expanded: options.expanded,
        quoted: options.quoted,
        newline_stops: options.newline_stops,
        newline_anchors: options.newline_anchors,
        marked: None,
        depth: 0,
        captures,
        groups: 0,
    };
    parser.prefixes()?;
    // Whether there are word boundaries decides how sets are written: known only at the end.
    let start = parser.at;
    let mut tree = parser.everything()?;
    if parser.marked.is_some() {
        (parser.at, parser.groups) = (start, 0);
        tree = parser.everything()?;
    }
    Ok(Parsed { tree, words: parser.marked, groups: parser.groups })
}

struct Parser {
    text: Vec<char>,
    at: usize,
    locale: Locale,
    ignore_case: bool,
    expanded: bool,
    quoted: bool,
    newline_stops: bool,
    newline_anchors: bool,
    /// The word characters, from the first word boundary on.
    marked: Option<Vec<(u32, u32)>>,
    depth: usize,
    /// Do groups and preferences count?
    captures: bool,
    /// Groups opened so far.
    groups: u32,
}

/// The part of a branch read so far that has no structure of its own.
#[derive(Default)]
struct Plain {
    parts: Vec<Hir>,
    flags: u8,
}

/// What a backslash and what follows it stand for.
enum Escape {
    Character(u32),
    Class(Class),
    NotClass(Class),
    Look(Look),
}

/// One piece of a bracket expression.
enum Piece {
    Character(u32),
    Set(Vec<(u32, u32)>),
    /// A `-` between two ends.
    Range,
    Element(u32),
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c))
    }

    /// `***=`, `***:` and `(?options)`.
    fn prefixes(&mut self) -> Result<()> {
        if self.quoted {
            return Ok(());
        }
        if self.starts_with("***") && self.text.len() >= 4 {
            self.at = 4;
            match self.text[3] {
                '=' => {
                    self.quoted = true;
                    return Ok(());
                }
                ':' => {}
                _ => return Err(Refused::Invalid),
            }
        }
        let letter = self.text.get(self.at + 2).is_some_and(char::is_ascii_alphabetic);
        if !self.starts_with("(?") || !letter {
            return Ok(());
        }
        self.at += 2;
        let mut other = false;
        while let Some(c) = self.peek().filter(char::is_ascii_alphabetic) {
            self.at += 1;
            match c {
                'b' | 'e' => other = true,
                'c' => self.ignore_case = false,
                'i' => self.ignore_case = true,
                'm' | 'n' => (self.newline_stops, self.newline_anchors) = (true, true),
                'p' => (self.newline_stops, self.newline_anchors) = (true, false),
                'q' => self.quoted = true,
                's' => (self.newline_stops, self.newline_anchors) = (false, false),
                't' => self.expanded = false,
                'w' => (self.newline_stops, self.newline_anchors) = (false, true),
                'x' => self.expanded = true,
                _ => return Err(Refused::Invalid),
            }
        }
        match (self.eat(')'), other) {
            (false, _) => Err(Refused::Invalid),
            (true, true) => Err(Refused::Unsupported("a basic or extended regex")),
            (true, false) => Ok(()),
        }
    }

    fn everything(&mut self) -> Result<Node> {
        if self.quoted {
            let characters = self.text[self.at..].to_vec();
            let parts = characters.into_iter().map(|c| self.one(c.into())).collect();
            return Ok(Node::leaf(Hir::concat(parts), 0));
        }
        let tree = self.alternatives()?;
        match self.at == self.text.len() {
            true => Ok(tree),
            // A closing parenthesis too many.
            false => Err(Refused::Invalid),
        }
    }

    /// What stands for nothing: comments, and in the expanded syntax white space.
    fn skip(&mut self) {
        loop {
            self.skip_space();
            if !self.starts_with("(?#") {
                return;
            }
            while self.peek().is_some_and(|c| c != ')') {
                self.at += 1;
            }
            self.eat(')');
        }
    }

    fn skip_space(&mut self) {
        while self.expanded {
            match self.peek() {
                Some(' ' | '\t'..='\r') => self.at += 1,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn alternatives(&mut self) -> Result<Node> {
        let mut all = vec![self.branch()?];
        while self.eat('|') {
            all.push(self.branch()?);
        }
        Ok(match all.pop() {
            Some(only) if all.is_empty() => only,
            last => {
                all.extend(last);
                Node::alternation(all)
            }
        })
    }

    fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEEPEST {
            true => Err(Refused::Unsupported("a regex nested this deep")),
            false => Ok(()),
        }
    }

    fn at_end_of_branch(&mut self) -> bool {
        self.skip();
        matches!(self.peek(), None | Some('|' | ')'))
    }

    fn branch(&mut self) -> Result<Node> {
        let mut plain = Plain::default();
        while !self.at_end_of_branch() {
            // What has structure takes the rest of the branch with it.
            if let Some(node) = self.quantified_atom(&mut plain)? {
                return Ok(node);
            }
        }
        Ok(Node::leaf(Hir::concat(plain.parts), plain.flags))
    }

    /// One quantified atom or constraint: into the plain part where it has no groups and no
    /// preference but that part's; otherwise the branch from its start to its end, as PostgreSQL
    /// takes it apart.
    fn quantified_atom(&mut self, plain: &mut Plain) -> Result<Option<Node>> {
        let Some(c) = self.peek() else { return Ok(None) };
        if let Some(look) = self.constraint(c)? {
            plain.parts.push(Hir::look(look));
            return Ok(None);
        }
        let mut atom = self.atom(c)?;
        let (min, max, prefers) = self.quantifier()?;
        if max == Some(0) {
            plain.parts.push(Hir::empty());
            return Ok(None);
        }
        let flags = plain.flags | prefers | atom.flags;
        if !atom.has_structure() && !tree::is_messy(tree::up(flags)) {
            plain.parts.push(tree::repeat(atom.hir, min, max));
            plain.flags = flags;
            return Ok(None);
        }
        let outer = tree::combine(prefers, atom.flags);
        let own = atom.flags & (LONGER | SHORTER | tree::MIXED);
        if (min, max) == (1, Some(1)) && (prefers == 0 || own == 0 || prefers == own) {
        } else if atom.flags & CAPTURES == 0 {
            atom = Node::leaf(tree::repeat(atom.hir, min, max), outer);
        } else if min > 0 {
            // Only the last round counts for groups.
            let rounds = tree::repeat(atom.hir.clone(), min - 1, max.map(|max| max - 1));
            let rounds = Node::leaf(rounds, outer & tree::PREFERENCE);
            atom = Node::concatenation(rounds, atom, outer);
        } else {
            atom = Node::iteration(atom, min, max, outer);
        }
        let before = std::mem::take(plain);
        let vacuous = before.parts.is_empty();
        let prefix = Node::leaf(Hir::concat(before.parts), before.flags);
        if self.at_end_of_branch() {
            if vacuous {
                return Ok(Some(atom));
            }
            let flags = before.flags | tree::combine(before.flags, atom.flags);
            return Ok(Some(Node::concatenation(prefix, atom, flags)));
        }
        self.descend()?;
        let rest = self.branch()?;
        self.depth -= 1;
        let outer = outer | tree::combine(outer, rest.flags);
        let flags = before.flags | tree::combine(before.flags, outer);
        if vacuous {
            return Ok(Some(Node::concatenation(atom, rest, flags)));
        }
        let joined = tree::up(atom.flags | rest.flags);
        let tail = match atom.is_leaf() && rest.is_leaf() && !tree::is_messy(joined) {
            true => {
                let flags = tree::combine(atom.flags, rest.flags);
                Node::leaf(Hir::concat(vec![atom.hir, rest.hir]), flags)
            }
            false => Node::concatenation(atom, rest, outer),
        };
        Ok(Some(Node::concatenation(prefix, tail, flags)))
    }

    /// What matches places rather than characters, and takes no quantifier.
    fn constraint(&mut self, c: char) -> Result<Option<Look>> {
        let start = self.at;
        let look = match c {
            '^' if self.newline_anchors => Look::StartLF,
            '^' => Look::Start,
            '$' if self.newline_anchors => Look::EndLF,
            '$' => Look::End,
            '[' if self.starts_with("[[:<:]]") => {
                self.at += 7;
                return Ok(Some(self.boundary(Look::WordStartAscii)));
            }
            '[' if self.starts_with("[[:>:]]") => {
                self.at += 7;
                return Ok(Some(self.boundary(Look::WordEndAscii)));
            }
            '\\' => {
                self.at += 1;
                return match self.escape()? {
                    Escape::Look(Look::Start) => Ok(Some(Look::Start)),
                    Escape::Look(Look::End) => Ok(Some(Look::End)),
                    Escape::Look(look) => Ok(Some(self.boundary(look))),
                    _ => {
                        self.at = start;
                        Ok(None)
                    }
                };
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(look))
    }

    fn boundary(&mut self, look: Look) -> Look {
        let locale = self.locale;
        self.marked.get_or_insert_with(|| locale.class(Class::Word));
        look
    }

    fn atom(&mut self, c: char) -> Result<Node> {
        self.at += 1;
        let hir = match c {
            '*' | '+' | '?' => return Err(Refused::Invalid),
            '{' if self.is_bound() => return Err(Refused::Invalid),
            '.' if self.newline_stops => self.set(&complement(&[(0x0a, 0x0a)])),
            '.' => self.set(&[(0, LAST)]),
            '[' => self.bracket()?,
            '(' => return self.group(),
            '\\' => match self.escape()? {
                Escape::Character(c) => self.one(c),
                Escape::Class(class) => self.set(&self.class(class)),
                Escape::NotClass(class) => self.set(&complement(&self.class(class))),
                Escape::Look(look) => Hir::look(look),
            },
            c => self.one(c.into()),
        };
        Ok(Node::leaf(hir, 0))
    }

    /// After a `{`: is it a bound, or an ordinary brace?
    fn is_bound(&mut self) -> bool {
        let start = self.at;
        self.skip_space();
        let digit = self.peek().is_some_and(|c| c.is_ascii_digit());
        if !digit {
            self.at = start;
        }
        digit
    }

    fn group(&mut self) -> Result<Node> {
        let mut number = None;
        if self.eat('?') {
            match self.peek() {
                Some(':') => self.at += 1,
                Some('=' | '!') => return Err(Refused::Unsupported("lookahead in a regex")),
                Some('<') if matches!(self.text.get(self.at + 1), Some('=' | '!')) => {
                    return Err(Refused::Unsupported("lookbehind in a regex"));
                }
                _ => return Err(Refused::Invalid),
            }
        } else {
            self.groups += 1;
            number = Some(self.groups).filter(|_| self.captures);
        }
        self.descend()?;
        let inner = self.alternatives()?;
        self.depth -= 1;
        match (self.eat(')'), number) {
            (true, Some(number)) => Ok(inner.captured(number)),
            (true, None) => Ok(inner),
            (false, _) => Err(Refused::Invalid),
        }
    }

    /// The least and greatest count, and which of them is preferred.
    fn quantifier(&mut self) -> Result<(u32, Option<u32>, u8)> {
        self.skip();
        let start = self.at;
        let Some(c) = self.peek() else { return Ok((1, Some(1), 0)) };
        self.at += 1;
        let ((min, max), prefers) = match c {
            '*' => ((0, None), true),
            '+' => ((1, None), true),
            '?' => ((0, Some(1)), true),
            '{' if self.is_bound() => self.bound()?,
            _ => {
                self.at = start;
                return Ok((1, Some(1), 0));
            }
        };
        let shorter = self.eat('?');
        let preference = match (self.captures && prefers, shorter) {
            (false, _) => 0,
            (true, false) => LONGER,
            (true, true) => SHORTER,
        };
        Ok((min, max, preference))
    }

    /// `m}`, `m,}` or `m,n}`.
    /// The counts, and whether there is a preference: `{m}` leaves that to what it repeats.
    fn bound(&mut self) -> Result<((u32, Option<u32>), bool)> {
        let mut prefers = false;
        let min = self.number()?;
        self.skip_space();
        let mut max = Some(min);
        if self.eat(',') {
            prefers = true;
            self.skip_space();
            max = match self.peek() {
                Some(c) if c.is_ascii_digit() => Some(self.number()?),
                _ => None,
            };
            self.skip_space();
        }
        if !self.eat('}') || max.is_some_and(|max| max < min) {
            return Err(Refused::Invalid);
        }
        Ok(((min, max), prefers))
    }

    fn number(&mut self) -> Result<u32> {
        let mut number = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            if number >= MOST {
                return Err(Refused::Invalid);
            }
            number = number * 10 + digit;
            self.at += 1;
            self.skip_space();
        }
        if number > MOST { Err(Refused::Invalid) } else { Ok(number) }
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<Escape> {
        let c = self.peek().ok_or(Refused::Invalid)?;
        self.at += 1;
        Ok(match c {
            'a' => Escape::Character(0x07),
            'A' => Escape::Look(Look::Start),
            'b' => Escape::Character(0x08),
            'B' => Escape::Character(u32::from('\\')),
            'c' => {
                let c = self.peek().ok_or(Refused::Invalid)?;
                self.at += 1;
                Escape::Character(u32::from(c) & 0x1f)
            }
            'd' => Escape::Class(Class::Digit),
            'D' => Escape::NotClass(Class::Digit),
            'e' => Escape::Character(0x1b),
            'f' => Escape::Character(0x0c),
            'm' => Escape::Look(Look::WordStartAscii),
            'M' => Escape::Look(Look::WordEndAscii),
            'n' => Escape::Character(0x0a),
            'r' => Escape::Character(0x0d),
            's' => Escape::Class(Class::Space),
            'S' => Escape::NotClass(Class::Space),
            't' => Escape::Character(0x09),
            'u' => Escape::Character(self.digits(16, 4, 4)?),
            'U' => Escape::Character(self.digits(16, 8, 8)?),
            'v' => Escape::Character(0x0b),
            'w' => Escape::Class(Class::Word),
            'W' => Escape::NotClass(Class::Word),
            'x' => Escape::Character(self.digits(16, 1, 255)?),
            'y' => Escape::Look(Look::WordAscii),
            'Y' => Escape::Look(Look::WordAsciiNegate),
            'Z' => Escape::Look(Look::End),
            '0'..='9' => {
                self.at -= 1;
                let start = self.at;
                if c != '0' {
                    // More than one digit and more than there are groups: an octal number after all.
                    let number = self.digits(10, 1, 255)?;
                    let groups = (0..start).filter(|at| self.text[*at] == '(').count();
                    if self.at == start + 1 || number as usize <= groups {
                        return Err(Refused::Unsupported("a back reference in a regex"));
                    }
                    self.at = start;
                }
                let mut c = self.digits(8, 1, 3)?;
                if c > 0xff {
                    self.at -= 1;
                    c >>= 3;
                }
                Escape::Character(c)
            }
            c if c.is_ascii_alphabetic() => return Err(Refused::Invalid),
            c => Escape::Character(c.into()),
        })
    }

    /// A character's number: at least and at most so many digits.
    fn digits(&mut self, radix: u32, least: usize, most: usize) -> Result<u32> {
        let (mut number, mut count) = (0_u64, 0);
        while count < most {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(radix)) else { break };
            number = number * u64::from(radix) + u64::from(digit);
            // PostgreSQL lets it wrap around.
            if number > u64::from(u32::MAX) {
                return Err(Refused::Unsupported("a character number this large in a regex"));
            }
            self.at += 1;
            count += 1;
        }
        match u32::try_from(number) {
            Ok(number) if count >= least && number <= 0x7fff_fffe => Ok(number),
            _ => Err(Refused::Invalid),
        }
    }

    fn class(&self, class: Class) -> Vec<(u32, u32)> {
        let class = match class {
            Class::Lower | Class::Upper if self.ignore_case => Class::Alpha,
            class => class,
        };
        self.locale.class(class)
    }

    /// A character's other cases: both, but not itself if it is neither (a title case letter).
    fn cases(&self, c: u32) -> [(u32, u32); 2] {
        if !self.ignore_case {
            return [(c, c); 2];
        }
        let (lower, upper) = (self.locale.lower(c), self.locale.upper(c));
        [(lower, lower), (upper, upper)]
    }

    fn one(&self, c: u32) -> Hir {
        self.set(&normalise(self.cases(c).to_vec()))
    }

    fn set(&self, ranges: &[(u32, u32)]) -> Hir {
        match &self.marked {
            None => set::one_of(ranges),
            Some(words) => set::one_of_marked(ranges, words),
        }
    }

    /// After a `[`.
    fn bracket(&mut self) -> Result<Hir> {
        let negated = self.eat('^');
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(Refused::Invalid),
                Some(']') if !first => break,
                Some(_) => {}
            }
            let piece = self.piece(first)?;
            first = false;
            let from = match piece {
                Piece::Range => return Err(Refused::Invalid),
                Piece::Set(set) => {
                    ranges.extend(set);
                    continue;
                }
                Piece::Character(c) | Piece::Element(c) => c,
            };
            if !self.at_range() {
                match piece {
                    Piece::Element(c) => ranges.extend(self.range(c, c)?),
                    _ => ranges.extend(self.cases(from)),
                }
                continue;
            }
            self.at += 1;
            let to = match self.piece(false)? {
                Piece::Character(c) | Piece::Element(c) => c,
                Piece::Range => u32::from('-'),
                Piece::Set(_) => return Err(Refused::Invalid),
            };
            ranges.extend(self.range(from, to)?);
        }
        self.at += 1;
        let ranges = normalise(ranges);
        Ok(match (negated, self.newline_stops) {
            (false, _) => self.set(&ranges),
            (true, false) => self.set(&complement(&ranges)),
            (true, true) => {
                self.set(&complement(&normalise([ranges, vec![(0x0a, 0x0a)]].concat())))
            }
        })
    }

    /// A `-` that is neither the first nor the last of its bracket.
    fn at_range(&self) -> bool {
        self.peek() == Some('-') && self.text.get(self.at + 1) != Some(&']')
    }

    fn piece(&mut self, first: bool) -> Result<Piece> {
        let c = self.peek().ok_or(Refused::Invalid)?;
        if !first && self.at_range() {
            self.at += 1;
            return Ok(Piece::Range);
        }
        self.at += 1;
        match c {
            ']' if !first => Err(Refused::Invalid),
            '\\' => Ok(match self.escape()? {
                Escape::Character(c) => Piece::Character(c),
                Escape::Class(class) => Piece::Set(self.class(class)),
                Escape::NotClass(class) => Piece::Set(complement(&self.class(class))),
                Escape::Look(_) => return Err(Refused::Invalid),
            }),
            '[' => match self.peek() {
                None => Err(Refused::Invalid),
                Some(':') => {
                    let name = self.named(':')?;
                    let class = Class::by_name(&name).ok_or(Refused::Invalid)?;
                    Ok(Piece::Set(self.class(class)))
                }
                Some('=') => {
                    let c = single(&self.named('=')?)?;
                    Ok(Piece::Set(self.cases(c).to_vec()))
                }
                Some('.') => Ok(Piece::Element(single(&self.named('.')?)?)),
                Some(_) => Ok(Piece::Character(c.into())),
            },
            c => Ok(Piece::Character(c.into())),
        }
    }

    /// The name in `[:name:]`, `[=name=]` or `[.name.]`.
    fn named(&mut self, mark: char) -> Result<String> {
        self.at += 1;
        let start = self.at;
        loop {
            if self.peek().is_none() {
                return Err(Refused::Invalid);
            }
            if self.peek() == Some(mark) && self.text.get(self.at + 1) == Some(&']') {
                let name = self.text[start..self.at].iter().collect();
                self.at += 2;
                return Ok(name);
            }
            self.at += 1;
        }
    }

    fn range(&self, from: u32, to: u32) -> Result<Vec<(u32, u32)>> {
        if from > to {
            return Err(Refused::Invalid);
        }
        let mut ranges = vec![(from, to)];
        if !self.ignore_case {
            return Ok(ranges);
        }
        // Other cases outside the range are added one by one, as many as PostgreSQL has room for.
        let count = u64::from(to) - u64::from(from) + 1;
        let room = if count > 100_000 { 100_000 } else { count as usize };
        for c in from..=to.min(LAST) {
            for other in [self.locale.lower(c), self.locale.upper(c)] {
                if other != c && !(from..=to).contains(&other) {
                    if ranges.len() > room {
                        return Err(Refused::Invalid);
                    }
                    ranges.push((other, other));
                }
            }
        }
        Ok(ctype::normalise(ranges))
    }
}

/// A collating element: a character. PostgreSQL has names for some; they are not known here.
fn single(name: &str) -> Result<u32> {
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(c), None) => Ok(c.into()),
        (None, _) => Err(Refused::Invalid),
        _ => Err(Refused::Unsupported("a named character in a regex")),
    }
}

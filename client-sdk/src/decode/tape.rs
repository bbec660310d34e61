//! Parses JSON into one list of all its values, in the order of the text.
//!
//! The parser is strict and total, like `JSON.parse`. It uses a loop rather than recursion, so no
//! depth is too deep. It copies nothing: a value is a slice of the text, and the escapes in a
//! string are resolved only on demand.

use crate::prelude::*;

/// How many members are asked for at once at most: as many as the contract's largest object has.
pub(super) const MEMBERS: usize = 6;

/// The values of a JSON text; the first one is the whole.
#[derive(Debug)]
pub(super) struct Tape<'a>(Vec<Node<'a>>);

/// A value of the tape, which all that is inside of it follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'t>(&'t [Node<'t>]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Text,
    Number,
    /// `true`, `false` or `null`.
    Word,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    kind: Kind,
    /// Of a member of an object: its name, with the escapes that it came with.
    name: &'a str,
    /// What stands between the quotes, or the number or word; nothing for an object or array.
    text: &'a str,
    /// Whether there are escapes in the name or the text.
    is_escaped: bool,
    /// How many values it is, with all that are inside of it.
    size: usize,
}

impl<'a> Tape<'a> {
    /// Takes a text apart; none where it is not JSON.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let mut scanner = Scanner { text, at: 0, is_escaped: false };
        // A value is seldom shorter than this together with its name.
        let mut nodes: Vec<Node<'a>> = Vec::with_capacity(text.len() / 24);
        let mut open: Vec<usize> = Vec::new();
        let mut name = "";
        loop {
            let at = nodes.len();
            let (kind, text) = scanner.begin()?;
            let is_escaped = core::mem::take(&mut scanner.is_escaped);
            nodes.push(Node { kind, is_escaped, name, text, size: 1 });
            let mut inside = match kind {
                Kind::Object => !scanner.eats(b'}'),
                Kind::Array => !scanner.eats(b']'),
                _ => false,
            };
            if inside {
                open.push(at);
            }
            // Either a value begins here, or some end.
            while !inside {
                let Some(around) = open.last().copied() else {
                    return scanner.is_done().then_some(Self(nodes));
                };
                inside = scanner.eats(b',');
                if !inside {
                    let size = nodes.len() - around;
                    let around = nodes.get_mut(around)?;
                    around.size = size;
                    if !scanner.eats(if around.kind == Kind::Object { b'}' } else { b']' }) {
                        return None;
                    }
                    open.pop();
                }
            }
            let around = nodes.get(*open.last()?)?;
            name = if around.kind == Kind::Object { scanner.name()? } else { "" };
        }
    }

    /// The whole.
    pub(super) fn root(&self) -> Value<'_> {
        Value(&self.0)
    }
}

impl<'t> Value<'t> {
    pub(super) fn is_object(self) -> bool {
        self.kind() == Some(Kind::Object)
    }

    pub(super) fn is_null(self) -> bool {
        self.0.first().is_none_or(|node| node.kind == Kind::Word && node.text == "null")
    }

    pub(super) fn is_false(self) -> bool {
        self.0.first().is_some_and(|node| node.kind == Kind::Word && node.text == "false")
    }

    /// The values of an array.
    pub(super) fn items(self) -> Option<Children<'t>> {
        (self.kind() == Some(Kind::Array)).then(|| self.children())
    }

    /// The members of those names, in the order of the names, at most [`MEMBERS`]; null stands for
    /// one that is not there.
    ///
    /// # Errors
    ///
    /// The name that is there twice.
    pub(super) fn members(self, names: &[&'static str]) -> Result<[Self; MEMBERS], &'static str> {
        let mut members = [Value(&[]); MEMBERS];
        // Most objects have their members in our order, so this checks the next name first.
        let mut next = 0;
        for child in self.children() {
            let Some(node) = child.0.first() else { continue };
            for at in (next..names.len()).chain(0..next) {
                let (Some(name), Some(member)) = (names.get(at), members.get_mut(at)) else {
                    break;
                };
                if node.is_named(name) {
                    if member.is_there() {
                        return Err(name);
                    }
                    *member = child;
                    next = at + 1;
                    break;
                }
            }
        }
        Ok(members)
    }

    /// Whether it is more than the null that stands for nothing.
    pub(super) fn is_there(self) -> bool {
        !self.0.is_empty()
    }

    /// What a string says; none where it is none, or no text because half a surrogate pair is in it.
    pub(super) fn text(self) -> Option<String> {
        let node = self.0.first().filter(|node| node.kind == Kind::Text)?;
        if node.is_escaped { unescaped(node.text) } else { Some(node.text.to_owned()) }
    }

    /// An integer that is written as one, of at least 0.
    pub(super) fn integer(self) -> Option<u64> {
        let node = self.0.first().filter(|node| node.kind == Kind::Number)?;
        node.text.parse().ok()
    }

    /// The way to a value inside, such as `payload[0].title`.
    pub(super) fn way_to(self, inside: Self) -> String {
        let mut way = String::new();
        let mut here = self;
        let holds = |value: Self| value.0.as_ptr_range().contains(&inside.0.as_ptr());
        while let Some((index, next)) = here.children().enumerate().find(|(_, child)| holds(*child))
        {
            match next.0.first() {
                Some(node) if here.is_object() => {
                    if !way.is_empty() {
                        way.push('.');
                    }
                    way.push_str(node.name);
                }
                _ => way.push_str(&["[", &index.to_string(), "]"].concat()),
            }
            here = next;
        }
        way
    }

    fn kind(self) -> Option<Kind> {
        self.0.first().map(|node| node.kind)
    }

    fn children(self) -> Children<'t> {
        Children(self.0.get(1..).unwrap_or_default())
    }
}

impl Node<'_> {
    fn is_named(&self, name: &str) -> bool {
        self.name == name || self.is_escaped && unescaped(self.name).is_some_and(|own| own == name)
    }
}

/// Goes from value to value, past what is inside of them.
pub(super) struct Children<'t>(&'t [Node<'t>]);

impl<'t> Iterator for Children<'t> {
    type Item = Value<'t>;

    fn next(&mut self) -> Option<Value<'t>> {
        let (child, rest) = self.0.split_at_checked(self.0.first()?.size)?;
        self.0 = rest;
        Some(Value(child))
    }
}

/// Reads on from a place in the text.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether there were escapes since this was last asked.
    is_escaped: bool,
}

impl<'a> Scanner<'a> {
    /// The next value, or how it begins.
    fn begin(&mut self) -> Option<(Kind, &'a str)> {
        self.skip_space();
        let kind = match self.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::Text,
            _ => return self.word(),
        };
        self.at += 1;
        Some((kind, if kind == Kind::Text { self.string()? } else { "" }))
    }

    /// A number, or `true`, `false` or `null`.
    fn word(&mut self) -> Option<(Kind, &'a str)> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            self.at += 1;
        }
        let word = self.text.get(from..self.at)?;
        if matches!(word, "true" | "false" | "null") {
            return Some((Kind::Word, word));
        }
        is_number(word.as_bytes()).then_some((Kind::Number, word))
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Option<&'a str> {
        if !self.eats(b'"') {
            return None;
        }
        let name = self.string()?;
        self.eats(b':').then_some(name)
    }

    /// The rest of a string, without its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let from = self.at;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let length = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let to = self.at + length;
            self.at = to + 1;
            match rest.get(length..)? {
                [b'"', ..] => return self.text.get(from..to),
                [b'\\', b'u', ..] => {
                    hex(self.text.get(to + 2..)?)?;
                    self.at += 5;
                }
                [b'\\', letter, ..] => {
                    resolved(*letter)?;
                    self.at += 1;
                }
                _ => return None,
            }
            self.is_escaped = true;
        }
    }

    /// Goes past that byte, and the white space before it, if that is what comes.
    fn eats(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn is_done(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    #[expect(
        clippy::inline_always,
        reason = "called for each byte; a call costs more than it does"
    )]
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn is_number(word: &[u8]) -> bool {
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let digits = |rest: &mut &[u8]| {
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *rest = rest.get(count..).unwrap_or_default();
        count
    };
    let starts_with_zero = rest.first() == Some(&b'0');
    let whole = digits(&mut rest);
    let mut is_number = whole == 1 || whole > 1 && !starts_with_zero;
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = fraction;
        is_number &= digits(&mut rest) > 0;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let sign = exponent.iter().take(1).filter(|byte| b"+-".contains(byte)).count();
        rest = exponent.get(sign..).unwrap_or_default();
        is_number &= digits(&mut rest) > 0;
    }
    is_number && rest.is_empty()
}

/// The inside of a string with its escapes resolved; none where a surrogate lacks its other half.
fn unescaped(inside: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = inside;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let letter = *escape.as_bytes().first()?;
        rest = escape.get(1..)?;
        text.push(if letter == b'u' {
            let mut code = hex(rest)?;
            rest = rest.get(4..)?;
            if (0xd800..0xdc00).contains(&code) {
                let low = hex(rest.strip_prefix("\\u")?)?.checked_sub(0xdc00)?;
                rest = rest.get(6..)?;
                code = if low < 0x400 { 0x1_0000 + ((code - 0xd800) << 10) + low } else { code };
            }
            // A surrogate alone is no character.
            char::from_u32(code)?
        } else {
            resolved(letter)?
        });
    }
    text.push_str(rest);
    Some(text)
}

/// What a backslash and that letter stand for.
fn resolved(letter: u8) -> Option<char> {
    Some(match letter {
        b'"' | b'\\' | b'/' => char::from(letter),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// The value of the four hexadecimal digits in front.
fn hex(text: &str) -> Option<u32> {
    let digits = text.as_bytes().get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

//! Lays out a TypeScript type declaration in the house style: no semicolons, single quotes, one
//! member a line, 100 columns.
//!
//! ts-rs yields a declaration on few long lines. Its own formatter would bring a TypeScript compiler
//! into the build. So this module parses the little grammar that our types use. Anything else is an error
//! instead of odd text.

use std::fmt::Write;

const COLUMNS: usize = 100;

/// Where a declaration leaves the grammar that this module knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} before {rest:?}")]
pub(crate) struct FormatError {
    expected: &'static str,
    rest: String,
}

/// `type Name = …;` with its documentation, as an exported declaration.
pub(crate) fn declaration(docs: &str, source: &str) -> Result<String, FormatError> {
    let mut parser = Parser { rest: source };
    parser.expect("type ")?;
    let name = parser.until('=', "a type's name")?.trim().to_owned();
    let body = parser.union()?;
    parser.expect(";")?;

    let mut text = String::new();
    doc_comment(docs, 0, &mut text);
    let _ = write!(text, "export type {name} =");
    body.print(0, text.len() - text.rfind('\n').map_or(0, |at| at + 1), &mut text);
    text.push('\n');
    Ok(text)
}

enum Type {
    /// A name, a generic type, a literal: anything that stays on one line.
    Plain(String),
    Union(Vec<Type>),
    Object(Vec<Member>),
}

struct Member {
    docs: String,
    key: String,
    value: Type,
}

impl Type {
    /// Prints with a leading space or line break. `used` columns of the line are taken already.
    fn print(&self, indent: usize, used: usize, text: &mut String) {
        match self {
            Self::Plain(plain) => {
                let _ = write!(text, " {plain}");
            }
            Self::Union(variants) => match Self::one_line(variants) {
                Some(line) if used + 1 + line.len() <= COLUMNS => {
                    let _ = write!(text, " {line}");
                }
                _ => {
                    for variant in variants {
                        let _ = write!(text, "\n{:indent$}|", "", indent = indent + 2);
                        variant.print(indent + 2, indent + 3, text);
                    }
                }
            },
            Self::Object(members) => {
                text.push_str(" {\n");
                for member in members {
                    doc_comment(&member.docs, indent + 2, text);
                    let _ = write!(text, "{:indent$}{}:", "", member.key, indent = indent + 2);
                    member.value.print(indent + 2, indent + 3 + member.key.len(), text);
                    text.push('\n');
                }
                let _ = write!(text, "{:indent$}}}", "");
            }
        }
    }

    fn one_line(variants: &[Self]) -> Option<String> {
        let plain = variants.iter().map(|variant| match variant {
            Self::Plain(plain) => Some(plain.as_str()),
            _ => None,
        });
        Some(plain.collect::<Option<Vec<_>>>()?.join(" | "))
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn union(&mut self) -> Result<Type, FormatError> {
        let mut variants = vec![self.single()?];
        while self.skip("|") {
            variants.push(self.single()?);
        }
        if variants.len() > 1 {
            Ok(Type::Union(variants))
        } else {
            variants.pop().ok_or_else(|| self.error("a type"))
        }
    }

    fn single(&mut self) -> Result<Type, FormatError> {
        if self.skip("{") {
            return self.object();
        }
        if self.skip("\"") {
            return Ok(Type::Plain(format!("'{}'", self.until('"', "a closing quote")?)));
        }
        Ok(Type::Plain(self.plain()?))
    }

    fn object(&mut self) -> Result<Type, FormatError> {
        let mut members = Vec::new();
        while !self.skip("}") {
            let docs = if self.skip("/**") { self.comment()? } else { String::new() };
            let key = self.until(':', "a member's name")?.trim().replace('"', "'");
            members.push(Member { docs, key, value: self.union()? });
            self.skip(",");
        }
        Ok(Type::Object(members))
    }

    /// A name with its arguments. `Array<X>` becomes `X[]`.
    fn plain(&mut self) -> Result<String, FormatError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_$.-".contains(c);
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.error("a type"));
        }
        let name = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        if !self.skip("<") {
            return Ok(name);
        }
        let mut arguments = Vec::new();
        loop {
            arguments.push(match self.union()? {
                Type::Plain(plain) => plain,
                Type::Union(variants) => {
                    Type::one_line(&variants).ok_or_else(|| self.error("a plain type"))?
                }
                Type::Object(_) => return Err(self.error("a plain type")),
            });
            if !self.skip(",") {
                break;
            }
        }
        self.expect(">")?;
        match (name.as_str(), arguments.as_slice()) {
            ("Array", [item]) if item.contains('|') => Ok(format!("({item})[]")),
            ("Array", [item]) => Ok(format!("{item}[]")),
            _ => Ok(format!("{name}<{}>", arguments.join(", "))),
        }
    }

    fn comment(&mut self) -> Result<String, FormatError> {
        let end = self.rest.find("*/").ok_or_else(|| self.error("the end of a comment"))?;
        let comment = self.rest[..end].to_owned();
        self.rest = self.rest[end + 2..].trim_start();
        Ok(comment)
    }

    fn until(&mut self, stop: char, expected: &'static str) -> Result<String, FormatError> {
        let (before, after) = self.rest.split_once(stop).ok_or_else(|| self.error(expected))?;
        let before = before.to_owned();
        self.rest = after.trim_start();
        Ok(before)
    }

    fn expect(&mut self, token: &'static str) -> Result<(), FormatError> {
        if self.skip(token) { Ok(()) } else { Err(self.error(token)) }
    }

    fn skip(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn error(&self, expected: &'static str) -> FormatError {
        FormatError { expected, rest: self.rest.chars().take(40).collect() }
    }
}

/// Writes a comment for TypeScript readers from one for Rust readers.
fn doc_comment(docs: &str, indent: usize, text: &mut String) {
    let lines: Vec<String> = docs
        .lines()
        .map(|line| line.trim().trim_start_matches("/**").trim_end_matches("*/"))
        .map(|line| prose(line.trim_start_matches('*').trim()))
        .collect();
    let lines = lines.join("\n");
    let lines = lines.trim_matches('\n');
    if lines.is_empty() {
        return;
    }
    if !lines.contains('\n') && indent + lines.len() + 7 <= COLUMNS {
        let _ = writeln!(text, "{:indent$}/** {lines} */", "");
        return;
    }
    let _ = writeln!(text, "{:indent$}/**", "");
    for line in lines.lines() {
        let space = if line.is_empty() { "" } else { " " };
        let _ = writeln!(text, "{:indent$} *{space}{line}", "");
    }
    let _ = writeln!(text, "{:indent$} */", "");
}

/// Takes rustdoc's links out of a line: ``[`A::B`](path)`` becomes `` `B` ``.
pub(crate) fn prose(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, tail)) = after.split_once("`]") else { break };
        let short = name.rsplit("::").next().unwrap_or(name);
        let _ = write!(text, "{before}`{short}`");
        rest = match tail.strip_prefix('(').and_then(|link| link.split_once(')')) {
            Some((_, tail)) => tail,
            None => tail,
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_one_member_a_line() {
        let source = "type A = { \n/**\n * One [`B::C`](crate::B).\n */\nx: Array<Y>, \"a-b\"?: Z | null, };";
        let expected =
            "/** Doc. */\nexport type A = {\n  /** One `C`. */\n  x: Y[]\n  'a-b'?: Z | null\n}\n";
        assert_eq!(declaration("/**\n * Doc.\n */\n", source).as_deref(), Ok(expected));
    }

    #[test]
    fn unions_break_where_the_line_is_full() {
        assert_eq!(
            declaration("", "type A = \"B\" | \"C\";").as_deref(),
            Ok("export type A = 'B' | 'C'\n")
        );
        let long = (0..12).map(|at| format!("\"variant-{at}\"")).collect::<Vec<_>>().join(" | ");
        let text = declaration("", &format!("type A = {long};")).unwrap();
        assert!(text.starts_with("export type A =\n  | 'variant-0'\n  | 'variant-1'\n"), "{text}");
    }

    #[test]
    fn tagged_unions_nest() {
        let source = "type A = { \"kind\": \"x\" } | { \"kind\": \"y\", of: Record<B, number>, };";
        let expected = "export type A =\n  | {\n    'kind': 'x'\n  }\n  | {\n    'kind': 'y'\n    of: Record<B, number>\n  }\n";
        assert_eq!(declaration("", source).as_deref(), Ok(expected));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for source in ["type A = [B, C];", "type A = B", "interface A {}", "type A = { x: };"] {
            assert!(declaration("", source).is_err(), "{source}");
        }
    }
}

//! Parses the text of a setting into its value. For a text that cannot be read, the error says what is
//! allowed, as the end of a sentence that begins with the setting's name.
//!
//! Settings come through files and shells that may add characters. A Kubernetes secret that was made with
//! `echo` ends with a line break. It is never meant, so the server leaves it out. A file that no shell reads
//! may keep quotation marks. They could be meant, in a secret, so the server does not guess and refuses them.
//! As a result, no value can begin and end with the same quotation mark. No name, address or number has to.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

use crate::secret::Secret;

const QUOTED: &str = "must be written without quotation marks around it: here they would be a part of it, as in \
                      files for docker run --env-file and in Kubernetes";
const BROKEN: &str = "must not hold a line's end, or another character that cannot be seen: write it as one line, \
                      with commas between the items of a list";
/// Shown in the place of a value that may hold a password.
const HIDDEN: &str = "…";

/// Reads what is left of a value without the white space around it, by another parser, and refuses what could
/// not be meant.
#[derive(Clone)]
pub(super) struct Tidy<P> {
    inner: P,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    /// One of a list, which quotation marks may stand around.
    Item,
    /// Bytes that are compared with others' and mean nothing alone.
    Key,
}

/// For a setting with one value.
pub(super) fn tidy<P>(inner: P) -> Tidy<P> {
    Tidy { inner, kind: Kind::Single }
}

/// Reads one of a list of texts.
pub(super) fn item() -> Tidy<StringValueParser> {
    Tidy { inner: StringValueParser::new(), kind: Kind::Item }
}

/// Reads a key, which may be any text within.
pub(super) fn key() -> Tidy<impl TypedValueParser<Value = Secret>> {
    Tidy { inner: secret, kind: Kind::Key }
}

/// Reads any text.
pub(super) fn text() -> Tidy<StringValueParser> {
    tidy(StringValueParser::new())
}

/// Reads the name of a file or folder.
pub(super) fn path() -> Tidy<PathBufValueParser> {
    tidy(PathBufValueParser::new())
}

/// Reads what is not to be shown.
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    text.parse()
}

/// A value without what stands around it and cannot be seen.
pub(super) fn trimmed(text: &str) -> &str {
    // The last two are no white space by name: what begins some files, and what some web pages break lines at.
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

/// Whether a value was refused for what stands around or within it, and not for what it is.
pub(super) fn is_of_form(reason: &str) -> bool {
    [QUOTED, BROKEN].contains(&reason)
}

impl Kind {
    fn refusal(self, text: &str) -> Option<&'static str> {
        let is_quote = |c: char| matches!(c, '"' | '\'');
        let is_quoted = match self {
            Self::Item => text.starts_with(is_quote) || text.ends_with(is_quote),
            Self::Single | Self::Key => {
                text.len() > 1
                    && text.starts_with(is_quote)
                    && text.chars().last() == text.chars().next()
            }
        };
        let is_broken = self != Self::Key && text.chars().any(char::is_control);
        if is_quoted { Some(QUOTED) } else { is_broken.then_some(BROKEN) }
    }
}

impl<P: TypedValueParser> TypedValueParser for Tidy<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<P::Value, Error> {
        let Some(text) = value.to_str().map(trimmed) else {
            return self.inner.parse_ref(command, argument, value);
        };
        match self.kind.refusal(text) {
            // A parser that always refuses says it as all others do.
            Some(reason) => (move |_: &str| Err::<P::Value, _>(reason)).parse_ref(
                command,
                argument,
                OsStr::new(HIDDEN),
            ),
            None => self.inner.parse_ref(command, argument, OsStr::new(text)),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.inner.possible_values()
    }
}

/// Reads a whole number within bounds.
pub(super) fn whole<N>(bounds: RangeInclusive<N>) -> Tidy<impl TypedValueParser<Value = N>>
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    tidy(bare(bounds))
}

/// The same, with nothing around it. The parsers that come with clap tell the bounds only of numbers
/// that they can hold.
pub(super) fn bare<N>(
    bounds: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let (least, most) = (bounds.start(), bounds.end());
        number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// Reads an address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| {
        "must be an IP address with a port, such as 127.0.0.1:9112 or [::1]:9112 (names such as \
         localhost are not looked up)"
    })
}

/// Reads a share.
pub(super) fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or("must be a number from 0 to 1")
}

//! The checked building blocks of the contract: text and numbers that cannot hold a bad value.
//!
//! Each type is made by `TryFrom`, also when it is deserialised, so there is one place per rule.
//! The rules are the host application's schemas: ids are UUID text, timestamps end in `Z`, titles
//! have 1 to 200 characters, which JavaScript counts in UTF-16 code units.

use crate::prelude::*;
use core::fmt;

use serde::{Deserialize, Serialize};

/// The longest title, in UTF-16 code units: as JavaScript counts, so that an emoji is two.
pub const TITLE_MAX_UNITS: usize = 200;
/// The longest theme name, in UTF-16 code units.
pub const THEME_MAX_UNITS: usize = 200;
/// The longest cover URL, in bytes.
pub const URL_MAX_BYTES: usize = 2048;

/// A value that breaks a rule of the contract; says which rule, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub &'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Invalid {}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        #[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(type = "string"))]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(Invalid($rule)) }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Invalid;

            fn try_from(text: &str) -> Result<Self, Invalid> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// UUID text in the hyphenated form, such as `0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60`.
    Id, "an id must be a hyphenated UUID", is_uuid
}

checked_text! {
    /// An instant as RFC 3339 text in UTC, ending in `Z`, such as `2026-11-23T09:30:00.123Z`.
    Timestamp, "a timestamp must be RFC 3339 in UTC, ending in Z", is_utc_timestamp
}

checked_text! {
    /// A MOC's title: 1 to [`TITLE_MAX_UNITS`] UTF-16 code units.
    Title, "a title must have 1 to 200 characters", |text| has_units(text, TITLE_MAX_UNITS)
}

checked_text! {
    /// A theme's name: 1 to [`THEME_MAX_UNITS`] UTF-16 code units.
    Theme, "a theme must have 1 to 200 characters", |text| has_units(text, THEME_MAX_UNITS)
}

checked_text! {
    /// An absolute `http` or `https` URL that `new URL()` can read. No other scheme is let through to an
    /// `img` element. Whether a host is possible, the server alone checks: that takes a library.
    CoverImageUrl, "a cover image must be an absolute http(s) URL", is_web_url
}

/// A share in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(type = "number"))]
pub struct Percentage(u8);

impl Percentage {
    /// The share in percent.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percentage {
    type Error = Invalid;

    fn try_from(percent: u8) -> Result<Self, Invalid> {
        if percent <= 100 {
            Ok(Self(percent))
        } else {
            Err(Invalid("a percentage must be 0 to 100"))
        }
    }
}

fn has_units(text: &str, max: usize) -> bool {
    // The bytes that begin a character, and once more those that begin one of two units: what `str` offers
    // for counting is made for long texts and weighs a kilobyte.
    let units = |&byte: &u8| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0);
    (1..=max).contains(&text.as_bytes().iter().map(units).sum())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `YYYY-MM-DDTHH:MM:SS[.f{1,9}]Z`, each field in its range; calendars are left to those who show
/// dates. No leap seconds: neither `PostgreSQL` nor JavaScript knows them.
fn is_utc_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(20..=30).contains(&bytes.len()) || bytes[bytes.len() - 1] != b'Z' {
        return false;
    }
    let shape = bytes[..19].iter().zip(b"0000-00-00T00:00:00").all(|(byte, like)| match like {
        b'0' => byte.is_ascii_digit(),
        _ => byte == like,
    });
    let fraction = match &bytes[19..bytes.len() - 1] {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    shape && fraction && {
        let field = |at: usize| (bytes[at] - b'0') * 10 + (bytes[at + 1] - b'0');
        (1..=12).contains(&field(5))
            && (1..=31).contains(&field(8))
            && field(11) <= 23
            && field(14) <= 59
            && field(17) <= 59
    }
}

fn is_web_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.len() <= URL_MAX_BYTES
        && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
}

#[cfg(feature = "codegen")]
mod schemas {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    macro_rules! schema {
        ($name:ident, $($json:tt)+) => {
            impl JsonSchema for super::$name {
                fn schema_name() -> alloc::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($($json)+)
                }
            }
        };
    }

    schema!(Id, { "type": "string", "format": "uuid" });
    schema!(Timestamp, { "type": "string", "format": "date-time", "pattern": "Z$" });
    schema!(Title, {
        "type": "string", "minLength": 1, "maxLength": 200,
        "description": "At most 200 UTF-16 code units, as JavaScript counts; code points are never more."
    });
    schema!(Theme, {
        "type": "string", "minLength": 1, "maxLength": 200,
        "description": "At most 200 UTF-16 code units, as JavaScript counts; code points are never more."
    });
    schema!(CoverImageUrl, {
        "type": "string", "format": "uri", "pattern": "^https?://", "maxLength": 2048,
        "description": "An absolute URL that `new URL()` reads (the WHATWG's standard)."
    });
    schema!(Percentage, { "type": "integer", "minimum": 0, "maximum": 100 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hyphenated_uuids() {
        assert!(Id::try_from("0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60").is_ok());
        for bad in
            ["", "42", "0190f5a27c1e7d3a9b7e2f1c5d8e4a60", "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a6g"]
        {
            assert_eq!(Id::try_from(bad), Err(Invalid("an id must be a hyphenated UUID")), "{bad}");
        }
    }

    #[test]
    fn timestamps_are_utc() {
        for good in
            ["2026-11-23T09:30:00Z", "2026-11-23T09:30:00.1Z", "2026-12-31T23:59:59.123456789Z"]
        {
            assert!(Timestamp::try_from(good).is_ok(), "{good}");
        }
        for bad in [
            "2026-11-23T09:30:00+00:00",
            "2026-11-23 09:30:00Z",
            "2026-13-23T09:30:00Z",
            "2026-11-23T24:30:00Z",
            "2026-11-23T09:30:60Z",
            "2026-11-23T09:30:00.Z",
            "2026-11-23T09:30:00",
            "Z",
            "２026-11-23T09:30Z",
        ] {
            assert!(Timestamp::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn titles_and_themes_are_counted_as_javascript_counts() {
        for text in ["x", "é", "語", "🧱"].map(|one| one.repeat(200 / one.encode_utf16().count()))
        {
            assert_eq!(text.encode_utf16().count(), 200);
            assert!(Title::try_from(text.as_str()).is_ok(), "{text}");
            assert!(Theme::try_from(text.as_str()).is_ok(), "{text}");
            for longer in
                [format!("{text}x"), format!("🧱{text}"), text.replacen(['x', 'é'], "🧱", 1)]
            {
                let is_longer = longer.encode_utf16().count() > 200;
                assert_eq!(Title::try_from(longer.as_str()).is_err(), is_longer, "{longer}");
                assert_eq!(Theme::try_from(longer.as_str()).is_err(), is_longer, "{longer}");
            }
        }
        assert!(Title::try_from("🧱".repeat(99) + "xx").is_ok());
        assert!(Title::try_from("🧱".repeat(99) + "xxx").is_err());
        assert!(Title::try_from("").is_err() && Theme::try_from("").is_err());
    }

    #[test]
    fn only_web_pages_are_pictures() {
        assert!(CoverImageUrl::try_from("https://cdn.example.org/a%20b.jpg").is_ok());
        for bad in [
            "javascript:alert(1)",
            "data:image/png;base64,AA",
            "/a.jpg",
            "https://",
            "https:///a",
            "http://a b/",
        ] {
            assert!(CoverImageUrl::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_end_at_100() {
        assert_eq!(Percentage::try_from(100).map(Percentage::get), Ok(100));
        assert!(Percentage::try_from(101).is_err());
    }
}

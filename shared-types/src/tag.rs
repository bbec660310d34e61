//! What orders snapshots and events: the revision, and the epoch in which it counts.
//!
//! A revision is per user, only grows, and is read in the same SQL statement as the data, so a
//! larger revision always means newer data. Revisions of different epochs cannot be compared. The
//! epoch is another when the changes are others (a reinstall, a restored backup, a promoted standby
//! that lacked some); a client starts over from the snapshot then.

use crate::prelude::*;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::scalar::Invalid;

/// The number of the newest change that a user's data includes, 0 without any; at most 2^53 - 1, so
/// that JavaScript holds it exactly. Numbers rise, and have gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS), ts(type = "number"))]
pub struct Revision(u64);

impl Revision {
    /// The largest revision: the largest integer that JavaScript holds exactly.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Revision {
    type Error = Invalid;

    fn try_from(count: u64) -> Result<Self, Invalid> {
        if count <= Self::MAX.0 {
            Ok(Self(count))
        } else {
            Err(Invalid("a revision must be at most 2^53 - 1"))
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names what revisions can be compared within: 1 to 64 letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(String);

impl Epoch {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Epoch {
    type Error = Invalid;

    fn try_from(name: &str) -> Result<Self, Invalid> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Invalid("an epoch must be 1 to 64 letters, digits and underscores"))
        }
    }
}

/// The identity of a snapshot: `<epoch>-<revision>`, as JSON and addresses have it. The `ETag` header
/// has it in quotes.
///
/// ```
/// use shared_types::SnapshotTag;
/// let tag: SnapshotTag = "a1b2-17".parse().unwrap();
/// assert_eq!((tag.epoch.as_str(), tag.revision.get()), ("a1b2", 17));
/// assert_eq!(tag.to_header(), "\"a1b2-17\"");
/// // A proxy that compresses has been at it.
/// assert_eq!(SnapshotTag::from_header("W/\"a1b2-17-gzip\""), Ok(tag));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotTag {
    /// In which life of the change log the revision counts.
    pub epoch: Epoch,
    /// How many changes the snapshot includes.
    pub revision: Revision,
}

impl SnapshotTag {
    /// The tag as a text. Needs none of the machinery of formatting, which would be a twentieth of
    /// what browsers download.
    #[must_use]
    pub fn to_text(&self) -> String {
        [&self.epoch.0, "-", &self.revision.get().to_string()].concat()
    }

    /// The tag as the header `ETag` has it.
    #[must_use]
    pub fn to_header(&self) -> String {
        ["\"", &self.to_text(), "\""].concat()
    }

    /// Reads a header that proxies may have rewritten: as weak (`W/"…"`), without the quotes, or with
    /// a suffix behind the revision, such as Apache's `-gzip` and Jetty's `--gzip`.
    ///
    /// # Errors
    ///
    /// Where it is no tag of ours, or could be another one. Nothing is guessed.
    pub fn from_header(header: &str) -> Result<Self, Invalid> {
        let header = header.trim_ascii();
        let tag = header.strip_prefix("W/").unwrap_or(header);
        let tag = match tag.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').ok_or(NO_TAG)?,
            None => tag,
        };
        let revision = tag.bytes().position(|byte| byte == b'-').ok_or(NO_TAG)? + 1;
        let is_of_it = |byte: &u8| byte.is_ascii_digit();
        let digits = tag.bytes().skip(revision).take_while(is_of_it).count();
        let (tag, suffix) = tag.split_at_checked(revision + digits).ok_or(NO_TAG)?;
        if let [] | [b'-' | b';' | b':' | b'.' | b'+', ..] = suffix.as_bytes()
            && suffix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b',')
        {
            tag.parse()
        } else {
            Err(NO_TAG)
        }
    }
}

const NO_TAG: Invalid = Invalid("a snapshot's tag must be <epoch>-<revision>");

impl fmt::Display for SnapshotTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl FromStr for SnapshotTag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (epoch, digits) = text.split_once('-').ok_or(NO_TAG)?;
        let is_canonical = digits == "0" || !digits.starts_with('0');
        if !is_canonical || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NO_TAG);
        }
        let revision = digits.parse::<u64>().map_err(|_| NO_TAG)?;
        Ok(Self { epoch: Epoch::try_from(epoch)?, revision: Revision::try_from(revision)? })
    }
}

#[cfg(feature = "codegen")]
impl schemars::JsonSchema for Revision {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "Revision".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 0, "maximum": Revision::MAX.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(revision: u64) -> SnapshotTag {
        let revision = Revision::try_from(revision).unwrap();
        SnapshotTag { epoch: Epoch::try_from("e").unwrap(), revision }
    }

    #[test]
    fn a_tag_has_one_text() {
        for revision in [0, 7, 17, Revision::MAX.get()] {
            let tag = tag(revision);
            assert_eq!(tag.to_string().parse(), Ok(tag.clone()));
            assert_eq!(SnapshotTag::from_header(&tag.to_header()), Ok(tag));
        }
        for bad in [
            "",
            "e",
            "e-",
            "-1",
            "e-+1",
            "e-01",
            "e-00",
            "e-9007199254740992",
            "e f-1",
            "\"e-1\"",
            "e-1-gzip",
            "e-1 ",
        ] {
            assert!(bad.parse::<SnapshotTag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_survive_proxies() {
        for header in [
            "\"e-17\"",
            " \"e-17\" ",
            "W/\"e-17\"",
            "e-17",
            "W/e-17",
            "\"e-17-gzip\"",
            "\"e-17--gzip\"",
            "W/\"e-17-gzip-gzip\"",
            "\"e-17;br\"",
            "\"e-17:dtagent10\"",
            "\"e-17-9gzip\"",
            "e-17.br",
        ] {
            assert_eq!(SnapshotTag::from_header(header), Ok(tag(17)), "{header}");
        }
        for header in [
            "",
            "\"",
            "\"\"",
            "W/",
            "\"e-17",
            "e-17\"",
            "\"e-17x\"",
            "\"e-017\"",
            "\"e-\"",
            "\"e--17\"",
            "\"x\"",
            "\"686897696a7c876b7e\"",
            "\"e-17\", \"e-18\"",
            "\"e-17\"x",
            "e-17, e-18",
            "\"e-17-\"gzip\"",
            "\"e-17 gzip\"",
            "\"e-17-é\"",
            "\"é-17\"",
            "\"e-9007199254740992\"",
        ] {
            assert!(SnapshotTag::from_header(header).is_err(), "{header}");
        }
    }
}

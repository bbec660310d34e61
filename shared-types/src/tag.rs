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

/// The identity of a snapshot, as the `ETag` header bears it: `"<epoch>-<revision>"`.
///
/// ```
/// use shared_types::SnapshotTag;
/// let tag: SnapshotTag = "\"a1b2-17\"".parse().unwrap();
/// assert_eq!((tag.epoch.as_str(), tag.revision.get()), ("a1b2", 17));
/// assert_eq!(tag.to_string(), "\"a1b2-17\"");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotTag {
    /// In which life of the change log the revision counts.
    pub epoch: Epoch,
    /// How many changes the snapshot includes.
    pub revision: Revision,
}

impl SnapshotTag {
    /// The tag as a header's text. Needs none of the machinery of formatting, which would be a
    /// twentieth of what browsers download.
    #[must_use]
    pub fn to_header(&self) -> String {
        ["\"", &self.epoch.0, "-", &self.revision.get().to_string(), "\""].concat()
    }
}

impl fmt::Display for SnapshotTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_header())
    }
}

impl FromStr for SnapshotTag {
    type Err = Invalid;

    /// Accepts the strong and the weak form (`W/"…"`): proxies that compress turn one into the
    /// other.
    fn from_str(header: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("an ETag must be \"<epoch>-<revision>\"");
        let header = header.trim_ascii();
        let quoted = header.strip_prefix("W/").unwrap_or(header);
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let (epoch, revision) = inner.and_then(|tag| tag.split_once('-')).ok_or(invalid)?;
        if !revision.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid);
        }
        let revision = revision.parse::<u64>().map_err(|_| invalid)?;
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

    #[test]
    fn tags_survive_proxies() {
        let tag: SnapshotTag = "W/\"e-9007199254740991\"".parse().unwrap();
        assert_eq!(tag.revision, Revision::MAX);
        for bad in [
            "",
            "e-1",
            "\"e\"",
            "\"e-\"",
            "\"-1\"",
            "\"e-+1\"",
            "\"e-9007199254740992\"",
            "\"e f-1\"",
        ] {
            assert!(bad.parse::<SnapshotTag>().is_err(), "{bad}");
        }
    }
}

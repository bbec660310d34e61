//! Defines a user's id.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A user's id: the claim `sub` of the session. It may be any text, and is cheap to clone.
///
/// `Debug` and `Display` show a short digest only, so that logs tell users apart without naming
/// them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The id itself, for queries and comparisons.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for UserId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        write!(f, "u{:08x}", hasher.finish() >> 32)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_not_shown() {
        let user = UserId::from("ada@example.org");
        assert!(!format!("{user} {user:?}").contains("ada"));
        assert_eq!(user.to_string(), UserId::from("ada@example.org").to_string());
        assert_ne!(user.to_string(), UserId::from("bob@example.org").to_string());
    }
}

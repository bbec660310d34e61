//! Defines the sections: the parts of a dashboard that a change can touch.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of sections, as the projector writes it into `dashboard.changes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sections(i16);

impl Sections {
    /// No section.
    pub const NONE: Self = Self(0);
    /// Counts over the collection (D-API-3).
    pub const SUMMARY: Self = Self(1);
    /// MOCs and sets per theme (D-API-4).
    pub const THEMES: Self = Self(2);
    /// The recent list (D-API-5).
    pub const RECENT: Self = Self(4);
    /// The table of MOCs with partly ordered parts (D-API-6).
    pub const PARTIAL: Self = Self(8);
    /// Every section.
    pub const ALL: Self = Self(15);

    /// The set that these bits mean. Unknown bits are dropped.
    #[must_use]
    pub fn from_bits(bits: i16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits of `dashboard.changes.sections`.
    #[must_use]
    pub fn bits(self) -> i16 {
        self.0
    }

    /// Whether every section of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Sections {
    /// Their names, for logs and traces: `summary,recent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::SUMMARY, "summary"),
            (Self::THEMES, "themes"),
            (Self::RECENT, "recent"),
            (Self::PARTIAL, "partial"),
        ];
        let mut here = names.into_iter().filter(|(section, _)| self.contains(*section));
        if let Some((_, first)) = here.next() {
            f.write_str(first)?;
        }
        here.try_for_each(|(_, name)| write!(f, ",{name}"))
    }
}

impl BitOr for Sections {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Sections {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_names() {
        assert_eq!(Sections::NONE.to_string(), "");
        assert_eq!((Sections::SUMMARY | Sections::RECENT).to_string(), "summary,recent");
        assert_eq!(Sections::ALL.to_string(), "summary,themes,recent,partial");
    }
}

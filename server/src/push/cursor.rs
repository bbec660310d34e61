//! Where a reader of the change log stands: a database snapshot.
//!
//! A primary's snapshots form a chain: what one sees, every later one sees too. So of two cursors
//! one always includes the other, and the rows that a reader has yet to see are exactly those that
//! are visible now and were not visible in its cursor, in whatever order transactions commit.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A `pg_snapshot`. Ordered by what it sees: the greater of two sees all that the lesser sees.
#[derive(Clone, Debug)]
pub struct Cursor {
    text: Arc<str>,
    xmin: u64,
    xmax: u64,
    in_progress: usize,
}

/// Text that is not a `pg_snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a database snapshot")]
pub struct NotASnapshot;

impl Cursor {
    /// The text that the database reads as a `pg_snapshot`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In a chain, transactions only ever finish: the upper bound never falls, and while it stays,
    /// the list of those in progress only shrinks.
    fn rank(&self) -> (u64, u64, std::cmp::Reverse<usize>) {
        (self.xmax, self.xmin, std::cmp::Reverse(self.in_progress))
    }
}

impl FromStr for Cursor {
    type Err = NotASnapshot;

    /// Reads `xmin:xmax:xip,xip,…`.
    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(NotASnapshot);
        let xmin = next()?.parse().map_err(|_| NotASnapshot)?;
        let xmax = next()?.parse().map_err(|_| NotASnapshot)?;
        let in_progress = next()?.split(',').filter(|xid| !xid.is_empty()).count();
        Ok(Self { text: text.into(), xmin, xmax, in_progress })
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Cursor {}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    #[test]
    fn a_later_snapshot_is_greater() {
        let chain = ["5:5:", "5:9:5,7,8", "5:9:5,7", "7:9:7", "9:9:", "9:10:9"];
        for pair in chain.windows(2) {
            assert!(cursor(pair[0]) < cursor(pair[1]), "{pair:?}");
        }
        assert_eq!(cursor("7:9:7"), cursor("7:9:7"));
    }

    #[test]
    fn other_text_is_refused() {
        for bad in ["", "1", "1:2", "a:b:c", "1:x:"] {
            assert_eq!(bad.parse::<Cursor>(), Err(NotASnapshot), "{bad}");
        }
    }
}

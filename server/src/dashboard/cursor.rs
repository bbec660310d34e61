//! Defines the cursor: how far a reader of the changes has read.

use shared_types::Revision;

/// The number of the newest row of `dashboard.changes` that a reader has seen. 0 before the first.
///
/// One projector at a time writes them, one transaction after the other, so their numbers are in the order
/// of the commits: of two cursors the greater has seen all that the lesser has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub i64);

impl Cursor {
    /// Where a reader stands that has seen a user's data at that revision, which is the number of a change.
    pub(crate) fn of(revision: Revision) -> Option<Self> {
        i64::try_from(revision.get()).ok().map(Self)
    }
}

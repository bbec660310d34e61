//! Tracks how far a user's sockets are, so that after an outage the server finds the users who missed changes.

use shared_types::Revision;

/// How often clients learn that a snapshot may be stale. Twice, because the first notice may overtake the snapshot.
const STALE_NOTICES: u8 = 2;

/// What is known of the revisions that one user's sockets have.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    /// Everything up to here was sent to all of the user's sockets.
    sent: Option<Revision>,
    /// The highest revision that any of them may have seen.
    seen: Option<Revision>,
    /// How many notices are still due that what was shown while the change log was lost may be stale.
    stale_notices: u8,
}

impl Revisions {
    pub(super) fn sent(&self) -> Option<Revision> {
        self.sent
    }

    pub(super) fn seen(&self) -> Option<Revision> {
        self.seen
    }

    /// Everything up to that revision is sent to all sockets now.
    pub(super) fn deliver(&mut self, revision: Revision) {
        self.sent = Some(revision);
        self.seen = self.seen.max(self.sent);
    }

    /// A socket is about to learn of that revision, by a snapshot or otherwise.
    pub(super) fn show(&mut self, revision: Revision) {
        self.seen = self.seen.max(Some(revision));
        self.stale_notices = STALE_NOTICES;
    }

    /// Forgets the revisions: they belong to another epoch of the changes.
    pub(super) fn forget(&mut self) {
        (self.sent, self.seen) = (None, None);
    }

    /// All sockets learn now that what they show may be stale.
    pub(super) fn clear_stale_notices(&mut self) {
        self.stale_notices = 0;
    }

    /// Takes a notice that is due, if there is one.
    pub(super) fn take_stale_notice(&mut self) -> bool {
        let is_due = self.stale_notices > 0;
        self.stale_notices = self.stale_notices.saturating_sub(1);
        is_due
    }
}

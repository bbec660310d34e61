//! Keeps the last view from one life of the client to the next.
//!
//! The machine looks it up at a start, shows it until there is a newer view, and keeps the newest
//! one while the view changes. It drops the last view as soon as it is no longer certain that the
//! view is this user's.

use super::core::Core;
use super::{Effect, EffectId, SAVE_EVERY};
use crate::last_view::LastView;
use crate::prelude::*;
use crate::state::{Level, Reason};
use crate::time::Moment;

#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What an earlier life showed, until this one has something to show.
    pub(super) last: Option<LastView>,
    /// The request for that.
    asked: Option<EffectId>,
    /// When the view was kept.
    saved_at: Option<Moment>,
    /// Whether there is something newer to keep.
    is_unsaved: bool,
}

impl Core {
    pub(super) fn admits_last_view(&self, epoch: EffectId) -> bool {
        self.memory.asked == Some(epoch)
    }

    pub(super) fn look_up_last_view(&mut self) {
        let epoch = self.new_epoch();
        self.memory.asked = Some(epoch);
        self.effects.push_back(Effect::LoadLastView { epoch });
    }

    /// Shows what an earlier life showed, if nothing newer is there yet.
    pub(super) fn recall(&mut self, read: Option<Result<LastView, Reason>>) {
        self.memory.asked = None;
        match read {
            Some(Ok(last)) if self.shown.is_none() => self.memory.last = Some(last),
            Some(Err(reason)) => self.tell(Level::Warn, reason),
            Some(Ok(_)) | None => {}
        }
    }

    /// The view is the server's at this moment.
    pub(super) fn confirm(&mut self, now: Moment) {
        self.as_of = Some(now);
        self.is_carried_over = false;
        // Whose a view is, that may have been taken over from another user's, nothing tells.
        self.memory.is_unsaved = !self.is_mixed;
    }

    /// When the view is to be kept again, if it changed.
    pub(super) fn next_save(&self) -> Option<Moment> {
        let due = self.memory.saved_at.map_or(Moment::default(), |last| last + SAVE_EVERY);
        self.memory.is_unsaved.then_some(due)
    }

    /// Has the view kept, if that is due: the first at once, later ones now and again.
    pub(super) fn save(&mut self, now: Moment) {
        let (Some(shown), Some(as_of)) = (&self.shown, self.as_of) else { return };
        if self.next_save().is_some_and(|due| due <= now) {
            let last = LastView { view: shown.view(), revision: shown.revision(), as_of };
            self.effects.push_back(Effect::SaveLastView(Box::new(last)));
            self.memory.saved_at = Some(now);
            self.memory.is_unsaved = false;
        }
    }

    /// No view is kept any more, and none that was kept is shown.
    pub(super) fn drop_last_view(&mut self) {
        self.memory = Memory::default();
        self.effects.push_back(Effect::DropLastView);
    }
}

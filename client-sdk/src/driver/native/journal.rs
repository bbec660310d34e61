//! Passes on the diagnostics of one client as they come, and keeps the last ones for a bug report.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::state::{Code, Diagnostic, Level};

/// How many diagnostics are kept.
pub const KEPT_DIAGNOSTICS: usize = 200;

pub(super) struct Journal {
    receive: Arc<dyn Fn(Diagnostic) + Send + Sync>,
    entries: Mutex<VecDeque<Diagnostic>>,
}

impl Journal {
    pub(super) fn new(receive: Arc<dyn Fn(Diagnostic) + Send + Sync>) -> Self {
        Self { receive, entries: Mutex::default() }
    }

    pub(super) fn tell(&self, diagnostic: Diagnostic) {
        self.keep(diagnostic.clone());
        let at = diagnostic.at;
        // A receiver that panics must not take the client with it.
        if catch_unwind(AssertUnwindSafe(|| (self.receive)(diagnostic))).is_err() {
            let message = "the receiver of diagnostics panicked".to_owned();
            self.keep(Diagnostic { at, level: Level::Error, code: Code::CallbackFailed, message });
        }
    }

    pub(super) fn entries(&self) -> Vec<Diagnostic> {
        self.lock().iter().cloned().collect()
    }

    fn keep(&self, diagnostic: Diagnostic) {
        let mut entries = self.lock();
        if entries.len() == KEPT_DIAGNOSTICS {
            entries.pop_front();
        }
        entries.push_back(diagnostic);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Diagnostic>> {
        // After a panic elsewhere, it is still a valid list of entries.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

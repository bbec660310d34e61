//! The diagnostics of one client: told as they come, and the last of them kept for a bug report.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::state::Diagnostic;

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
        {
            // What a panicking reader left behind is still a list of entries.
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            if entries.len() == KEPT_DIAGNOSTICS {
                entries.pop_front();
            }
            entries.push_back(diagnostic.clone());
        }
        (self.receive)(diagnostic);
    }

    pub(super) fn entries(&self) -> Vec<Diagnostic> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }
}

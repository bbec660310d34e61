//! A user whose dashboard is watched in two ways: through the SDK, and on the bare wire.

use std::collections::BTreeSet;

use e2e_tests::{Credential, Payload, Received, Screen, TestApp, Wire, writer};
use shared_types::{DashboardView, EventType};

pub(crate) struct Watched {
    pub(crate) app: TestApp,
    pub(crate) user: &'static str,
    screen: Screen,
    wire: Wire,
    view: DashboardView,
    revision: u64,
}

/// What a change did.
pub(crate) struct Change {
    pub(crate) before: DashboardView,
    pub(crate) after: DashboardView,
    pub(crate) events: Vec<Received>,
}

impl Watched {
    pub(crate) async fn start(user: &'static str) -> Self {
        let app = TestApp::start().await;
        let who = app.bearer(user);
        let screen = Screen::open(&app, user);
        let view = screen.until_it_shows(&app.rest(), &who).await;
        let revision = app.rest().snapshot(&who).await.1.revision.get();
        let wire = Wire::join(&app.url(), &who).await.unwrap();
        Self { app, user, screen, wire, view, revision }
    }

    pub(crate) fn who(&self) -> Credential {
        self.app.bearer(self.user)
    }

    /// Call after a commit. Waits until the SDK shows what a fresh snapshot shows, and collects
    /// the events of the change: all of them, and no other.
    ///
    /// That no further event comes is proven by a change whose own event arrives after them.
    pub(crate) async fn settle(&mut self) -> Change {
        let (who, rest) = (self.who(), self.app.rest());
        self.app.projected().await;
        let after = self.screen.until_it_shows(&rest, &who).await;
        let revision = rest.snapshot(&who).await.1.revision.get();
        writer::add_wish(self.app.db(), self.user, "a fence").await;
        let fence = after.summary.total_wishlist_items + 1;
        let is_fence = |event: &Received| match &event.payload {
            Payload::Summary(summary) => summary.total_wishlist_items == fence,
            _ => false,
        };
        let mut events = self.wire.events_until(is_fence).await;
        events.pop();
        for event in &events {
            let revisions = self.revision + 1..=revision;
            assert!(revisions.contains(&event.revision), "{event} not in {revisions:?}");
        }
        let fenced = self.screen.until_it_shows(&rest, &who).await;
        self.revision = rest.snapshot(&who).await.1.revision.get();
        let before = std::mem::replace(&mut self.view, fenced);
        Change { before, after, events }
    }
}

impl Change {
    /// Asserts that exactly these types were sent, each once.
    pub(crate) fn assert_events(&self, expected: &[EventType]) {
        let types: Vec<_> = self.events.iter().map(|event| event.event_type.name()).collect();
        let names: BTreeSet<_> = expected.iter().map(|event_type| event_type.name()).collect();
        assert_eq!(self.types(), names);
        assert_eq!(types.len(), names.len(), "each once: {types:?}");
    }

    /// The names of the types that were sent.
    pub(crate) fn types(&self) -> BTreeSet<&'static str> {
        self.events.iter().map(|event| event.event_type.name()).collect()
    }

    /// The payload of the one event that `pick` picks.
    pub(crate) fn payload<T>(&self, pick: impl Fn(&Payload) -> Option<T>) -> T {
        let mut picked = self.events.iter().filter_map(|event| pick(&event.payload));
        let first = picked.next().expect("such an event");
        assert!(picked.next().is_none(), "only one such event");
        first
    }
}

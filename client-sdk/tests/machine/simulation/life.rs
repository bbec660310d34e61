//! One life, led to its end or to the first check that fails.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::faults::Schedule;
use super::tally::Tally;
use super::world::World;

/// What came of a life.
pub(super) struct Life {
    pub(super) failure: Option<Failure>,
    pub(super) tally: Tally,
    /// What happened, a line each; empty unless the caller asked for it.
    pub(super) story: Vec<String>,
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Where in the source; this identifies the check.
    pub(super) check: String,
    pub(super) message: String,
}

thread_local! {
    /// Whether a panic of this thread is a result, and not to be printed.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Leads the life, and tells its story.
pub(super) fn lead(schedule: Schedule) -> Life {
    let mut world = World::new(schedule);
    world.story = Some(Vec::new());
    run(world)
}

/// Leads the life without a story, which takes less time.
pub(super) fn lead_silently(schedule: Schedule) -> Life {
    run(World::new(schedule))
}

fn run(mut world: World) -> Life {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_WATCHED.get() {
                return usual(info);
            }
            let check = info.location().map(ToString::to_string).unwrap_or_default();
            let message = info.payload_as_str().unwrap_or("an odd panic").to_owned();
            CAUGHT.set(Some(Failure { check, message }));
        }));
    });
    IS_WATCHED.set(true);
    let ended = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    IS_WATCHED.set(false);
    let failure = ended.err().and_then(|_| CAUGHT.take());
    Life { failure, tally: world.tally, story: world.story.unwrap_or_default() }
}

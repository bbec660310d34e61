//! Decides when each user is refreshed: the first change at once, then at most once per window.
//!
//! Pure: no clock, no I/O, no tasks. Changes and the time come in through [`Coalescer::mark`] and
//! [`Coalescer::finished`]. [`Coalescer::next`] returns the users to refresh, and the caller asks it
//! again at [`Coalescer::next_due`]. A user is in one refresh at a time, so that the revisions that a
//! socket gets only ever rise. Users whose refresh is due at the same moment are refreshed together.
//! Users whose refresh has failed are not: one that always fails must not take others along.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::dashboard::cursor::Cursor;
use crate::dashboard::section::Sections;
use crate::user::UserId;

/// What a user's refresh has to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirty {
    /// Changes that this cursor does not see have yet to be sent.
    pub since: Cursor,
    /// Sections to send in any case.
    pub forced: Sections,
    /// When the oldest of the changes was made, for the measurements.
    pub oldest: Instant,
    /// When the first of them was seen, for the traces.
    pub seen: Instant,
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything up to this cursor has been sent.
    Sent(Cursor),
    /// Nothing was sent. The user still needs this.
    Failed(Dirty),
}

/// How fast to go.
#[derive(Clone, Copy, Debug)]
pub struct CoalesceConfig {
    /// At most one refresh per user and window.
    pub window: Duration,
    /// At most this number of users in one refresh.
    pub batch: usize,
    /// How long to wait after a failed refresh. Doubled with each further failure.
    pub retry_min: Duration,
    /// The longest wait after a failed refresh.
    pub retry_max: Duration,
}

/// The users to refresh, and when.
#[derive(Debug)]
pub struct Coalescer {
    config: CoalesceConfig,
    users: HashMap<UserId, State>,
    /// When to check a user again: to refresh the user, or to forget the user.
    due: BTreeSet<(Instant, UserId)>,
    /// Rises when cursors of before mean nothing any more.
    generation: u64,
}

#[derive(Debug)]
enum State {
    /// Refreshed within the window. Nothing to do unless a change comes.
    Quiet {
        until: Instant,
        seen: Option<Cursor>,
    },
    Waiting {
        dirty: Dirty,
        failures: u32,
    },
    Running {
        started: Instant,
        generation: u64,
        dirty: Option<Dirty>,
        failures: u32,
    },
}

impl Coalescer {
    /// A coalescer that knows of no change.
    #[must_use]
    pub fn new(config: CoalesceConfig) -> Self {
        let (users, due) = (HashMap::new(), BTreeSet::new());
        Self { config, users, due, generation: 0 }
    }

    /// Notes a change.
    pub fn mark(&mut self, user: &UserId, mut change: Dirty, now: Instant) {
        match self.users.get_mut(user) {
            None => self.wait(user, now, change, 0),
            Some(State::Quiet { until, seen }) => {
                let until = *until;
                if let Some(seen) = seen.take() {
                    change.since = change.since.max(seen);
                }
                self.due.remove(&(until, user.clone()));
                self.wait(user, until.max(now), change, 0);
            }
            Some(State::Waiting { dirty, .. } | State::Running { dirty: Some(dirty), .. }) => {
                dirty.merge(change);
            }
            Some(State::Running { dirty, .. }) => *dirty = Some(change),
        }
    }

    /// The users who are to be refreshed now, together. Empty if no refresh is due.
    pub fn next(&mut self, now: Instant) -> Vec<(UserId, Dirty)> {
        let mut batch = Vec::new();
        while batch.len() < self.config.batch
            && let Some((at, user)) = self.due.first().filter(|(at, _)| *at <= now).cloned()
        {
            let is_alone = self.is_failing(&user);
            if is_alone && !batch.is_empty() {
                break;
            }
            self.due.remove(&(at, user.clone()));
            if let Some(State::Waiting { dirty, failures }) = self.users.remove(&user) {
                let state = State::Running {
                    started: now,
                    generation: self.generation,
                    dirty: None,
                    failures,
                };
                self.users.insert(user.clone(), state);
                batch.push((user, dirty));
                if is_alone {
                    break;
                }
            }
        }
        batch
    }

    /// When to ask [`Coalescer::next`] again. None while only new changes or ended refreshes could
    /// make a difference.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Notes how the refresh of a user that [`Coalescer::next`] gave out has ended.
    pub fn finished(&mut self, user: &UserId, outcome: Outcome, now: Instant) {
        let Some(State::Running { started, generation, dirty, failures }) = self.users.remove(user)
        else {
            return;
        };
        let until = started + self.config.window;
        match outcome {
            Outcome::Sent(cursor) => {
                let seen = (generation == self.generation).then_some(cursor);
                if let Some(mut dirty) = dirty {
                    if let Some(seen) = seen {
                        dirty.since = dirty.since.max(seen);
                    }
                    self.wait(user, until.max(now), dirty, 0);
                } else if until > now {
                    self.due.insert((until, user.clone()));
                    self.users.insert(user.clone(), State::Quiet { until, seen });
                }
            }
            Outcome::Failed(mut owed) => {
                match dirty {
                    Some(dirty) if generation == self.generation => owed.merge(dirty),
                    // The log has been cut off below: only what came after it can be trusted.
                    Some(dirty) => owed = dirty,
                    None => {}
                }
                let delay = self.config.retry_min.saturating_mul(1 << failures.min(16));
                let due = now + delay.min(self.config.retry_max);
                self.wait(user, due, owed, failures.saturating_add(1));
            }
        }
    }

    /// Whether this user's refresh has failed before and has not succeeded since.
    #[must_use]
    pub fn is_failing(&self, user: &UserId) -> bool {
        match self.users.get(user) {
            Some(State::Waiting { failures, .. } | State::Running { failures, .. }) => {
                *failures > 0
            }
            _ => false,
        }
    }

    /// Starts over from a new cursor, because the old ones may be wrong: the database came back as
    /// another, or dropped rows that were not read. Users who wait for a refresh get everything. Users
    /// who wait after a failure wait no longer, because the failures were the database's.
    pub fn start_over(&mut self, cursor: Cursor, now: Instant) {
        self.generation += 1;
        let everything = || Dirty { since: cursor, forced: Sections::ALL, oldest: now, seen: now };
        for state in self.users.values_mut() {
            match state {
                State::Quiet { seen, .. } => *seen = None,
                State::Waiting { dirty, .. } => *dirty = everything(),
                State::Running { dirty, failures, .. } => {
                    *dirty = Some(everything());
                    *failures = (*failures).min(1);
                }
            }
        }
        let sooner = |(at, user): (Instant, UserId)| match self.users.get(&user) {
            Some(State::Waiting { failures: 1.., .. }) => (at.min(now), user),
            _ => (at, user),
        };
        self.due = std::mem::take(&mut self.due).into_iter().map(sooner).collect();
    }

    fn wait(&mut self, user: &UserId, due: Instant, dirty: Dirty, failures: u32) {
        self.due.insert((due, user.clone()));
        self.users.insert(user.clone(), State::Waiting { dirty, failures });
    }
}

impl Dirty {
    /// Adds what came later.
    fn merge(&mut self, later: Self) {
        self.since = self.since.min(later.since);
        self.forced |= later.forced;
        self.oldest = self.oldest.min(later.oldest);
        self.seen = self.seen.min(later.seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn coalescer(batch: usize) -> Coalescer {
        Coalescer::new(CoalesceConfig {
            window: WINDOW,
            batch,
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(5),
        })
    }

    fn cursor(at: i64) -> Cursor {
        Cursor(at)
    }

    fn dirty(since: i64, oldest: Instant) -> Dirty {
        Dirty { since: cursor(since), forced: Sections::NONE, oldest, seen: oldest }
    }

    fn only(batch: Vec<(UserId, Dirty)>) -> Dirty {
        let [(_, dirty)] = <[_; 1]>::try_from(batch).unwrap();
        dirty
    }

    fn names(batch: Vec<(UserId, Dirty)>) -> Vec<UserId> {
        batch.into_iter().map(|(user, _)| user).collect()
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_quiet_user_is_refreshed_at_once() {
        let (mut coalescer, start, ada) = (coalescer(4), Instant::now(), UserId::from("ada"));
        coalescer.mark(&ada, dirty(1, start), start);
        assert_eq!(coalescer.next_due(), Some(start));
        assert_eq!(coalescer.next(start), [(ada, dirty(1, start))]);
        assert_eq!(coalescer.next(start), []);
    }

    #[test]
    fn later_changes_wait_for_the_window_and_go_out_together() {
        let (mut coalescer, start, ada) = (coalescer(4), Instant::now(), UserId::from("ada"));
        coalescer.mark(&ada, dirty(1, start), start);
        assert_eq!(coalescer.next(start).len(), 1);
        // While the refresh runs, and after it has ended.
        coalescer.mark(&ada, dirty(2, start + ms(1)), start + ms(1));
        coalescer.finished(&ada, Outcome::Sent(cursor(5)), start + ms(3));
        coalescer.mark(&ada, dirty(6, start + ms(9)), start + ms(9));
        assert_eq!(coalescer.next(start + ms(99)), []);
        assert_eq!(coalescer.next_due(), Some(start + WINDOW));
        // What the first refresh has seen already is not asked for again.
        let expected = dirty(5, start + ms(1));
        assert_eq!(coalescer.next(start + WINDOW), [(ada, expected)]);
    }

    #[test]
    fn a_change_after_the_window_goes_out_at_once() {
        let (mut coalescer, start, ada) = (coalescer(4), Instant::now(), UserId::from("ada"));
        coalescer.mark(&ada, dirty(1, start), start);
        assert_eq!(coalescer.next(start).len(), 1);
        coalescer.finished(&ada, Outcome::Sent(cursor(5)), start + ms(2));
        let later = start + ms(150);
        assert_eq!(coalescer.next(later), []);
        assert!(coalescer.users.is_empty(), "a user at rest is forgotten");
        coalescer.mark(&ada, dirty(7, later), later);
        assert_eq!(coalescer.next(later).len(), 1);
    }

    #[test]
    fn one_refresh_per_user_at_a_time_even_beyond_the_window() {
        let (mut coalescer, start, ada) = (coalescer(4), Instant::now(), UserId::from("ada"));
        coalescer.mark(&ada, dirty(1, start), start);
        assert_eq!(coalescer.next(start).len(), 1);
        let later = start + ms(500);
        coalescer.mark(&ada, dirty(2, later), later);
        assert_eq!(coalescer.next(later), []);
        coalescer.finished(&ada, Outcome::Sent(cursor(9)), later);
        assert_eq!(coalescer.next(later).len(), 1);
    }

    #[test]
    fn a_batch_is_bounded_and_the_longest_waiting_go_first() {
        let (mut coalescer, start) = (coalescer(2), Instant::now());
        let users = ["c", "a", "b"].map(UserId::from);
        for (place, user) in (0..).zip(&users) {
            let now = start + ms(place);
            coalescer.mark(user, dirty(1, now), now);
        }
        assert_eq!(names(coalescer.next(start + ms(1))), users[..2]);
        assert_eq!(coalescer.next_due(), Some(start + ms(2)));
        assert_eq!(coalescer.next(start + ms(1)), []);
        assert_eq!(names(coalescer.next(start + ms(2))), users[2..]);
        assert_eq!(coalescer.next_due(), None, "only a change or an ended refresh matters now");
    }

    #[test]
    fn who_has_failed_is_refreshed_alone() {
        let (mut coalescer, start) = (coalescer(9), Instant::now());
        let users = ["a", "b", "c", "d"].map(UserId::from);
        coalescer.mark(&users[1], dirty(1, start), start);
        let owed = only(coalescer.next(start));
        coalescer.finished(&users[1], Outcome::Failed(owed), start);
        let now = start + ms(200);
        for user in [&users[0], &users[2], &users[3]] {
            coalescer.mark(user, dirty(1, now), now);
        }
        let order = [&users[..1], &users[1..2], &users[2..]];
        assert_eq!(order.map(|_| names(coalescer.next(now))), order);
    }

    #[test]
    fn a_failed_refresh_is_retried_later_and_later_and_loses_nothing() {
        let (mut coalescer, mut now, ada) = (coalescer(4), Instant::now(), UserId::from("ada"));
        let start = now;
        coalescer.mark(&ada, dirty(3, now), now);
        for delay in [200, 400, 800, 1600, 3200, 5000, 5000] {
            let owed = only(coalescer.next(now));
            assert_eq!(owed, dirty(3, start));
            coalescer.mark(&ada, dirty(8, now), now);
            coalescer.finished(&ada, Outcome::Failed(owed), now);
            assert!(coalescer.is_failing(&ada));
            assert_eq!(coalescer.next_due(), Some(now + ms(delay)));
            now += ms(delay);
        }
        assert_eq!(coalescer.next(now).len(), 1);
        coalescer.finished(&ada, Outcome::Sent(cursor(9)), now);
        assert!(!coalescer.is_failing(&ada));
    }

    #[test]
    fn forced_sections_stay_forced_after_every_merge() {
        let (start, ada) = (Instant::now(), UserId::from("ada"));
        let forced = Dirty { forced: Sections::ALL, ..dirty(5, start) };
        let merged = Dirty { forced: Sections::ALL, ..dirty(3, start) };
        // While both wait, in either order.
        for [first, second] in [[forced, dirty(3, start)], [dirty(3, start), forced]] {
            let mut coalescer = coalescer(4);
            coalescer.mark(&ada, first, start);
            coalescer.mark(&ada, second, start);
            assert_eq!(only(coalescer.next(start)), merged);
        }
        // While one is being sent, which fails.
        for [running, later] in [[forced, dirty(3, start)], [dirty(3, start), forced]] {
            let mut coalescer = coalescer(4);
            coalescer.mark(&ada, running, start);
            let owed = only(coalescer.next(start));
            coalescer.mark(&ada, later, start);
            coalescer.finished(&ada, Outcome::Failed(owed), start);
            assert_eq!(only(coalescer.next(coalescer.next_due().unwrap())), merged);
        }
    }

    #[test]
    fn starting_over_trusts_no_cursor_of_before() {
        let (mut coalescer, start) = (coalescer(2), Instant::now());
        let [running, waiting] = ["a", "b"].map(UserId::from);
        coalescer.mark(&running, dirty(50, start), start);
        assert_eq!(coalescer.next(start).len(), 1);
        coalescer.mark(&waiting, dirty(50, start), start);
        coalescer.start_over(cursor(10), start);
        // The answer of the old database must not hide changes of the new one.
        coalescer.finished(&running, Outcome::Sent(cursor(60)), start);
        let everything = Dirty { forced: Sections::ALL, ..dirty(10, start) };
        assert_eq!(coalescer.next(start), [(waiting, everything)]);
        assert_eq!(coalescer.next(start + WINDOW), [(running, everything)]);
    }

    #[test]
    fn starting_over_ends_the_wait_after_a_failure() {
        let (mut coalescer, start, ada) = (coalescer(2), Instant::now(), UserId::from("ada"));
        coalescer.mark(&ada, dirty(3, start), start);
        for _ in 0..5 {
            let now = coalescer.next_due().unwrap();
            let owed = only(coalescer.next(now));
            coalescer.finished(&ada, Outcome::Failed(owed), now);
        }
        let now = coalescer.next_due().unwrap().checked_sub(ms(1_000)).unwrap();
        assert_eq!(coalescer.next(now), []);
        coalescer.start_over(cursor(10), now);
        let owed = only(coalescer.next(now));
        assert_eq!(owed, Dirty { forced: Sections::ALL, ..dirty(10, now) });
        // One that was on its way then fails as if for the second time.
        coalescer.start_over(cursor(11), now);
        coalescer.finished(&ada, Outcome::Failed(owed), now);
        assert_eq!(coalescer.next_due(), Some(now + ms(400)));
    }
}

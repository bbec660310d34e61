//! Decides how many rows to do at once, so that a transaction is over within a moment. It learns this for each
//! query, because one may take a hundred times as long as another. It also decides how much of its time a
//! projector leaves to the application.
//!
//! A busy database takes longer for everything, also for what a pass needs before and after its work: to look, to
//! take the turn, to commit. If pieces shrank with each delay, most of the time would go to that overhead, and the
//! backlog would shrink slowest when it is largest. So a piece takes at least as long as that overhead.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::lane::Subject;

/// How long a piece is to take, where the overhead of a pass is no larger.
const PIECE_TIME: Duration = Duration::from_millis(10);
/// How long a piece is to take at most: well below what ends a statement.
const MAX_PIECE_TIME: Duration = Duration::from_millis(50);
/// How many pieces fit into a transaction.
pub(super) const PIECES: u32 = 3;
const FIRST: usize = 50;
const MIN: usize = 5;
const MAX: usize = 1_000;

/// The sizes of pieces.
#[derive(Debug, Default)]
pub(super) struct Paces {
    sizes: HashMap<Subject, usize>,
    /// What a pass takes beside its work, as of the last few.
    overhead: Duration,
}

impl Paces {
    /// How many rows of that subject to do at once.
    pub(super) fn of(&self, subject: Subject) -> usize {
        self.sizes.get(&subject).copied().unwrap_or(FIRST)
    }

    /// How long a piece is to take.
    fn piece_time(&self) -> Duration {
        self.overhead.clamp(PIECE_TIME, MAX_PIECE_TIME)
    }

    /// How long a transaction may go on with further pieces of work.
    pub(super) fn pass_time(&self) -> Duration {
        self.piece_time() * PIECES
    }

    /// Learns from a pass what it took beside its work.
    pub(super) fn learn_overhead(&mut self, took: Duration) {
        // One look that waited for a long transaction says nothing about the next.
        self.overhead = (self.overhead * 7 + took.min(MAX_PIECE_TIME)) / 8;
    }

    /// Learns from a piece: the next is at most twice as large.
    pub(super) fn learn(&mut self, subject: Subject, rows: usize, took: Duration) {
        let (size, piece_time) = (self.of(subject), self.piece_time());
        // A small piece that was quick says nothing about large ones.
        if rows < size && took < piece_time {
            return;
        }
        let fitting = rows as u128 * piece_time.as_micros() / took.as_micros().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(MAX);
        self.sizes.insert(subject, fitting.min(size * 2).clamp(MIN, MAX));
    }
}

/// Leaves room for the application's writers. A projector that is behind keeps a core of the database busy, which
/// they need as well. So while they write, it rests for as long as it has worked. Once they are done, it does not rest.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// When bulk work may go on.
    bulk_at: Option<Instant>,
}

/// Small work that is done within this time is no burden.
const LIGHT: Duration = Duration::from_millis(10);
/// How often small work is looked for while bulk work rests.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// No piece of work takes longer than this, and what the database says of rests comes by a clock that may be set.
const MAX_REST: Duration = Duration::from_secs(1);

impl Room {
    /// Whether bulk work may go on.
    pub(super) fn is_for_bulk(&self, now: Instant) -> bool {
        self.bulk_at.is_none_or(|at| at <= now)
    }

    /// Makes bulk work rest for this time.
    pub(super) fn rests(&mut self, now: Instant, rest: Duration) {
        self.bulk_at = Some(now + rest.min(MAX_REST));
    }

    /// How long to wait before the next look, where small work has taken this long.
    pub(super) fn rest(&self, now: Instant, small_took: Duration, is_written: bool) -> Duration {
        let small = if is_written { small_took.saturating_sub(LIGHT) } else { Duration::ZERO };
        let bulk = self.bulk_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        small.min(MAX_REST).max(bulk.min(LOOK_INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_and_shrink_to_fit_their_time() {
        let (mut paces, feed) = (Paces::default(), Subject::Feed(1));
        let learn = |paces: &mut Paces, rows: usize, ms| {
            paces.learn(feed, rows, Duration::from_millis(ms));
            paces.of(feed)
        };
        assert_eq!(learn(&mut paces, 10, 1), FIRST, "too few to tell");
        assert_eq!(learn(&mut paces, FIRST, 1), FIRST * 2);
        assert_eq!(learn(&mut paces, FIRST * 2, 20), FIRST);
        assert_eq!(learn(&mut paces, 10, 1_000), MIN);
        for _ in 0..20 {
            let size = paces.of(feed);
            learn(&mut paces, size, 0);
        }
        assert_eq!(paces.of(feed), MAX);
        assert_eq!(paces.of(Subject::Watch(1)), FIRST, "each by itself");
    }

    #[test]
    fn a_busy_database_still_spends_most_of_its_time_on_rows() {
        // As measured on an idle machine, in microseconds: what a pass takes beside its pieces, a piece beside its rows,
        // and a row.
        let (pass, piece, row) = (2_500, 650, 60);
        for slowness in [1, 20] {
            let (mut paces, feed) = (Paces::default(), Subject::Feed(1));
            for _ in 0..50 {
                let rows = paces.of(feed);
                let took = (piece + row * rows as u64) * slowness;
                paces.learn(feed, rows, Duration::from_micros(took));
                paces.learn_overhead(Duration::from_micros(pass * slowness));
            }
            let pieces = u64::from(PIECES);
            let on_rows = pieces * row * paces.of(feed) as u64;
            let share = on_rows * 100 / (pass + pieces * piece + on_rows);
            assert!(share > 50, "{share} % where all takes {slowness} times as long");
        }
    }

    #[test]
    fn while_the_application_writes_half_of_the_time_is_its_own() {
        let (mut room, now, ms) = (Room::default(), Instant::now(), Duration::from_millis);
        assert!(room.is_for_bulk(now));
        assert_eq!(room.rest(now, ms(8), true), ms(0), "a few small changes");
        assert_eq!(room.rest(now, ms(40), true), ms(30), "many");
        assert_eq!(room.rest(now, ms(40), false), ms(0), "what is left of them afterwards");
        room.rests(now, ms(25));
        assert!(!room.is_for_bulk(now + ms(24)) && room.is_for_bulk(now + ms(25)));
        assert_eq!(
            room.rest(now, ms(1), true),
            LOOK_INTERVAL,
            "small work does not wait for bulk work"
        );
        assert_eq!(room.rest(now + ms(20), ms(1), true), ms(5));
    }
}

//! How many rows to do at once, so that a transaction is over within a moment: learned for each query, as
//! one may take a hundred times as long as another.

use std::collections::HashMap;
use std::time::Duration;

use super::lane::Subject;

/// How long a transaction may go on with further pieces of work.
pub(super) const PASS_TIME: Duration = Duration::from_millis(30);
/// How long a piece is to take.
const PIECE_TIME: Duration = Duration::from_millis(10);
/// How many pieces fit into a transaction.
pub(super) const PIECES: usize = 3;
const FIRST: usize = 50;
const MIN: usize = 5;
const MAX: usize = 1_000;

/// The sizes of pieces.
#[derive(Debug, Default)]
pub(super) struct Paces(HashMap<Subject, usize>);

impl Paces {
    /// How many rows of that subject to do at once.
    pub(super) fn of(&self, subject: Subject) -> usize {
        self.0.get(&subject).copied().unwrap_or(FIRST)
    }

    /// Learns from a piece: the next is at most twice as large.
    pub(super) fn learn(&mut self, subject: Subject, rows: usize, took: Duration) {
        let size = self.of(subject);
        // A small piece that was quick says nothing about large ones.
        if rows < size && took < PIECE_TIME {
            return;
        }
        let fitting = rows as u128 * PIECE_TIME.as_micros() / took.as_micros().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(MAX);
        self.0.insert(subject, fitting.min(size * 2).clamp(MIN, MAX));
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
}

//! Computes how long the client waits after each failure (D-RES-1, D-RES-4).
//!
//! The backoff has full jitter: the ceiling doubles with every failure, and the wait is drawn
//! uniformly below it. So clients that were cut off together do not come back together.

use crate::random::Random;
use crate::time::Millis;

/// The ceiling after the first failure.
pub const BASE: Millis = Millis::seconds(1);
/// No ceiling is higher.
pub const CAP: Millis = Millis::seconds(30);
/// No wait is shorter.
pub const FLOOR: Millis = Millis(100);
/// The consecutive failure that makes a client degraded (D-RES-4).
pub const DEGRADED_AFTER: u32 = 5;
/// Longest wait that a server may ask for; longer is cut to this, so that one odd header cannot
/// silence a client for a day.
pub const LONGEST_WISH: Millis = Millis::seconds(300);

/// The longest wait after that number of consecutive failures: 1 s, 2 s, 4 s … 30 s.
#[must_use]
pub fn ceiling(failures: u32) -> Millis {
    let doublings = failures.saturating_sub(1).min(16);
    Millis(BASE.0 << doublings).min(CAP)
}

/// How long to wait after that number of consecutive failures.
pub fn delay(failures: u32, random: &mut Random) -> Millis {
    random.span(FLOOR, ceiling(failures))
}

/// How long a degraded client waits before it tries the socket again.
pub fn slow_delay(random: &mut Random) -> Millis {
    random.span(FLOOR, CAP)
}

/// A period, ten percent more or less, so that clients do not beat in time.
pub fn around(period: Millis, random: &mut Random) -> Millis {
    let tenth = period.0 / 10;
    random.span(Millis(period.0 - tenth), Millis(period.0 + tenth))
}

/// A wait that the server asked for, within reason.
#[must_use]
pub fn capped(asked: Millis) -> Millis {
    asked.clamp(FLOOR, LONGEST_WISH)
}

/// What a `Retry-After` header asks for, in either of its forms: seconds, or a date, which the
/// driver's `date` reads (ms since 1970). What is neither is left to the law of waiting.
pub fn retry_after(
    header: &str,
    now: u64,
    date: impl FnOnce(&str) -> Option<u64>,
) -> Option<Millis> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(capped(Millis::seconds(seconds.into())));
    }
    // Platforms read dates into the oddest numbers; a date of HTTP begins with its day's name.
    let is_date = header.starts_with(|first: char| first.is_ascii_alphabetic());
    let date = if is_date { date(header) } else { None };
    date.map(|at| capped(Millis(at.saturating_sub(now))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let seconds: Vec<u64> = (0..9).map(|failures| ceiling(failures).0 / 1_000).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(ceiling(u32::MAX), CAP);
    }

    #[test]
    fn delays_fill_the_span_from_floor_to_ceiling() {
        let mut random = Random::new(1);
        for failures in 1..12 {
            let draws: Vec<Millis> = (0..2_000).map(|_| delay(failures, &mut random)).collect();
            let (shortest, longest) = (draws.iter().min().unwrap(), draws.iter().max().unwrap());
            let top = ceiling(failures).0;
            assert!(*shortest >= FLOOR && shortest.0 < FLOOR.0 + top / 50, "{shortest:?}");
            assert!(longest.0 <= top && longest.0 > top - top / 50, "{longest:?}");
        }
    }

    #[test]
    fn periods_vary_by_a_tenth() {
        let mut random = Random::new(1);
        let draws: Vec<u64> =
            (0..2_000).map(|_| around(Millis::seconds(30), &mut random).0).collect();
        assert!(draws.iter().all(|draw| (27_000..=33_000).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < 27_200) && draws.iter().any(|draw| *draw > 32_800));
    }

    #[test]
    fn wishes_are_kept_within_reason() {
        let read = |header| retry_after(header, 10_000, |_| panic!("no date: {header}"));
        assert_eq!(read(" 7 "), Some(Millis::seconds(7)));
        assert_eq!(read("0"), Some(FLOOR));
        assert_eq!(read("86400"), Some(LONGEST_WISH));
        for odd in ["", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        let dated = |at| retry_after("Wed, 21 Oct 2026 07:28:00 GMT", 10_000, |_| at);
        assert_eq!(dated(Some(12_500)), Some(Millis(2_500)));
        assert_eq!(dated(Some(9_000)), Some(FLOOR), "in the past");
        assert_eq!(dated(None), None);
    }
}

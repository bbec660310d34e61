//! From a life that fails to the shortest one that fails alike.

use super::faults::Schedule;

/// The most lives that one shrinking leads.
const TRIES: usize = 5_000;

/// Leaves out all that is not needed for `fails` to stay true: faults, their size, and time.
pub(super) fn shrink(mut schedule: Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let mut tries = 0;
    let mut still_fails = |candidate: &Schedule| {
        tries += 1;
        tries < TRIES && fails(candidate)
    };
    drop_faults(&mut schedule, &mut still_fails);
    loop {
        let before = format!("{schedule:?}");
        drop_faults(&mut schedule, &mut still_fails);
        shrink_sizes(&mut schedule, &mut still_fails);
        shrink_time(&mut schedule, &mut still_fails);
        if before == format!("{schedule:?}") {
            return schedule;
        }
    }
}

/// Delta debugging: ever smaller parts of the list are left out, for as long as that helps.
fn drop_faults(schedule: &mut Schedule, fails: &mut impl FnMut(&Schedule) -> bool) {
    let mut size = schedule.faults.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        while start < schedule.faults.len() {
            let mut candidate = schedule.clone();
            let end = (start + size).min(candidate.faults.len());
            candidate.faults.drain(start..end);
            if fails(&candidate) {
                *schedule = candidate;
            } else {
                start = end;
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2);
    }
}

fn shrink_sizes(schedule: &mut Schedule, fails: &mut impl FnMut(&Schedule) -> bool) {
    for index in 0..schedule.faults.len() {
        while schedule.faults[index].size > 1 {
            let mut candidate = schedule.clone();
            candidate.faults[index].size /= 2;
            if !fails(&candidate) {
                break;
            }
            *schedule = candidate;
        }
    }
}

/// Ends the storm after the last fault, and halves the time before each.
fn shrink_time(schedule: &mut Schedule, fails: &mut impl FnMut(&Schedule) -> bool) {
    let mut candidate = schedule.clone();
    candidate.storm = candidate.faults.last().map_or(0, |last| last.at) + 1;
    if candidate.storm < schedule.storm && fails(&candidate) {
        *schedule = candidate;
    }
    for index in 0..schedule.faults.len() {
        loop {
            let before = if index == 0 { 0 } else { schedule.faults[index - 1].at };
            let cut = (schedule.faults[index].at - before) / 2;
            let mut candidate = schedule.clone();
            candidate.storm -= cut;
            for fault in &mut candidate.faults[index..] {
                fault.at -= cut;
            }
            if cut == 0 || !fails(&candidate) {
                break;
            }
            *schedule = candidate;
        }
    }
}

#[test]
fn what_does_not_matter_is_left_out() {
    use super::faults::Kind;
    let needed = [Kind::Sleep, Kind::Reset];
    let fails = |schedule: &Schedule| {
        needed
            .iter()
            .all(|kind| schedule.faults.iter().any(|fault| fault.kind == *kind && fault.at > 1_000))
    };
    let schedule = (0..10_000).map(Schedule::of).find(fails).unwrap();
    assert!(schedule.faults.len() > needed.len());
    let shrunk = shrink(schedule, fails);
    assert_eq!(shrunk.faults.len(), needed.len());
    assert!(shrunk.faults.iter().all(|fault| fault.size == 1));
    assert!(shrunk.storm < 3_000, "{shrunk:?}");
}

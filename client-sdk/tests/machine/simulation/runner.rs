//! Runs many lives on all processors, and reports one that fails.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::faults::Schedule;
use super::life::{self, Failure};
use super::shrink::shrink;
use super::tally::Tally;

/// What to run.
pub(super) struct Orders {
    /// The first seed.
    pub(super) from: u64,
    /// How many seeds.
    pub(super) schedules: u64,
    /// For how long at most.
    pub(super) time: Option<Duration>,
}

/// Seeds that are taken at a time.
const BATCH: u64 = 64;
/// How often a run says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// Seeds that failed once; a line each, and a sentence about it after `#`.
const SEEDS: &str = include_str!("seeds.txt");
const SEEDS_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machine/simulation/seeds.txt");

/// Set by Ctrl-C: the run ends with the table so far.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
static SIGNAL: OnceLock<()> = OnceLock::new();

/// The seeds that failed once.
pub(super) fn kept_seeds() -> impl Iterator<Item = u64> {
    let lines = SEEDS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|seed| !seed.is_empty()).map(|seed| seed.parse().expect("a seed"))
}

/// Leads the lives of the orders until one fails.
///
/// Panics with the shrunk life where one does.
pub(super) fn run(orders: &Orders) -> Tally {
    if orders.time.is_some() {
        SIGNAL.get_or_init(|| {
            let interrupt = || IS_INTERRUPTED.store(true, Ordering::Relaxed);
            ctrlc::set_handler(interrupt).expect("signals can be listened to");
        });
    }
    let started = now();
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    let (tally, failure) = thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let tell = tell.clone();
            let (next, is_over) = (&next, &is_over);
            scope.spawn(move || work(orders, next, is_over, &tell));
        }
        drop(tell);
        follow(orders, started, &is_over, &told)
    });
    if let Some((seed, failure)) = failure {
        println!("{}", tally.table());
        panic!("{}", explain(seed, &failure));
    }
    tally
}

/// One seed must hold, or its shrunk life is printed.
pub(super) fn must_hold(seed: u64) {
    if let Some(failure) = life::lead_silently(Schedule::of(seed)).failure {
        panic!("{}", explain(seed, &failure));
    }
}

/// Tells the life of one seed, which must hold.
pub(super) fn tell(seed: u64) {
    let life = life::lead(Schedule::of(seed));
    println!("{}", life.story.join("\n"));
    if let Some(failure) = life.failure {
        panic!("{}", explain(seed, &failure));
    }
}

type Report = (Tally, Option<(u64, Failure)>);

fn work(orders: &Orders, next: &AtomicU64, is_over: &AtomicBool, tell: &mpsc::Sender<Report>) {
    while !is_over.load(Ordering::Relaxed) {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= orders.schedules {
            return;
        }
        let mut tally = Tally::default();
        let mut failure = None;
        for number in first..(first + BATCH).min(orders.schedules) {
            let seed = orders.from + number;
            let life = life::lead_silently(Schedule::of(seed));
            tally.add(&life.tally);
            if let Some(found) = life.failure {
                is_over.store(true, Ordering::Relaxed);
                failure = Some((seed, found));
                break;
            }
        }
        // The receiver exists until the last worker has ended.
        let _ = tell.send((tally, failure));
    }
}

fn follow(
    orders: &Orders,
    started: Instant,
    is_over: &AtomicBool,
    told: &mpsc::Receiver<Report>,
) -> Report {
    let mut sum = Tally::default();
    let mut failure = None;
    let mut last_sign = started;
    while let Ok((tally, found)) = told.recv() {
        sum.add(&tally);
        failure = failure.or(found);
        let ran = now() - started;
        if IS_INTERRUPTED.load(Ordering::Relaxed) || orders.time.is_some_and(|time| ran >= time) {
            is_over.store(true, Ordering::Relaxed);
        }
        if last_sign.elapsed() >= PROGRESS {
            last_sign = now();
            println!("simulation: {} schedules in {} s", sum.schedules, ran.as_secs());
        }
    }
    (sum, failure)
}

/// The failure, the least that causes it, and how that comes about; kept where that is wanted.
fn explain(seed: u64, failure: &Failure) -> String {
    let whole = Schedule::of(seed);
    let count = whole.faults.len();
    let fails_alike = |schedule: &Schedule| {
        life::lead_silently(schedule.clone()).failure.is_some_and(|it| it.check == failure.check)
    };
    let shrunk = shrink(whole, fails_alike);
    let life = life::lead(shrunk.clone());
    let message = life.failure.map_or_else(|| failure.message.clone(), |failure| failure.message);
    let mut text = format!(
        "seed {seed}: {message}\n\nThe same with {} of its {count} faults:\n",
        shrunk.faults.len()
    );
    for fault in &shrunk.faults {
        let _ = writeln!(text, "  at {} ms, size {}: {}", fault.at, fault.size, fault.kind.name());
    }
    let _ = writeln!(text, "\nWhat happens ({}):\n{}", failure.check, life.story.join("\n"));
    let _ = writeln!(text, "\n{message}\n\nAlone: SIMULATION_SEED={seed}");
    let entry = format!("{seed} # {}\n", message.lines().next().unwrap_or_default());
    if std::env::var_os("SIMULATION_KEEP").is_some() && !kept_seeds().any(|kept| kept == seed) {
        let file = std::fs::OpenOptions::new().append(true).open(SEEDS_PATH);
        match file.and_then(|mut file| file.write_all(entry.as_bytes())) {
            Ok(()) => text += "It was added to seeds.txt.\n",
            Err(error) => {
                let _ = writeln!(text, "It could not be added to seeds.txt: {error}");
            }
        }
    } else {
        let _ = write!(text, "To keep it, add this line to seeds.txt: {entry}");
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "how long the run takes, not what happens in it")]
fn now() -> Instant {
    Instant::now()
}

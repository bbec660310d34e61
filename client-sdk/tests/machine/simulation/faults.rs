//! What can go wrong, and schedules of it: the same seed gives the same list of faults at the same
//! times, so a part of the list can be left out to find out which faults matter.

use client_sdk::random::Random;
use client_sdk::time::Millis;

macro_rules! kinds {
    ($($name:ident = $text:literal, $weight:literal, $size:ident;)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($name,)+
        }

        impl Kind {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// How often it is drawn, compared with the others.
            const fn weight(self) -> u64 {
                match self {
                    $(Self::$name => $weight,)+
                }
            }

            const fn size(self) -> Size {
                match self {
                    $(Self::$name => Size::$size,)+
                }
            }
        }
    };
}

/// What a fault's size means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// It happens once.
    Once,
    /// It strikes that number of the next operations: connections, requests, frames.
    Next,
    /// It lasts that number of milliseconds.
    Short,
    /// The same, and may be minutes.
    Long,
    /// The same, and is an hour in an hour's life.
    Hour,
}

kinds! {
    // The network.
    ConnectionRefused = "connection refused", 5, Next;
    ConnectionHangs = "connection hangs", 3, Next;
    HandshakeBusy = "handshake answered 429 or 503, with Retry-After", 2, Next;
    Reset = "connection reset", 6, Once;
    LostTwice = "connection lost, told twice", 3, Next;
    BlackHole = "black hole without a reset", 4, Once;
    Flapping = "link flaps", 3, Short;
    SlowNetwork = "slow network", 3, Short;
    Offline = "offline, and online again", 3, Long;
    // The machine that the client runs on.
    Sleep = "sleep, the connection survives it", 2, Long;
    SleepHalfOpen = "sleep, the connection is half-open after it", 3, Long;
    Hidden = "tab hidden, timers throttled to a minute", 3, Hour;
    ClockBack = "clock set back", 2, Once;
    ClockForward = "clock set forward", 2, Once;
    // The server.
    ServerRestart = "server killed and restarted", 4, Short;
    ServerDrains = "server drains, with a retry_after", 3, Short;
    ServerKicks = "server disconnects", 2, Once;
    ServerWithoutData = "server without data", 3, Once;
    NewEpoch = "server restored with a new epoch", 3, Once;
    LaggingReplica = "snapshot by a lagging replica", 4, Next;
    // Snapshots.
    SnapshotUnreachable = "snapshot unreachable", 4, Next;
    SnapshotHangs = "snapshot hangs", 3, Next;
    SnapshotBadGateway = "snapshot answered 502", 3, Next;
    SnapshotPage = "snapshot is a web page", 3, Next;
    SnapshotStranger = "snapshot answered 401 or 403 by a firewall", 3, Next;
    SnapshotNotOurs = "snapshot answered in the server's place with any status and body", 4, Next;
    SnapshotBusy = "snapshot answered 429 or 503", 3, Next;
    SnapshotWish = "snapshot answered 429 or 503, with Retry-After", 3, Next;
    SnapshotKept = "snapshots kept by a cache that overlooks queries", 4, Short;
    QueryLost = "a proxy drops queries, and perhaps tags", 3, Short;
    SnapshotAbsurd = "snapshot breaks the contract", 3, Next;
    EventsDuringSnapshot = "events during the snapshot", 6, Next;
    FloodDuringSnapshot = "more events during the snapshot than are kept", 1, Once;
    // Frames.
    FrameDuplicated = "event duplicated", 4, Next;
    FrameReordered = "event overtaken by a later one", 4, Next;
    FrameCut = "event cut short", 4, Next;
    FrameAbsurd = "absurd frame", 4, Next;
    // The session.
    TokenExpired = "token expired mid-stream", 3, Once;
    TokenUnavailable = "token unavailable", 3, Next;
    AcceptedWithoutTag = "accepted without a tag", 3, Next;
    AuthFailed = "AUTH_FAILED at connect", 2, Once;
    AuthFailedLate = "AUTH_FAILED on an accepted connection", 2, Once;
    Unauthorized = "snapshot answered 401", 2, Once;
    Forbidden = "snapshot answered 403", 2, Once;
    // The app.
    UserSwitched = "user switched", 3, Once;
    StopStart = "stops and starts race", 4, Next;
    Nudged = "refresh, online, visible for nothing", 5, Next;
    Reloaded = "page reloaded, the last view kept", 3, Once;
    ReloadedByAnother = "page reloaded by another user", 2, Once;
    LastViewBroken = "last view garbled, of the future, or never found", 3, Next;
}

/// One fault, at its time.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// In ms of the world's time.
    pub(super) at: u64,
    pub(super) kind: Kind,
    /// How often or how long, by the kind.
    pub(super) size: u64,
    /// Everything else about it is drawn from this, so that it does not depend on other faults.
    pub(super) dice: u64,
}

/// A life to be led: a storm of faults, and calm after it.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    /// How long faults happen, in ms.
    pub(super) storm: u64,
    pub(super) faults: Vec<Fault>,
    /// Longest pause between two changes of the data, in ms.
    pub(super) pause: u64,
    /// Whether the steady clock runs on during sleep; systems differ.
    pub(super) steady_runs_asleep: bool,
}

/// One schedule in this number is an hour long.
const HOURS_ONE_IN: u64 = 64;
const HOUR: u64 = 3_600_000;

impl Schedule {
    /// The schedule of a seed: mostly a minute or two dense with faults, sometimes an hour of life.
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xfa17);
        let mut draw = move |low, high| random.span(Millis(low), Millis(high)).0;
        let is_hour = seed % HOURS_ONE_IN == HOURS_ONE_IN - 1;
        let storm = if is_hour { HOUR + HOUR / 4 } else { draw(5_000, 90_000) };
        let count = if is_hour { draw(20, 50) } else { draw(2, 12) };
        let mut faults: Vec<Fault> = (0..count)
            .map(|_| {
                let (at, kind) = (draw(0, storm), kind(draw(1, Kind::total_weight())));
                let size = match kind.size() {
                    Size::Once => 1,
                    Size::Next => draw(1, 6),
                    Size::Hour if is_hour => draw(HOUR / 2, HOUR),
                    Size::Long if is_hour => draw(1_000, HOUR / 4),
                    Size::Short => draw(100, 20_000),
                    Size::Long | Size::Hour => draw(1_000, 200_000),
                };
                Fault { at, kind, size, dice: draw(0, u64::MAX - 1) }
            })
            .collect();
        faults.sort_by_key(|fault| fault.at);
        let pause = if is_hour { 60_000 } else { draw(100, 8_000) };
        Self { seed, storm, faults, pause, steady_runs_asleep: draw(0, 1) == 1 }
    }
}

impl Kind {
    fn total_weight() -> u64 {
        Self::ALL.iter().map(|kind| kind.weight()).sum()
    }
}

fn kind(mut ticket: u64) -> Kind {
    for kind in Kind::ALL {
        if ticket <= kind.weight() {
            return *kind;
        }
        ticket -= kind.weight();
    }
    Kind::Reset
}

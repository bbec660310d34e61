//! Defines the scenarios: what is done to a contender, and what is measured during it.

mod backlog;
mod connect;
mod crowd;
mod drain;
mod floors;
mod heartbeat;
mod host;
mod latency;
mod nodes;
mod outage;
mod snapshot;
mod soak;
mod storm;
mod writes;

use std::fmt;

use clap::ValueEnum;

use crate::contender::Kind;
use crate::database::Database;
use crate::figures::Figure;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The database, the network and the runtime on their own.
    Floors,
    /// A crowd connects, stays idle, leaves: CPU and memory.
    Connect,
    /// The same over TLS.
    ConnectTls,
    /// A crowd of clients that never ask for a snapshot comes at 1,000 a second.
    ConnectUnasked,
    /// The whole crowd, idle: what it costs to ask each whether it lives, every 25 s and every 10 s.
    Heartbeat,
    /// A crowd that has each received an event of 16 KiB.
    LargeEvent,
    /// 2,000 sockets, 200 changes a second: from the change to the client.
    Latency,
    /// The same for ten minutes, with a snapshot of the database held open. Not part of a run without `--only`.
    LatencyHeld,
    /// The whole crowd, 500 changes a second.
    LatencyCrowd,
    /// Snapshots over 16 connections; 304 answers; one at a time; the user with most.
    Snapshot,
    /// 2,000 clients whose server is killed and comes back.
    Storm,
    /// The whole crowd, the same.
    StormCrowd,
    /// The drain of a server with 1,000 clients, with another server for them to go to.
    Drain,
    /// The database is killed and comes back. Also sockets that are refused or whose sessions end.
    Outage,
    /// The application's own writes, with capture and without.
    Writes,
    /// The writes of an application on its own tables, with triggers and a projector, and without.
    Host,
    /// Eight servers on one database.
    Nodes,
    /// Five million changes behind a server that stood still.
    Backlog,
    /// Half an hour of changes and churn. Not part of a run without `--only`.
    Soak,
}

/// How large.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// Sockets of the crowd.
    pub(crate) sockets: usize,
    /// Of the soak.
    pub(crate) minutes: u64,
}

impl Scenario {
    /// All that end soon.
    pub(crate) fn by_default() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|scenario| !matches!(scenario, Self::LatencyHeld | Self::Soak)).collect()
    }

    /// Who takes part, in turns.
    pub(crate) fn contenders(self) -> &'static [Kind] {
        match self {
            Self::Floors => &[Kind::Floor],
            Self::Connect
            | Self::ConnectTls
            | Self::LargeEvent
            | Self::Latency
            | Self::LatencyCrowd
            | Self::Snapshot
            | Self::Storm => &[Kind::Server, Kind::Node],
            Self::Writes | Self::Host => &[Kind::Server, Kind::Floor],
            Self::ConnectUnasked
            | Self::Heartbeat
            | Self::LatencyHeld
            | Self::StormCrowd
            | Self::Drain
            | Self::Outage
            | Self::Nodes
            | Self::Backlog
            | Self::Soak => &[Kind::Server],
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// Measures one contender once.
///
/// # Errors
///
/// Where the contender, the database or the machine fails.
pub(crate) async fn run(
    scenario: Scenario,
    kind: Kind,
    scale: Scale,
    database: &Database,
) -> anyhow::Result<Vec<Figure>> {
    database.tidy().await?;
    match scenario {
        Scenario::Floors => floors::run(database).await,
        Scenario::Connect => connect::run(kind, database, scale.sockets, false).await,
        Scenario::ConnectTls => connect::run(kind, database, scale.sockets, true).await,
        Scenario::ConnectUnasked => connect::unasked(database, scale.sockets).await,
        Scenario::Heartbeat => heartbeat::run(database, scale.sockets).await,
        Scenario::LargeEvent => connect::large_event(kind, database, scale.sockets).await,
        Scenario::Latency => latency::run(kind, database, latency::SMALL).await,
        Scenario::LatencyHeld => latency::held(database).await,
        Scenario::LatencyCrowd => latency::run(kind, database, latency::crowd(scale.sockets)).await,
        Scenario::Snapshot => snapshot::run(kind, database).await,
        Scenario::Storm => storm::run(kind, database, storm::SMALL).await,
        Scenario::StormCrowd => storm::run(kind, database, scale.sockets).await,
        Scenario::Drain => drain::run(database).await,
        Scenario::Outage => outage::run().await,
        Scenario::Writes => writes::run(kind, database).await,
        Scenario::Host => host::run(kind, database).await,
        Scenario::Nodes => nodes::run(database).await,
        Scenario::Backlog => backlog::run(database).await,
        Scenario::Soak => soak::run(database, scale.minutes).await,
    }
}

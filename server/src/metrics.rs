//! Counts what the server does (D-NFR-4), in the names that the host's dashboards expect.
//!
//! [`labels`] are bounded, and [`process`] adds what the system knows of this process.

mod labels;
pub(crate) mod process;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::labels::{
    EventLabel, Limit, LimitLabel, PoolLabel, Reason, Request, ResultLabel, Route,
};
use self::process::Process;

/// All metrics of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests by route and outcome.
    pub http_requests: Family<Request, Counter>,
    /// How long requests took.
    pub http_duration: Family<Route, Histogram, fn() -> Histogram>,
    /// Sockets that are authenticated and live.
    pub connections: Gauge,
    /// Transports of sockets that are open, authenticated or not.
    pub transports: Gauge,
    /// Those of them that are HTTP long-polling.
    pub polling: Gauge,
    /// Sockets that were accepted.
    pub connects: Counter,
    /// Sockets that were refused, by reason.
    pub refusals: Family<Reason, Counter>,
    /// Sockets that ended, by reason.
    pub disconnects: Family<Reason, Counter>,
    /// Events handed to sockets, by type.
    pub events: Family<EventLabel, Counter>,
    /// Events that were not sent, because a newer one took their place or the socket was closed.
    pub events_unsent: Family<Reason, Counter>,
    /// From when a change was projected to the event's hand-over.
    pub change_to_emit: Histogram,
    /// Refreshes by result.
    pub refreshes: Family<ResultLabel, Counter>,
    /// How long refreshes took.
    pub refresh_duration: Histogram,
    /// Polls of the change log, by result.
    pub capture_polls: Family<ResultLabel, Counter>,
    /// Times that the change log had to be taken up anew.
    pub capture_gaps: Counter,
    /// Users with changes, counted at each poll of the change log that finds some.
    pub changes_captured: Counter,
    /// How long ago the change log was polled with success, when scraped.
    capture_lag: Gauge<f64, AtomicU64>,
    last_look: Mutex<Instant>,
    /// Changes that were removed because every server has read them.
    pub changes_removed: Counter,
    /// Passes of the projector, by result.
    pub projector_passes: Family<ResultLabel, Counter>,
    /// Notes of touched rows that the projector took.
    pub notes_projected: Counter,
    /// Rows that cannot be projected and are tried again now and then. No more than 1,000 are counted.
    pub rows_failed: Gauge,
    /// How long the oldest change waits that has not been projected, when scraped.
    pub projection_lag: Gauge<f64, AtomicU64>,
    /// Requests for the token issuer's keys, by result.
    pub jwks_fetches: Family<ResultLabel, Counter>,
    /// Connections of the database pool.
    pub pool: Family<PoolLabel, Gauge>,
    /// Panics that were caught.
    pub panics: Counter,
    /// Tasks that made no progress for longer than they may.
    pub stalls: Counter,
    /// What a limit refused.
    pub limited: Family<LimitLabel, Counter>,
    /// Connections that are open, sockets included.
    pub http_connections: Gauge,
    /// 1 while the server closes its sockets one after the other.
    pub draining: Gauge,
    /// Times that a changed certificate was read, by result.
    pub tls_reloads: Family<ResultLabel, Counter>,
    /// When the served certificate runs out, in seconds since 1970. 0 without a certificate.
    pub tls_expires: Gauge,
    /// Tasks of the runtime that have not ended. A number that only ever rises is a leak.
    pub tasks: Gauge,
}

impl Metrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            http_requests: Family::default(),
            http_duration: Family::new_with_constructor(latency),
            connections: Gauge::default(),
            transports: Gauge::default(),
            polling: Gauge::default(),
            connects: Counter::default(),
            refusals: Family::default(),
            disconnects: Family::default(),
            events: Family::default(),
            events_unsent: Family::default(),
            change_to_emit: latency(),
            refreshes: Family::default(),
            refresh_duration: latency(),
            capture_polls: Family::default(),
            capture_gaps: Counter::default(),
            changes_captured: Counter::default(),
            capture_lag: Gauge::default(),
            last_look: Mutex::new(Instant::now()),
            changes_removed: Counter::default(),
            projector_passes: Family::default(),
            notes_projected: Counter::default(),
            rows_failed: Gauge::default(),
            projection_lag: Gauge::default(),
            jwks_fetches: Family::default(),
            pool: Family::default(),
            panics: Counter::default(),
            stalls: Counter::default(),
            limited: Family::default(),
            http_connections: Gauge::default(),
            draining: Gauge::default(),
            tls_reloads: Family::default(),
            tls_expires: Gauge::default(),
            tasks: Gauge::default(),
        };
        metrics.register();
        // A rate can only be seen to rise from a series that was there before.
        for limit in Limit::ALL {
            drop(metrics.limited.get_or_create(&LimitLabel { limit: limit.label() }));
        }
        for result in ["ok", "error"] {
            drop(metrics.jwks_fetches.get_or_create(&ResultLabel { result }));
            drop(metrics.projector_passes.get_or_create(&ResultLabel { result }));
            drop(metrics.tls_reloads.get_or_create(&ResultLabel { result }));
        }
        for reason in ["closed", "superseded"] {
            drop(metrics.events_unsent.get_or_create(&Reason { reason }));
        }
        metrics
    }

    /// The text that Prometheus scrapes.
    ///
    /// # Errors
    /// If the text cannot be written, which a `String` does not do.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let last_look = *self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        self.capture_lag.set(last_look.elapsed().as_secs_f64());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Notes that the change log was polled with success.
    pub fn looked(&self) {
        *self.last_look.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Counts a request.
    pub fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = Request { method, route: route.to_owned(), status };
        self.http_requests.get_or_create(&labels).inc();
        let labels = Route { method, route: route.to_owned() };
        self.http_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a refused socket.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a socket that ended.
    pub fn disconnected(&self, reason: &'static str) {
        self.disconnects.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a client that a limit refused.
    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&LimitLabel { limit: limit.label() }).inc();
    }

    /// Counts events that were not sent.
    pub fn unsent(&self, reason: &'static str, count: usize) {
        if count > 0 {
            self.events_unsent.get_or_create(&Reason { reason }).inc_by(count as u64);
        }
    }

    fn register(&mut self) {
        // The names of these are the same for all programs: they have no prefix.
        self.registry.register_collector(Box::new(Process));
        let registry = self.registry.sub_registry_with_prefix("dashboard");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        macro_rules! register {
            ($($field:ident, $name:literal, $help:literal;)+) => {
                $(registry.register($name, $help, self.$field.clone());)+
            };
        }
        register! {
            http_requests, "http_requests", "Requests";
            http_duration, "http_request_duration_seconds", "Time to answer a request";
            connections, "connections", "Sockets that are authenticated and live";
            transports, "transports", "Transports of sockets that are open";
            polling, "polling_transports", "Transports of sockets that are HTTP long-polling";
            connects, "connects", "Sockets accepted";
            refusals, "refusals", "Sockets refused";
            disconnects, "disconnects", "Sockets ended";
            events, "events", "Events handed to sockets";
            events_unsent, "events_unsent", "Events that were not sent to a socket";
            change_to_emit, "change_to_emit_seconds", "From a change's projection to its event";
            refreshes, "refreshes", "Refreshes of a user's sections";
            refresh_duration, "refresh_duration_seconds", "Time to read and send a refresh";
            capture_polls, "capture_polls", "Looks at the change log";
            capture_gaps, "capture_gaps", "Times that the change log was taken up anew";
            changes_captured, "changes_captured", "Users with changes, counted at each look that finds some";
            capture_lag, "capture_lag_seconds", "Since the change log was last looked at";
            changes_removed, "changes_removed", "Changes removed after every server has read them";
            projector_passes, "projector_passes", "Passes of the projector";
            notes_projected, "notes_projected", "Notes of touched rows that the projector took";
            rows_failed, "rows_failed", "Rows that cannot be projected and are tried again";
            projection_lag, "projection_lag_seconds", "How long the oldest change waits to be projected";
            jwks_fetches, "jwks_fetches", "Requests for the token issuer's keys";
            pool, "database_connections", "Connections of the database pool";
            panics, "panics", "Panics caught";
            stalls, "stalls", "Tasks that made no progress and were given up";
            limited, "limited", "Turned away by a limit";
            http_connections, "http_connections", "Connections that are open, sockets included";
            draining, "draining", "1 while the server closes its sockets to stop";
            tls_reloads, "tls_reloads", "Times that a changed certificate was read";
            tls_expires, "tls_certificate_expires_timestamp_seconds",
                "When the certificate runs out; 0 without one";
            tasks, "tasks", "Tasks of the runtime that have not ended";
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// From a cached answer to the slowest that a user would wait for, in seconds. With bounds at what is
/// promised (D-NFR-1: 0.6, D-NFR-2: 2).
fn latency() -> Histogram {
    Histogram::new([
        0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.6, 1.0, 2.0, 5.0, 10.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_host() {
        let metrics = Metrics::new();
        metrics.request("GET", "/api/dashboard", 200, Duration::from_millis(3));
        metrics.refused("expired");
        let text = metrics.encode().unwrap();
        for line in [
            "dashboard_http_requests_total{method=\"GET\",route=\"/api/dashboard\",status=\"200\"} 1",
            "dashboard_http_request_duration_seconds_count{method=\"GET\",route=\"/api/dashboard\"} 1",
            "dashboard_refusals_total{reason=\"expired\"} 1",
            "dashboard_connections 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn the_running_version_is_reported() {
        let text = Metrics::new().encode().unwrap();
        let line = format!("dashboard_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.lines().any(|have| have == line), "{text}");
    }
}

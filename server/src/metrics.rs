//! What the server counts (D-NFR-4), in the names that the host's dashboards expect.
//!
//! Labels are bounded: route templates, never paths; reasons and types of fixed lists; never users.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

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
    /// WebSocket transports that are open, authenticated or not.
    pub transports: Gauge,
    /// Sockets that were accepted.
    pub connects: Counter,
    /// Sockets that were refused, by reason.
    pub refusals: Family<Reason, Counter>,
    /// Sockets that ended, by reason.
    pub disconnects: Family<Reason, Counter>,
    /// Events handed to sockets, by type.
    pub events: Family<EventLabel, Counter>,
    /// Events that a socket could not take.
    pub emit_failures: Family<Reason, Counter>,
    /// From the change's own statement to the event's hand-over.
    pub change_to_emit: Histogram,
    /// Refreshes by result.
    pub refreshes: Family<ResultLabel, Counter>,
    /// How long refreshes took.
    pub refresh_duration: Histogram,
    /// Looks at the change log, by result.
    pub capture_polls: Family<ResultLabel, Counter>,
    /// Times that the change log had to be taken up anew.
    pub capture_gaps: Counter,
    /// Users with changes that were found in the change log.
    pub changes_captured: Counter,
    /// How long ago the change log was looked at with success, when scraped.
    capture_lag: Gauge<f64, AtomicU64>,
    last_look: Mutex<Instant>,
    /// Change rows folded into the base.
    pub changes_folded: Counter,
    /// Connections of the database pool.
    pub pool: Family<PoolLabel, Gauge>,
    /// Panics that were caught.
    pub panics: Counter,
}

/// A request and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The HTTP method; `other` for those that nothing here uses.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
    /// The status code.
    pub status: u16,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// The HTTP method; `other` for those that nothing here uses.
    pub method: &'static str,
    /// The route's template.
    pub route: String,
}

/// Why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// One of a fixed list.
    pub reason: &'static str,
}

/// A type of event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabel {
    /// The name on the wire.
    pub r#type: &'static str,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok` or `error`.
    pub result: &'static str,
}

/// What a database connection does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PoolLabel {
    /// `idle` or `used`.
    pub state: &'static str,
}

impl Metrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("dashboard"),
            http_requests: Family::default(),
            http_duration: Family::new_with_constructor(latency),
            connections: Gauge::default(),
            transports: Gauge::default(),
            connects: Counter::default(),
            refusals: Family::default(),
            disconnects: Family::default(),
            events: Family::default(),
            emit_failures: Family::default(),
            change_to_emit: latency(),
            refreshes: Family::default(),
            refresh_duration: latency(),
            capture_polls: Family::default(),
            capture_gaps: Counter::default(),
            changes_captured: Counter::default(),
            capture_lag: Gauge::default(),
            last_look: Mutex::new(Instant::now()),
            changes_folded: Counter::default(),
            pool: Family::default(),
            panics: Counter::default(),
        };
        metrics.register();
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

    /// Notes that the change log was looked at with success.
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

    /// Counts an event that a socket could not take.
    pub fn emit_failed(&self, reason: &'static str) {
        self.emit_failures.get_or_create(&Reason { reason }).inc();
    }

    fn register(&mut self) {
        macro_rules! register {
            ($($field:ident, $name:literal, $help:literal;)+) => {
                $(self.registry.register($name, $help, self.$field.clone());)+
            };
        }
        register! {
            http_requests, "http_requests", "Requests";
            http_duration, "http_request_duration_seconds", "Time to answer a request";
            connections, "connections", "Sockets that are authenticated and live";
            transports, "transports", "WebSocket transports that are open";
            connects, "connects", "Sockets accepted";
            refusals, "refusals", "Sockets refused";
            disconnects, "disconnects", "Sockets ended";
            events, "events", "Events handed to sockets";
            emit_failures, "emit_failures", "Events that a socket could not take";
            change_to_emit, "change_to_emit_seconds", "From a change's statement to its event";
            refreshes, "refreshes", "Refreshes of a user's sections";
            refresh_duration, "refresh_duration_seconds", "Time to read and send a refresh";
            capture_polls, "capture_polls", "Looks at the change log";
            capture_gaps, "capture_gaps", "Times that the change log was taken up anew";
            changes_captured, "changes_captured", "Users found to have changes, each time";
            capture_lag, "capture_lag_seconds", "Since the change log was last looked at";
            changes_folded, "changes_folded", "Change rows folded into the base";
            pool, "database_connections", "Connections of the database pool";
            panics, "panics", "Panics caught";
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// From a cached answer to the slowest that anyone would wait for, in seconds.
fn latency() -> Histogram {
    Histogram::new([
        0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
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
}

//! Records traces: where the time of a change, or of a request, went. Off unless an address to send them
//! to is configured.
//!
//! A trace is written once what it describes is over, from instants that were noted on the way. The
//! pipeline carries nothing for it, because a change begins in the database, before this server knows
//! of it. A separate thread with a bounded queue sends the traces. A receiver that is slow or away costs
//! the traces, and nothing else.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Uri};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter as Exporter,
};

use crate::clock;
use crate::config::Config;
use crate::dashboard::section::Sections;
use crate::user::UserId;

/// The limit for one delivery. The queue goes on filling in that time.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last traces may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The log complains of a receiver that is away at most once in this time.
const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// No address that could be sent to.
    #[error(
        "OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://127.0.0.1:4318, without user \
         and password"
    )]
    Endpoint,
    /// The exporter cannot be made.
    #[error("traces cannot be sent: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Takes down traces, or does nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Option<Active>);

#[derive(Clone, Debug)]
struct Active {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// A change that has been delivered.
pub(crate) struct Change<'a> {
    pub(crate) user: &'a UserId,
    pub(crate) sections: Sections,
    pub(crate) revision: u64,
    /// To how many sockets it went.
    pub(crate) sockets: usize,
    /// When its statement ran.
    pub(crate) made: Instant,
    /// When this server saw it.
    pub(crate) seen: Instant,
    /// When its turn had come.
    pub(crate) started: Instant,
    /// When the sections had been read.
    pub(crate) read: Instant,
}

/// A request that has been answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'static str,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) correlation_id: &'a str,
    pub(crate) started: Instant,
}

impl Traces {
    /// Gets ready to send traces, if that is configured. Does not talk to the receiver.
    ///
    /// # Errors
    /// See [`TracesError`].
    pub(crate) fn start(config: &Config) -> Result<Self, TracesError> {
        let Some(endpoint) = config.otlp_endpoint.as_deref() else {
            return Ok(Self::default());
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(address(endpoint).ok_or(TracesError::Endpoint)?)
            .with_timeout(SEND_TIMEOUT)
            .build()?;
        let resource = Resource::builder_empty()
            .with_service_name("dashboard-server")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .build();
        let ratio = Sampler::TraceIdRatioBased(config.otlp_ratio);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_batch_exporter(Complaining { exporter, complaints: Mutex::default() })
            .build();
        let tracer = provider.tracer("dashboard-server");
        Ok(Self(Some(Active { provider, tracer })))
    }

    /// The caller's trace, if it names one (W3C Trace Context).
    pub(crate) fn parent(&self, headers: &HeaderMap) -> Option<Context> {
        self.0.as_ref()?;
        let extractor = Headers(headers);
        Some(TraceContextPropagator::new().extract_with_context(&Context::new(), &extractor))
    }

    /// Takes down a request.
    pub(crate) fn request(&self, parent: Option<&Context>, answered: &Answered<'_>) {
        let (Some(active), Some(parent)) = (&self.0, parent) else {
            return;
        };
        let at = wall_clock();
        let attributes = [
            KeyValue::new("http.request.method", answered.method),
            KeyValue::new("http.route", answered.route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(answered.status)),
            KeyValue::new("dashboard.correlation_id", answered.correlation_id.to_owned()),
        ];
        let builder = active
            .tracer
            .span_builder(format!("{} {}", answered.method, answered.route))
            .with_kind(SpanKind::Server)
            .with_start_time(at(answered.started))
            .with_attributes(attributes);
        let mut span = active.tracer.build_with_context(builder, parent);
        if answered.status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// Takes down a change that has just been delivered: its way from the database to the sockets.
    pub(crate) fn change(&self, change: &Change<'_>) {
        let Some(Active { tracer, .. }) = &self.0 else {
            return;
        };
        let (at, sent) = (wall_clock(), Instant::now());
        let attributes = [
            KeyValue::new("dashboard.user", change.user.to_string()),
            KeyValue::new("dashboard.sections", change.sections.to_string()),
            KeyValue::new("dashboard.revision", i64::try_from(change.revision).unwrap_or(i64::MAX)),
            KeyValue::new("dashboard.sockets", i64::try_from(change.sockets).unwrap_or(i64::MAX)),
        ];
        let builder = tracer
            .span_builder("change")
            .with_start_time(at(change.made))
            .with_attributes(attributes);
        let whole = tracer.build_with_context(builder, &Context::new());
        let whole = Context::new().with_span(whole);
        let legs = [
            ("capture", change.made, change.seen),
            ("wait", change.seen, change.started),
            ("query", change.started, change.read),
            ("emit", change.read, sent),
        ];
        for (name, from, to) in legs {
            let builder = tracer.span_builder(name).with_start_time(at(from));
            tracer.build_with_context(builder, &whole).end_with_timestamp(at(to));
        }
        whole.span().end_with_timestamp(at(sent));
    }

    /// Sends what is left, for a while at most.
    pub(crate) async fn stop(&self) {
        let Some(Active { provider, .. }) = self.0.clone() else {
            return;
        };
        let stop = move || provider.shutdown_with_timeout(STOP_TIMEOUT);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(stop).await {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Where the receiver takes traces, from its base address as the variable holds it.
fn address(endpoint: &str) -> Option<String> {
    let uri: Uri = endpoint.parse().ok()?;
    let fit = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.query().is_none();
    fit.then(|| format!("{}/v1/traces", endpoint.trim_end_matches('/')))
}

/// What the wall clock showed at an instant, all by one reading of it.
fn wall_clock() -> impl Fn(Instant) -> SystemTime {
    let (instant, time) = (Instant::now(), SystemTime::from(clock::now()));
    move |at| match at.checked_duration_since(instant) {
        Some(later) => time + later,
        None => time - instant.duration_since(at),
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// An exporter that reports when it fails. The library would report each time, or not at all.
#[derive(Debug)]
struct Complaining<E> {
    exporter: E,
    complaints: Mutex<Complaints>,
}

/// When there was last something to complain of.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    lost_spans: usize,
}

impl<E: Exporter> Exporter for Complaining<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let spans = batch.len();
        let sending = self.exporter.export(batch);
        async move {
            let result = sending.await;
            let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            match &result {
                Ok(()) if complaints.end() => tracing::info!("traces are sent again"),
                Ok(()) => {}
                Err(error) => {
                    if let Some(lost_spans) = complaints.fail(spans, Instant::now()) {
                        tracing::warn!(%error, lost_spans, "traces cannot be sent");
                    }
                }
            }
            result
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl Complaints {
    /// Notes a failure. What was lost since the last complaint, if it is time for one.
    fn fail(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.lost_spans += spans;
        if self.last.is_some_and(|last| now < last + COMPLAINT_INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.lost_spans))
    }

    /// Notes a success. Whether there had been a complaint.
    fn end(&mut self) -> bool {
        self.lost_spans = 0;
        self.last.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_receiver_s_base() {
        let given = |text| address(text).unwrap_or_default();
        assert_eq!(given("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(given("https://otel.example.org/in/"), "https://otel.example.org/in/v1/traces");
        for bad in ["", "127.0.0.1:4318", "grpc://h:4317", "http://u:p@h:4318", "http://h/?token=x"]
        {
            assert_eq!(given(bad), "", "{bad}");
        }
    }

    #[test]
    fn complaints_are_few_and_say_how_much_was_lost() {
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        assert!(!complaints.end());
        assert_eq!(complaints.fail(3, now), Some(3));
        for second in 1..60 {
            assert_eq!(complaints.fail(1, now + Duration::from_secs(second)), None);
        }
        assert_eq!(complaints.fail(1, now + COMPLAINT_INTERVAL), Some(60));
        assert!(complaints.end() && !complaints.end());
        assert_eq!(complaints.fail(5, now + COMPLAINT_INTERVAL), Some(5));
    }

    #[test]
    fn instants_before_and_after_a_reading_keep_their_distances() {
        let before = Instant::now();
        let at = wall_clock();
        let later = before + Duration::from_secs(3);
        assert_eq!(at(later).duration_since(at(before)).unwrap(), Duration::from_secs(3));
    }
}

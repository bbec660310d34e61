//! Writes logs to standard error, for people or as one JSON object a line.
//!
//! A line's message is constant text. What varies stands in separate fields. Lines of one request and
//! of one socket carry the same `correlation_id`.

use std::fmt;
use std::io::IsTerminal;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::LogFormat;

/// Libraries that read frames and headers, which hold tokens. No log setting makes them log those.
const READERS: [&str; 4] = ["tungstenite", "tokio_tungstenite", "h2", "hyper"];

/// Starts to write the logs of this process.
pub fn init(filter: EnvFilter, format: LogFormat) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(Json).boxed(),
    };
    // Filters of the whole, not of the layer: a record that a library logs by the older interface,
    // and that a layer's filter drops, takes the next event of its thread along.
    tracing_subscriber::registry().with(lines).with(filter).with(filter_fn(is_harmless)).init();
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= LevelFilter::WARN || !READERS.contains(&library)
}

/// A line as a flat JSON object: the event's fields, and those of the spans that it lies in.
struct Json;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    message: Value,
    target: Value,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        // The inner speaks last, and the event after all spans.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(text) = span.extensions().get::<FormattedFields<JsonFields>>() {
                fields.extend(parse(text));
            }
        }
        let mut text = String::new();
        JsonFields::new().format_fields(Writer::new(&mut text), event)?;
        fields.extend(parse(&text));
        // Libraries that log by the older interface bring where they did so as fields.
        let target = fields.remove("log.target");
        fields.retain(|name, _| !name.starts_with("log."));
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = Line {
            timestamp,
            level: event.metadata().level().as_str(),
            message: fields.remove("message").unwrap_or_default(),
            target: target.unwrap_or_else(|| event.metadata().target().into()),
            fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

fn parse(object: &str) -> Map<String, Value> {
    serde_json::from_str(object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(act: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Json);
        let filter = EnvFilter::builder().parse("trace,tungstenite::protocol=trace").unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        let subscriber = subscriber.with(filter).with(filter_fn(is_harmless));
        tracing::subscriber::with_default(subscriber, act);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_flat_and_holds_the_fields_of_its_spans() {
        let lines = lines(|| {
            let _outer =
                tracing::info_span!("request", route = "/a", correlation_id = "c-1").entered();
            let _inner = tracing::info_span!("inner", route = "/b").entered();
            tracing::info!(status = 401, "request \"refused\"");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let mut line = line.clone();
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        let timestamp = timestamp.as_str().unwrap().to_owned();
        assert!(shared_types::Timestamp::try_from(timestamp.as_str()).is_ok(), "{timestamp}");
        let expected = json!({
            "level": "INFO",
            "message": "request \"refused\"",
            "target": "dashboard_server::telemetry::logs::tests",
            "route": "/b",
            "correlation_id": "c-1",
            "status": 401,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn readers_of_frames_keep_silent_however_they_are_asked() {
        let lines = lines(|| {
            tracing::trace!(target: "tungstenite::protocol", "a token");
            tracing::debug!(target: "h2::codec", "a cookie");
            tracing::warn!(target: "tungstenite::protocol", "a fault");
            tracing::trace!(target: "h2o", "another library");
        });
        let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["a fault", "another library"]);
    }
}

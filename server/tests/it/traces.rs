//! Tests traces, as a receiver gets them from the running binary, also with a receiver that fails.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::process::Process;
use crate::support::{PATIENCE, TestDb, with_database};

const USER: &str = "ada-b1946ac9@example.test";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const CALLER: u64 = 0xb7ad_6b71_6920_3331;

/// A receiver of OTLP over HTTP.
struct Receiver {
    address: SocketAddr,
    batches: mpsc::UnboundedReceiver<Bytes>,
}

impl Receiver {
    async fn start(answer: StatusCode) -> Self {
        let (sender, batches) = mpsc::unbounded_channel();
        let take = async move |State(sender): State<mpsc::UnboundedSender<Bytes>>, body: Bytes| {
            sender.send(body).ok();
            answer
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(sender);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, batches }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn batch(&mut self) -> Vec<Span> {
        let bytes = timeout(PATIENCE, self.batches.recv()).await.expect("no batch came").unwrap();
        assert!(!bytes.windows(USER.len()).any(|part| part == USER.as_bytes()), "a user's name");
        let request = ExportTraceServiceRequest::decode(bytes).unwrap();
        let mut spans = Vec::new();
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let named = |text: &str| Some(Value::StringValue(text.to_owned()));
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            assert_eq!(name.unwrap().value.unwrap().value, named("dashboard-server"));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        spans
    }

    /// Waits until spans of all of these names have come. Returns all that have come.
    async fn until(&mut self, names: &[&str]) -> Vec<Span> {
        let mut spans = Vec::new();
        while !names.iter().all(|name| spans.iter().any(|span: &Span| span.name == *name)) {
            spans.extend(self.batch().await);
        }
        spans
    }
}

fn text(span: &Span, key: &str) -> String {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

async fn wish(db: &TestDb) {
    let values = format!("('{USER}', 'x')");
    db.run(&format!("insert into collection.wishlist_items (user_id, title) values {values}"))
        .await;
}

#[tokio::test]
async fn a_change_is_one_trace_from_the_database_to_the_sockets() {
    with_database(|db: TestDb| async move {
        let mut receiver = Receiver::start(StatusCode::OK).await;
        let url = receiver.url();
        let settings =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
        let process = Process::start(&db.url, &settings);
        let (mut one, mut two) =
            (process.server.connect(USER).await, process.server.connect(USER).await);
        let before = now();
        wish(&db).await;
        one.event_at(1).await;
        two.event_at(1).await;
        let legs = ["capture", "wait", "query", "emit"];
        let spans = receiver.until(&[&["change"], legs.as_slice()].concat()).await;
        assert!(process.stop().status.success());
        // The server may have been held up between sending the event and taking down that it did.
        let after = now();
        let changes: Vec<_> = spans.iter().filter(|span| span.name == "change").collect();
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        assert!(change.parent_span_id.is_empty());
        assert_eq!(text(change, "dashboard.sections"), "summary");
        assert_eq!(text(change, "dashboard.revision"), "1");
        assert_eq!(text(change, "dashboard.sockets"), "2");
        assert!(text(change, "dashboard.user").starts_with('u'));
        // The legs follow each other without a gap, and make up the whole.
        let mut at = change.start_time_unix_nano;
        for name in legs {
            let leg: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
            let [leg] = leg.as_slice() else { panic!("{leg:?}") };
            assert_eq!((&leg.trace_id, &leg.parent_span_id), (&change.trace_id, &change.span_id));
            assert_eq!(leg.start_time_unix_nano, at, "{name}");
            at = leg.end_time_unix_nano;
        }
        assert_eq!(at, change.end_time_unix_nano);
        // Two readings of a clock, and the database's own, lie between: on a busy machine, a while.
        let slack = 1_000_000_000;
        let (start, end) = (change.start_time_unix_nano, change.end_time_unix_nano);
        assert!(before <= start + slack && start < end && end <= after + slack, "{change:?}");
    })
    .await;
}

#[tokio::test]
async fn requests_join_their_caller_s_trace_and_the_last_ones_are_sent_at_the_end() {
    with_database(|db: TestDb| async move {
        let mut receiver = Receiver::start(StatusCode::OK).await;
        let url = receiver.url();
        // None of our own, and nothing is sent before the server stops.
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ];
        let process = Process::start(&db.url, &settings);
        let mut client = process.server.connect(USER).await;
        wish(&db).await;
        client.event_at(1).await;
        let parent = format!("00-{TRACE:032x}-{CALLER:016x}-01");
        for headers in [
            [("traceparent", parent.as_str()), ("x-correlation-id", "c-1")],
            [("traceparent", "00-nonsense"), ("x-correlation-id", "c-2")],
        ] {
            assert_eq!(process.server.get("/api/dashboard", &headers).await.status(), 401);
        }
        assert!(process.stop().status.success());
        let spans = receiver.batch().await;
        let [request] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(request.name, "GET /api/dashboard");
        assert_eq!(request.trace_id, TRACE.to_be_bytes());
        assert_eq!(request.parent_span_id, CALLER.to_be_bytes());
        assert_eq!(text(request, "http.route"), "/api/dashboard");
        assert_eq!(text(request, "http.response.status_code"), "401");
        assert_eq!(text(request, "dashboard.correlation_id"), "c-1");
        assert!(request.end_time_unix_nano > request.start_time_unix_nano);
        assert!(receiver.batches.try_recv().is_err(), "one batch was all");
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_fails_is_complained_of_once() {
    with_database(|db: TestDb| async move {
        let mut receiver = Receiver::start(StatusCode::BAD_REQUEST).await;
        let url = receiver.url();
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("DASHBOARD_LOG_FORMAT", "json"),
        ];
        let process = Process::start(&db.url, &settings);
        for _ in 0..5 {
            assert_eq!(process.server.get("/api/dashboard", &[]).await.status(), 401);
            receiver.batch().await;
        }
        let ended = process.stop();
        assert!(ended.status.success());
        assert_eq!(ended.log.matches("traces cannot be sent").count(), 1, "{}", ended.log);
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_away_or_hangs_holds_nothing_up() {
    with_database(|db: TestDb| async move {
        // Takes connections, and never says a word.
        let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hangs = format!("http://{}", hanging.local_addr().unwrap());
        for (round, url) in [(1, "http://127.0.0.1:1"), (2, hangs.as_str())] {
            let settings =
                [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
            let process = Process::start(&db.url, &settings);
            let mut client = process.server.connect(USER).await;
            wish(&db).await;
            client.event_at(round).await;
            let answered = async || {
                for _ in 0..5 {
                    assert_eq!(process.server.get("/api/dashboard", &[]).await.status(), 401);
                }
            };
            answered().await;
            if round == 2 {
                // While the exporter is stuck. Where the machine is so slow that it has given up by then, with what it
                // tries next.
                let while_stuck = async {
                    loop {
                        let (stuck, _) = hanging.accept().await.unwrap();
                        answered().await;
                        if is_open(&stuck) {
                            return;
                        }
                    }
                };
                timeout(PATIENCE, while_stuck).await.expect("requests do not wait for traces");
            }
            drop(client);
            let stop = Instant::now();
            let ended = process.stop();
            assert!(ended.status.success());
            println!("stopped after {:?} with the receiver at {url}", stop.elapsed());
            assert!(ended.log.contains("traces"), "{}", ended.log);
        }
    })
    .await;
}

/// Whether the other side has not closed it. What it has sent does not matter.
fn is_open(stream: &TcpStream) -> bool {
    let mut sent = [0; 1024];
    loop {
        match stream.try_read(&mut sent) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

//! Each limit, crossed by a real client. The client gets the protocol's code, the counter rises,
//! and other clients notice nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client_sdk::state::{Source, Status};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Answer, Credential, Payload, Received, Refused, Screen, TestApp, Wire, within};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const USER: &str = "limits@example.test";
const NEIGHBOUR: &str = "neighbour@example.test";
/// Another address of this machine.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[tokio::test]
async fn connections_in_all() {
    let app = TestApp::start_with(&["--max-connections", "3"]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect(&app).await);
    }
    app.metrics_until("three connections", |m| m.count("dashboard_http_connections") >= 3).await;
    let text = read_to_end(&mut connect(&app).await).await;
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("Retry-After: "), "{text}");
    assert_eq!(app.metrics().await.limited("connections"), 1);
    assert_eq!(ask(&mut held[0]).await, 401, "whoever is in is served");
    drop(held);
    app.metrics_until("the places given back", |m| m.count("dashboard_http_connections") <= 1)
        .await;
    assert_eq!(app.rest().get("/api/dashboard", &app.bearer(USER), &[]).await.status, 200);
}

#[tokio::test]
async fn connections_of_one_address() {
    let app = TestApp::start_with(&["--max-connections-per-address", "2"]).await;
    let _held = (connect(&app).await, connect(&app).await);
    app.metrics_until("two connections", |m| m.count("dashboard_http_connections") >= 2).await;
    let text = read_to_end(&mut connect(&app).await).await;
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert_eq!(app.metrics().await.limited("connections_per_address"), 1);
    let elsewhere = app.rest().from_address(ELSEWHERE);
    assert_eq!(elsewhere.get("/api/dashboard", &app.bearer(NEIGHBOUR), &[]).await.status, 200);
}

#[tokio::test]
async fn sockets_in_all() {
    let app = TestApp::start_with(&["--max-sockets", "1"]).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    let (status, retry_after, body) = Wire::try_open(&app.url()).await.unwrap_err();
    assert_eq!((status, &body["error"]["code"]), (503, &"INTERNAL_ERROR".into()), "{body}");
    assert!(retry_after.is_some_and(|seconds| seconds > 0));
    assert_eq!(app.metrics().await.limited("sockets"), 1);
    hears(&app, &mut neighbour, NEIGHBOUR).await;
    drop(neighbour);
    app.metrics_until("the place given back", |m| m.count("dashboard_transports") == 0).await;
    Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
}

#[tokio::test]
async fn sockets_of_one_user() {
    let app = TestApp::start_with(&["--max-sockets-per-user", "2"]).await;
    let mut held = [
        Wire::join(&app.url(), &app.bearer(USER)).await.unwrap(),
        Wire::join(&app.url(), &app.bearer(USER)).await.unwrap(),
    ];
    let mut third = Wire::open(&app.url(), &[]).await;
    let token = serde_json::json!({ "token": app.tokens.access(USER) }).to_string();
    let refused = third.connect(&token).await.unwrap_err();
    assert_eq!(refused, Refused::with("TOO_MANY_SOCKETS"));
    third.closed().await;
    assert_eq!(app.metrics().await.limited("sockets_per_user"), 1);
    hears(&app, &mut held[0], USER).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    hears(&app, &mut neighbour, NEIGHBOUR).await;
    // To the SDK that is no refusal of the session: it shows what REST says, and tries again.
    let screen = Screen::open(&app, USER);
    let state = screen.until("a view without a socket", |state| state.view.is_some()).await;
    assert!(matches!(state.status, Status::Backoff | Status::Connecting), "{state:?}");
    assert_eq!(state.freshness.source, Source::Stale);
    drop(held);
    screen.until_status(Status::Live).await;
}

#[tokio::test]
async fn time_to_authenticate() {
    // Long enough for the neighbour to say who it is, on a machine that is busy.
    let app = TestApp::start_with(&["--connect-timeout-ms", "3000"]).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    let mut silent = Wire::open(&app.url(), &[]).await;
    assert_eq!(silent.close_code().await, Some(1008), "policy");
    let metrics = app.metrics().await;
    assert_eq!(metrics.limited("auth_timeout"), 1);
    assert_eq!(metrics.count("dashboard_refusals_total{reason=\"auth_timeout\"}"), 1);
    hears(&app, &mut neighbour, NEIGHBOUR).await;
}

#[tokio::test]
async fn attempts_to_authenticate_on_one_connection() {
    let app = TestApp::start().await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    // A second attempt has to come while the first refusal is still on its way out.
    within("a second attempt", async {
        while app.metrics().await.limited("auth_attempts") == 0 {
            let mut refused = Wire::open(&app.url(), &[]).await;
            refused.connect("{\"token\":\"nonsense\"}").await.unwrap_err();
            refused.try_send("40/dashboard,{\"token\":\"nonsense\"}").await;
            refused.closed().await;
        }
    })
    .await;
    // Who has been accepted stays who it is.
    let mut greedy = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    let token = app.tokens.access(NEIGHBOUR);
    greedy.send(&format!("40/dashboard,{{\"token\":\"{token}\"}}")).await;
    hears(&app, &mut neighbour, NEIGHBOUR).await;
    hears(&app, &mut greedy, USER).await;
}

#[tokio::test]
async fn refused_sessions_from_one_address() {
    let app = TestApp::start_with(&["--auth-failures-per-minute", "3"]).await;
    let (rest, bad) = (app.rest(), Credential::Bearer("nonsense".to_owned()));
    let get = async |who: &Credential| rest.get("/api/dashboard", who, &[]).await;
    // Not to have signed in is no attempt.
    for _ in 0..5 {
        assert_eq!(get(&Credential::Nobody).await.status, 401);
    }
    for _ in 0..3 {
        assert_eq!(get(&bad).await.status, 401);
    }
    assert_limited(&get(&bad).await);
    // Over the socket: the same answer as for any other, and gone at once.
    let mut socket = Wire::open(&app.url(), &[]).await;
    let refused = socket.connect("{\"token\":\"nonsense\"}").await.unwrap_err();
    assert_eq!(refused, Refused::with("AUTH_FAILED"));
    assert_eq!(socket.close_code().await, Some(1000));
    let metrics = app.metrics().await;
    assert_eq!((metrics.limited("auth_failures"), metrics.limited("auth_timeout")), (2, 0));
    // The SDK is not left to try for ever.
    let screen = Screen::open_with(&app.url(), || "nonsense".to_owned());
    screen.until_status(Status::AuthRequired).await;
    // A client with a session at the same address is served. A bad token from another address gets
    // its reason.
    assert_eq!(get(&app.bearer(NEIGHBOUR)).await.status, 200);
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    hears(&app, &mut neighbour, NEIGHBOUR).await;
    let elsewhere = rest.from_address(ELSEWHERE);
    assert_eq!(elsewhere.get("/api/dashboard", &bad, &[]).await.status, 401);
}

#[tokio::test]
async fn size_of_a_message() {
    let app = TestApp::start_with(&["--max-message-bytes", "2048"]).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    for is_in in [false, true] {
        let mut loud = Wire::open(&app.url(), &[]).await;
        if is_in {
            let token = serde_json::json!({ "token": app.tokens.access(USER) });
            loud.connect(&token.to_string()).await.unwrap();
        }
        loud.try_send(&format!("42/dashboard,[\"x\",\"{}\"]", "x".repeat(2048))).await;
        assert_eq!(loud.close_code().await, Some(1009), "message too big");
    }
    assert_eq!(app.metrics().await.limited("message_size"), 2);
    hears(&app, &mut neighbour, NEIGHBOUR).await;
}

#[tokio::test]
async fn rate_of_messages() {
    let app = TestApp::start_with(&["--messages-per-s", "5"]).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    let mut flood = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    // Far more than a burst: what comes late on a busy machine is too much all the same.
    for _ in 0..200 {
        flood.try_send("3").await;
    }
    assert_eq!(flood.close_code().await, Some(1008), "policy");
    assert_eq!(app.metrics().await.limited("message_rate"), 1);
    hears(&app, &mut neighbour, NEIGHBOUR).await;
}

#[tokio::test]
async fn frames_that_no_websocket_client_sends() {
    let app = TestApp::start().await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    let mut raw = connect(&app).await;
    upgrade(&mut raw).await;
    // Not masked.
    raw.write_all(&[0x81, 0x01, b'3']).await.unwrap();
    let bytes = within("the end", async {
        let mut bytes = Vec::new();
        raw.read_to_end(&mut bytes).await.ok();
        bytes
    });
    let bytes = bytes.await;
    assert_eq!(bytes[bytes.len() - 4..], [0x88, 0x02, 0x03, 0xea], "closed with 1002");
    hears(&app, &mut neighbour, NEIGHBOUR).await;
}

#[tokio::test]
async fn requests_from_one_address() {
    let app = TestApp::start_with(&["--requests-per-s", "1"]).await;
    let rest = app.rest();
    let (served, refused) =
        until_refused(async |_| rest.get("/api/dashboard", &Credential::Nobody, &[]).await).await;
    assert!(served >= 10, "the burst is ten seconds' worth: {served}");
    assert_limited(&refused);
    assert!(app.metrics().await.limited("request_rate") >= 1);
    // The limit holds for every request, and for every client from that address.
    let refused = within("a socket's refusal", async {
        loop {
            if let Err((status, ..)) = Wire::try_open(&app.url()).await {
                return status;
            }
        }
    });
    assert_eq!(refused.await, 429);
    let elsewhere = rest.from_address(ELSEWHERE);
    assert_eq!(elsewhere.get("/api/dashboard", &app.bearer(NEIGHBOUR), &[]).await.status, 200);
}

#[tokio::test]
async fn the_sdk_waits_for_its_turn_where_its_address_asks_too_often() {
    let app = TestApp::start_with(&["--requests-per-s", "1"]).await;
    let rest = app.rest();
    let refused = within("the limit", async {
        loop {
            let answer = rest.get("/api/dashboard", &Credential::Nobody, &[]).await;
            if answer.status == 429 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(refused.header("connection"), "close", "{refused:?}");
    let screen = Screen::open(&app, USER);
    screen.until_status(Status::Live).await;
}

#[tokio::test]
async fn requests_from_one_client_behind_a_proxy() {
    let app = TestApp::start_with(&["--requests-per-s", "1", "--behind-proxy"]).await;
    let rest = app.rest();
    let get = async |forwarded: &str| {
        let headers = [("x-forwarded-proto", "https"), ("x-forwarded-for", forwarded)];
        rest.get("/api/dashboard", &Credential::Nobody, &headers).await
    };
    // What the client itself puts there does not help.
    let (served, _) =
        until_refused(async |other| get(&format!("10.0.0.{other}, 192.0.2.1")).await).await;
    assert!(served >= 10, "the burst is ten seconds' worth: {served}");
    assert_eq!(get("192.0.2.2").await.status, 401);
}

#[tokio::test]
async fn snapshots_for_one_user() {
    let app = TestApp::start_with(&["--requests-per-s-per-user", "1"]).await;
    let rest = app.rest();
    let (served, refused) =
        until_refused(async |_| rest.get("/api/dashboard", &app.bearer(USER), &[]).await).await;
    assert!(served >= 10, "the burst is ten seconds' worth: {served}");
    assert_limited(&refused);
    assert_ne!(rest.get("/api/dashboard", &app.bearer(NEIGHBOUR), &[]).await.status, 429);
}

#[tokio::test]
async fn size_of_a_head() {
    let app = TestApp::start_with(&["--max-header-bytes", "16384"]).await;
    let large = "x".repeat(20_000);
    let answer = app.rest().get("/api/dashboard", &app.bearer(USER), &[("x-pad", &large)]).await;
    assert_eq!(answer.status, 431);
    app.metrics_until("the count", |metrics| metrics.limited("header_size") == 1).await;
    assert_eq!(app.rest().get("/api/dashboard", &app.bearer(NEIGHBOUR), &[]).await.status, 200);
}

#[tokio::test]
async fn size_of_a_body() {
    let app = TestApp::start().await;
    let answer = app.rest().post("/api/dashboard", vec![b'x'; 2_000]).await;
    assert_eq!(
        (answer.status, answer.error().error.message.as_str()),
        (413, "Requests have no body here")
    );
    assert_eq!(app.metrics().await.limited("body_size"), 1);
    assert_eq!(app.rest().get("/api/dashboard", &app.bearer(NEIGHBOUR), &[]).await.status, 200);
}

#[tokio::test]
async fn time_for_a_request() {
    // Long enough to ask something first, on a machine that is busy.
    let flags = ["--idle-timeout-ms", "3000", "--keep-alive-timeout-ms", "3000"];
    let app = TestApp::start_with(&flags).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(NEIGHBOUR)).await.unwrap();
    let begun = Instant::now();
    let (mut silent, mut slow, mut kept) =
        (connect(&app).await, connect(&app).await, connect(&app).await);
    assert_eq!(ask(&mut kept).await, 401);
    slow.write_all(b"GET /api/dashboard HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    for stream in [&mut silent, &mut kept] {
        read_to_end(stream).await;
    }
    // One header line after the other, for ever.
    let mut nothing = [0; 64];
    within("the end of the slow one", async {
        while slow.write_all(b"X-More: x\r\n").await.is_ok() {
            let read = tokio::time::timeout(Duration::from_millis(50), slow.read(&mut nothing));
            if matches!(read.await, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    // The one that was kept for later had asked for something: that is no offence.
    app.metrics_until("the count", |metrics| metrics.limited("idle_timeout") == 2).await;
    hears(&app, &mut neighbour, NEIGHBOUR).await;
}

#[tokio::test]
async fn who_takes_an_answer_slowly_gets_all_of_it() {
    const SIZE: usize = 16 * 1024 * 1024;
    let root = std::env::temp_dir().join(format!("e2e-slow-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("index.html"), "x".repeat(SIZE)).unwrap();
    let flags = ["--web-root", root.to_str().unwrap(), "--idle-timeout-ms", "2000"];
    let app = TestApp::start_with(&flags).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stream = socket.connect(address(&app)).await.unwrap();
    stream.write_all(b"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let (begun, mut taken, mut chunk) = (Instant::now(), 0, vec![0; SIZE / 40]);
    let mut ticks = tokio::time::interval(Duration::from_millis(80));
    while taken + chunk.len() <= SIZE {
        ticks.tick().await;
        let length = within("more of it", stream.read_exact(&mut chunk)).await;
        taken += length.unwrap_or_else(|error| panic!("{taken} of {SIZE}, then {error}"));
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "slower than an idle connection lasts");
    std::fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn who_takes_a_large_snapshot_slowly_gets_all_of_it() {
    const WINDOW: u32 = 64 * 1024;
    let app = with_certificate(&["--idle-timeout-ms", "2000"]).await;
    partial_mocs(&app, 4_000).await;
    let certificate = std::fs::read(keys().join("tls-cert.pem")).unwrap();
    // HTTP/2, where the client says how much may be on its way.
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&certificate).unwrap()])
        .http2_initial_stream_window_size(WINDOW)
        .build()
        .unwrap();
    let request = client.get(format!("{}/api/dashboard", app.url()));
    let request = request.bearer_auth(app.tokens.access(USER));
    let mut answer = within("an answer", request.send()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    let length = answer.content_length().unwrap();
    assert!(length > 10 * u64::from(WINDOW), "{length}");
    let (begun, mut taken) = (Instant::now(), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(60));
    while let Some(piece) = within("more of it", answer.chunk()).await.unwrap() {
        taken += piece.len() as u64;
        ticks.tick().await;
    }
    assert_eq!(taken, length);
    assert!(begun.elapsed() > Duration::from_secs(2), "slower than an idle connection lasts");
}

#[tokio::test]
async fn time_for_a_handshake() {
    let app = with_certificate(&["--idle-timeout-ms", "300"]).await;
    let address: SocketAddr = app.url().strip_prefix("https://").unwrap().parse().unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    read_to_end(&mut silent).await;
    app.metrics_until("the count", |metrics| metrics.limited("tls_timeout") == 1).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing() {
    let app = TestApp::start_with(&["--write-stall-timeout-ms", "3000"]).await;
    // Long lists fill buffers soon.
    partial_mocs(&app, 2_000).await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stuck = socket.connect(address(&app)).await.unwrap();
    upgrade(&mut stuck).await;
    let token = app.tokens.access(USER);
    stuck.write_all(&masked(&format!("40/dashboard,{{\"token\":\"{token}\"}}"))).await.unwrap();
    app.metrics_until("both sockets", |metrics| metrics.count("dashboard_connections") == 2).await;
    let ended = "dashboard_disconnects_total{reason=\"slow_consumer\"}";
    let mut last = None;
    within("the end of the stuck one", async {
        loop {
            sqlx::query("update collection.mocs set updated_at = updated_at + interval '1 s'")
                .execute(app.db())
                .await
                .unwrap();
            // Many rows are projected in pieces. The neighbour gets every one of them, up to where all
            // rows are of one time again.
            let mut events = neighbour.events_until(|event| updated(event) > last).await;
            last = events.pop().and_then(|event| updated(&event));
            if app.metrics().await.count(ended) == 1 {
                return;
            }
        }
    })
    .await;
    let metrics = app.metrics_until("its end", |m| m.count("dashboard_transports") == 1).await;
    assert_eq!(metrics.limited("write_stall"), 1, "{metrics:?}");
    hears(&app, &mut neighbour, USER).await;
}

/// When all rows of a partial-parts table were updated; none if it is none, or they differ.
fn updated(event: &Received) -> Option<String> {
    let Payload::PartialParts(mocs) = &event.payload else { return None };
    let (first, others) = mocs.split_first()?;
    let same = others.iter().all(|moc| moc.last_updated_at == first.last_updated_at);
    same.then(|| first.last_updated_at.as_str().to_owned())
}

/// With a certificate for this machine.
async fn with_certificate(flags: &[&str]) -> TestApp {
    let (certificate, key) = (keys().join("tls-cert.pem"), keys().join("tls-key.pem"));
    let tls = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    TestApp::start_with(&[&tls, flags].concat()).await
}

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/keys")
}

/// Gives the user `count` rows of the longest list.
async fn partial_mocs(app: &TestApp, count: i32) {
    let mut transaction = app.db().begin().await.unwrap();
    writer::add_mocs(&mut *transaction, USER, &"long theme ".repeat(9), count).await;
    writer::cover_half(&mut transaction, USER).await;
    transaction.commit().await.unwrap();
    app.projected().await;
}

/// Proves that the socket is served: it hears of a change that is made now.
async fn hears(app: &TestApp, wire: &mut Wire, user: &str) {
    writer::add_moc(app.db(), user, &NewMoc::new("Heard of", "City")).await;
    wire.events_until(|event| matches!(&event.payload, Payload::RecentMocAdded(moc) if moc.title.as_str() == "Heard of"))
        .await;
}

/// Asks so often at once that some are refused, however slow the machine is: how many were not, and a
/// refusal.
async fn until_refused(ask: impl AsyncFn(usize) -> Answer) -> (usize, Answer) {
    let answers = join_all((0..40).map(|number| ask(number))).await;
    let (refused, other): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 429);
    (other.len(), refused.into_iter().next().expect("a limit"))
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(serde_json::json!(answer.error().error.code), "RATE_LIMITED");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0, "{answer:?}");
}

fn address(app: &TestApp) -> SocketAddr {
    app.url().strip_prefix("http://").unwrap().parse().unwrap()
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(address(app)).await.unwrap()
}

/// Sends a request without a session over a connection that is kept; the status.
async fn ask(stream: &mut TcpStream) -> u16 {
    stream.write_all(b"GET /api/dashboard HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = vec![0; 4096];
    let length = within("an answer", stream.read(&mut text)).await.unwrap();
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

/// Everything up to the end of the stream.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    within("the end of the connection", stream.read_to_string(&mut text)).await.ok();
    text
}

/// Asks for a WebSocket over a bare stream, and reads the greeting.
async fn upgrade(stream: &mut TcpStream) {
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    within("a greeting", async {
        while !text.windows(12).any(|window| window == b"\"maxPayload\"") {
            text.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
}

/// A text frame with a length of two bytes, masked with zeros.
fn masked(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&[0x81, 0xfe][..], &length.to_be_bytes(), &[0; 4], text.as_bytes()].concat()
}

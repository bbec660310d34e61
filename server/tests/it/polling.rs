//! Tests sockets over HTTP long-polling, request by request: what a client of Engine.IO may expect, and what
//! a stranger may not do.

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    PATIENCE, REFUSED, TestDb, TestServer, access, config, start, token, with_database, with_server,
};

const OWN_PAGE: &str = "same-origin";
const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

/// A client that polls, with nothing between it and the wire.
struct Poll {
    client: Client,
    url: String,
}

impl Poll {
    async fn open(server: &TestServer) -> Self {
        Self::open_with(server, &[]).await
    }

    async fn open_with(server: &TestServer, headers: &[(&str, &str)]) -> Self {
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        let open = format!("{}{OPEN}", server.base);
        let mut request = client.get(&open);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=UTF-8");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let body = answer.text().await.unwrap();
        let rules: Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(rules["upgrades"], json!(["websocket"]));
        assert_eq!(rules["maxPayload"], 16_384);
        let url = format!("{open}&sid={}", rules["sid"].as_str().unwrap());
        Self { client, url }
    }

    /// The client is in the namespace.
    async fn join(server: &TestServer, user: &str) -> Self {
        let poll = Self::open(server).await;
        poll.say(&connect(&access(user))).await;
        let accepted = poll.next().await;
        let data = accepted.strip_prefix("40/dashboard,").unwrap_or_else(|| panic!("{accepted}"));
        let data: Value = serde_json::from_str(data).unwrap();
        assert!(data["sid"].is_string(), "{data}");
        // The one that a snapshot has, as over a WebSocket.
        let bearer = format!("Bearer {}", access(user));
        let snapshot = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(snapshot.headers()["etag"], format!("\"{}\"", data["tag"].as_str().unwrap()));
        poll
    }

    /// The server's address, and the path of the session's requests.
    fn place(&self) -> (&str, &str) {
        self.url.strip_prefix("http://").unwrap().split_once('/').unwrap()
    }

    fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(&self.url).body(body)
    }

    /// Sends packets that are taken.
    async fn say(&self, packets: &str) {
        let answer = self.post(packets.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.text().await.unwrap(), "ok");
    }

    async fn poll(&self) -> Response {
        self.client.get(&self.url).send().await.unwrap()
    }

    /// The next packets.
    async fn next(&self) -> String {
        let answer = self.poll().await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// Nothing of the session is left.
    async fn is_over(&self) {
        let gone = self.poll().await;
        assert_eq!(gone.status(), StatusCode::BAD_REQUEST);
        let body: Value = gone.json().await.unwrap();
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("Unknown session"), "{message}");
    }
}

/// What is answered to packets that come with that header, and maybe not whole.
async fn raw(poll: &Poll, header: &str, body: &str) -> String {
    rest(begin(poll, header, body).await).await
}

/// Sends packets with that header, and maybe not whole.
async fn begin(poll: &Poll, header: &str, body: &str) -> TcpStream {
    let (address, path) = poll.place();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("POST /{path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What comes until the end.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end").unwrap();
    answer
}

fn connect(token: &str) -> String {
    format!("40/dashboard,{}", json!({ "token": token }))
}

#[tokio::test]
async fn a_client_that_polls_receives_events_until_it_leaves() {
    with_server(|db: TestDb, server: TestServer| async move {
        let poll = Poll::join(&server, "ada").await;
        server.await_metric("dashboard_polling_transports 1").await;
        db.run("insert into collection.wishlist_items (user_id, title) values ('ada', 'w')").await;
        let event = poll.next().await;
        assert!(event.starts_with("42/dashboard,[\"dashboard:summaryUpdated\","), "{event}");
        poll.say("1").await;
        server.await_metric("dashboard_polling_transports 0").await;
        server.await_metric("dashboard_transports 0").await;
        poll.is_over().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_not_accepted_ends() {
    with_server(|_: TestDb, server: TestServer| async move {
        let poll = Poll::open(&server).await;
        poll.say(&connect("nonsense")).await;
        assert_eq!(poll.next().await, REFUSED);
        assert_eq!(poll.next().await, "1");
        poll.is_over().await;
        server.await_metric("dashboard_transports 0").await;
    })
    .await;
}

/// Pages of others cannot read what comes back, but they are not to open sockets for the user either.
#[tokio::test]
async fn the_cookie_is_good_for_the_server_s_own_pages() {
    with_server(|_: TestDb, server: TestServer| async move {
        let cookie = format!("auth_token={}", token("ada", "id", 600));
        for (header, is_accepted) in [
            (("sec-fetch-site", OWN_PAGE), true),
            (("origin", server.base.as_str()), true),
            (("origin", "https://evil.example.org"), false),
            (("sec-fetch-site", "cross-site"), false),
            (("sec-fetch-site", "same-site"), false),
        ] {
            let headers = [("cookie", cookie.as_str()), header];
            let poll = Poll::open_with(&server, &headers).await;
            poll.say("40/dashboard,").await;
            let answer = poll.next().await;
            assert_eq!(answer.starts_with("40/dashboard,"), is_accepted, "{header:?}: {answer}");
            assert_eq!(answer == REFUSED, !is_accepted, "{header:?}: {answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_or_no_text_is_refused_and_counted() {
    with_server(|_: TestDb, server: TestServer| async move {
        let poll = Poll::join(&server, "ada").await;
        let largest = format!("6{}", "x".repeat(16_383));
        poll.say(&largest).await;
        let one_more = poll.post(format!("{largest}x")).send().await.unwrap();
        assert_eq!(one_more.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let piece = format!("4000\r\n{largest}\r\n");
        let two = format!("{piece}{piece}");
        let answer = raw(&poll, "Transfer-Encoding: chunked", &two).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        server.await_metric("dashboard_limited_total{limit=\"message_size\"} 2").await;
        // Neither came to the session.
        poll.say("6").await;
        let no_text = poll.post(vec![b'6', 0xff]).send().await.unwrap();
        assert_eq!(no_text.status(), StatusCode::BAD_REQUEST);
        for method in [Method::PUT, Method::HEAD] {
            let other = poll.client.request(method, &poll.url).send().await.unwrap();
            assert_eq!(other.status(), StatusCode::METHOD_NOT_ALLOWED);
        }
        let nothing = poll.post("hello").send().await.unwrap();
        assert_eq!(nothing.status(), StatusCode::BAD_REQUEST);
        poll.is_over().await;
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.idle_timeout_ms = 200;
        let (server, test) = start(config).await;
        let poll = Poll::join(&test, "ada").await;
        let answer = raw(&poll, "Content-Length: 9", "6").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        // The session does not end of it: another request may come.
        poll.say("6").await;
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_up_no_end() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        // Longer than anything waits.
        config.limits.idle_timeout_ms = 600_000;
        let (server, test) = start(config).await;
        let poll = Poll::join(&test, "ada").await;
        let mut slow = begin(&poll, "Expect: 100-continue\r\nContent-Length: 9", "").await;
        let mut word = [0; 25];
        slow.read_exact(&mut word).await.unwrap();
        assert_eq!(word, *b"HTTP/1.1 100 Continue\r\n\r\n", "it is waited for");
        poll.say("1").await;
        let answer = rest(slow).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        server.shutdown().await;
    })
    .await;
}

/// A client that learns of the end opens the next session at once.
#[tokio::test]
async fn the_place_is_free_when_the_client_learns_of_the_end() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.max_sockets = 1;
        let (server, test) = start(config).await;
        for number in 0..200 {
            let poll = Poll::open(&test).await;
            match number % 3 {
                0 => poll.say("1").await,
                1 => {
                    let refused = poll.post("hello").send().await.unwrap();
                    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
                }
                _ => {
                    poll.say(&connect("nonsense")).await;
                    assert_eq!(poll.next().await, REFUSED);
                    assert_eq!(poll.next().await, "1");
                }
            }
        }
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_its_place() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.max_sockets = 1;
        let (server, test) = start(config).await;
        let poll = Poll::join(&test, "ada").await;
        let second = test.get(OPEN, &[]).await;
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        // It waits for packets, and breaks off.
        let (address, path) = poll.place();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
        test.await_metric("dashboard_transports 0").await;
        Poll::join(&test, "ada").await;
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_takes_no_more() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        // Long enough that the drain ends when the sockets have, and not before.
        (config.drain_delay_ms, config.drain_window_ms) = (300, 0);
        let (server, test) = start(config).await;
        let poll = Poll::join(&test, "ada").await;
        let stopping = tokio::spawn(server.shutdown());
        loop {
            let more = test.get(OPEN, &[]).await;
            if more.status() == StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
        }
        let last = loop {
            let packets = poll.next().await;
            if packets.starts_with("42/") {
                break packets;
            }
        };
        assert!(last.contains("SERVER_DRAINING"), "{last}");
        assert_eq!(poll.next().await, "1");
        stopping.await.unwrap();
    })
    .await;
}

//! Tests the answers to clients that do not open a socket as this server takes it. The answers use the words of
//! the clients' developers, and the pages that may use the server can read them.

use reqwest::Method;
use serde_json::Value;

use crate::support::{NO_TLS, TestDb, TestServer, config, start, with_database};

const ALLOWED: &str = "https://app.example.org";
const FOREIGN: &str = "https://evil.example.org";
/// What a client is to set, in its own words.
const OPTIONS: [&str; 3] = [
    "transports: ['websocket']",
    "transports=['websocket']",
    ".transport_type(TransportType::Websocket)",
];

/// An answer's status, its headers, and the text in its standard body.
type Told = (u16, reqwest::header::HeaderMap, String);

async fn ask(test: &TestServer, method: Method, path: &str, headers: &[(&str, &str)]) -> Told {
    let mut request = reqwest::Client::new().request(method, format!("{}{path}", test.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    (status, headers, body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

fn header<'a>((_, headers, _): &'a Told, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_wrong_first_request_is_answered_with_what_to_set_and_trusted_pages_can_read_it() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.allowed_origins = vec![ALLOWED.to_owned()];
        config.polling = false;
        let (server, test) = start(config).await;
        let own = test.base.clone();
        let cases = [
            (Method::GET, "?EIO=4&transport=polling&t=abc", &OPTIONS[..]),
            (Method::POST, "?EIO=4&transport=polling&sid=abc", &OPTIONS),
            (Method::GET, "?EIO=4", &["Unknown transport"]),
            (Method::GET, "?EIO=4&transport=polling&sid=abc", &OPTIONS),
            (
                Method::GET,
                "?EIO=3&transport=polling",
                &["Engine.IO version 4", "socket.io-client 3"],
            ),
            (Method::POST, "?EIO=3&transport=polling", &["Engine.IO version 4"]),
            (Method::GET, "?EIO=4&transport=websocket&sid=abc", &["Unknown session"]),
            (Method::GET, "?EIO=4&transport=websocket", &["WebSocket upgrade", "a proxy"]),
            (Method::POST, "?EIO=4&transport=websocket", &["WebSocket upgrade"]),
            (Method::GET, "?EIO=4&transport=polling&token=x", &["Tokens do not belong"]),
        ];
        for (method, query, words) in cases {
            for path in ["/socket.io/", "/socket.io"] {
                for origin in [ALLOWED, &own, FOREIGN, "null"] {
                    let path = format!("{path}{query}");
                    let told = ask(&test, method.clone(), &path, &[("origin", origin)]).await;
                    assert_eq!(told.0, 400, "{method} {path}");
                    assert!(words.iter().all(|word| told.2.contains(word)), "{path}: {}", told.2);
                    let is_trusted = origin == ALLOWED || origin == own;
                    let reader = header(&told, "access-control-allow-origin");
                    assert_eq!(reader, if is_trusted { origin } else { "" }, "{path}");
                    if is_trusted {
                        assert_eq!(header(&told, "access-control-allow-credentials"), "true");
                        let exposed = header(&told, "access-control-expose-headers");
                        assert!(exposed.contains("x-correlation-id"), "{exposed}");
                    }
                    let vary = header(&told, "vary").to_ascii_lowercase();
                    assert!(
                        vary.contains("origin"),
                        "shared caches keep the answers apart: {vary}"
                    );
                }
            }
        }
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_page_that_adds_headers_may_ask_too() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.allowed_origins = vec![ALLOWED.to_owned()];
        let (server, test) = start(config).await;
        for (method, wanted) in [("GET", "authorization,x-custom"), ("POST", "content-type")] {
            for (origin, reader) in [(ALLOWED, ALLOWED), (FOREIGN, "")] {
                let headers = [
                    ("origin", origin),
                    ("access-control-request-method", method),
                    ("access-control-request-headers", wanted),
                ];
                let path = "/socket.io/?EIO=4&transport=polling";
                let told = ask(&test, Method::OPTIONS, path, &headers).await;
                assert_eq!(told.0, 200);
                assert_eq!(header(&told, "access-control-allow-origin"), reader);
                assert_eq!(header(&told, "access-control-allow-credentials"), "true");
                assert_eq!(header(&told, "access-control-allow-methods"), "GET,POST");
                assert_eq!(header(&told, "access-control-allow-headers"), wanted);
            }
        }
        server.shutdown().await;
    })
    .await;
}

/// Limits and the way here are judged before the route is: what they say is to be read as well.
#[tokio::test]
async fn what_is_refused_before_can_be_read_too() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.allowed_origins = vec![ALLOWED.to_owned()];
        (config.behind_proxy, config.limits.requests_per_s) = (true, 1);
        config.polling = false;
        let (server, test) = start(config).await;
        let path = "/socket.io/?EIO=4&transport=polling";
        let told = ask(&test, Method::GET, path, &[("origin", ALLOWED)]).await;
        assert_eq!((told.0, told.2.as_str()), (400, NO_TLS));
        assert_eq!(header(&told, "access-control-allow-origin"), ALLOWED);
        for method in [Method::GET, Method::OPTIONS] {
            let headers = [
                ("origin", ALLOWED),
                ("x-forwarded-proto", "https"),
                // Each method uses a separate address with its whole burst.
                ("x-forwarded-for", if method == Method::GET { "192.0.2.1" } else { "192.0.2.2" }),
                ("access-control-request-method", "GET"),
            ];
            let usual = if method == Method::GET { 400 } else { 200 };
            let mut told = ask(&test, method.clone(), path, &headers).await;
            assert_eq!(told.0, usual);
            while told.0 == usual {
                told = ask(&test, method.clone(), path, &headers).await;
            }
            assert_eq!(told.0, 429);
            if method == Method::GET {
                assert_eq!(header(&told, "access-control-allow-origin"), ALLOWED);
                assert!(header(&told, "access-control-expose-headers").contains("retry-after"));
            }
        }
        server.shutdown().await;
    })
    .await;
}

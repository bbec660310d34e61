//! Who is let in: every kind of token, every fault, on both transports, against real servers.

mod cors;
mod expiry;
mod rows;

use std::collections::HashSet;
use std::time::Instant;

use e2e_tests::{Answer, Credential, Issuer, Refused, Rest, TestApp, Tokens, Wire, pause, within};
use serde_json::{Value, json};
use shared_types::ErrorCode;
use tokio::task::JoinSet;

use self::rows::{Keys, Row, Verdict};

const USER: &str = "auth@example.test";
const SNAPSHOT: &str = "/api/dashboard";
const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
/// The one origin besides its own whose pages the servers trust.
const ALLOWED: &str = "https://app.example.test";
const ALLOW: [&str; 2] = ["--allowed-origins", ALLOWED];
/// All of the matrix comes from one address, which would be stopped for trying so often.
const PATIENT: [&str; 2] = ["--auth-failures-per-minute", "100000"];

#[tokio::test]
async fn d_api_1_d_ws_2_d_ws_4_the_matrix_of_tokens_faults_and_transports() {
    let (issuer, strangers) = (Issuer::start().await, Issuer::start().await);
    let begun = Instant::now();
    let flags = [&ALLOW[..], &PATIENT].concat();
    let shared = Server::start(&flags).await;
    let published = Server::start(&[&issuer.flags()[..], &flags].concat()).await;
    let rows = rows::rows(&shared.app.tokens, &strangers);
    let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "each row has a name of its own");
    let (mut checked, mut ends) = ((0, 0), JoinSet::new());
    for row in rows {
        let server = if row.keys == Keys::Shared { &shared } else { &published };
        if let Some(verdict) = row.rest {
            server.check_rest(&row, verdict).await;
            checked.0 += 1;
        }
        if let Some(verdict) = row.socket {
            if let Some(refused) = server.check_socket(&row, verdict).await {
                ends.spawn(is_gone(refused));
            }
            checked.1 += 1;
        }
    }
    let refused = ends.len();
    ends.join_all().await;
    for server in [&shared, &published] {
        // They were closed for being refused, and did not wait until their time was over.
        let waited = "dashboard_limited_total{limit=\"auth_timeout\"}";
        assert_eq!(value(&metrics(&server.admin).await, waited), 0);
    }
    assert!(checked.0 >= 40 && checked.1 >= 40 && refused >= 40, "{checked:?}, {refused}");
    println!(
        "{} rows: {} on REST, {} on the socket; {refused} refused sockets are gone",
        names.len(),
        checked.0,
        checked.1
    );
    // Strangers' key ids are worth a request each half minute, and no more.
    let intervals = usize::try_from(begun.elapsed().as_secs() / 30).unwrap();
    assert!((1..=1 + intervals).contains(&issuer.asked()), "{} requests", issuer.asked());
    assert_eq!(strangers.asked(), 0, "no token chooses where keys are read");
}

#[tokio::test]
async fn without_the_issuers_keys_no_user_is_logged_out_and_the_server_recovers_alone() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let url = format!("http://{address}/keys.json");
    let app = TestApp::start_with(&["--jwt-hs256-secret", "", "--jwt-jwks-url", &url]).await;
    let claims = Tokens::access_claims(USER);
    let who = Credential::Bearer(Issuer::sign(jsonwebtoken::Algorithm::ES256, &claims));
    let answer = app.rest().get(SNAPSHOT, &who, &[]).await;
    assert_eq!((answer.status, answer.error().error.code), (503, ErrorCode::InternalError));
    assert_ne!(answer.header("retry-after"), "");
    // The server tells a socket to try again, because clients do not retry a refusal.
    let mut wire = Wire::open(&app.url(), &[]).await;
    let Credential::Bearer(token) = &who else { unreachable!() };
    wire.send(&format!("40/dashboard,{}", json!({ "token": token }))).await;
    assert_eq!(wire.close_code().await, Some(1013));
    let admin = app.admin();
    assert_eq!(admin.get("/readyz", &Credential::Nobody, &[]).await.status, 503);
    let issuer = Issuer::listen(&address).await;
    within("readiness without a request", async {
        while admin.get("/readyz", &Credential::Nobody, &[]).await.status != 200 {
            pause().await;
        }
    })
    .await;
    app.rest().snapshot(&who).await;
    Wire::join(&app.url(), &who).await.unwrap();
    let metrics = metrics(&admin).await;
    assert_eq!(value(&metrics, "dashboard_jwks_fetches_total{result=\"ok\"}"), 1);
    assert!(value(&metrics, "dashboard_jwks_fetches_total{result=\"error\"}") >= 1);
    assert_eq!(issuer.asked(), 1);
}

/// A server, with clients that are made once: it takes a while to read the system's certificates.
struct Server {
    app: TestApp,
    rest: Rest,
    admin: Rest,
}

impl Server {
    async fn start(flags: &[&str]) -> Self {
        let app = TestApp::start_with(flags).await;
        Self { rest: app.rest(), admin: app.admin(), app }
    }

    async fn check_rest(&self, row: &Row, verdict: Verdict) {
        let mut headers: Vec<_> =
            row.way.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let authorization;
        if let Some(Value::String(token)) = &row.way.token {
            authorization = format!("Bearer {token}");
            headers.push(("authorization", &authorization));
        }
        for path in [SNAPSHOT.to_owned(), format!("/api/users/{USER}/dashboard")] {
            let path =
                if row.way.query.is_empty() { path } else { format!("{path}?{}", row.way.query) };
            let answer = self.rest.get(&path, &Credential::Nobody, &headers).await;
            let expected = match verdict {
                Verdict::Accepted => (200, None),
                Verdict::Refused(_) => (401, Some(ErrorCode::Unauthorized)),
                Verdict::Foreign => (403, Some(ErrorCode::Forbidden)),
                Verdict::Invalid => (400, Some(ErrorCode::ValidationError)),
            };
            let code = (answer.status >= 400).then(|| answer.error().error.code);
            assert_eq!((answer.status, code), expected, "{}", row.name);
            let challenge = if answer.status == 401 { "Bearer" } else { "" };
            assert_eq!(answer.header("www-authenticate"), challenge, "{}", row.name);
            match verdict {
                Verdict::Refused(_) => {
                    assert_eq!(
                        answer.error().error.message,
                        "Authentication required",
                        "{}",
                        row.name
                    );
                }
                Verdict::Foreign => {
                    assert!(answer.error().error.message.contains("DASHBOARD_ALLOWED_ORIGINS"));
                }
                _ => {}
            }
        }
    }

    /// Returns the socket if it was refused: the server must close it.
    async fn check_socket(&self, row: &Row, verdict: Verdict) -> Option<Wire> {
        let own = self.app.url();
        let mut headers: Vec<_> =
            row.way.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if row.way.own_page {
            headers.push(("origin", &own));
        }
        if verdict == Verdict::Invalid {
            let answer = self.upgrade(row.way.query, &headers).await;
            let expected = (400, ErrorCode::ValidationError);
            assert_eq!((answer.status, answer.error().error.code), expected, "{}", row.name);
            return None;
        }
        let before = metrics(&self.admin).await;
        let mut wire = Wire::open(&own, &headers).await;
        let body = row.way.token.as_ref().map(|token| json!({ "token": token }).to_string());
        let answer = wire.connect(&body.unwrap_or_default()).await;
        let reason = match verdict {
            Verdict::Refused(reason) => reason,
            Verdict::Foreign => "origin",
            Verdict::Accepted | Verdict::Invalid => {
                assert!(answer.is_ok(), "{}", row.name);
                return None;
            }
        };
        assert_eq!(answer, Err(Refused::with("AUTH_FAILED")), "{}", row.name);
        let series = format!("dashboard_refusals_total{{reason=\"{reason}\"}}");
        let after = metrics(&self.admin).await;
        assert_eq!(value(&after, &series), value(&before, &series) + 1, "{}: {reason}", row.name);
        Some(wire)
    }

    /// Asks for the upgrade as a WebSocket client does, and reads the answer that is none.
    async fn upgrade(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        let upgrade = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let path = format!("{SOCKET}&{query}");
        self.rest.get(&path, &Credential::Nobody, &[&upgrade[..], headers].concat()).await
    }
}

async fn is_gone(mut wire: Wire) {
    wire.closed().await;
}

async fn metrics(admin: &Rest) -> String {
    admin.get("/metrics", &Credential::Nobody, &[]).await.body
}

/// The value of the series of exactly that name and labels; 0 if there is none.
fn value(metrics: &str, series: &str) -> u64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0, |number| number.parse().unwrap())
}

//! The socket as it is on the wire.

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Credential, Payload, Received, Refused, TestApp, Tokens, Wire};
use serde_json::{Value, json};
use shared_types::EventType;

const USER: &str = "wire@example.test";

#[tokio::test]
async fn d_ws_4_a_refusal_is_auth_failed_and_nothing_else_then_the_server_closes() {
    let app = TestApp::start().await;
    for credential in refused_credentials(&app) {
        let cookie = match &credential {
            Credential::Cookie(token) => format!("auth_token={token}"),
            _ => String::new(),
        };
        let body = match &credential {
            Credential::Bearer(token) => json!({ "token": token }).to_string(),
            _ => String::new(),
        };
        let headers = [("cookie", cookie.as_str()), ("origin", &app.url())];
        let mut wire = Wire::open(&app.url(), &headers).await;
        let refused = wire.connect(&body).await.unwrap_err();
        assert_eq!(refused, Refused::with("AUTH_FAILED"), "{credential:?}");
        wire.closed().await;
    }
    assert_none_timed_out(&app).await;
}

#[tokio::test]
async fn d_ws_2_a_bad_token_is_refused_although_the_cookie_is_good() {
    let app = TestApp::start().await;
    let cookie = format!("auth_token={}", app.tokens.id(USER));
    let headers = [("cookie", cookie.as_str()), ("origin", &app.url())];
    let mut wire = Wire::open(&app.url(), &headers).await;
    assert!(wire.connect(r#"{"token":"not.a.token"}"#).await.is_err());
    let mut wire = Wire::open(&app.url(), &headers).await;
    wire.connect("").await.unwrap();
}

#[tokio::test]
async fn d_ws_2_the_cookie_is_good_for_the_servers_own_pages_only() {
    let app = TestApp::start_with(&["--allowed-origins", "https://app.example.test"]).await;
    let cookie = format!("auth_token={}", app.tokens.id(USER));
    let own = app.url();
    let foreign = ["https://evil.example.test", "null", "https://app.example.test.evil.test"];
    for origin in foreign {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        let mut wire = Wire::open(&own, &headers).await;
        wire.connect("").await.unwrap_err();
    }
    for origin in [own.as_str(), "https://app.example.test"] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        let mut wire = Wire::open(&own, &headers).await;
        wire.connect("").await.unwrap();
    }
}

#[tokio::test]
async fn d_ws_4_bodies_that_are_no_object_are_refused_in_the_same_words() {
    let app = TestApp::start().await;
    for body in ["", "{}", "[]", "[1]", "\"token\"", "17", "{\"token\":null}", "{\"token\":[]}"] {
        let mut wire = Wire::open(&app.url(), &[]).await;
        wire.send(&format!("40/dashboard,{body}")).await;
        // What is no packet at all ends the session without an answer.
        if let Some(answer) = wire.frame().await.filter(|answer| answer != "1") {
            let refusal = answer.strip_prefix("44/dashboard,").unwrap();
            let Refused(expected) = Refused::with("AUTH_FAILED");
            assert_eq!(serde_json::from_str::<Value>(refusal).unwrap(), expected, "{body}");
        }
        wire.closed().await;
    }
    assert_none_timed_out(&app).await;
}

#[tokio::test]
async fn d_ws_1_only_the_namespace_of_the_dashboard_exists() {
    let app = TestApp::start().await;
    let token = json!({ "token": app.tokens.access(USER) });
    for namespace in ["", "/admin,", "/dashboards,"] {
        let mut wire = Wire::open(&app.url(), &[]).await;
        wire.send(&format!("40{namespace}{token}")).await;
        let answer = wire.frame().await;
        let accepted = answer.as_deref().is_some_and(|answer| answer.starts_with("40"));
        assert!(!accepted, "{namespace:?}: {answer:?}");
    }
}

#[tokio::test]
async fn d_ws_3_d_ws_7_both_sockets_of_a_user_receive_the_same_event() {
    let app = TestApp::start().await;
    let mut one = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    let mut two = Wire::join(&app.url(), &app.cookie(USER)).await.unwrap();
    writer::add_wish(app.db(), USER, "Titanic").await;
    let (one, two) = (one.event().await, two.event().await);
    assert_eq!(one.event_id, two.event_id);
    assert_eq!(one.payload, two.payload);
}

#[tokio::test]
async fn d_ws_5_the_envelope_has_these_fields_and_no_other() {
    let app = TestApp::start().await;
    let mut wire = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    writer::add_moc(app.db(), USER, &NewMoc::new("Ferry \"Ü\" 🚢", "City")).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let frame = wire.frame().await.unwrap();
        let event = Received::read(&frame);
        let body = frame.strip_prefix("42/dashboard,").unwrap();
        let (_, envelope): (String, Value) = serde_json::from_str(body).unwrap();
        let keys: Vec<_> = envelope.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["eventId", "payload", "revision", "timestamp", "type"]);
        let (_, tag) = app.rest().snapshot(&app.bearer(USER)).await;
        assert_eq!(event.revision, tag.revision.get(), "the snapshot's counter");
        if let Payload::RecentMocAdded(moc) = &event.payload {
            assert_eq!(moc.title.as_str(), "Ferry \"Ü\" 🚢");
        }
        seen.push(event.event_type);
    }
    assert!(seen.contains(&EventType::RecentMocAdded));
}

#[tokio::test]
async fn a_client_that_talks_nonsense_loses_its_session_and_harms_no_other() {
    let app = TestApp::start().await;
    let mut neighbour = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    for nonsense in ["42/dashboard,[", "9", "42/dashboard,{}", "\u{0}", "451-[", "40/dashboard,{"] {
        let mut wire = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
        wire.send(nonsense).await;
        drop(wire);
    }
    writer::add_wish(app.db(), USER, "Titanic").await;
    assert_eq!(neighbour.event().await.event_type, EventType::SummaryUpdated);
}

#[tokio::test]
async fn a_socket_comes_through_a_proxy_that_names_its_scheme() {
    let app = TestApp::start_with(&["--behind-proxy"]).await;
    let token = json!({ "token": app.tokens.access(USER) }).to_string();
    for scheme in ["wss", "https"] {
        let headers = [("x-forwarded-proto", scheme), ("x-forwarded-for", "192.0.2.1")];
        let mut wire = Wire::open(&app.url(), &headers).await;
        wire.connect(&token).await.unwrap();
        writer::add_wish(app.db(), USER, scheme).await;
        assert_eq!(wire.event().await.event_type, EventType::SummaryUpdated, "{scheme}");
    }
}

/// The server has closed at once: it did not wait until the time to authenticate was over.
async fn assert_none_timed_out(app: &TestApp) {
    assert_eq!(app.metrics().await.limited("auth_timeout"), 0);
}

/// One credential for each way in which a session can be wrong.
fn refused_credentials(app: &TestApp) -> Vec<Credential> {
    let sign = |claims: Value| app.tokens.sign(&claims);
    let access = |key: &str, value: Value| {
        let mut claims = Tokens::access_claims(USER);
        claims[key] = value;
        Credential::Bearer(sign(claims))
    };
    let id = |key: &str, value: Value| {
        let mut claims = Tokens::id_claims(USER);
        claims[key] = value;
        Credential::Cookie(sign(claims))
    };
    vec![
        Credential::Nobody,
        Credential::Bearer(Tokens::new().access(USER)),
        Credential::Cookie(Tokens::new().id(USER)),
        Credential::Bearer(app.tokens.id(USER)),
        Credential::Cookie(app.tokens.access(USER)),
        access("exp", json!(1_000_000_000)),
        access("client_id", json!("another-app")),
        access("iss", json!("https://elsewhere.test")),
        access("sub", json!("")),
        id("exp", json!(1_000_000_000)),
        id("aud", json!("another-app")),
        id("iss", json!("https://elsewhere.test")),
    ]
}

//! A session that runs out stops receiving, and its neighbours stay.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e_tests::{Credential, Payload, Received, TestApp, Wire, writer};
use futures_util::future::join_all;
use shared_types::{ErrorEventCode, EventType};

use super::USER;

const SOCKETS: usize = 16;

#[tokio::test]
async fn d_nfr_3_sockets_end_with_their_tokens_and_neighbours_stay() {
    let app = TestApp::start().await;
    let url = app.url();
    let mut same_user = Wire::join(&url, &app.bearer(USER)).await.unwrap();
    let mut other_user = Wire::join(&url, &app.bearer("neighbour")).await.unwrap();
    let (end, joined) = join_in_time(&app).await;
    let lasted = joined.into_iter().map(|mut wire| async move {
        let told = wire.event().await;
        let told_at = since_1970();
        let Payload::Error(error) = told.payload else { panic!("{told}") };
        assert_eq!(error.code, ErrorEventCode::TokenExpired);
        while let Some(frame) = wire.frame().await {
            assert_eq!(frame, "41/dashboard,", "nothing more is said");
        }
        (told_at, since_1970())
    });
    let mut latest = Duration::ZERO;
    for (told_at, closed_at) in join_all(lasted).await {
        assert!(told_at >= end, "not before its time");
        latest = latest.max(closed_at.saturating_sub(end));
    }
    println!("{SOCKETS} sockets closed at most {latest:?} after `exp`");
    // Its first event of all is the change that comes now.
    for (user, wire) in [(USER, &mut same_user), ("neighbour", &mut other_user)] {
        writer::add_wish(app.db(), user, "Titanic").await;
        let event: Received = wire.event().await;
        assert_eq!(event.event_type, EventType::SummaryUpdated);
    }
}

/// Sockets with one token that ends soon, and when; longer-lived where the machine needs more time.
async fn join_in_time(app: &TestApp) -> (Duration, Vec<Wire>) {
    let url = app.url();
    for seconds in [3, 6, 12, 24] {
        let token = app.tokens.access_for(USER, Duration::from_secs(seconds));
        let end = expiry(&token);
        let who = Credential::Bearer(token);
        let joined = join_all((0..SOCKETS).map(|_| Wire::join(&url, &who))).await;
        if let Ok(wires) = joined.into_iter().collect::<Result<Vec<_>, _>>()
            && since_1970() < end
        {
            return (end, wires);
        }
    }
    panic!("no token lasts until all have joined");
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// When a token ends, read from the token itself.
fn expiry(token: &str) -> Duration {
    let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token).unwrap();
    Duration::from_secs(claims.claims["exp"].as_u64().unwrap())
}

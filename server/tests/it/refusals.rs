//! Tests what the log says of a refused session: why, and which request. It never says whose, and never holds
//! the token.

use serde_json::{Value, json};

use crate::process::Process;
use crate::support::{REFUSED, access, token, with_database};

/// Part of no message, so that finding it means that a claim was logged.
const USER: &str = "heliotrope";
const CORRELATION: &str = "c-2718281828";

#[tokio::test]
async fn a_refused_session_is_logged_with_its_reason_and_without_its_token() {
    with_database(|db| async move {
        let settings = [("DASHBOARD_LOG", "trace"), ("DASHBOARD_LOG_FORMAT", "json")];
        let process = Process::start(&db.url, &settings);
        let running = &process.server;
        let (expired, misplaced) = (token(USER, "access", -60), token(USER, "id", 60));
        let good = access(USER);
        let correlation = ("x-correlation-id", CORRELATION);
        let bearer = format!("Bearer {expired}");
        let answer =
            running.get("/api/dashboard", &[("authorization", &bearer), correlation]).await;
        assert_eq!(answer.status(), 401);
        let address = format!("/api/dashboard?access_token={good}");
        assert_eq!(running.get(&address, &[correlation]).await.status(), 400);
        let foreign = format!("auth_token={misplaced}");
        let foreign = [("cookie", foreign.as_str()), ("origin", "https://evil.test"), correlation];
        assert_eq!(running.get("/api/dashboard", &foreign).await.status(), 403);
        for refused in [&expired, &misplaced] {
            let mut client = running.open(&[]).await;
            client.send(&format!("40/dashboard,{}", json!({ "token": refused }))).await;
            assert_eq!(client.frame().await, REFUSED);
        }
        let ended = process.stop();
        assert!(ended.status.success());
        let log = ended.log;
        for token in [&expired, &misplaced, &good] {
            for part in token.split('.').skip(1) {
                assert!(!log.contains(part), "a part of a token is in the log");
            }
        }
        assert!(!log.contains(USER), "a claim is in the log");
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let refused: Vec<_> =
            lines.iter().filter(|line| line["message"] == "request refused").collect();
        let errors: Vec<_> =
            refused.iter().map(|line| line["error"].as_str().unwrap_or_default()).collect();
        assert_eq!(refused.len(), 3, "{errors:?}");
        assert_eq!(errors[0], "unauthorized: expired");
        assert!(errors[1].contains("Tokens do not belong in addresses"), "{errors:?}");
        assert!(errors[2].contains("DASHBOARD_ALLOWED_ORIGINS"), "{errors:?}");
        assert!(refused.iter().all(|line| line["correlation_id"] == CORRELATION));
        let sockets: Vec<_> =
            lines.iter().filter(|line| line["message"] == "socket refused").collect();
        let reasons: Vec<_> = sockets.iter().map(|line| line["reason"].clone()).collect();
        assert_eq!(reasons, ["expired", "token_use"]);
        assert!(
            sockets.iter().all(|line| line["socket"].as_str().is_some_and(|id| id.len() == 32))
        );
    })
    .await;
}

#[tokio::test]
async fn beyond_the_limit_of_its_address_a_socket_is_refused_and_counted_but_not_logged() {
    with_database(|db| async move {
        let settings =
            [("DASHBOARD_LOG_FORMAT", "json"), ("DASHBOARD_AUTH_FAILURES_PER_MINUTE", "2")];
        let process = Process::start(&db.url, &settings);
        let server = &process.server;
        let forged = format!("40/dashboard,{}", json!({ "token": token(USER, "id", 60) }));
        for _ in 0..5 {
            let mut client = server.open(&[]).await;
            client.send(&forged).await;
            assert_eq!((client.frame().await.as_str(), client.next().await), (REFUSED, None));
        }
        // Who shares the address and has a session is let in.
        server.connect(USER).await;
        server.await_metric("dashboard_refusals_total{reason=\"token_use\"} 5").await;
        server.await_metric("dashboard_limited_total{limit=\"auth_failures\"} 3").await;
        let log = process.stop().log;
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |message: &str, reason: &str| {
            let fits = |line: &&Value| line["message"] == message && line["reason"] == reason;
            lines.iter().filter(fits).count()
        };
        assert_eq!(count("socket refused", "token_use"), 2);
        assert_eq!(count("connection closed", "refused"), 2);
        assert_eq!(count("connection closed", "auth_failures"), 3);
    })
    .await;
}

/// It is a stranger who decides how many there are.
#[tokio::test]
async fn refused_requests_and_sockets_of_one_address_share_their_lines_in_the_log() {
    with_database(|db| async move {
        let process = Process::start(&db.url, &[("DASHBOARD_LOG_FORMAT", "json")]);
        let server = &process.server;
        for _ in 0..40 {
            assert_eq!(server.get("/nothing", &[]).await.status(), 404);
        }
        for _ in 0..40 {
            let mut client = server.open(&[]).await;
            client.send("40/dashboard,").await;
            while client.next().await.is_some() {}
        }
        server.await_metric("dashboard_refusals_total{reason=\"missing\"} 40").await;
        let log = process.stop().log;
        let count = |message: &str| log.lines().filter(|line| line.contains(message)).count();
        assert_eq!(count("request refused"), 40);
        // And what has come back of the share in that time, even on a busy machine.
        let sockets = count("connection opened");
        assert!((20..40).contains(&sockets), "{sockets}");
        assert_eq!((count("socket refused"), count("connection closed")), (sockets, sockets));
    })
    .await;
}

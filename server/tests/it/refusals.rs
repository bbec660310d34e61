//! What the log says of a session that was refused: why, and which request; never whose, nor the
//! token.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{addresses, server};
use crate::support::{SECRET, TestServer, access, token, with_database};

/// In no message of anybody's, so that finding it means that a claim was logged.
const USER: &str = "heliotrope";
const CORRELATION: &str = "c-2718281828";

#[tokio::test]
async fn a_refused_session_is_logged_with_its_reason_and_without_its_token() {
    with_database(|db| async move {
        let mut child = server()
            .env("DATABASE_URL", &db.url)
            .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
            .env("DASHBOARD_LOG", "trace")
            .env("DASHBOARD_LOG_FORMAT", "json")
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (public, admin) = addresses(&line);
        let running = TestServer::at(format!("http://{public}"), format!("http://{admin}"));
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
            assert_eq!(client.frame().await, "44/dashboard,{\"message\":\"AUTH_FAILED\"}");
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
        let log = log.join().unwrap();
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
        assert!(refused.iter().all(|line| line["span"]["correlation_id"] == CORRELATION));
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

//! Tests what the running binary logs: each step of its life as a line of JSON, and no secret.

use serde_json::{Value, json};

use crate::process::Process;
use crate::support::{SECRET, TestServer, access, token, with_database};

/// Nothing else in a log could look like it.
const USER: &str = "ada-b1946ac9@example.test";
const FORGED: &str = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0LWJvZHk.forged-4815162342";

/// A life with each of its steps and faults, each with a separate correlation id.
async fn live(server: &TestServer, wish: impl AsyncFn()) {
    for (path, id) in [("/api/dashboard?key=hidden-in-query", "c-401"), ("/hidden-path", "c-404")] {
        let cookie = format!("other=hidden-cookie; auth_token={FORGED}");
        server.get(path, &[("x-correlation-id", id), ("cookie", &cookie)]).await;
    }
    let mut refused = server.open(&[("x-correlation-id", "c-refused")]).await;
    refused.send(&format!("40/dashboard,{}", json!({ "token": FORGED }))).await;
    while refused.next().await.is_some() {}
    let mut malformed = server.open(&[("x-correlation-id", "c-malformed")]).await;
    malformed.send("40/dashboard,{\"token\":[\"hidden-in-array\"]}").await;
    while malformed.next().await.is_some() {}
    let mut live = server.open(&[("x-correlation-id", "c-live")]).await;
    live.send(&format!("40/dashboard,{}", json!({ "token": access(USER) }))).await;
    assert!(live.frame().await.starts_with("40/dashboard,"));
    wish().await;
    live.event_at(1).await;
    live.send("41/dashboard,").await;
    while live.next().await.is_some() {}
    let cookie = format!("auth_token={}", token(USER, "id", 600));
    let headers = [("x-correlation-id", "c-large"), ("cookie", cookie.as_str())];
    let origin = ("origin", server.base.as_str());
    let mut large = server.open(&[headers[0], headers[1], origin]).await;
    large.send("40/dashboard,").await;
    assert!(large.frame().await.starts_with("40/dashboard,"));
    large.send(&format!("42/dashboard,[\"hidden-in-frame{}\"]", "x".repeat(20_000))).await;
    while large.next().await.is_some() {}
    server.await_metric("dashboard_transports 0").await;
}

/// The name of a session in the addresses of its requests, which act for its user.
async fn polled(server: &TestServer) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    let rules = server.get(path, &[]).await.text().await.unwrap();
    let rules: Value = serde_json::from_str(rules.strip_prefix('0').unwrap()).unwrap();
    let sid = rules["sid"].as_str().unwrap().to_owned();
    let path = format!("{path}&sid={sid}");
    let refused = server.get(&format!("{path}&token=hidden-in-query"), &[]).await;
    assert_eq!(refused.status(), 400);
    let post = reqwest::Client::new().post(format!("{}{path}", server.base));
    assert_eq!(post.body("hidden-in-packet").send().await.unwrap().status(), 400);
    server.await_metric("dashboard_transports 0").await;
    sid
}

/// A line's message, whose it is, and why.
fn step(line: &Value) -> (&str, &str, &str) {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let why = if line["reason"].is_string() { text("reason") } else { text("error") };
    (text("message"), text("correlation_id"), why)
}

#[tokio::test]
async fn each_step_of_a_life_is_one_line_with_the_id_of_its_request() {
    with_database(|db| async move {
        let settings = [("DASHBOARD_LOG_FORMAT", "json")];
        let process = Process::start(&db.url, &settings);
        let wish = format!(
            "insert into collection.wishlist_items (user_id, title) values ('{USER}', 'x')"
        );
        live(&process.server, async || db.run(&wish).await).await;
        let ended = process.stop();
        assert!(ended.status.success());
        let lines: Vec<Value> =
            ended.log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let mut steps: Vec<_> = lines.iter().map(step).collect();
        // One connection may still be closing while the next one opens. So the test checks each life alone, in
        // the order in which they began, and the server's own first.
        let mut ids: Vec<_> = steps.iter().map(|(_, id, _)| *id).collect();
        let mut known = std::collections::HashSet::new();
        ids.retain(|id| known.insert(*id));
        steps.sort_by_key(|(_, id, _)| ids.iter().position(|known| known == id));
        let expected = [
            ("started", "", ""),
            ("stopping", "", ""),
            ("drain started", "", ""),
            ("drain ended", "", ""),
            ("stopped", "", ""),
            ("request refused", "c-401", "unauthorized: malformed token"),
            ("request refused", "c-404", "not found"),
            ("connection opened", "c-refused", ""),
            ("socket refused", "c-refused", "malformed"),
            ("connection closed", "c-refused", "refused"),
            ("connection opened", "c-malformed", ""),
            ("socket refused", "c-malformed", "malformed"),
            ("connection closed", "c-malformed", "refused"),
            ("connection opened", "c-live", ""),
            ("socket connected", "c-live", ""),
            ("socket disconnected", "c-live", "client_disconnect"),
            ("connection closed", "c-live", "client_disconnect"),
            ("connection opened", "c-large", ""),
            ("socket connected", "c-large", ""),
            ("frame refused", "c-large", "message_size"),
            ("socket disconnected", "c-large", "message_size"),
            ("connection closed", "c-large", "message_size"),
        ];
        assert_eq!(steps, expected, "{}", ended.log);
        // The lines of one socket name it, those of one user do without the name.
        let of = |id: &str, field: &str| -> Vec<Value> {
            let lines = lines.iter().filter(|line| line["correlation_id"] == id);
            lines.map(|line| line[field].clone()).filter(|value| !value.is_null()).collect()
        };
        let (live, large) = (of("c-live", "socket"), of("c-large", "socket"));
        assert_eq!(live.len(), 4);
        assert!(live.iter().all(|socket| *socket == live[0] && *socket != large[0]));
        let (live, large) = (of("c-live", "user"), of("c-large", "user"));
        assert_eq!((live.len(), &live), (2, &large));
        let statuses = [of("c-401", "status"), of("c-404", "status")];
        assert_eq!(statuses, [[json!(401)], [json!(404)]]);
        assert_eq!(of("c-401", "route"), [json!("/api/dashboard")]);
        for line in &lines {
            assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
            assert!(line.as_object().unwrap().values().all(|value| !value.is_object()), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_start_changes_in_the_database_is_logged_and_nothing_is_where_it_changes_nothing() {
    with_database(|db| async move {
        db.run("drop schema dashboard cascade").await;
        let mut installed = Vec::new();
        for _ in 0..2 {
            let ended = Process::start(&db.url, &[("DASHBOARD_LOG_FORMAT", "json")]).stop();
            let lines = ended.log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lines = lines.filter(|line| line["message"] == "source installed");
            installed.push(lines.map(|line| line["source"].clone()).collect::<Vec<_>>());
        }
        assert_eq!(installed, [vec![json!("standalone")], vec![]]);
    })
    .await;
}

#[tokio::test]
async fn a_client_over_a_limit_is_logged_with_the_limit_s_name_in_the_metrics() {
    with_database(|db| async move {
        let settings = [
            ("DASHBOARD_LOG_FORMAT", "json"),
            // A line for each request too many would be another flood: only an operator who asks gets them.
            ("DASHBOARD_LOG", "debug"),
            ("DASHBOARD_MAX_SOCKETS_PER_USER", "1"),
            ("DASHBOARD_AUTH_FAILURES_PER_MINUTE", "1"),
            ("DASHBOARD_REQUESTS_PER_S", "1"),
        ];
        let process = Process::start(&db.url, &settings);
        let server = &process.server;
        let entered = format!("40/dashboard,{}", json!({ "token": access(USER) }));
        let mut first = server.open(&[("x-correlation-id", "c-first")]).await;
        first.send(&entered).await;
        assert!(first.frame().await.starts_with("40/dashboard,"));
        let mut second = server.open(&[("x-correlation-id", "c-second")]).await;
        second.send(&entered).await;
        while second.next().await.is_some() {}
        let forged = format!("Bearer {FORGED}");
        let forged = [("authorization", forged.as_str()), ("x-correlation-id", "c-forged")];
        for expected in [401, 429] {
            assert_eq!(server.get("/api/dashboard", &forged).await.status(), expected);
        }
        // Not to have signed in is refused, and no attempt: only the rate stops it.
        let many = [("x-correlation-id", "c-many")];
        while server.get("/api/dashboard", &many).await.status() != 429 {}
        server.await_metric("dashboard_limited_total{limit=\"request_rate\"} 1").await;
        let ended = process.stop();
        let lines: Vec<Value> =
            ended.log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let limits: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == "request refused" && line["status"] == 429)
            .map(|line| [&line["correlation_id"], &line["limit"]])
            .collect();
        assert_eq!(limits, [["c-forged", "auth_failures"], ["c-many", "request_rate"]]);
        let with = |message: &str, id: &str| {
            let mut lines = lines.iter();
            lines.find(|line| line["message"] == message && line["correlation_id"] == id).unwrap()
        };
        let refused = with("socket refused", "c-second");
        assert_eq!(refused["reason"], "sockets_per_user");
        assert!(refused["user"].is_string(), "{refused}");
        assert_eq!(refused["user"], with("socket connected", "c-first")["user"]);
        assert_eq!(with("connection closed", "c-second")["reason"], "refused");
        assert_eq!(with("connection closed", "c-first")["reason"], "server_stopping");
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_in_the_log_at_any_log_level() {
    with_database(|db| async move {
        let wish = format!(
            "insert into collection.wishlist_items (user_id, title) values ('{USER}', 'x')"
        );
        let password = db.url.split_once("://").unwrap().1.split_once('@').unwrap().0;
        let password = password.split_once(':').unwrap().1;
        for level in ["info", "trace,tungstenite::protocol=trace,tungstenite=trace"] {
            for format in ["json", "pretty"] {
                let settings = [("DASHBOARD_LOG_FORMAT", format), ("DASHBOARD_LOG", level)];
                let process = Process::start(&db.url, &settings);
                live(&process.server, async || db.run(&wish).await).await;
                let sid = polled(&process.server).await;
                let ended = process.stop();
                let text = ended.out + &ended.log;
                let signature = access(USER).rsplit('.').next().unwrap().to_owned();
                let body = access(USER).split('.').nth(1).unwrap()[..40].to_owned();
                for secret in [
                    SECRET,
                    USER,
                    FORGED,
                    "4815162342",
                    "hidden-",
                    password,
                    &signature,
                    &body,
                    &sid,
                ] {
                    let line = text.lines().find(|line| line.contains(secret));
                    assert_eq!(line, None, "{secret} at {level}");
                }
                if format == "json" {
                    let lines = ended.log.lines();
                    let broken = lines.filter(|line| serde_json::from_str::<Value>(line).is_err());
                    assert_eq!(broken.count(), 0);
                }
            }
        }
    })
    .await;
}

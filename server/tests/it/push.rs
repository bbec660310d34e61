//! Tests the socket side, over the bare wire: who gets in, and what they get (D-WS-1 to D-WS-7).

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    REFUSED, TestDb, TestServer, access, config, pause, start, token, with_database, with_server,
};

fn moc(user: &str, title: &str) -> String {
    format!(
        "insert into collection.mocs (user_id, title, theme) values ('{user}', '{title}', 'Castle')"
    )
}

fn enter(token: &str) -> String {
    format!("40/dashboard,{}", json!({ "token": token }))
}

#[tokio::test]
async fn a_refused_client_gets_an_error_and_is_gone() {
    with_server(|_: TestDb, server: TestServer| async move {
        let handshakes = [
            "40/dashboard,".to_owned(),
            "40/dashboard,{}".to_owned(),
            "40/dashboard,{\"token\":null}".to_owned(),
            "40/dashboard,{\"token\":7}".to_owned(),
            "40/dashboard,[\"x\"]".to_owned(),
            enter(""),
            enter("nonsense"),
            enter(&token("ada", "id", 600)),
            enter(&token("ada", "access", -1)),
        ];
        for handshake in handshakes {
            let mut client = server.open(&[]).await;
            client.send(&handshake).await;
            assert_eq!(client.frame().await, REFUSED, "{handshake}");
            assert_eq!(client.next().await, None, "{handshake}");
        }
        server.await_metric("dashboard_transports 0").await;
        // For being refused, and not because the time to authenticate was over.
        server.await_metric("dashboard_limited_total{limit=\"auth_timeout\"} 0").await;
        server.await_metric("dashboard_refusals_total{reason=\"expired\"} 1").await;
    })
    .await;
}

#[tokio::test]
async fn a_silent_client_is_gone_after_the_time_to_authenticate() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.connect_timeout_ms = 500;
        let (running, server) = start(config).await;
        let mut silent = server.open(&[]).await;
        assert_eq!(silent.next().await, None);
        let mut lost = server.open(&[]).await;
        lost.send("40/nowhere,").await;
        let answer = lost.frame().await;
        let data = json!({ "code": "INVALID_NAMESPACE" });
        let refusal = json!({ "message": "Invalid namespace", "data": data });
        let said = answer.strip_prefix("44/nowhere,").unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(said).unwrap(), refusal);
        assert_eq!(lost.next().await, None);
        server.await_metric("dashboard_transports 0").await;
        server.await_metric("dashboard_limited_total{limit=\"auth_timeout\"} 2").await;
        running.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_cookie_opens_the_door_for_allowed_origins_only() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.allowed_origins = vec!["https://app.example.org".to_owned()];
        let (server, test) = start(config).await;
        let cookie = format!("auth_token={}", token("ada", "id", 600));
        let own = test.base.clone();
        let cases = [
            (Some(own.as_str()), true),
            (Some("https://app.example.org"), true),
            (Some("https://evil.example.org"), false),
            (Some("https://app.example.org.evil.org"), false),
            (Some("http://app.example.org"), false),
            (Some("null"), false),
            (None, false),
        ];
        for (origin, accepted) in cases {
            let mut headers = vec![("cookie", cookie.as_str())];
            headers.extend(origin.map(|origin| ("origin", origin)));
            let mut client = test.open(&headers).await;
            client.send("40/dashboard,").await;
            let answer = client.frame().await;
            assert_eq!(answer.starts_with("40/dashboard,"), accepted, "{origin:?} {answer}");
        }
        // An access token in the cookie is in the wrong place.
        let wrong = format!("auth_token={}", access("ada"));
        let mut client = test.open(&[("cookie", &wrong), ("origin", &own)]).await;
        client.send("40/dashboard,").await;
        assert_eq!(client.frame().await, REFUSED);
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_new_moc_is_pushed_with_its_revision() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run(&moc("ada", "Keep")).await;
        let events =
            client.events(&["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"]).await;
        let (view, revision) = server.snapshot("ada").await;
        assert!(events.iter().all(|event| event["revision"] == revision));
        assert_eq!(events[0]["payload"], view["summary"]);
        assert_eq!(events[1]["payload"], view["themeBreakdown"]);
        assert_eq!(events[2]["payload"], view["recentMocs"][0]);
        assert_eq!(events[0]["eventId"].as_str().unwrap().as_bytes()[14], b'7');
    })
    .await;
}

#[tokio::test]
async fn only_sections_that_changed_are_pushed() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run(&moc("ada", "Keep")).await;
        client.events(&["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"]).await;
        let steps: [(&str, &[&str]); 6] = [
            ("update collection.mocs set title = 'Gate'", &["recentMocsUpdated"]),
            (
                "update collection.mocs set build_status = 'BUILT'",
                &["summaryUpdated", "recentMocsUpdated"],
            ),
            (
                "insert into collection.sets (user_id, title, theme) values ('ada', 'x', 'y')",
                &["themeBreakdownUpdated"],
            ),
            (
                "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')",
                &["summaryUpdated"],
            ),
            (
                "insert into collection.moc_parts select id, 'p', 1, 9 from collection.mocs;
                 insert into collection.inventory values ('ada', 'p', 1, 3, 0)",
                &["summaryUpdated", "partialPartsUpdated"],
            ),
            (
                "delete from collection.mocs",
                &[
                    "summaryUpdated",
                    "themeBreakdownUpdated",
                    "recentMocsUpdated",
                    "partialPartsUpdated",
                ],
            ),
        ];
        let mut last = 0;
        for (statement, types) in steps {
            db.run(statement).await;
            let events = client.events(types).await;
            let revision = events[0]["revision"].as_u64().unwrap();
            assert!(revision > last, "{events:?}");
            assert!(events.iter().all(|event| event["revision"] == revision), "{events:?}");
            last = revision;
        }
    })
    .await;
}

#[tokio::test]
async fn a_burst_is_few_events_and_the_last_shows_it_all() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        for count in 0..200 {
            db.run(&moc("ada", &format!("M{count}"))).await;
        }
        let mut summaries = 0;
        loop {
            let event = client.event().await;
            if event["type"] == "dashboard:summaryUpdated" {
                summaries += 1;
                if event["payload"]["totalMocs"] == 200 {
                    break;
                }
            }
        }
        assert!(summaries < 150, "{summaries} summaries for 200 changes");
    })
    .await;
}

#[tokio::test]
async fn a_thousand_mocs_in_one_transaction_are_few_refreshes() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run(
            "begin;
             insert into collection.mocs (user_id, title, theme)
             select 'ada', 'M' || i, 'Castle' from generate_series(1, 500) i;
             insert into collection.mocs (user_id, title, theme)
             select 'ada', 'M' || i, 'Castle' from generate_series(501, 1000) i;
             commit",
        )
        .await;
        let mut refreshes = 0;
        let mut recent = Recent::default();
        let total = loop {
            let event = client.event().await;
            recent.take(&event);
            if event["type"] == "dashboard:summaryUpdated" {
                refreshes += 1;
                if event["payload"]["totalMocs"] == 1000 {
                    break event["revision"].clone();
                }
            }
        };
        assert!(refreshes < 50, "{refreshes} refreshes");
        let (view, revision) = server.snapshot("ada").await;
        assert_eq!(total, revision);
        while recent.ids() != ids(&view["recentMocs"]) {
            recent.take(&client.event().await);
        }
    })
    .await;
}

/// The recent list as a client keeps it.
#[derive(Default)]
struct Recent {
    mocs: Vec<Value>,
    /// How often it got the whole list, which the PRD has no event for.
    lists: usize,
}

impl Recent {
    fn take(&mut self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "dashboard:recentMocAdded" => {
                self.mocs.insert(0, event["payload"].clone());
                self.mocs.truncate(10);
            }
            "dashboard:recentMocsUpdated" => {
                self.lists += 1;
                self.mocs = event["payload"].as_array().unwrap().clone();
            }
            _ => {}
        }
    }

    fn ids(&self) -> Vec<&Value> {
        self.mocs.iter().map(|moc| &moc["id"]).collect()
    }
}

fn ids(mocs: &Value) -> Vec<&Value> {
    mocs.as_array().unwrap().iter().map(|moc| &moc["id"]).collect()
}

#[tokio::test]
async fn d_fr_11_a_client_that_only_prepends_new_mocs_shows_the_right_list() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        let mut recent = Recent::default();
        for (count, statement) in [
            (1, moc("ada", "One")),
            (
                3,
                "insert into collection.mocs (user_id, title, theme)
                 select 'ada', 'B' || i, 'Castle' from generate_series(1, 3) i"
                    .to_owned(),
            ),
            // Each its own transaction, in one window.
            (5, (1..=5).map(|i| moc("ada", &format!("C{i}")) + ";commit;begin;").collect()),
            (
                12,
                "insert into collection.mocs (user_id, title, theme)
                  select 'ada', 'D' || i, 'Castle' from generate_series(1, 12) i"
                    .to_owned(),
            ),
        ] {
            let before = server.snapshot("ada").await.0["summary"]["totalMocs"].as_u64().unwrap();
            db.run(&format!("begin;{statement};commit")).await;
            let view = loop {
                let (view, _) = server.snapshot("ada").await;
                if view["summary"]["totalMocs"] == before + count {
                    break view;
                }
                pause().await;
            };
            while recent.ids() != ids(&view["recentMocs"]) {
                recent.take(&client.event().await);
            }
            assert_eq!(recent.lists, 0, "after {count}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_rolled_back_is_not_pushed() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run(&format!("begin; {}; rollback", moc("ada", "Ghost"))).await;
        db.run("insert into collection.wishlist_items (user_id, title) values ('ada', 'x')").await;
        let event = client.event().await;
        assert_eq!((&event["revision"], &event["payload"]["totalMocs"]), (&json!(1), &json!(0)));
    })
    .await;
}

#[tokio::test]
async fn transactions_that_commit_in_another_order_than_they_began_are_all_seen() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        let mut open = Vec::new();
        for title in ["A", "B", "C"] {
            let mut connection = db.connection().await;
            let begin = format!("begin; {}", moc("ada", title));
            sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut connection).await.unwrap();
            open.push(connection);
        }
        for (place, mut connection) in open.into_iter().rev().enumerate() {
            sqlx::query("commit").execute(&mut connection).await.unwrap();
            // Each commit is seen before the next: the cursor has moved past younger transactions.
            let event = client.event_at(place as u64 + 1).await;
            assert_eq!(event["payload"]["totalMocs"], place + 1);
        }
    })
    .await;
}

#[tokio::test]
async fn no_user_gets_what_is_another_user_s() {
    with_server(|db: TestDb, server: TestServer| async move {
        let (mut ada, mut bob) = (server.connect("ada").await, server.connect("bob").await);
        let mut second = server.connect("ada").await;
        db.run(&moc("ada", "Ada")).await;
        db.run(&moc("bob", "Bob")).await;
        let types = ["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"];
        for client in [&mut ada, &mut second] {
            assert_eq!(client.events(&types).await[2]["payload"]["title"], "Ada");
        }
        assert_eq!(bob.events(&types).await[2]["payload"]["title"], "Bob");
        // A change of hands is a loss here and a gain there.
        db.run("update collection.mocs set user_id = 'bob' where user_id = 'ada'").await;
        let types = ["summaryUpdated", "themeBreakdownUpdated", "recentMocsUpdated"];
        assert_eq!(ada.events(&types).await[0]["payload"]["totalMocs"], 0);
        assert_eq!(bob.events(&types).await[0]["payload"]["totalMocs"], 2);
    })
    .await;
}

#[tokio::test]
async fn a_socket_ends_with_its_session() {
    with_server(|_: TestDb, server: TestServer| async move {
        let mut client = server.open(&[]).await;
        client.send(&enter(&token("ada", "access", 2))).await;
        assert!(client.frame().await.starts_with("40/dashboard,"));
        let event = client.event().await;
        assert_eq!(event["type"], "dashboard:error");
        assert_eq!(event["payload"]["code"], "TOKEN_EXPIRED");
        assert_eq!(client.frame().await, "41/dashboard,");
        assert_eq!(client.next().await, None);
        server.await_metric("dashboard_disconnects_total{reason=\"token_expired\"} 1").await;
        server.await_metric("dashboard_connections 0").await;
    })
    .await;
}

#[tokio::test]
async fn leaving_the_namespace_ends_the_connection() {
    with_server(|_: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        client.send("41/dashboard,").await;
        assert_eq!(client.next().await, None);
        server.await_metric("dashboard_disconnects_total{reason=\"client_disconnect\"} 1").await;
        server.await_metric("dashboard_transports 0").await;
    })
    .await;
}

#[tokio::test]
async fn large_messages_end_the_connection_that_sends_them() {
    with_server(|db: TestDb, server: TestServer| async move {
        let (mut rude, mut other) = (server.connect("ada").await, server.connect("ada").await);
        rude.send(&format!("42/dashboard,[\"x\",\"{}\"]", "y".repeat(20_000))).await;
        while rude.next().await.is_some() {}
        db.run(&moc("ada", "Keep")).await;
        other.events(&["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"]).await;
    })
    .await;
}

/// Opens a socket by hand, so that nothing reads it behind the test's back.
async fn raw_socket(server: &TestServer, user: &str) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let text = format!("40/dashboard,{}", json!({ "token": access(user) }));
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    // A final text frame with a 16-bit length and a mask of zeros.
    let mut frame = vec![0x81, 0x80 | 0x7e, length[0], length[1], 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("40/dashboard,{") {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..read]);
    }
    stream
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_and_harms_no_other() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.write_stall_timeout_ms = 5_000;
        let (running, server) = start(config).await;
        // Long lists make large events: buffers fill soon.
        db.write(
            "insert into collection.mocs (user_id, title, theme)
             select 'ada', repeat('x', 200), 'Castle' from generate_series(1, 3000);
             insert into collection.moc_parts select id, 'p', 1, 10 from collection.mocs;
             insert into collection.inventory values ('ada', 'p', 1, 5, 0)",
        )
        .await;
        let stuck = raw_socket(&server, "ada").await;
        let mut healthy = server.connect("ada").await;
        let line = "dashboard_disconnects_total{reason=\"slow_consumer\"} 1";
        for _ in 0..300 {
            db.run("update collection.mocs set updated_at = updated_at + interval '1 s'").await;
            healthy.event().await;
            if server.metrics().await.lines().any(|have| have == line) {
                break;
            }
        }
        server.await_metric(line).await;
        server.await_metric("dashboard_connections 1").await;
        server.await_metric("dashboard_transports 1").await;
        drop(stuck);
        running.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_stopping_server_says_so_and_closes_its_sockets() {
    with_database(|db: TestDb| async move {
        let (server, test) = start(config(&db.url)).await;
        let mut client = test.connect("ada").await;
        let stopping = tokio::spawn(server.shutdown());
        let event = client.event().await;
        assert_eq!(event["payload"]["code"], "SERVER_DRAINING");
        assert!(event["payload"]["reconnectAfterMs"].is_u64());
        assert_eq!(client.next().await, None);
        stopping.await.unwrap();
        assert!(TcpStream::connect(test.base.strip_prefix("http://").unwrap()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_enters_while_data_changes_misses_nothing() {
    with_server(|db: TestDb, server: TestServer| async move {
        let (pool, changes) = (db.pool.clone(), 300_u64);
        let writer = tokio::spawn(async move {
            for _ in 0..changes {
                let wish =
                    "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";
                sqlx::query(wish).execute(&pool).await.unwrap();
            }
        });
        let mut clients = tokio::task::JoinSet::new();
        let server = std::sync::Arc::new(server);
        for _ in 0..40 {
            let server = std::sync::Arc::clone(&server);
            clients.spawn(async move {
                let mut client = server.connect("ada").await;
                // As a client does: the snapshot first, then what is newer.
                let (view, mut revision) = server.snapshot("ada").await;
                let mut wishes = view["summary"]["totalWishlistItems"].as_u64().unwrap();
                while wishes < changes {
                    let event = client.event().await;
                    if event["revision"].as_u64().unwrap() > revision {
                        revision = event["revision"].as_u64().unwrap();
                        wishes = event["payload"]["totalWishlistItems"].as_u64().unwrap();
                    }
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        writer.await.unwrap();
    })
    .await;
}

/// A tab that crashed, a phone that went into a tunnel: their sockets are found to be dead much later.
#[tokio::test]
async fn a_socket_that_is_gone_makes_room_for_another_of_its_user() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.max_sockets_per_user = 1;
        let (running, server) = start(config).await;
        let gone = raw_socket(&server, "ada").await;
        let connect = format!("40/dashboard,{}", json!({ "token": access("ada") }));
        let too_many =
            r#"44/dashboard,{"message":"TOO_MANY_SOCKETS","data":{"code":"TOO_MANY_SOCKETS"}}"#;
        let mut refusals = 0;
        let mut second = loop {
            let mut second = server.open(&[]).await;
            second.send(&connect).await;
            let answer = second.frame().await;
            if answer.starts_with("40/dashboard,") {
                break second;
            }
            assert_eq!(answer, too_many);
            refusals += 1;
        };
        assert!(refusals > 0, "it has had no time to answer");
        server.await_metric("dashboard_disconnects_total{reason=\"replaced\"} 1").await;
        server.await_metric("dashboard_transports 1").await;
        drop(gone);
        // One that is there keeps its place.
        let third = server.open(&[]);
        let mut third = third.await;
        third.send(&connect).await;
        assert_eq!(third.frame().await, too_many);
        db.run("insert into collection.wishlist_items (user_id, title) values ('ada', 'w')").await;
        second.event().await;
        running.shutdown().await;
    })
    .await;
}

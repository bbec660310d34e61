//! Tests the REST side: the snapshot, its tag, its errors (D-API-1 to D-API-7).

use serde_json::{Value, json};

use crate::support::{
    CERTIFICATE, NO_TLS, TestDb, TestServer, access, config, start, token, with_database,
    with_server,
};

const COLLECTION: &str = "
    insert into collection.mocs
        (id, user_id, title, theme, build_status, cover_image_url, created_at, updated_at)
    values
        ('00000000-0000-4000-8000-000000000001', 'ada', 'Keep', 'Castle', 'BUILT', null,
         '2026-01-01Z', '2026-03-01Z'),
        ('00000000-0000-4000-8000-000000000002', 'ada', 'Gate', 'Castle', 'ADDED',
         'https://cdn.example.org/gate.jpg', '2026-02-01 09:30:00.5Z', '2026-03-02Z'),
        ('00000000-0000-4000-8000-000000000003', 'ada', 'Rover', 'Space', 'IN_PROGRESS', null,
         '2026-01-15Z', '2026-03-03Z'),
        ('00000000-0000-4000-8000-000000000004', 'bob', 'Secret', 'Hidden', 'ADDED', null,
         '2026-01-15Z', '2026-01-15Z');
    insert into collection.moc_parts
    values
        ('00000000-0000-4000-8000-000000000001', 'a', 1, 10),
        ('00000000-0000-4000-8000-000000000002', 'b', 1, 10),
        ('00000000-0000-4000-8000-000000000003', 'c', 1, 10);
    insert into collection.inventory
    values ('ada', 'a', 1, 10, 0), ('ada', 'b', 1, 3, 4), ('ada', 'c', 1, 0, 3);
    insert into collection.sets (user_id, title, theme)
    values ('ada', 'a', 'Space'), ('ada', 'b', 'Space'), ('ada', 'c', 'City'), ('bob', 'd', 'Hidden');
    insert into collection.wishlist_items (user_id, title) values ('ada', 'w'), ('bob', 'v')";

async fn error(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let response = server.get(path, headers).await;
    let status = response.status().as_u16();
    let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["success"], false);
    assert_eq!(body["correlationId"], id.as_str());
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    (status, body["error"].clone())
}

#[tokio::test]
async fn a_snapshot_holds_the_whole_dashboard_of_one_user() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.write(COLLECTION).await;
        let (view, revision) = server.snapshot("ada").await;
        let newest = "select max(id) from dashboard.changes where user_id = 'ada'";
        assert_eq!(i64::try_from(revision).unwrap(), db.one::<i64>(newest).await);
        let recent =
            |number: u8, title: &str, theme: &str, status: &str, cover: Value, at: &str| {
                json!({
                    "id": format!("00000000-0000-4000-8000-00000000000{number}"), "title": title,
                    "theme": theme, "buildStatus": status, "coverImageUrl": cover, "createdAt": at
                })
            };
        let partial =
            |number: u8, title: &str, theme: &str, status: &str, percent: u8, at: &str| {
                json!({
                    "id": format!("00000000-0000-4000-8000-00000000000{number}"), "title": title,
                    "theme": theme, "buildStatus": status, "coveragePercentage": percent,
                    "lastUpdatedAt": at
                })
            };
        let expected = json!({
            "summary": {
                "totalMocs": 3,
                "totalWishlistItems": 1,
                "mocsByBuildStatus": { "ADDED": 1, "IN_PROGRESS": 1, "BUILT": 1 },
                "mocsByCoverageStatus": { "FULL_INVENTORY": 1, "PARTIAL_ORDERED": 2, "NONE": 0 }
            },
            "themeBreakdown": [
                { "theme": "Castle", "mocCount": 2, "setCount": 0 },
                { "theme": "Space", "mocCount": 1, "setCount": 2 },
                { "theme": "City", "mocCount": 0, "setCount": 1 }
            ],
            "recentMocs": [
                recent(2, "Gate", "Castle", "ADDED", json!("https://cdn.example.org/gate.jpg"),
                       "2026-02-01T09:30:00.5Z"),
                recent(3, "Rover", "Space", "IN_PROGRESS", Value::Null, "2026-01-15T00:00:00Z"),
                recent(1, "Keep", "Castle", "BUILT", Value::Null, "2026-01-01T00:00:00Z")
            ],
            "partialPartsMocs": [
                partial(3, "Rover", "Space", "IN_PROGRESS", 30, "2026-03-03T00:00:00Z"),
                partial(2, "Gate", "Castle", "ADDED", 70, "2026-03-02T00:00:00Z")
            ]
        });
        assert_eq!(view, expected);
    })
    .await;
}

#[tokio::test]
async fn a_user_without_data_gets_zeros_and_empty_lists() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.write(COLLECTION).await;
        let (view, revision) = server.snapshot("carol").await;
        assert_eq!(revision, 0);
        assert_eq!(view["summary"]["totalMocs"], 0);
        assert_eq!(view["summary"]["mocsByCoverageStatus"]["NONE"], 0);
        for list in ["themeBreakdown", "recentMocs", "partialPartsMocs"] {
            assert_eq!(view[list], json!([]), "{list}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_recent_list_ends_after_ten() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.write(
            "insert into collection.mocs (user_id, title, theme, created_at)
             select 'ada', 'M' || i, 'Castle', '2026-01-01Z'::timestamptz + i * interval '1 day'
             from generate_series(1, 12) i",
        )
        .await;
        let (view, _) = server.snapshot("ada").await;
        let titles: Vec<_> =
            view["recentMocs"].as_array().unwrap().iter().map(|moc| moc["title"].clone()).collect();
        let expected: Vec<_> = (3..=12).rev().map(|i| json!(format!("M{i}"))).collect();
        assert_eq!(titles, expected);
        assert_eq!(view["summary"]["totalMocs"], 12);
    })
    .await;
}

#[tokio::test]
async fn an_unchanged_dashboard_is_304_until_it_changes() {
    with_server(|db: TestDb, server: TestServer| async move {
        let bearer = format!("Bearer {}", access("ada"));
        let first = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let first_tag = tag.clone();
        assert_eq!(first.headers()["cache-control"], "private, no-cache");
        let vary: Vec<_> = first.headers().get_all("vary").iter().collect();
        assert_eq!(vary, ["authorization, cookie, origin"]);
        let refused = server.get("/api/dashboard", &[]).await;
        let vary: Vec<_> = refused.headers().get_all("vary").iter().collect();
        assert_eq!(vary, ["authorization, cookie, origin"]);

        let epoch: String = db.one("select epoch from dashboard.current_epoch").await;
        assert!(tag.starts_with(&format!("\"{epoch}_")) && tag.ends_with("-0\""), "{tag}");
        // What another user has seen proves nothing, even at the same revision.
        let theirs = format!("Bearer {}", access("bob"));
        let headers = [("authorization", theirs.as_str()), ("if-none-match", tag.as_str())];
        assert_eq!(server.get("/api/dashboard", &headers).await.status(), 200);
        let ask = async |tag: &str| {
            let headers = [("authorization", bearer.as_str()), ("if-none-match", tag)];
            server.get("/api/dashboard", &headers).await
        };
        for tag in [tag.clone(), format!("W/{tag}"), format!("\"other-0\", {tag}"), "*".to_owned()]
        {
            let same = ask(&tag).await;
            assert_eq!(same.status(), 304, "{tag}");
            assert_eq!(same.headers()["etag"], first.headers()["etag"]);
            assert!(same.text().await.unwrap().is_empty());
        }
        for other in ["\"other-0\"", "nonsense"] {
            assert_eq!(ask(other).await.status(), 200, "{other}");
        }
        db.write("insert into collection.wishlist_items (user_id, title) values ('ada', 'w')")
            .await;
        let changed = ask(&tag).await;
        assert_eq!(changed.status(), 200);
        assert_eq!(changed.headers()["etag"].to_str().unwrap(), first_tag.replace("-0\"", "-1\""));
    })
    .await;
}

#[tokio::test]
async fn an_answer_to_a_nonce_repeats_it_and_shows_the_same_dashboard() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.write(COLLECTION).await;
        let bearer = format!("Bearer {}", access("ada"));
        let authorization = ("authorization", bearer.as_str());
        let plain = server.get("/api/dashboard", &[authorization]).await;
        let etag = plain.headers()["etag"].to_str().unwrap().to_owned();
        let tag = etag.trim_matches('"');
        let view = plain.text().await.unwrap();
        assert!(view.starts_with("{\"summary\":"), "as it has always been: {view}");
        let whole = |nonce: &str| format!(r#"{{"fresh":"{nonce}","tag":"{tag}","view":{view}}}"#);
        let longest = "aZ09".repeat(8);
        for (path, body) in [
            ("/api/dashboard?fresh=a1".to_owned(), whole("a1")),
            (format!("/api/users/ada/dashboard?fresh={longest}"), whole(&longest)),
            (format!("/api/dashboard?x=1&fresh=2&y&have={tag}1"), whole("2")),
            ("/api/dashboard?have=nonsense&fresh=2".to_owned(), whole("2")),
            // Without a nonce the others mean nothing.
            (format!("/api/dashboard?have={tag}&have={tag}&x"), view.clone()),
        ] {
            let answer = server.get(&path, &[authorization]).await;
            let is_plain = body == view;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["etag"], etag, "{path}");
            let caching = if is_plain { "private, no-cache" } else { "no-store" };
            assert_eq!(answer.headers()["cache-control"], caching, "{path}");
            assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
            assert_eq!(answer.text().await.unwrap(), body, "{path}");
        }
        // A 304 could not repeat the nonce.
        let headers = [authorization, ("if-none-match", etag.as_str())];
        let answer = server.get("/api/dashboard?fresh=b2", &headers).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, whole("b2")));
        let headers = [authorization, ("if-none-match", "*")];
        let answer = server.get("/api/dashboard?fresh=b2", &headers).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, whole("b2")));
    })
    .await;
}

#[tokio::test]
async fn a_dashboard_that_the_caller_has_is_not_read_to_answer_a_nonce() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.write(COLLECTION).await;
        let bearer = format!("Bearer {}", access("ada"));
        let ask = async |have: &str| {
            let path = format!("/api/dashboard?fresh=a1&have={have}");
            server.get(&path, &[("authorization", &bearer)]).await
        };
        let answer: Value = ask("").await.json().await.unwrap();
        let tag = answer["tag"].as_str().unwrap().to_owned();
        assert_eq!(answer["view"], server.snapshot("ada").await.0);
        // No dashboard can be read now.
        db.run("alter table dashboard.sets rename to sets_away").await;
        let answer = ask(&tag).await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()),
            (200, "no-store")
        );
        assert_eq!(answer.headers()["etag"], format!("\"{tag}\""));
        let body = format!(r#"{{"fresh":"a1","tag":"{tag}","view":null}}"#);
        assert_eq!(answer.text().await.unwrap(), body);
        assert_eq!(ask("other-0").await.status(), 503);
        db.run("alter table dashboard.sets_away rename to sets").await;
        // What was current is so no more.
        db.write("insert into collection.wishlist_items (user_id, title) values ('ada', 'w')")
            .await;
        let answer: Value = ask(&tag).await.json().await.unwrap();
        assert_ne!(answer["tag"], tag.as_str());
        assert_eq!(answer["view"]["summary"]["totalWishlistItems"], 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_nonce_is_400_and_a_nonce_opens_no_door() {
    with_server(|_: TestDb, server: TestServer| async move {
        let bearer = format!("Bearer {}", access("ada"));
        let authorization = ("authorization", bearer.as_str());
        let nonce = "fresh must be 1 to 32 letters and digits (0-9, A-Z, a-z)";
        let too_long = format!("fresh={}", "a".repeat(33));
        for (query, message) in [
            ("fresh", nonce),
            ("fresh=&have=e-17", nonce),
            ("fresh=a-b", nonce),
            ("fresh=%22", nonce),
            (&too_long, nonce),
            ("fresh=a&fresh=a", "fresh must be given once"),
            ("fresh=a&have=e-17&have=e-18", "have must be given once"),
        ] {
            for path in ["/api/dashboard", "/api/users/ada/dashboard"] {
                let refused = error(&server, &format!("{path}?{query}"), &[authorization]).await;
                let expected = json!({ "code": "VALIDATION_ERROR", "message": message });
                assert_eq!(refused, (400, expected), "{path}?{query}");
            }
        }
        for (path, headers, status) in [
            ("/api/dashboard?fresh=a", &[][..], 401),
            ("/api/users/bob/dashboard?fresh=a", &[authorization], 403),
            ("/api/dashboard?fresh=a&token=b", &[authorization], 400),
        ] {
            assert_eq!(error(&server, path, headers).await.0, status, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn errors_have_the_standard_body() {
    with_server(|_: TestDb, server: TestServer| async move {
        let bearer = format!("Bearer {}", access("ada"));
        let expired = format!("Bearer {}", token("ada", "access", -1));
        let auth = |value: &str| vec![("authorization".to_owned(), value.to_owned())];
        let unauthorized = json!({ "code": "UNAUTHORIZED", "message": "Authentication required" });
        let cases = [
            ("/api/dashboard", vec![], 401, unauthorized.clone()),
            ("/api/dashboard", auth(&expired), 401, unauthorized.clone()),
            ("/api/dashboard", auth("Bearer x"), 401, unauthorized.clone()),
            ("/api/users/ada/dashboard", vec![], 401, unauthorized),
            (
                "/api/users/bob/dashboard",
                auth(&bearer),
                403,
                json!({ "code": "FORBIDDEN", "message": "This dashboard belongs to another user" }),
            ),
            (
                "/api/nothing",
                auth(&bearer),
                404,
                json!({ "code": "NOT_FOUND", "message": "Not found" }),
            ),
            (
                "/socket.io/?EIO=4&transport=other",
                vec![],
                400,
                json!({
                    "code": "VALIDATION_ERROR",
                    "message": "Unknown transport: set transport to websocket or polling",
                }),
            ),
        ];
        for (path, headers, status, expected) in cases {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(error(&server, path, &headers).await, (status, expected), "{path}");
        }
        let own = server.get("/api/users/ada/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(own.status(), 200);
        let post = reqwest::Client::new().post(format!("{}/api/dashboard", server.base));
        let response = post.send().await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET,HEAD");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "VALIDATION_ERROR");
    })
    .await;
}

#[tokio::test]
async fn the_cookie_is_as_good_as_the_header_and_the_caller_names_the_request() {
    with_server(|_: TestDb, server: TestServer| async move {
        let cookie = format!("auth_token={}", token("ada", "id", 600));
        let headers = [("cookie", cookie.as_str()), ("x-correlation-id", "abc-1")];
        let response = server.get("/api/dashboard", &headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-correlation-id"], "abc-1");
        let wrong = format!("auth_token={}", access("ada"));
        let (status, _) = error(&server, "/api/dashboard", &[("cookie", &wrong)]).await;
        assert_eq!(status, 401);
    })
    .await;
}

#[tokio::test]
async fn another_base_path_serves_the_same() {
    with_database(|db: TestDb| async move {
        for (base_path, path) in [("/", "/dashboard"), ("/v1/", "/v1/dashboard")] {
            let mut config = config(&db.url);
            config.base_path = base_path.to_owned();
            let (server, test) = start(config).await;
            let bearer = format!("Bearer {}", access("ada"));
            assert_eq!(test.get(path, &[("authorization", &bearer)]).await.status(), 200);
            assert_eq!(test.get("/api/dashboard", &[]).await.status(), 404);
            server.shutdown().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_web_root_is_served_beside_the_api() {
    with_database(|db: TestDb| async move {
        let root = std::env::temp_dir().join(format!("web-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(root.join("assets")).unwrap();
        std::fs::write(root.join("index.html"), "<!doctype html><title>Dashboard</title>").unwrap();
        std::fs::write(root.join("assets/app-1a2b.js"), "export {}").unwrap();
        let mut config = config(&db.url);
        config.web_root = Some(root.clone());
        let (server, test) = start(config).await;
        let page = [("accept", "text/html,*/*")];
        for path in ["/", "/index.html", "/mocs/7/parts"] {
            let response = test.get(path, &page).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(response.headers()["cache-control"], "no-cache");
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval'"), "{policy}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert!(response.text().await.unwrap().contains("<title>Dashboard"), "{path}");
        }
        let script = test.get("/assets/app-1a2b.js", &[]).await;
        assert_eq!(script.headers()["content-type"], "text/javascript");
        assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        // A missing script must not come back as a page.
        let endless = format!("/{}", "a".repeat(300));
        let (status, _) = error(&test, &endless, &[("accept", "*/*")]).await;
        assert_eq!(status, 404);
        for accept in ["*/*", "text/html,*/*"] {
            let (status, _) = error(&test, "/assets/gone.js", &[("accept", accept)]).await;
            assert_eq!(status, 404, "{accept}");
        }
        let (status, _) = error(&test, "/../Cargo.toml", &[]).await;
        assert_eq!(status, 404);
        // The API is not shadowed.
        assert_eq!(test.get("/api/dashboard", &page).await.status(), 401);
        server.shutdown().await;
        std::fs::remove_dir_all(root).unwrap();
    })
    .await;
}

#[tokio::test]
async fn only_configured_origins_may_read_answers() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.allowed_origins = vec!["https://app.example.org".to_owned()];
        let (server, test) = start(config).await;
        let ask = async |origin: &str| test.get("/api/dashboard", &[("origin", origin)]).await;
        let allowed = ask("https://app.example.org").await;
        let headers = allowed.headers();
        assert_eq!(headers["access-control-allow-origin"], "https://app.example.org");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        let exposed = headers["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("etag"), "{exposed}");
        let foreign = ask("https://evil.example.org").await;
        assert!(!foreign.headers().contains_key("access-control-allow-origin"));
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn behind_a_proxy_plain_requests_are_refused() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.behind_proxy = true;
        let (server, test) = start(config).await;
        let bearer = format!("Bearer {}", access("ada"));
        let (status, body) = error(&test, "/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!((status, &body["message"]), (400, &json!(NO_TLS)));
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-proto", "https")];
        let response = test.get("/api/dashboard", &headers).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("strict-transport-security"));
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn https_is_served_with_a_certificate() {
    with_database(|db: TestDb| async move {
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
        let mut config = config(&db.url);
        config.tls_cert = Some(format!("{keys}/tls-cert.pem").into());
        config.tls_key = Some(format!("{keys}/tls-key.pem").into());
        let (server, test) = start(config).await;
        assert!(test.base.starts_with("https://"));
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(CERTIFICATE).unwrap()])
            .build()
            .unwrap();
        let url = format!("{}/api/dashboard", test.base);
        let response = client.get(url).bearer_auth(access("ada")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("strict-transport-security"));
        // Sockets too.
        let mut client = test.connect("ada").await;
        db.write("insert into collection.wishlist_items (user_id, title) values ('ada', 'x')")
            .await;
        assert_eq!(client.event().await["payload"]["totalWishlistItems"], 1);
        server.shutdown().await;
    })
    .await;
}

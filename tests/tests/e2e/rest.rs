//! The snapshot endpoint: who may ask, and what comes back.

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Credential, TestApp, Tokens};
use serde_json::{Value, json};
use shared_types::{DashboardView, ErrorCode};

const USER: &str = "rest@example.test";
const SNAPSHOT: &str = "/api/dashboard";

#[tokio::test]
async fn d_api_1_d_fr_4_bearer_and_cookie_both_read_the_snapshot() {
    let app = TestApp::start().await;
    writer::add_moc(app.db(), USER, &NewMoc::new("Windmill", "City")).await;
    app.projected().await;
    let (by_bearer, tag) = app.rest().snapshot(&app.bearer(USER)).await;
    let (by_cookie, same_tag) = app.rest().snapshot(&app.cookie(USER)).await;
    assert_eq!(by_bearer, by_cookie);
    assert_eq!(tag, same_tag);
    assert_eq!(by_bearer.summary.total_mocs, 1);
    assert_eq!(by_bearer.recent_mocs[0].title.as_str(), "Windmill");
}

#[tokio::test]
async fn d_api_2_d_api_3_a_user_without_data_has_zeros_and_empty_lists() {
    let app = TestApp::start().await;
    let answer = app.rest().get(SNAPSHOT, &app.bearer(USER), &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    let expected = json!({
        "summary": {
            "totalMocs": 0, "totalWishlistItems": 0,
            "mocsByBuildStatus": { "ADDED": 0, "IN_PROGRESS": 0, "BUILT": 0 },
            "mocsByCoverageStatus": { "FULL_INVENTORY": 0, "PARTIAL_ORDERED": 0, "NONE": 0 },
        },
        "themeBreakdown": [], "recentMocs": [], "partialPartsMocs": [],
    });
    assert_eq!(answer.json::<Value>(), expected);
}

/// What caches and proxies between make of it is theirs; the client finds its own nonce in the body, or does not.
#[tokio::test]
async fn d_api_2_an_answer_to_a_nonce_was_made_for_its_request() {
    let app = TestApp::start().await;
    writer::add_moc(app.db(), USER, &NewMoc::new("Windmill", "City")).await;
    app.projected().await;
    let rest = app.rest();
    for who in [app.bearer(USER), app.cookie(USER)] {
        let plain = rest.get(SNAPSHOT, &who, &[]).await;
        let tag = plain.tag();
        for (path, nonce) in
            [(SNAPSHOT.to_owned(), "a1"), (format!("/api/users/{USER}/dashboard"), "B2")]
        {
            let path = format!("{path}?fresh={nonce}");
            let fresh = rest.get_when_served(&path, &who, &[("if-none-match", "*")]).await;
            let body = format!(r#"{{"fresh":"{nonce}","tag":"{tag}","view":{}}}"#, plain.body);
            assert_eq!((fresh.status, &fresh.body), (200, &body));
            assert_eq!((fresh.tag(), fresh.header("cache-control")), (tag.clone(), "no-store"));
            let known = rest.get_when_served(&format!("{path}&have={tag}"), &who, &[]).await;
            let body = format!(r#"{{"fresh":"{nonce}","tag":"{tag}","view":null}}"#);
            assert_eq!((known.status, known.body), (200, body));
        }
        let refused = rest.get("/api/dashboard?fresh=a%22", &who, &[]).await;
        assert_eq!((refused.status, refused.error().error.code), (400, ErrorCode::ValidationError));
        // And what is asked without one is what it has always been.
        let plain = rest.get(SNAPSHOT, &who, &[]).await;
        assert_eq!(plain.header("cache-control"), "private, no-cache");
        assert_eq!(plain.json::<DashboardView>().summary.total_mocs, 1);
    }
}

#[tokio::test]
async fn d_api_4_d_api_5_d_api_6_every_field_is_there_and_true() {
    let app = TestApp::start().await;
    let cover = "https://pictures.example.test/a.jpg?size=2";
    let moc = NewMoc { cover_image_url: Some(cover), ..NewMoc::new("Barge", "City") };
    let id = writer::add_moc(app.db(), USER, &moc).await;
    writer::add_parts(app.db(), id, &[("3001", 4, 8)]).await;
    writer::order_parts(app.db(), USER, ("3001", 4, 2)).await;
    writer::add_set(app.db(), USER, "Main Street", "City").await;
    writer::add_wish(app.db(), USER, "Titanic").await;
    app.projected().await;
    let answer = app.rest().get(SNAPSHOT, &app.bearer(USER), &[]).await;
    let mut body: Value = answer.json();
    // Checked by its type, then taken out of the comparison.
    let _: DashboardView = answer.json();
    for (list, key) in [("recentMocs", "createdAt"), ("partialPartsMocs", "lastUpdatedAt")] {
        let time = body[list][0][key].take();
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
    }
    let expected = json!({
        "summary": {
            "totalMocs": 1, "totalWishlistItems": 1,
            "mocsByBuildStatus": { "ADDED": 1, "IN_PROGRESS": 0, "BUILT": 0 },
            "mocsByCoverageStatus": { "FULL_INVENTORY": 0, "PARTIAL_ORDERED": 1, "NONE": 0 },
        },
        "themeBreakdown": [{ "theme": "City", "mocCount": 1, "setCount": 1 }],
        "recentMocs": [{
            "id": id.to_string(), "title": "Barge", "theme": "City", "buildStatus": "ADDED",
            "coverImageUrl": cover, "createdAt": null,
        }],
        "partialPartsMocs": [{
            "id": id.to_string(), "title": "Barge", "theme": "City", "buildStatus": "ADDED",
            "coveragePercentage": 25, "lastUpdatedAt": null,
        }],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn d_fr_9_d_fr_6_d_fr_14_lists_are_in_their_order() {
    let app = TestApp::start().await;
    for number in 0..12 {
        let (title, theme) = (format!("MOC {number}"), ["Castle", "Space", "City"][number % 3]);
        let id = writer::add_moc(app.db(), USER, &NewMoc::new(&title, theme)).await;
        writer::add_parts(app.db(), id, &[(&format!("part {number}"), 0, 20)]).await;
        let covered = i32::try_from(number).unwrap() * 7 % 20;
        writer::own_parts(app.db(), USER, (&format!("part {number}"), 0, covered)).await;
    }
    writer::add_moc(app.db(), USER, &NewMoc::new("One more", "Space")).await;
    app.projected().await;
    let (view, _) = app.rest().snapshot(&app.bearer(USER)).await;
    let recent: Vec<_> = view.recent_mocs.iter().map(|moc| moc.title.as_str()).collect();
    let newest = (3..12).rev().map(|number| format!("MOC {number}"));
    let newest: Vec<_> = ["One more".to_owned()].into_iter().chain(newest).collect();
    assert_eq!(recent, newest);
    let themes: Vec<_> = view.theme_breakdown.iter().map(|theme| theme.theme.as_str()).collect();
    assert_eq!(themes, ["Space", "Castle", "City"], "most MOCs first, then by name");
    let shares: Vec<_> =
        view.partial_parts_mocs.iter().map(|moc| moc.coverage_percentage.get()).collect();
    assert!(shares.is_sorted() && shares.len() == 11, "{shares:?}");
}

#[tokio::test]
async fn d_api_7_without_a_session_401_with_the_standard_body() {
    let app = TestApp::start().await;
    let expired = {
        let mut claims = Tokens::access_claims(USER);
        claims["exp"] = json!(1_000_000_000);
        app.tokens.sign(&claims)
    };
    for who in [
        Credential::Nobody,
        Credential::Bearer(String::new()),
        Credential::Bearer("not.a.token".to_owned()),
        Credential::Bearer(expired),
        Credential::Bearer(Tokens::new().access(USER)),
        // Each kind of token on the other's way in.
        Credential::Bearer(app.tokens.id(USER)),
        Credential::Cookie(app.tokens.access(USER)),
    ] {
        for path in [SNAPSHOT.to_owned(), format!("/api/users/{USER}/dashboard")] {
            let answer = app.rest().get(&path, &who, &[]).await;
            assert_eq!(answer.status, 401, "{who:?}: {answer:?}");
            let error = answer.error();
            assert_eq!(error.error.code, ErrorCode::Unauthorized);
            assert_eq!(error.error.message, "Authentication required");
            assert_eq!(answer.header("etag"), "");
        }
    }
}

#[tokio::test]
async fn d_api_7_another_users_dashboard_is_403() {
    let app = TestApp::start().await;
    writer::add_moc(app.db(), "alice", &NewMoc::new("Secret", "Castle")).await;
    let own = app.rest().get("/api/users/bob/dashboard", &app.bearer("bob"), &[]).await;
    assert_eq!((own.status, own.json::<DashboardView>().summary.total_mocs), (200, 0));
    for other in ["alice", "nobody-of-that-name", "BOB", "bob%20"] {
        let path = format!("/api/users/{other}/dashboard");
        let answer = app.rest().get(&path, &app.bearer("bob"), &[]).await;
        assert_eq!(answer.status, 403, "{other}");
        assert_eq!(answer.error().error.code, ErrorCode::Forbidden);
        assert!(!answer.body.contains("Secret"));
    }
}

#[tokio::test]
async fn d_api_1_a_user_id_in_the_path_is_compared_decoded() {
    let app = TestApp::start().await;
    let answer = app.rest().get("/api/users/a%2Fb%40c/dashboard", &app.bearer("a/b@c"), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn d_api_7_the_callers_correlation_id_is_kept() {
    let app = TestApp::start().await;
    let id = "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60";
    let sent = [("x-correlation-id", id)];
    let answer = app.rest().get(SNAPSHOT, &Credential::Nobody, &sent).await;
    assert_eq!(answer.error().correlation_id, id);
    let answer = app.rest().get(SNAPSHOT, &app.bearer(USER), &sent).await;
    assert_eq!((answer.status, answer.header("x-correlation-id")), (200, id));
    // What could forge a line of the log is not kept.
    let absurd = "x".repeat(5000);
    let sent = [("x-correlation-id", absurd.as_str())];
    let answer = app.rest().get(SNAPSHOT, &Credential::Nobody, &sent).await;
    let kept = answer.error().correlation_id;
    assert!(!kept.is_empty() && kept.len() < 200);
}

#[tokio::test]
async fn d_api_7_unknown_addresses_and_methods_have_the_standard_body() {
    let app = TestApp::start().await;
    let answer = app.rest().get("/api/nothing", &app.bearer(USER), &[]).await;
    assert_eq!((answer.status, answer.error().error.code), (404, ErrorCode::NotFound));
    let answer = app.rest().request("POST", SNAPSHOT).await;
    assert_eq!((answer.status, answer.error().error.code), (405, ErrorCode::ValidationError));
}

#[tokio::test]
async fn d_api_7_a_failure_inside_is_500_with_a_constant_text() {
    let app = TestApp::start().await;
    let hide = "alter table dashboard.sets rename column theme to hidden";
    sqlx::query(hide).execute(app.db()).await.unwrap();
    let answer = app.rest().get(SNAPSHOT, &app.bearer(USER), &[]).await;
    assert_eq!(answer.status, 500);
    let error = answer.error();
    assert_eq!(error.error.code, ErrorCode::InternalError);
    assert_eq!(error.error.message, "Unable to load dashboard");
    assert!(!answer.body.contains("sets"), "{}", answer.body);
}

#[tokio::test]
async fn an_unchanged_snapshot_is_not_sent_again() {
    let app = TestApp::start().await;
    writer::add_wish(app.db(), USER, "Titanic").await;
    app.projected().await;
    let (rest, who) = (app.rest(), app.bearer(USER));
    let (_, tag) = rest.snapshot(&who).await;
    let answer = rest.snapshot_if_none_match(&who, &tag).await;
    assert_eq!((answer.status, answer.body.as_str()), (304, ""));
    assert_eq!(answer.tag(), tag);
    // A weak form, as a compressing proxy makes it, and a list.
    let weak = format!("\"other\", W/{}", tag.to_header());
    let answer = rest.get(SNAPSHOT, &who, &[("if-none-match", &weak)]).await;
    assert_eq!(answer.status, 304);
    // Another user's change does not touch it; one's own does.
    writer::add_wish(app.db(), "somebody else", "Titanic").await;
    app.projected().await;
    assert_eq!(rest.snapshot_if_none_match(&who, &tag).await.status, 304);
    writer::add_wish(app.db(), USER, "Colosseum").await;
    app.projected().await;
    let answer = rest.snapshot_if_none_match(&who, &tag).await;
    assert_eq!(answer.status, 200);
    assert!(answer.tag().revision > tag.revision);
    assert_eq!(answer.tag().epoch, tag.epoch);
    // Not even a matching tag lets a stranger know anything.
    let answer = rest.snapshot_if_none_match(&Credential::Nobody, &tag).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn d_api_1_the_base_path_is_configurable() {
    let app = TestApp::start_with(&["--base-path", "/v2/collection"]).await;
    let answer = app.rest().get("/v2/collection/dashboard", &app.bearer(USER), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = app.rest().get(SNAPSHOT, &app.bearer(USER), &[]).await;
    assert_eq!((answer.status, answer.error().error.code), (404, ErrorCode::NotFound));
}

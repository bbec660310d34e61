//! A client's life in a page: the socket, the requests, the token, what apps get.

use js_sys::{Array, JSON, Object, Promise};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::goldens::ACCEPTED;
use crate::world::{
    HANDSHAKE, Scene, callback, callback0, dispatch, error_body, event, get, options, set,
    summary_event, text, turn, view,
};

#[wasm_bindgen_test]
async fn it_connects_goes_live_is_lost_and_comes_back() {
    let scene = Scene::new();
    assert_eq!(scene.status(), "idle");
    scene.core.start();
    assert_eq!(scene.status(), "connecting");
    turn().await;
    assert_eq!(scene.world.url(), "ws://server.test/socket.io/?EIO=4&transport=websocket");
    scene.world.open();
    scene.frame(HANDSHAKE);
    assert_eq!(scene.sent(), [r#"40/dashboard,{"token":"secret-token"}"#]);
    assert_eq!(scene.world.request_count(), 0);
    scene.frame(r#"40/dashboard,{"sid":"s"}"#);
    assert_eq!(scene.status(), "syncing");
    turn().await;
    let url = scene.world.request_url();
    assert!(url.starts_with("http://server.test/api/dashboard?fresh="), "{url}");
    assert_eq!(scene.world.header("authorization").as_deref(), Some("Bearer secret-token"));
    assert_eq!(scene.world.query("have"), None);
    scene.frame(&summary_event(12));
    scene.world.answer(200, "e-11", &view(11));
    scene.until(Scene::is_answered).await;
    assert_eq!((scene.status().as_str(), scene.total()), ("live", 12.0), "buffered, then applied");
    scene.frame("2");
    assert_eq!(scene.sent().last().map(String::as_str), Some("3"));

    scene.world.close(1006);
    assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("backoff", "SOCKET_CLOSED"));
    let freshness = get(&scene.core.get_state(), "freshness");
    assert_eq!(text(&freshness, "source"), "stale");
    assert!(get(&freshness, "nextRetryAt").as_f64().is_some_and(|at| at > 1.7e12));
    scene.until(|scene| scene.world.socket_count() == 2).await;
    assert_eq!(scene.status(), "connecting");
    scene.accept().await;
    assert_eq!(scene.world.query("have").as_deref(), Some("e-11"));
    scene.world.answer(200, "e-13", &view(13));
    scene.until(Scene::is_answered).await;
    assert_eq!((scene.status().as_str(), scene.total()), ("live", 13.0));
    assert_eq!(scene.world.open_socket_count(), 1);
}

#[wasm_bindgen_test]
async fn an_error_instead_of_an_opening_is_the_end_of_a_socket() {
    let scene = Scene::new();
    scene.core.start();
    turn().await;
    scene.world.error();
    assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("backoff", "SOCKET_FAILED"));
    scene.until(|scene| scene.world.socket_count() == 2).await;
    scene.accept().await;
    assert_eq!(scene.status(), "syncing");
}

#[wasm_bindgen_test]
async fn an_error_with_a_close_behind_it_is_one_loss() {
    let scene = Scene::new();
    scene.core.start();
    turn().await;
    scene.world.error();
    let (states, diagnostics) = (scene.states.length(), scene.diagnostics.length());
    scene.world.close(1006);
    assert_eq!((scene.states.length(), scene.diagnostics.length()), (states, diagnostics));
    let freshness = get(&scene.core.get_state(), "freshness");
    assert_eq!(get(&freshness, "attempt").as_f64(), Some(1.0));

    scene.until(|scene| scene.world.socket_count() == 2).await;
    scene.accept().await;
    scene.world.answer(200, "e-11", &view(11));
    scene.until(Scene::is_answered).await;
    scene.world.error();
    assert_eq!(scene.status(), "live", "once it was open, the close tells more");
    scene.world.close(1006);
    assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("backoff", "SOCKET_CLOSED"));
}

#[wasm_bindgen_test]
async fn apps_get_the_contracts_names_and_values() {
    let golden = ACCEPTED.iter().find(|(name, _)| *name == "view").unwrap().1;
    let scene = Scene::new();
    scene.core.start();
    turn().await;
    scene.accept().await;
    scene.world.answer(200, "e-11", golden);
    scene.until(Scene::is_answered).await;
    let shown = JSON::stringify(&get(&scene.core.get_state(), "view")).unwrap();
    let expected = JSON::stringify(&JSON::parse(golden).unwrap()).unwrap();
    assert_eq!(String::from(shown), String::from(expected));

    let freshness = get(&scene.core.get_state(), "freshness");
    let keys: Vec<String> =
        Object::keys(&freshness.into()).iter().map(|key| key.as_string().unwrap()).collect();
    assert_eq!(keys, ["source", "revision", "asOf", "nextRetryAt", "attempt", "reason"]);
    let freshness = get(&scene.core.get_state(), "freshness");
    assert_eq!(get(&freshness, "revision").as_f64(), Some(11.0));
    assert!(get(&freshness, "reason").is_null() && get(&freshness, "nextRetryAt").is_null());
}

#[wasm_bindgen_test]
async fn what_did_not_change_is_the_identical_object() {
    let scene = Scene::new();
    scene.live(10).await;
    let before = scene.core.get_state();
    assert!(Object::is(&before, &scene.core.get_state()));
    assert!(Object::is(&before, &scene.states.get(scene.states.length() - 1)));
    scene.frame("garbage");
    scene.frame(&summary_event(3));
    assert!(Object::is(&before, &scene.core.get_state()), "nothing changed");

    scene.frame(&summary_event(11));
    let after = scene.core.get_state();
    let (old, new) = (get(&before, "view"), get(&after, "view"));
    assert!(!Object::is(&before, &after) && !Object::is(&old, &new));
    for (section, is_same) in [
        ("summary", false),
        ("themeBreakdown", true),
        ("recentMocs", true),
        ("partialPartsMocs", true),
    ] {
        assert_eq!(Object::is(&get(&old, section), &get(&new, section)), is_same, "{section}");
    }

    scene.world.close(1006);
    let lost = get(&scene.core.get_state(), "view");
    assert!(Object::is(&new, &lost), "the view is the same, only its freshness is not");
}

#[wasm_bindgen_test]
async fn sections_keep_their_identity_beside_two_thousand_rows() {
    let row = |number: u32, covered: u32| {
        format!(
            r#"{{"id":"0190f5a2-7c1e-7d3a-9b7e-{number:012}","title":"Garage “{number}”","theme":"Castle","buildStatus":"BUILT","coveragePercentage":{covered},"lastUpdatedAt":"2026-11-23T09:30:00Z"}}"#
        )
    };
    let rows = |covered| {
        let rows: Vec<String> = (0..2_000).map(|number| row(number, covered)).collect();
        format!("[{}]", rows.join(","))
    };
    let scene = Scene::new();
    scene.live(10).await;
    let sections = ["summary", "themeBreakdown", "recentMocs", "partialPartsMocs"];
    let mut revision = 10;
    let mut changed_by = |frame: &dyn Fn(u32) -> String| {
        revision += 1;
        let before = get(&scene.core.get_state(), "view");
        scene.frame(&frame(revision));
        let after = get(&scene.core.get_state(), "view");
        let changed = |name: &&str| !Object::is(&get(&before, name), &get(&after, name));
        sections.into_iter().filter(changed).collect::<Vec<_>>()
    };
    let partial = |payload: String| {
        move |revision| event("dashboard:partialPartsUpdated", revision, &payload)
    };
    assert_eq!(changed_by(&partial(rows(50))), ["partialPartsMocs"]);
    assert_eq!(changed_by(&summary_event), ["summary"]);
    assert_eq!(changed_by(&partial(rows(51))), ["partialPartsMocs"]);
    assert!(changed_by(&partial(rows(51))).is_empty(), "the same rows again");

    let view = get(&scene.core.get_state(), "view");
    let list: js_sys::Array = get(&view, "partialPartsMocs").unchecked_into();
    assert_eq!(list.length(), 2_000);
    assert_eq!(get(&list.get(1_999), "title"), "Garage “1999”");
}

#[wasm_bindgen_test]
async fn refused_sessions_wait_for_the_app() {
    let scene = Scene::new();
    scene.core.start();
    turn().await;
    scene.world.open();
    scene.frame(HANDSHAKE);
    scene.frame(r#"44/dashboard,{"message":"AUTH_FAILED"}"#);
    assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("authRequired", "AUTH_FAILED"));
    assert_eq!(scene.world.open_socket_count(), 0);
    scene.core.refresh();
    dispatch("online");
    turn().await;
    assert_eq!(scene.world.socket_count(), 1);
    scene.core.reauthenticate(false);
    turn().await;
    assert_eq!((scene.status().as_str(), scene.world.socket_count()), ("connecting", 2));
}

#[wasm_bindgen_test]
async fn a_new_session_keeps_the_same_users_view_only() {
    let scene = Scene::new();
    scene.live(10).await;
    scene.core.reauthenticate(true);
    assert_eq!((scene.status().as_str(), scene.total()), ("connecting", 10.0));
    scene.core.reauthenticate(false);
    assert_eq!(scene.status(), "connecting");
    assert!(get(&scene.core.get_state(), "view").is_null());
}

#[wasm_bindgen_test]
async fn the_page_tells_of_the_network() {
    let scene = Scene::new();
    scene.live(10).await;
    dispatch("offline");
    assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("backoff", "OFFLINE"));
    dispatch("online");
    assert_eq!(scene.status(), "connecting");
    turn().await;
    scene.accept().await;
    scene.world.answer(200, "e-10", "null");
    scene.until(Scene::is_answered).await;
    assert_eq!(scene.status(), "live");

    scene.core.stop();
    let sockets = scene.world.socket_count();
    dispatch("offline");
    dispatch("online");
    turn().await;
    assert_eq!((scene.status().as_str(), scene.world.socket_count()), ("closed", sockets));
    assert_eq!(scene.world.error_count(), 0, "a listener was left behind");
}

#[wasm_bindgen_test]
async fn a_failing_request_is_retried_and_stop_gives_it_up() {
    let scene = Scene::new();
    scene.core.start();
    turn().await;
    scene.accept().await;
    scene.world.fail();
    turn().await;
    assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("syncing", "SNAPSHOT_FAILED"));
    scene.until(|scene| scene.world.request_count() == 2).await;
    scene.core.stop();
    assert!(scene.world.is_aborted());
    turn().await;
    assert_eq!(scene.status(), "closed");
}

#[wasm_bindgen_test]
async fn the_servers_own_refusal_ends_the_session() {
    for (status, code, is_shown) in [(401, "UNAUTHORIZED", true), (403, "FORBIDDEN", false)] {
        let scene = Scene::new();
        scene.live(10).await;
        scene.core.refresh();
        turn().await;
        scene.world.answer(status, "", &error_body(code));
        scene.until(|scene| scene.status() != "live").await;
        assert_eq!((scene.status().as_str(), scene.reason().as_str()), ("authRequired", code));
        assert_eq!(get(&scene.core.get_state(), "view").is_object(), is_shown);
        assert_eq!(scene.world.open_socket_count(), 0);
    }
}

#[wasm_bindgen_test]
async fn a_firewalls_page_does_not_end_the_session_and_leaves_both_views() {
    let forbidden = error_body("FORBIDDEN");
    let cut = &forbidden[..forbidden.len() - 1];
    for (status, body) in [
        (401, "<!doctype html><title>Log in to the network</title>"),
        (403, "<!doctype html><title>Access denied</title>"),
        (403, ""),
        (403, "{}"),
        (403, cut),
        (401, forbidden.as_str()),
    ] {
        let options = options();
        let drops = Array::new();
        let (list, store) = (drops.clone(), Object::new());
        set(&store, "load", &callback0(|| Promise::resolve(&JsValue::NULL).into()));
        set(&store, "save", &callback(drop));
        set(&store, "drop", &callback0(move || (list.push(&JsValue::NULL), JsValue::UNDEFINED).1));
        set(&options, "lastView", &store);
        let scene = Scene::with(&options);
        scene.live(10).await;
        scene.core.refresh();
        turn().await;
        scene.world.answer(status, "", body);
        scene.until(|scene| scene.was_told("SNAPSHOT_FAILED")).await;
        assert_eq!((scene.status().as_str(), scene.total()), ("live", 10.0), "{status} {body}");
        assert_eq!(drops.length(), 0, "{status} {body}");
        let told = scene.diagnostics.iter().map(|entry| text(&entry, "message"));
        let expected = format!(
            "something between the client and the server answered HTTP {status} with a page that \
             is not the server's answer to this request"
        );
        assert_eq!(told.filter(|message| *message == expected).count(), 1, "{status} {body}");
        scene.until(|scene| scene.world.request_count() == 3).await;
        scene.world.answer(200, "e-11", &view(11));
        scene.until(|scene| (scene.total() - 11.0).abs() < 0.5).await;
    }
}

#[wasm_bindgen_test]
async fn cookies_go_elsewhere_only_if_the_app_says_so() {
    for (cookies, credentials) in [(false, "same-origin"), (true, "include")] {
        let options = Object::new();
        set(&options, "socketUrl", &"ws://server.test".into());
        set(&options, "snapshotUrl", &"http://server.test/v1/dashboard".into());
        set(&options, "cookies", &cookies.into());
        let scene = Scene::with(&options);
        scene.core.start();
        turn().await;
        scene.accept().await;
        assert_eq!(scene.sent(), ["40/dashboard,"], "without a token");
        let url = scene.world.request_url();
        assert!(url.starts_with("http://server.test/v1/dashboard?fresh="), "{url}");
        assert_eq!(scene.world.option("credentials").as_string().as_deref(), Some(credentials));
        assert_eq!(scene.world.option("redirect").as_string().as_deref(), Some("error"));
        assert_eq!(scene.world.header("authorization"), None);
    }
}

#[wasm_bindgen_test]
async fn a_token_that_cannot_be_had_is_asked_for_again() {
    let failing = [
        callback0(|| js_sys::Promise::reject(&"no".into()).into()),
        callback0(|| wasm_bindgen::throw_str("no")),
        callback0(|| 7.into()),
    ];
    for provider in failing {
        let options = options();
        set(&options, "getToken", &provider);
        let scene = Scene::with(&options);
        scene.core.start();
        turn().await;
        let told = (scene.status(), scene.reason());
        assert_eq!(told, ("backoff".to_owned(), "TOKEN_UNAVAILABLE".to_owned()));
        assert_eq!(scene.world.socket_count(), 0);
    }
}

#[wasm_bindgen_test]
async fn a_token_that_comes_too_late_opens_nothing() {
    let options = options();
    let pending = js_sys::Array::new();
    let list = pending.clone();
    set(
        &options,
        "getToken",
        &callback0(move || {
            let list = list.clone();
            js_sys::Promise::new(&mut |resolve, _| {
                list.push(&resolve);
            })
            .into()
        }),
    );
    let scene = Scene::with(&options);
    scene.core.start();
    turn().await;
    scene.core.stop();
    let resolve: js_sys::Function = pending.get(0).into();
    resolve.call1(&JsValue::UNDEFINED, &"late".into()).unwrap();
    turn().await;
    assert_eq!((scene.world.socket_count(), scene.status().as_str()), (0, "closed"));
}

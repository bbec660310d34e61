//! Something between page and server answers with what it has kept: a proxy that caches, a service
//! worker. Nothing old is called live, and nothing of another user is shown.

use e2e_tests::proxy::{Fault, Lane, Tags};
use e2e_tests::writer::{self, NewMoc};
use serde_json::json;

use super::stage::Stage;
use crate::faults::setting::USER;

const OTHER: &str = "other@example.test";
const OLD: &str = "syncing stale SNAPSHOT_STALE";
const WORKER: &str = include_str!("../../../pages/caching-worker.js");

#[tokio::test]
async fn a_proxy_that_overlooks_queries_keeps_the_page_from_live_and_never_makes_it_lie() {
    let stage = Stage::set_with(&[], |proxy| {
        proxy.set(Lane::Rest, Fault::Cache { by_query: false });
    });
    let stage = stage.await;
    stage.converge().await;
    stage.begin().await;
    old_answers_are_never_live(&stage).await;
    stage.proxy.set(Lane::Rest, Fault::Pass);
    stage.converge().await;
    assert_eq!(stage.told().await.last().map(String::as_str), Some("live live -"));
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn a_service_worker_keeps_the_page_from_live_and_never_makes_it_lie() {
    let stage = Stage::set_with(&[], |proxy| proxy.serve_script("/worker.js", WORKER)).await;
    stage.converge().await;
    stage
        .page
        .browser
        .run(
            "navigator.serviceWorker.addEventListener('controllerchange', () => done(true))
             navigator.serviceWorker.register('/worker.js')",
        )
        .await
        .unwrap();
    // What it answers is what it keeps from now on.
    stage.call("reauthenticate").await;
    stage.converge().await;
    stage.begin().await;
    old_answers_are_never_live(&stage).await;
    stage
        .page
        .browser
        .run(
            "navigator.serviceWorker.addEventListener('message', () => done(true))
             navigator.serviceWorker.controller.postMessage('pass')",
        )
        .await
        .unwrap();
    stage.converge().await;
    stage.assert_one_of_each().await;
}

/// The answers are those of before; the page loses its connection, and another user logs in.
async fn old_answers_are_never_live(stage: &Stage) {
    stage.add("Newer than what is kept").await;
    stage.page.until("document.body.innerText.includes('Newer than what is kept')").await;
    stage.cut();
    stage.until_told(OLD).await;
    // A person who asks again gets the same.
    for _ in 0..3 {
        stage.call("refresh").await;
        stage.page.until("story.states.at(-1).line.startsWith('syncing')").await;
    }
    let told = stage.told().await;
    assert_eq!(told.iter().filter(|line| line.starts_with("live")).count(), 1, "{told:#?}");
    assert!(
        stage
            .evaluate("document.body.innerText.includes('Newer than what is kept')")
            .await
            .as_bool()
            .unwrap()
    );

    writer::add_moc(stage.app.db(), OTHER, &NewMoc::new("Mine", "Space")).await;
    stage.app.projected().await;
    let (url, session) = (stage.proxy.url(), stage.app.tokens.id(OTHER));
    stage.page.browser.set_cookie(&url, "auth_token", &session).await.unwrap();
    stage.call("reauthenticate").await;
    stage.until_told("syncing none SNAPSHOT_STALE").await;
    assert_eq!(stage.evaluate("client.getState().view").await, json!(null));
    assert_eq!(
        stage.evaluate("document.body.innerText.includes('Lighthouse')").await,
        json!(false)
    );
    // The first user again, whose snapshot it is that is kept.
    let session = stage.app.tokens.id(USER);
    stage.page.browser.set_cookie(&url, "auth_token", &session).await.unwrap();
    stage.call("reauthenticate").await;
    stage.until_now("syncing none SNAPSHOT_STALE").await;
    assert_eq!(stage.evaluate("client.getState().view").await, json!(null));
}

#[tokio::test]
async fn a_cache_that_heeds_queries_and_a_proxy_that_rewrites_tags_cost_nothing() {
    for fault in [Fault::Cache { by_query: true }, Fault::DropQueries(Tags::Compressed)] {
        let stage = Stage::set_with(&[], |proxy| proxy.set(Lane::Rest, fault)).await;
        stage.converge().await;
        stage.begin().await;
        stage.add("Another").await;
        stage.page.until("document.body.innerText.includes('Another')").await;
        stage.cut();
        stage.until_told("backoff stale SOCKET_CLOSED").await;
        stage.converge().await;
        stage.assert_told_a_loss("SOCKET_CLOSED").await;
    }
}

#[tokio::test]
async fn without_a_query_and_a_tag_nothing_is_called_live() {
    let stage = Stage::set_with(&[], |proxy| {
        proxy.set(Lane::Rest, Fault::DropQueries(Tags::Dropped));
    });
    let stage = stage.await;
    stage.until_told("syncing none SNAPSHOT_STALE").await;
    stage.proxy.set(Lane::Rest, Fault::Pass);
    stage.converge().await;
    stage.assert_one_of_each().await;
}

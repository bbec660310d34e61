//! Simple faults, on the real server: after each, the screen is right again, and until then it does
//! not claim to be. The modules below put a network between client and server that fails on demand.

pub(crate) mod frames;
mod link;
mod session;
pub(crate) mod setting;
mod snapshot;
mod waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use client_sdk::state::{Code, Source, Status};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Screen, TestApp, Wire};

const USER: &str = "faults@example.test";
/// Short enough to wait for, long enough to sign in with on a busy machine.
const SHORT_SESSION: Duration = Duration::from_secs(8);

#[tokio::test]
async fn d_res_3_after_a_restart_the_sdk_refetches_and_converges() {
    let mut app = TestApp::start().await;
    writer::add_moc(app.db(), USER, &NewMoc::new("Before", "City")).await;
    app.projected().await;
    let screen = Screen::open(&app, USER);
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    app.stop();
    let state = screen.until("not live", |state| state.status != Status::Live).await;
    assert_eq!(state.freshness.source, Source::Stale);
    assert!(state.view.is_some(), "the view stays on the screen");
    // No server pushes this change: only the refetch can bring it.
    writer::add_moc(app.db(), USER, &NewMoc::new("While it was down", "City")).await;
    app.start_again().await;
    app.projected().await;
    let view = screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(view.recent_mocs[0].title.as_str(), "While it was down");
    writer::add_moc(app.db(), USER, &NewMoc::new("Afterwards", "City")).await;
    app.projected().await;
    let view = screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(view.summary.total_mocs, 3);
}

#[tokio::test]
async fn a_client_that_starts_before_the_server_comes_up_with_it() {
    let mut app = TestApp::start().await;
    app.stop();
    let screen = Screen::open(&app, USER);
    let state = screen.until_status(Status::Backoff).await;
    assert_eq!((state.view.as_ref(), state.freshness.source), (None, Source::None));
    assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::SocketFailed));
    app.start_again().await;
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
}

#[tokio::test]
async fn d_res_2_a_session_that_is_refused_is_not_retried() {
    let app = TestApp::start().await;
    let tokens = app.tokens.clone();
    let good = Arc::new(AtomicBool::new(false));
    let screen = Screen::open_with(&app.url(), {
        let good = Arc::clone(&good);
        move || {
            let good = good.load(Ordering::Relaxed);
            if good { tokens.access(USER) } else { "not.a.token".to_owned() }
        }
    });
    let state = screen.until_status(Status::AuthRequired).await;
    assert_eq!(state.freshness.reason.as_ref().map(|r| r.code), Some(Code::AuthFailed));
    assert_eq!(state.freshness.next_retry_at, None);
    good.store(true, Ordering::Relaxed);
    screen.client.reauthenticate();
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
}

#[tokio::test]
async fn a_session_that_runs_out_is_renewed_without_asking_anyone() {
    let app = TestApp::start().await;
    let tokens = app.tokens.clone();
    let asked = AtomicU32::new(0);
    // The socket's and the first snapshot's token run out soon; later ones do not.
    let screen = Screen::open_with(&app.url(), move || {
        let short = asked.fetch_add(1, Ordering::Relaxed) < 2;
        tokens.access_for(USER, if short { SHORT_SESSION } else { Duration::from_hours(1) })
    });
    screen.until_status(Status::Live).await;
    screen.until_told(Code::TokenExpired).await;
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    writer::add_wish(app.db(), USER, "Titanic").await;
    app.projected().await;
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(screen.count(Code::AuthFailed) + screen.count(Code::Unauthorized), 0);
}

#[tokio::test]
async fn an_unreadable_database_is_reported_and_its_changes_arrive_later() {
    let app = TestApp::start().await;
    let screen = Screen::open(&app, USER);
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    sqlx::query("alter table dashboard.sets rename to hidden").execute(app.db()).await.unwrap();
    writer::add_moc(app.db(), USER, &NewMoc::new("Unseen", "City")).await;
    screen.until_told(Code::SnapshotUnavailable).await;
    let state = screen.client.state();
    assert_ne!(state.freshness.source, Source::Live, "what may be old is not called live");
    sqlx::query("alter table dashboard.hidden rename to sets").execute(app.db()).await.unwrap();
    app.projected().await;
    let view = screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(view.recent_mocs[0].title.as_str(), "Unseen");
}

#[tokio::test]
async fn changes_while_clients_come_and_go_are_never_lost() {
    let app = TestApp::start().await;
    let (db, who) = (app.db().clone(), app.bearer(USER));
    let writing = tokio::spawn(async move {
        for number in 0..150 {
            let title = format!("MOC {number}");
            let moc = writer::add_moc(&db, USER, &NewMoc::new(&title, "City")).await;
            if number % 3 == 0 {
                writer::delete_moc(&db, moc).await;
            }
        }
    });
    let mut screens = Vec::new();
    while !writing.is_finished() {
        let screen = Screen::open(&app, USER);
        screen.until_status(Status::Live).await;
        screens.push(screen);
        if screens.len() > 8 {
            screens.remove(0);
        }
    }
    writing.await.unwrap();
    app.projected().await;
    for screen in &screens {
        let view = screen.until_it_shows(&app.rest(), &who).await;
        assert_eq!(view.summary.total_mocs, 100);
    }
}

#[tokio::test]
async fn the_servers_database_connections_are_cut_and_no_change_is_lost() {
    let app = TestApp::start().await;
    let screen = Screen::open(&app, USER);
    screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    for number in 1..=3 {
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()
                     and application_name like 'dashboard%'";
        let cut: i64 = sqlx::query_scalar(cut).fetch_one(app.db()).await.unwrap();
        assert!(cut > 0, "the server names itself to PostgreSQL");
        writer::add_wish(app.db(), USER, "Titanic").await;
        let state = screen.until("the change", |state| {
            let wishes = state.view.as_ref().map(|view| view.summary.total_wishlist_items);
            wishes == Some(number)
        });
        state.await;
    }
    app.projected().await;
    let view = screen.until_it_shows(&app.rest(), &app.bearer(USER)).await;
    assert_eq!(view.summary.total_wishlist_items, 3);
}

#[tokio::test]
async fn a_client_that_vanishes_disturbs_no_other() {
    let app = TestApp::start().await;
    let mut stays = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    for _ in 0..20 {
        drop(Wire::join(&app.url(), &app.bearer(USER)).await.unwrap());
    }
    writer::add_wish(app.db(), USER, "Titanic").await;
    stays.event().await;
}

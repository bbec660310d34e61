//! A network that falls silent between the server and its database, at each step at which the server
//! waits for an answer: it gives up, leaves nothing locked, and goes on once the network is back.

use std::time::{Duration, Instant};

use client_sdk::state::Status;
use e2e_tests::{
    Answer, Caught, DatabaseLink, OwnCluster, Process, Screen, pause, projected, within, writer,
};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::{FOLLOWER, USER, assert_unavailable, open_screen};

/// In each of them, connections that were caught go on, then are forgotten.
const SILENCES: [Caught; 2] = [Caught::GoOn, Caught::Forgotten];
/// The statements' texts, as each connection sends them once.
const TAKING: &str = "with recursive seen as materialized";
const PAGE: &str = "octet_length(home.";
const REMOVAL: &str = "with old as materialized";
const COMPARISON: &str = "with ordinality as u (id, place)";
const REFRESH: &str = "with log as materialized";
const SNAPSHOT: &str = "c.user_id = $1";
/// All sessions but the follower's, as the database lists them.
const OTHERS: &str = "query not like '%as of_last%'";
const USED: &str = "dashboard_database_connections{state=\"used\"}";

/// A server that reaches its database by a link, and a client that is live.
struct Site {
    screen: Screen,
    server: Process,
    /// Past the link.
    db: PgConnection,
    link: DatabaseLink,
    cluster: OwnCluster,
    wishes: u32,
}

impl Site {
    async fn open(flags: &[&str]) -> Self {
        let cluster = OwnCluster::start().await;
        let link = DatabaseLink::to(&cluster.url()).await;
        let server = Process::start(link.url(), flags).await;
        let screen = open_screen(&server);
        screen.until_status(Status::Live).await;
        let db = cluster.connect().await;
        Self { screen, server, db, link, cluster, wishes: 0 }
    }

    async fn wish(&mut self) {
        self.wishes += 1;
        writer::add_wish(&mut self.db, USER, "Titanic").await;
    }

    async fn ask(&self) -> Answer {
        self.server.rest().get("/api/dashboard", &self.server.bearer(USER), &[]).await
    }

    async fn until_shown(&self) {
        let shown = |wishes| {
            move |state: &client_sdk::state::DashboardState| {
                let view = state.view.as_ref();
                state.status == Status::Live
                    && view.is_some_and(|view| view.summary.total_wishlist_items == wishes)
            }
        };
        self.screen.until("the wishes", shown(self.wishes)).await;
    }

    /// Waits until every request is answered and the client knows, while the network is silent.
    async fn until_given_up(&mut self, what: &str) {
        let begun = Instant::now();
        self.wish().await;
        for answer in join_all((0..15).map(|_| self.ask())).await {
            assert_unavailable(&answer);
        }
        self.screen.until("told", |state| state.status != Status::Live).await;
        println!("{what}: nothing is waited for after {:.2?}", begun.elapsed());
    }

    /// Waits until the client shows everything after the silence.
    async fn until_recovered(&mut self, what: &str, caught: Caught) {
        self.link.end_silence(caught);
        let begun = Instant::now();
        self.wish().await;
        self.until_shown().await;
        println!("{what}, {caught:?}: live with all changes {:.2?} after the end", begun.elapsed());
        self.server.until_metric(USED, |used| used == 0.0).await;
        assert_eq!(self.ask().await.status, 200);
        assert_eq!(self.server.count("dashboard_disconnects_total").await, 0, "sockets stay");
        assert_eq!(self.server.count("dashboard_stalls_total").await, 0);
    }

    /// Stops the server while the network is silent.
    async fn until_stopped(mut self, what: &str) {
        let begun = Instant::now();
        self.server.terminate();
        let status = self.server.exit().await;
        println!("{what}: stopped {:.2?} after SIGTERM, in silence", begun.elapsed());
        assert!(status.success(), "{}", self.server.log());
    }
}

/// Two silences and a third one in which the server is stopped.
async fn at(what: &str, flags: &[&str], fall_silent: impl AsyncFn(&mut Site)) {
    let flags = [&["--drain-window-ms", "0"], flags].concat();
    let mut site = Site::open(&flags).await;
    for caught in SILENCES {
        fall_silent(&mut site).await;
        site.until_given_up(what).await;
        site.until_recovered(what, caught).await;
    }
    fall_silent(&mut site).await;
    site.until_stopped(what).await;
}

#[tokio::test]
async fn while_the_pool_is_idle() {
    at("an idle pool", &[], async |site| site.link.silence()).await;
}

#[tokio::test]
async fn at_a_snapshot() {
    at("a snapshot", &[], async |site| {
        site.link.silence_at(SNAPSHOT);
        end_sessions(&mut site.db, OTHERS).await;
        // At first by connections that have just been ended.
        while !site.link.is_silent() {
            assert_unavailable(&site.ask().await);
            pause().await;
        }
    })
    .await;
}

#[tokio::test]
async fn at_a_refresh() {
    at("a refresh", &[], async |site| {
        site.link.silence_at(REFRESH);
        end_sessions(&mut site.db, OTHERS).await;
        site.wish().await;
        site.link.until_silent().await;
    })
    .await;
}

#[tokio::test]
async fn at_a_comparison_of_revisions() {
    at("a comparison", &[], async |site| {
        site.link.silence_at(COMPARISON);
        end_sessions(&mut site.db, OTHERS).await;
        end_sessions(&mut site.db, FOLLOWER).await;
        site.link.until_silent().await;
    })
    .await;
}

#[tokio::test]
async fn at_a_removal_of_old_changes_and_another_node_goes_on() {
    let flags = ["--change-retention-s", "1"];
    at("a removal", &flags, async |site| {
        site.link.silence_at(REMOVAL);
        end_sessions(&mut site.db, OTHERS).await;
        site.link.until_silent().await;
        // The silent node has the turn, and the database takes it away.
        let second = Process::start(&site.cluster.url(), &flags).await;
        let begun = Instant::now();
        // Of a user's changes the newest stays, so there have to be two.
        site.wish().await;
        projected(&mut site.db).await;
        site.wish().await;
        second.until_metric("dashboard_changes_removed_total", |removed| removed > 0.0).await;
        println!("a removal: another node removes after {:.2?}", begun.elapsed());
    })
    .await;
}

#[tokio::test]
async fn at_a_pass_of_the_projector_and_another_node_goes_on() {
    at("a pass", &[], async |site| {
        site.link.silence_at(TAKING);
        end_sessions(&mut site.db, OTHERS).await;
        site.wish().await;
        site.link.until_silent().await;
        // The silent node has the turn, and the database takes it away.
        let _second = Process::start(&site.cluster.url(), &[]).await;
        let begun = Instant::now();
        projected(&mut site.db).await;
        println!("a pass: another node projects after {:.2?}", begun.elapsed());
    })
    .await;
}

/// The server reads all rows again: by schedule, or because something seemed wrong.
#[tokio::test]
async fn at_a_page_of_a_sweep_and_another_node_goes_on() {
    at("a sweep", &[], async |site| {
        site.link.silence_at(PAGE);
        end_sessions(&mut site.db, OTHERS).await;
        let owed = "insert into dashboard.sweeps (feed) select number from dashboard.feeds";
        site.db.execute(owed).await.unwrap();
        site.link.until_silent().await;
        let _second = Process::start(&site.cluster.url(), &[]).await;
        let begun = Instant::now();
        projected(&mut site.db).await;
        println!("a sweep: another node goes on with it after {:.2?}", begun.elapsed());
    })
    .await;
}

/// Longer than a request waits for a connection.
#[tokio::test]
async fn connections_that_take_long_to_make_are_made_all_the_same() {
    let mut site = Site::open(&[]).await;
    site.link.connect_slowly(Duration::from_secs(3));
    end_sessions(&mut site.db, OTHERS).await;
    assert_unavailable(&site.ask().await);
    within("a snapshot", async {
        while site.ask().await.status != 200 {
            pause().await;
        }
    })
    .await;
    site.wish().await;
    site.until_shown().await;
}

#[tokio::test]
async fn at_the_start() {
    let cluster = OwnCluster::start().await;
    let link = DatabaseLink::to(&cluster.url()).await;
    link.silence();
    let said = Process::refused(link.url(), &[]).await;
    assert!(said.contains("does not answer"), "{said}");
    println!("{}", said.lines().last().unwrap_or_default());
}

/// The session that installs is dead, and new ones are not.
#[tokio::test]
async fn at_an_installation_and_another_node_goes_on() {
    for step in [
        "create schema if not exists collection",
        "create schema dashboard",
        "create or replace trigger",
    ] {
        let cluster = OwnCluster::start().await;
        let link = DatabaseLink::to(&cluster.url()).await;
        link.silence_at(step);
        let forget = async {
            link.until_silent().await;
            link.end_silence(Caught::Forgotten);
        };
        let (said, ()) = tokio::join!(Process::refused_unforeseen(link.url(), &[]), forget);
        assert!(said.contains("does not answer"), "{said}");
        // It is not kept from installing, though the dead session had the lock that one node has at a time.
        let second = Process::start(&cluster.url(), &["--database-wait-s", "60"]).await;
        let screen = open_screen(&second);
        screen.until_status(Status::Live).await;
    }
}

/// Ends sessions of the server. Statements are new to the sessions that take their place, so their
/// text passes the link again. A test must say before the call what happens at a statement, or the
/// statement may pass in between.
async fn end_sessions(db: &mut PgConnection, which: &str) {
    let end = format!(
        "select bool_and(pg_terminate_backend(pid, 10000)) from pg_stat_activity
         where application_name = 'dashboard-server' and {which}"
    );
    let ended: Option<bool> = sqlx::query_scalar(AssertSqlSafe(end)).fetch_one(db).await.unwrap();
    assert_ne!(ended, Some(false));
}

//! The database in trouble, of each kind that operators know. Sockets stay, each request gets an
//! answer that says so, no client claims to be live without a server that watches the changes, and
//! afterwards nothing is missing.

mod disk;
mod failover;
mod silence;
mod standstill;
mod start;

use std::time::Instant;

use client_sdk::state::{Code, DashboardState, Source, Status};
use e2e_tests::{Answer, OwnCluster, Payload, Process, Screen, Wire, pause, within, writer};
use sqlx::{Connection, PgConnection};

const USER: &str = "outage@example.test";
/// How old the server's last read of the change log is, in seconds.
const LAG: &str = "dashboard_capture_lag_seconds";
/// The session that follows the changes and the one that projects, by what they ask again and again, as the
/// database lists it.
pub(crate) const FOLLOWER: &str = "query like '%as of_last%'";
const PROJECTOR: &str = "query like '%pg_snapshot_xip%'";

/// A server on its own cluster, and a client that is live.
pub(crate) struct Site {
    pub(crate) screen: Screen,
    pub(crate) server: Process,
    pub(crate) db: PgConnection,
    pub(crate) cluster: OwnCluster,
}

impl Site {
    pub(crate) async fn open(flags: &[&str]) -> Self {
        let cluster = OwnCluster::start().await;
        let server = Process::start(&cluster.url(), flags).await;
        let screen = open_screen(&server);
        screen.until_status(Status::Live).await;
        let db = cluster.connect().await;
        Self { screen, server, db, cluster }
    }

    /// Waits until the client is live and shows that number of wishes.
    pub(crate) async fn until_wishes(&self, wishes: u32) {
        let shown = |state: &DashboardState| {
            let view = state.view.as_ref();
            view.map(|view| view.summary.total_wishlist_items) == Some(wishes)
        };
        let what = format!("live with {wishes} wishes");
        self.screen.until(&what, |state| state.status == Status::Live && shown(state)).await;
    }

    /// Waits until the client has learnt of it, and does not claim to be live.
    pub(crate) async fn until_told(&self) {
        self.screen.until_told(Code::SnapshotUnavailable).await;
        assert_eq!(self.screen.client.state().freshness.source, Source::Stale);
        assert!(self.screen.view().is_some(), "the view stays on the screen");
    }

    pub(crate) async fn ask(&self) -> Answer {
        ask(&self.server).await
    }

    /// The same socket all along, and the server in good health.
    pub(crate) async fn assert_undisturbed(&self) {
        assert_eq!(self.server.count("dashboard_connects_total").await, 1);
        assert_eq!(self.server.count("dashboard_disconnects_total").await, 0);
        assert_eq!(self.server.count("dashboard_panics_total").await, 0);
        assert_eq!(self.screen.count(Code::Accepted), 1);
    }
}

pub(crate) fn open_screen(server: &Process) -> Screen {
    let tokens = server.tokens.clone();
    Screen::open_with(&server.url(), move || tokens.access(USER))
}

pub(crate) async fn ask(server: &Process) -> Answer {
    let begun = Instant::now();
    let answer = server.rest().get("/api/dashboard", &server.bearer(USER), &[]).await;
    println!("a snapshot was answered with {} after {:.2?}", answer.status, begun.elapsed());
    answer
}

/// The standard answer for "not now".
pub(crate) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait > 0), "{answer:?}");
    assert_eq!(answer.error().error.message, "Unable to load dashboard");
}

#[tokio::test]
async fn a_dead_database_is_reported_and_its_missed_changes_arrive() {
    let mut site = Site::open(&[]).await;
    writer::add_wish(&mut site.db, USER, "Titanic").await;
    site.until_wishes(1).await;
    assert!(site.server.metric("dashboard_changes_captured_total").await >= 1.0);
    site.cluster.kill();
    site.until_told().await;
    assert_unavailable(&site.ask().await);
    let ready = site.server.admin().request("GET", "/readyz").await;
    assert_eq!(ready.status, 503);
    let lag = site.server.metric(LAG).await;
    let grown = site.server.until_metric(LAG, |now| now > lag).await;
    println!("the change log has not been seen for {grown} s");
    site.cluster.start_again().await;
    let mut db = site.cluster.connect().await;
    let returned = Instant::now();
    writer::add_wish(&mut db, USER, "Galaxy Explorer").await;
    site.until_wishes(2).await;
    println!(
        "PostgreSQL killed: live with what was missed {:.2?} after its return",
        returned.elapsed()
    );
    site.server.until_metric(LAG, |now| now < grown).await;
    assert_eq!(site.screen.count(Code::SnapshotUnavailable), 1, "told once");
    site.assert_undisturbed().await;
}

#[tokio::test]
async fn a_client_that_missed_nothing_learns_of_the_databases_return() {
    let mut site = Site::open(&[]).await;
    site.cluster.kill();
    site.until_told().await;
    // Long enough for the client to fail several times, and to wait long by its law.
    site.screen.until("many failures", |state| state.freshness.attempt >= 4).await;
    let who = site.server.bearer(USER);
    let mut socket = Wire::join(&site.server.url(), &who).await.unwrap();
    site.cluster.start_again().await;
    let returned = Instant::now();
    // Although nothing has changed: it is on this sign that clients ask soon, and not when their own
    // wait is over (`an_event_cuts_the_wait_after_a_failure_short_and_only_once`, in the SDK).
    socket.events_until(|event| matches!(event.payload, Payload::Summary(_))).await;
    site.screen.until_status(Status::Live).await;
    println!("PostgreSQL killed, nothing missed: live {:.2?} after its return", returned.elapsed());
    assert_eq!(site.server.count("dashboard_disconnects_total").await, 0);
    assert_eq!(site.screen.count(Code::Accepted), 1);
}

#[tokio::test]
async fn without_a_free_connection_snapshots_are_503_and_the_change_log_is_followed() {
    let mut site = Site::open(&[]).await;
    let mut hogs = hog(&site.cluster.url()).await;
    println!("{} connections are held by others", hogs.len());
    // The server's own, but for the ones that project and that follow the change log, go to others as
    // well. Awaited, for while they end there is no connection to be had for the others either.
    let cut = format!(
        "select bool_and(pg_terminate_backend(pid, 10000)) from pg_stat_activity
         where application_name = 'dashboard-server' and not ({FOLLOWER} or {PROJECTOR})"
    );
    let cut = sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(cut));
    assert!(cut.fetch_one(&mut site.db).await.unwrap());
    let polls = "dashboard_capture_polls_total{result=\"ok\"}";
    let before = site.server.metric(polls).await;
    hogs.extend(hog(&site.cluster.url()).await);
    assert_unavailable(&site.ask().await);
    site.server.until_metric(polls, |now| now > before + 10.0).await;
    assert_eq!(site.server.count("dashboard_capture_gaps_total").await, 0);
    writer::add_wish(&mut site.db, USER, "Titanic").await;
    site.until_told().await;
    drop(hogs);
    site.until_wishes(1).await;
    assert_eq!(site.ask().await.status, 200);
    site.assert_undisturbed().await;
}

#[tokio::test]
async fn while_the_change_log_alone_is_lost_no_client_stays_live_for_long() {
    let mut site = Site::open(&[]).await;
    // A pool that has its connections, and a change log that gets none.
    site.cluster.accept(false);
    let cut = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where application_name = 'dashboard-server' and {FOLLOWER}"
    );
    let cut = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(cut)).fetch_one(&mut site.db).await;
    assert_eq!(cut.unwrap(), 1);
    site.until_told().await;
    // Snapshots can be read, so the client becomes live alone. But the server would not tell it of
    // a change, so the server reports the loss again each time.
    site.screen
        .until("told again and again", |_| site.screen.count(Code::SnapshotUnavailable) >= 3)
        .await;
    assert_eq!(site.ask().await.status, 200);
    site.cluster.accept(true);
    writer::add_wish(&mut site.db, USER, "Titanic").await;
    site.until_wishes(1).await;
    site.assert_undisturbed().await;
}

#[tokio::test]
async fn a_locked_table_is_503_and_not_a_request_that_hangs() {
    for table in ["dashboard.mocs", "dashboard.changes"] {
        let mut site = Site::open(&[]).await;
        let mut holder = site.cluster.connect().await;
        let mut lock = holder.begin().await.unwrap();
        let statement = format!("lock table {table} in access exclusive mode");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *lock).await.unwrap();
        // More than there are connections: some wait for one before they wait for the lock.
        let asked = futures_util::future::join_all((0..15).map(|_| site.ask()));
        for answer in asked.await {
            assert_unavailable(&answer);
        }
        writer::add_wish(&mut *lock, USER, "Titanic").await;
        lock.commit().await.unwrap();
        site.until_wishes(1).await;
        assert_eq!(site.ask().await.status, 200, "{table}");
        site.assert_undisturbed().await;
        let waiting = "select count(*) from pg_stat_activity
                       where application_name = 'dashboard-server' and wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut site.db).await.unwrap();
        assert_eq!(waiting, 0, "nobody was left behind");
    }
}

#[tokio::test]
async fn a_lock_on_the_applications_table_holds_up_no_snapshot() {
    let mut site = Site::open(&[]).await;
    let mut holder = site.cluster.connect().await;
    let mut lock = holder.begin().await.unwrap();
    let statement = "lock table collection.wishlist_items in access exclusive mode";
    sqlx::query(statement).execute(&mut *lock).await.unwrap();
    writer::add_wish(&mut *lock, USER, "Titanic").await;
    let asked = futures_util::future::join_all((0..15).map(|_| site.ask()));
    for answer in asked.await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    lock.commit().await.unwrap();
    writer::add_wish(&mut site.db, USER, "Galaxy Explorer").await;
    site.until_wishes(2).await;
    site.assert_undisturbed().await;
}

#[tokio::test]
async fn a_database_that_may_only_be_read_is_served_and_followed() {
    let mut site = Site::open(&["--change-retention-s", "1"]).await;
    writer::add_wish(&mut site.db, USER, "Titanic").await;
    site.until_wishes(1).await;
    let freeze = "alter database dashboard set default_transaction_read_only = on;
                  select pg_terminate_backend(pid) from pg_stat_activity
                  where application_name = 'dashboard-server'";
    site.cluster.execute(freeze).await;
    site.server.until_metric("dashboard_capture_gaps_total", |gaps| gaps > 0.0).await;
    let gaps = site.server.count("dashboard_capture_gaps_total").await;
    assert_eq!(site.ask().await.status, 200);
    site.server.until_logged("cannot be removed").await;
    // The operator writes all the same: the session is older than the setting. What the server may not
    // project cannot be shown yet, and is noted for later.
    writer::add_wish(&mut site.db, USER, "Galaxy Explorer").await;
    // Time for several more attempts to remove old changes, of which one was complained about.
    let polls = "dashboard_capture_polls_total{result=\"ok\"}";
    let before = site.server.metric(polls).await;
    site.server.until_metric(polls, |now| now > before + 50.0).await;
    assert_eq!(site.server.log().matches("cannot be removed").count(), 1);
    assert_eq!(site.server.count("dashboard_capture_gaps_total").await, gaps);
    // A second node has nothing to install, so it may start.
    let second = Process::start(&site.cluster.url(), &[]).await;
    assert_eq!(ask(&second).await.status, 200);
    let screen = open_screen(&second);
    screen.until_status(Status::Live).await;
    let thaw = "alter database dashboard set default_transaction_read_only = off;
                select pg_terminate_backend(pid) from pg_stat_activity
                where application_name = 'dashboard-server'";
    sqlx::raw_sql(thaw).execute(&mut site.db).await.unwrap();
    site.until_wishes(2).await;
    site.server.until_logged("are removed again").await;
    site.assert_undisturbed().await;
}

#[tokio::test]
async fn a_private_database_that_is_killed_is_started_again() {
    let folder = std::env::temp_dir().join(format!("e2e-private-{}", uuid::Uuid::new_v4()));
    let mut server = Process::start_with(&["--data-dir", folder.to_str().unwrap()]).await;
    let data = folder.join("postgres");
    let url = private_postgres::running_url(&data).unwrap();
    let screen = open_screen(&server);
    screen.until_status(Status::Live).await;
    for wishes in 1..=3_u32 {
        let mut db = PgConnection::connect(&url).await.unwrap();
        writer::add_wish(&mut db, USER, "Titanic").await;
        let pids = std::fs::read_to_string(data.join("cluster/postmaster.pid")).unwrap();
        let pid = pids.lines().next().unwrap();
        let killed = std::process::Command::new("kill").args(["-KILL", pid]).status().unwrap();
        assert!(killed.success());
        let killed = Instant::now();
        // At the same address, so a writer finds it again.
        within("the database's return", async {
            while server.log().matches("the private PostgreSQL runs again").count()
                < wishes as usize
            {
                pause().await;
            }
        })
        .await;
        let returned = killed.elapsed();
        screen
            .until("the wish", |state| {
                let view = state.view.as_ref();
                view.is_some_and(|view| view.summary.total_wishlist_items == wishes)
                    && state.status == Status::Live
            })
            .await;
        println!(
            "private PostgreSQL killed: back after {returned:.2?}, right after {:.2?}",
            killed.elapsed()
        );
    }
    assert_eq!(server.count("dashboard_disconnects_total").await, 0);
    server.terminate();
    assert!(server.exit().await.success());
    assert_eq!(private_postgres::running_url(&data), None, "it took its database along");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Takes every connection that is left.
pub(crate) async fn hog(url: &str) -> Vec<PgConnection> {
    let mut taken = Vec::new();
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => taken.push(connection),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53300") => {
                return taken;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

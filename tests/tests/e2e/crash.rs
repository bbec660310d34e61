//! Processes killed under load: what was committed is there, and every screen comes to show it. How
//! soon, `cargo xtask bench` measures (`outage`, `storm`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client_sdk::backoff;
use client_sdk::state::{Code, Status};
use e2e_tests::{DEADLINE, OwnCluster, Process, Screen, pause, projected, within};
use futures_util::future::join_all;
use shared_types::DashboardView;
use sqlx::{Connection, PgConnection};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

const USERS: usize = 36;
const WRITERS: usize = 4;
/// Commits before each kill.
const LOAD: usize = 60;
const KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_under_load_and_nothing_is_lost() {
    let begun = Instant::now();
    let mut cluster = OwnCluster::start().await;
    let server = Process::start(&cluster.url(), &[]).await;
    let screens = screens(&server).await;
    let mut load = Load::default();
    let (mut slowest, mut told) = (Vec::new(), 0);
    for round in 0..KILLS {
        load.start(&cluster.url(), round);
        load.until_busy().await;
        cluster.kill();
        load.until_cut_off().await;
        if round % 2 == 1 {
            // Long enough that all clients learn of it; the other rounds are over before that.
            let told_all = screens
                .iter()
                .map(|screen| screen.until("told", |state| state.status == Status::Syncing));
            join_all(told_all).await;
            told += 1;
        }
        cluster.start_again().await;
        let mut db = reconnected(&cluster.url()).await;
        let returned = Instant::now();
        // Most likely before the server is back, and certainly after what it saw last.
        load.write_for_some(&mut db, round).await;
        let took = all_right(&server, &screens, &mut db, returned).await;
        load.assert_kept(&mut db).await;
        slowest.push(took);
    }
    let worst = slowest.iter().max().unwrap();
    println!(
        "PostgreSQL kill -9 during load: {KILLS} times ({told} of them told to all), {} \
         commits acknowledged by {WRITERS} writers, 0 lost; {USERS} clients live and equal to the \
         database after {worst:.2?} at most (each round: {slowest:.2?}); {:.0?} in all",
        load.acknowledged.len(),
        begun.elapsed(),
    );
    assert_eq!(server.count("dashboard_disconnects_total").await, 0, "sockets stay");
    assert_eq!(server.count("dashboard_connects_total").await, USERS as u64);
    for screen in &screens {
        assert_eq!(screen.count(Code::Accepted), 1, "{:#?}", screen.diagnostics());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_under_load_and_nothing_is_lost() {
    let begun = Instant::now();
    let cluster = OwnCluster::start().await;
    let mut server = Process::start(&cluster.url(), &[]).await;
    let screens = screens(&server).await;
    let mut db = cluster.connect().await;
    let mut load = Load::default();
    let mut slowest = Vec::new();
    for round in 0..KILLS {
        load.start(&cluster.url(), round);
        load.until_busy().await;
        server.kill().await;
        // The writers do not notice. No server pushes what they write now.
        load.until_busy().await;
        load.stop().await;
        server.start_again().await;
        let returned = Instant::now();
        // What each client's own law of waiting still costs it.
        let waits = screens.iter().map(|screen| {
            let state = screen.client.state();
            Duration::from_millis(backoff::ceiling(state.freshness.attempt + 1).0)
        });
        let wait = waits.max().unwrap();
        let took = all_right(&server, &screens, &mut db, returned).await;
        load.assert_kept(&mut db).await;
        slowest.push((took, wait));
        // Until the failure is forgiven: a server that dies every few seconds is another matter.
        let settled = screens
            .iter()
            .map(|screen| screen.until("settled", |state| state.freshness.attempt == 0));
        join_all(settled).await;
    }
    println!(
        "server kill -9 during load: {KILLS} times, {} commits acknowledged by {WRITERS} \
         writers, 0 lost; {USERS} clients live and equal to the database after (time, of which \
         the clients' backoff may take): {slowest:.2?}; {:.0?} in all",
        load.acknowledged.len(),
        begun.elapsed(),
    );
}

fn user(number: usize) -> String {
    format!("user-{}@example.test", number % USERS)
}

async fn screens(server: &Process) -> Vec<Screen> {
    let screens: Vec<_> = (0..USERS).map(|number| screen(server, &user(number))).collect();
    join_all(screens.iter().map(|screen| screen.until_status(Status::Live))).await;
    screens
}

fn screen(server: &Process, user: &str) -> Screen {
    let (tokens, user) = (server.tokens.clone(), user.to_owned());
    Screen::open_with(&server.url(), move || tokens.access(&user))
}

/// Connects as soon as the database accepts that.
async fn reconnected(url: &str) -> PgConnection {
    within("the database's return", async {
        loop {
            if let Ok(connection) = PgConnection::connect(url).await {
                return connection;
            }
            pause().await;
        }
    })
    .await
}

/// Waits until every screen is live and shows what the server's snapshot says, which is what the
/// tables say; tells how long that took. The data must be at rest.
async fn all_right(
    server: &Process,
    screens: &[Screen],
    db: &mut PgConnection,
    since: Instant,
) -> Duration {
    projected(&mut *db).await;
    // An observer that does not add to the flood.
    let turns = Semaphore::new(2);
    let shown = screens.iter().enumerate().map(async |(number, screen)| {
        let turn = turns.acquire().await.unwrap();
        let view = snapshot(server, &user(number)).await;
        drop(turn);
        let what = format!("{} live, and showing {view:#?}", user(number));
        let right = screen.until(&what, |state| {
            let shown = state.view.as_ref().map(client_sdk::View::to_dashboard_view);
            state.status == Status::Live && shown.as_ref() == Some(&view)
        });
        right.await;
        (view, since.elapsed())
    });
    let shown = join_all(shown).await;
    for (number, (view, _)) in shown.iter().enumerate() {
        let truth = "select (select count(*) from collection.wishlist_items where user_id = $1),
                            (select count(*) from collection.mocs where user_id = $1)";
        let truth: (i64, i64) =
            sqlx::query_as(truth).bind(user(number)).fetch_one(&mut *db).await.unwrap();
        let counts = (view.summary.total_wishlist_items.into(), view.summary.total_mocs.into());
        assert_eq!(counts, truth);
    }
    shown.into_iter().map(|(_, took)| took).max().unwrap_or_default()
}

/// The server's snapshot, as soon as it can give it.
async fn snapshot(server: &Process, user: &str) -> DashboardView {
    let begun = Instant::now();
    loop {
        let answer = server.rest().get("/api/dashboard", &server.bearer(user), &[]).await;
        match answer.status {
            200 => return answer.json(),
            503 if begun.elapsed() < DEADLINE => pause().await,
            _ => panic!("{answer:?} after {:?}\n{}", begun.elapsed(), server.log()),
        }
    }
}

/// Writers, and what the database has acknowledged to them.
#[derive(Default)]
struct Load {
    acknowledged: Vec<Uuid>,
    writers: Vec<JoinHandle<Vec<Uuid>>>,
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
}

impl Load {
    fn start(&mut self, url: &str, round: usize) {
        self.stop = Arc::default();
        let writer = |number| {
            let (url, stop) = (url.to_owned(), Arc::clone(&self.stop));
            let commits = Arc::clone(&self.commits);
            tokio::spawn(async move { write(&url, round * 7 + number * 11, &stop, &commits).await })
        };
        self.writers = (0..WRITERS).map(writer).collect();
    }

    /// Waits until the writers have made that many more commits.
    async fn until_busy(&self) {
        let start = self.commits.load(Ordering::SeqCst);
        within("commits", async {
            while self.commits.load(Ordering::SeqCst) < start + LOAD {
                pause().await;
            }
        })
        .await;
    }

    /// Waits until each writer has lost its connection.
    async fn until_cut_off(&mut self) {
        for writer in self.writers.drain(..) {
            let acknowledged = within("the end of a writer", writer).await.unwrap();
            self.acknowledged.extend(acknowledged);
        }
    }

    async fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.until_cut_off().await;
    }

    /// One more change for every third user.
    async fn write_for_some(&mut self, db: &mut PgConnection, round: usize) {
        for number in (round % 3..USERS).step_by(3) {
            self.acknowledged.push(add(db, number).await.unwrap());
        }
    }

    async fn assert_kept(&self, db: &mut PgConnection) {
        let kept = "select (select count(*) from collection.wishlist_items where id = any($1))
                         + (select count(*) from collection.mocs where id = any($1))";
        let kept = sqlx::query_scalar::<_, i64>(kept).bind(&self.acknowledged);
        let kept = kept.fetch_one(db).await.unwrap();
        assert_eq!(usize::try_from(kept), Ok(self.acknowledged.len()), "lost commits");
    }
}

/// Writes for one user after the other until `stop` is set or the database is lost. Returns what
/// was acknowledged.
async fn write(url: &str, first: usize, stop: &AtomicBool, commits: &AtomicUsize) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    // The database may be killed before the last writer has begun.
    let Ok(mut db) = PgConnection::connect(url).await else { return acknowledged };
    for number in first.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(id) = add(&mut db, number).await else { break };
        acknowledged.push(id);
        commits.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}

/// Adds a MOC or a wish.
async fn add(db: &mut PgConnection, number: usize) -> Result<Uuid, sqlx::Error> {
    let statement = if number.is_multiple_of(4) {
        "insert into collection.mocs (user_id, title, theme) values ($1, $2, 'City') returning id"
    } else {
        "insert into collection.wishlist_items (user_id, title) values ($1, $2) returning id"
    };
    let query = sqlx::query_scalar(statement).bind(user(number)).bind(format!("No {number}"));
    query.fetch_one(db).await
}

//! Nodes that stop and start under a thousand live clients: all come back, no session is refused, and
//! every view is true in the end. How evenly they are sent away, `drain` tests in virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client_sdk::state::{Code, DashboardState, Status};
use client_sdk::{DashboardClient, Options};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Balancer, DEADLINE, Database, Process, Tokens, pause, within};
use futures_util::future::join_all;
use rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;

const CLIENTS: usize = 1_000;
const WINDOW: Duration = Duration::from_secs(5);
const BIN: Duration = Duration::from_millis(100);
/// A thousand clients of one address ask more than one address may.
const FLAGS: [&str; 10] = [
    "--requests-per-s",
    "100000",
    "--max-connections-per-address",
    "10000",
    "--drain-window-ms",
    "5000",
    "--reconnect-after-ms",
    "400",
    "--log",
    "warn",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_brings_every_client_back_and_leaves_no_old_view() {
    let (database, balancer) = (Database::create().await, Balancer::start().await);
    let mut first = Process::start(&database.url(), &FLAGS).await;
    balancer.add(&first);
    until("the first node to be ready", || balancer.ready() == 1).await;
    let begun = Instant::now();
    let crowd = Crowd::gather(&balancer.url(), &first.tokens).await;
    println!("{CLIENTS} clients live after {:?}", begun.elapsed());
    let mut second = Process::start_like(&first, &database.url(), &FLAGS).await;
    balancer.add(&second);
    until("both nodes to be ready", || balancer.ready() == 2).await;

    let writing = tokio::spawn(write(database.pool().clone()));
    for node in [&mut first, &mut second] {
        drop(balancer.take_sockets());
        crowd.forget();
        let begun = Instant::now();
        node.terminate();
        let status = node.exit().await;
        println!("drained in {:?}, {status}", begun.elapsed());
        assert!(status.success(), "{status}: {}", node.log());
        crowd.until_live().await;
        let sockets = balancer.take_sockets();
        assert!(sockets.len() >= CLIENTS, "everyone came back: {}", sockets.len());
        tell_spread(&sockets);
        crowd.tell_times();
        crowd.assert_let_in();
        node.start_again().await;
        until("the node to be ready again", || balancer.ready() == 2).await;
    }
    let rounds = writing.await.unwrap();
    crowd.assert_true(&first, &database, rounds).await;
}

/// How many came at the same time, at most.
fn tell_spread(sockets: &[Instant]) {
    let start = sockets.iter().min().copied().unwrap();
    let mut bins = BTreeMap::<u128, usize>::new();
    for at in sockets {
        *bins.entry(at.duration_since(start).as_millis() / BIN.as_millis()).or_default() += 1;
    }
    let fullest = bins.values().max().copied().unwrap_or_default();
    let mean = sockets.len() / usize::try_from(WINDOW.as_millis() / BIN.as_millis()).unwrap();
    println!(
        "{} sockets over {} bins of {BIN:?}: mean {mean}, fullest {fullest}",
        sockets.len(),
        bins.keys().max().copied().unwrap_or_default() + 1,
    );
}

/// Changes one user's collection every few milliseconds until both servers have had their turn.
/// Returns how often.
async fn write(db: sqlx::PgPool) -> usize {
    let mut rounds = 0;
    let end = Instant::now() + 3 * WINDOW;
    let mut ticks = tokio::time::interval(Duration::from_millis(40));
    while Instant::now() < end {
        ticks.tick().await;
        writer::add_moc(&db, &user(rounds * 7 % CLIENTS), &NewMoc::new("Rolled", "City")).await;
        rounds += 1;
    }
    rounds
}

/// A thousand clients, each of another user, and what happened to them.
struct Crowd {
    clients: Vec<DashboardClient>,
    told: Arc<Mutex<Vec<String>>>,
    times: Arc<Mutex<Vec<Duration>>>,
    watchers: Vec<AbortOnDropHandle<()>>,
}

impl Crowd {
    async fn gather(url: &str, tokens: &Tokens) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let (tls, told, times) = (Arc::new(tls), Arc::default(), Arc::default());
        let mut crowd = Self { clients: Vec::new(), told, times, watchers: Vec::new() };
        for number in 0..CLIENTS {
            let (tokens, told) = (tokens.clone(), Arc::clone(&crowd.told));
            let options = Options::new(url)
                .tls(Arc::clone(&tls))
                .token(move || std::future::ready(tokens.access(&user(number))))
                .on_diagnostic(move |diagnostic| {
                    if is_refusal(diagnostic.code) {
                        told.lock().unwrap().push(format!("{diagnostic:?}"));
                    }
                });
            let client = DashboardClient::start(options).unwrap();
            let watch = watch(client.states(), Arc::clone(&crowd.times));
            crowd.watchers.push(AbortOnDropHandle::new(tokio::spawn(watch)));
            crowd.clients.push(client);
            // Not all at once: this is no test of a storm.
            if number % 50 == 49 {
                crowd.until_live().await;
            }
        }
        crowd.forget();
        crowd
    }

    async fn until_live(&self) {
        let live = self.clients.iter().map(|client| {
            let mut states = client.states();
            async move { states.wait_for(|state| state.status == Status::Live).await.map(drop) }
        });
        if tokio::time::timeout(DEADLINE, join_all(live)).await.is_err() {
            let late = self.clients.iter().filter(|client| client.state().status != Status::Live);
            let late: Vec<_> = late.map(DashboardClient::state).collect();
            panic!("{} of {} clients are not live: {:#?}", late.len(), self.clients.len(), late[0]);
        }
    }

    /// Forgets what came before.
    fn forget(&self) {
        self.times.lock().unwrap().clear();
        self.told.lock().unwrap().clear();
    }

    async fn assert_true(&self, node: &Process, database: &Database, rounds: usize) {
        self.until_live().await;
        let written: i64 = sqlx::query_scalar("select count(*) from collection.mocs")
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert_eq!(usize::try_from(written).unwrap(), rounds);
        database.projected().await;
        let rest = node.rest();
        let mut shown = 0;
        for (number, client) in self.clients.iter().enumerate() {
            let (view, _) = rest.snapshot(&node.bearer(&user(number))).await;
            let mut states = client.states();
            let same = |state: &Arc<DashboardState>| {
                state.view.as_ref().is_some_and(|shown| shown.to_dashboard_view() == view)
            };
            drop(within("the view of the database", states.wait_for(same)).await.unwrap());
            shown += view.summary.total_mocs;
        }
        assert_eq!(usize::try_from(shown).unwrap(), rounds, "each change is on somebody's screen");
        println!("{rounds} changes meanwhile, every one on its screen");
    }

    fn tell_times(&self) {
        let mut times = self.times.lock().unwrap().clone();
        times.sort();
        let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{} reconnections: live again after {median:?} (median), {max:?} (max)",
            times.len()
        );
    }

    /// A snapshot that a busy machine cannot give in time is asked for again. A session that is refused
    /// is not.
    fn assert_let_in(&self) {
        let told = self.told.lock().unwrap().clone();
        println!("{} snapshots were asked for again", told.len());
        assert!(!told.iter().any(|told| told.contains("Unauthorized")), "{told:?}");
    }
}

/// Notes how long a client takes from its first attempt to live.
async fn watch(
    mut states: tokio::sync::watch::Receiver<Arc<DashboardState>>,
    times: Arc<Mutex<Vec<Duration>>>,
) {
    let mut since = None;
    loop {
        match states.borrow_and_update().status {
            Status::Connecting => {
                since.get_or_insert_with(Instant::now);
            }
            Status::Live => {
                if let Some(since) = since.take() {
                    times.lock().unwrap().push(since.elapsed());
                }
            }
            _ => {}
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn is_refusal(code: Code) -> bool {
    code.name().starts_with("SNAPSHOT_") || code.name() == "UNAUTHORIZED"
}

fn user(number: usize) -> String {
    format!("rolling-{number}")
}

async fn until(what: &str, fits: impl Fn() -> bool) {
    within(what, async {
        while !fits() {
            pause().await;
        }
    })
    .await;
}

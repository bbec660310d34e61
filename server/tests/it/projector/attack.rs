//! Attacks two servers on one database, with two careless writers. The servers' sessions are ended, above all
//! those of projectors in the middle of their work. Servers stop and are started anew. Users watch on both
//! servers. In the end each user sees what the rules make of the application's rows, and on the way there no
//! revision ever fell.
//!
//! `ATTACK_SECONDS=n` makes it go on for `n` seconds, and `--no-capture` shows its counts. `ATTACK_SEED=n`
//! makes those choices again that were made with that seed. The machine's timing still decides what meets what.

mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dashboard_server::{Config, Server};
use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::watcher::{Ledger, Place, Shown};
use super::model::Model;
use super::writer::Writer;
use crate::support::{PATIENCE, TestDb, installed, start, with_application};

/// Of the last nothing is ever written.
const USERS: [&str; 3] = ["ada", "bob", "carol"];
/// How many transactions there are between two looks whether all is right. By default an attack is one such round.
const TRANSACTIONS: u64 = 250;

/// Sessions that project, or have just looked whether there is something to project.
const PROJECTORS: &str =
    "pid in (select pid from pg_locks where relation = 'dashboard.turn'::regclass)
                          or query like '%dashboard.pending%'";
/// One in two.
const SOME: &str = "random() < 0.5";
const ALL: &str = "true";

/// How much that is. Any sweep is more than all keys: it may bring more of them.
const WORK: &str = "
    select coalesce((select sum(cardinality(keys)) from dashboard.pending), 0)::bigint
         + coalesce((select sum(1e9 * (2 - is_at_model::integer + 2 * again::integer))
                     from dashboard.sweeps), 0)::bigint";
/// What is not projected yet.
const LEFT: &str = "
    select concat_ws(E'\n',
        (select count(*) || ' notes' from dashboard.outbox),
        (select json_agg(kind) from (
            select watch, feed, is_bulk, count(*), sum(cardinality(keys)), min(since), max(error)
            from dashboard.pending group by watch, feed, is_bulk) as kind),
        (select json_agg(sweep) from dashboard.sweeps as sweep),
        (select json_agg(failed) from dashboard.failed as failed))";

/// A server that may be another one soon.
struct Node {
    config: Config,
    server: Option<Server>,
    place: watch::Sender<Place>,
}

impl Node {
    async fn start(config: Config) -> Self {
        let mut node = Self { config, server: None, place: watch::channel(None).0 };
        node.restart().await;
        node
    }

    async fn restart(&mut self) {
        self.stop().await;
        let (server, test) = start(self.config.clone()).await;
        self.server = Some(server);
        self.place.send_replace(Some(Arc::new(test)));
    }

    async fn stop(&mut self) {
        self.place.send_replace(None);
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
    }

    fn assert_sound(&self) {
        let failed = self.server.as_ref().map(|server| server.failed().now_or_never());
        assert_eq!(failed, Some(None), "a server has given up");
    }
}

/// How much has been done.
#[derive(Default)]
struct Done {
    writers: u64,
    kills: i64,
    restarts: usize,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Writes until it is stopped, and reports how far it is.
async fn write(
    db: Arc<TestDb>,
    seed: u64,
    number: u64,
    written: Arc<watch::Sender<u64>>,
    stop: Arc<AtomicBool>,
) {
    let mut connection = db.connection().await;
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
    let mut writer = Writer::numbered(number);
    while !stop.load(Ordering::Relaxed) {
        writer.write(&mut random, &mut connection).await;
        written.send_modify(|count| *count += 1);
    }
}

async fn kill(db: &TestDb, which: &str) -> i64 {
    let query = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name = 'dashboard-server' and ({which})"
    );
    db.one(&query).await
}

/// Breaks something each time that some more has been written, until enough has been.
async fn attack(
    db: &TestDb,
    random: &mut StdRng,
    nodes: &mut [Node; 2],
    written: &mut watch::Receiver<u64>,
    done: &mut Done,
) {
    let enough = *written.borrow() + TRANSACTIONS;
    while *written.borrow() < enough {
        let next = *written.borrow() + random.random_range(2..20);
        timeout(PATIENCE, written.wait_for(|count| *count >= next)).await.unwrap().unwrap();
        match random.random_range(0..10) {
            0..=4 => done.kills += kill(db, PROJECTORS).await,
            5..=7 => done.kills += kill(db, SOME).await,
            8 => done.kills += kill(db, ALL).await,
            _ => {
                nodes[random.random_range(0..2)].restart().await;
                done.restarts += 1;
            }
        }
        nodes.iter().for_each(Node::assert_sound);
    }
}

/// Waits until all that was written is projected. On a slow machine much may be left, so it is only asked that it
/// becomes less.
async fn settle(db: &TestDb) {
    let mut before = i64::MAX;
    while timeout(PATIENCE, db.projected()).await.is_err() {
        let left: i64 = db.one(WORK).await;
        assert!(left < before, "something is not projected: {}", db.one::<String>(LEFT).await);
        before = left;
    }
}

/// Waits until a user is shown that.
async fn await_shown(
    shown: &mut watch::Receiver<Shown>,
    what: &str,
    is_it: impl Fn(&Shown) -> bool,
) {
    let waited = timeout(PATIENCE, shown.wait_for(is_it)).await;
    let is_there = waited.is_ok_and(|found| found.is_ok());
    assert!(is_there, "{what}: {:#?}", *shown.borrow());
}

/// That what is projected, served and shown is what the rules say of the rows.
async fn assert_right(
    db: &TestDb,
    nodes: &[Node; 2],
    shown: &mut [(&str, watch::Receiver<Shown>)],
) {
    settle(db).await;
    let mut connection = db.connection().await;
    let expected = Model::of(&mut connection).await;
    let projected = Model::projected(&mut connection).await;
    assert!(
        projected == expected,
        "projected: {:#?}\nexpected: {:#?}",
        projected.minus(&expected),
        expected.minus(&projected)
    );
    for node in nodes {
        let server = node.place.borrow().clone().unwrap();
        for user in USERS {
            assert_eq!(server.snapshot(user).await.0, expected.snapshot(user), "{user}");
        }
    }
    for (user, shown) in shown {
        let expected = expected.snapshot(user);
        let what = format!("{user} is not shown {expected:#}");
        await_shown(shown, &what, |shown| shown.view == expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_all_writes_and_faults_everyone_sees_what_is_there() {
    let seed = setting("ATTACK_SEED").unwrap_or_else(rand::random);
    println!("ATTACK_SEED={seed}");
    let time = Duration::from_secs(setting("ATTACK_SECONDS").unwrap_or_default());
    with_application(|db, _| async move {
        let (db, mut random) = (Arc::new(db), StdRng::seed_from_u64(seed));
        let config = installed(&db).await;
        let mut nodes = [Node::start(config.clone()).await, Node::start(config).await];
        let (sender, mut written) = watch::channel(0);
        let sender = Arc::new(sender);
        let (ledger, mut watchers, mut shown) =
            (Arc::new(Ledger::default()), JoinSet::new(), Vec::new());
        for user in USERS {
            let places = [nodes[0].place.subscribe(), nodes[1].place.subscribe()];
            for place in places.clone() {
                let (view, viewed) = watch::channel(Shown::default());
                shown.push((user, viewed));
                watchers.spawn(watcher::follow(user, place, view, Arc::clone(&ledger)));
            }
            watchers.spawn(watcher::ask(user, places, written.clone(), Arc::clone(&ledger)));
        }
        let (began, mut done) = (Instant::now(), Done::default());
        loop {
            let (mut writers, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
            for _ in 0..2 {
                done.writers += 1;
                let (db, stop) = (Arc::clone(&db), Arc::clone(&stop));
                writers.spawn(write(db, seed, done.writers, Arc::clone(&sender), stop));
            }
            attack(&db, &mut random, &mut nodes, &mut written, &mut done).await;
            stop.store(true, Ordering::Relaxed);
            while let Some(ended) = writers.join_next().await {
                ended.unwrap();
            }
            if let Some(ended) = watchers.try_join_next() {
                ended.unwrap();
            }
            assert_right(&db, &nodes, &mut shown).await;
            // With one change more they have got all that was under way before it.
            db.run("insert into public.sets (user_id, status) values ('ada', 'wanted'), ('bob', 'wanted')")
                .await;
            assert_right(&db, &nodes, &mut shown).await;
            for (user, shown) in &shown {
                let shown = shown.borrow();
                assert!(*user != "carol" || shown.is_as_ever(), "nothing of hers was written: {shown:?}");
            }
            if began.elapsed() >= time {
                break;
            }
        }
        println!(
            "{} transactions of {} writers, {} sessions ended, {} servers started anew\n{}",
            *written.borrow(),
            done.writers,
            done.kills,
            done.restarts,
            ledger.counts()
        );
        watchers.shutdown().await;
        for node in &mut nodes {
            node.assert_sound();
            node.stop().await;
        }
    })
    .await;
}

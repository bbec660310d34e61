//! Measures what an application pays when the server follows its tables, and how soon its changes are
//! projected, also during an import.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::contender::Kind;
use crate::database::Database;
use crate::figures::{Figure, Promise, figure, median, quantile};
use crate::host::Host;

const SECONDS: u32 = 8;
/// Repetitions of a large statement.
const TIMES: usize = 5;
/// Users who each change something, wait until it is projected, and then for a while.
const PROBES: u32 = 40;
const PROBE_PAUSE: Duration = Duration::from_millis(190);
/// What has not been projected by then will not be.
const PATIENCE: Duration = Duration::from_mins(2);
const QUIET: Duration = Duration::from_secs(10);

/// An object mapper's upsert, mostly of rows that are there.
const UPSERT: &str = "
\\set u random(1, 200)
\\set k random(1, 60)
\\set s random(1, 3)
insert into public.moc_instructions (user_id, title, description, type, tags, build_status)
values ('user-' || :u, 'MOC ' || :k || ' of ' || :u, repeat('As its builder tells it. ', 20), 'moc',
        '[\"red\", \"castle\"]', (array['instructions_added','building','complete'])[:s])
on conflict (user_id, title) do update
set description = excluded.description, tags = excluded.tags, build_status = excluded.build_status,
    updated_at = now();
";

/// A list of 100 parts, loaded anew.
const IMPORT: &str = "
\\set l random(1, 10000)
begin;
delete from public.moc_parts where parts_list_id = (select id from bench.lists where number = :l);
insert into public.moc_parts (parts_list_id, part_id, color, quantity)
select (select id from bench.lists where number = :l),
       'p' || (i * 37 + :l) % 2000, 'c' || i % 10, 1 + i % 4 from generate_series(1, 50) as i;
insert into public.moc_parts (parts_list_id, part_id, color, quantity)
select (select id from bench.lists where number = :l),
       'p' || (i * 37 + :l) % 2000, 'c' || i % 10, 1 + i % 4 from generate_series(51, 100) as i;
update public.moc_parts_lists set total_parts_count = '100', updated_at = now()
where id = (select id from bench.lists where number = :l);
commit;
";

const LARGE: [(&str, &str); 3] = [
    (
        "10,000 rows inserted at once",
        "insert into public.moc_instructions (user_id, title, type)
         select 'user-0', 'bench moc ' || i, 'moc' from generate_series(1, 10000) as i",
    ),
    (
        "10,000 rows updated at once",
        "update public.moc_instructions set description = 'changed', updated_at = now()
         where user_id = 'user-0' and title like 'bench moc %'",
    ),
    (
        "10,000 rows deleted at once",
        "delete from public.moc_instructions
         where user_id = 'user-0' and title like 'bench moc %'",
    ),
];

const MILLION_KEYS: &str = "
    insert into public.wishlist_items (user_id, title)
    select 'user-0', 'bench wish' from generate_series(1, 1000000)";
const MILLION_PARTS: &str = "
    insert into public.moc_parts (parts_list_id, part_id, part_name, color, quantity)
    select id, 'b' || (i * 37 + number) % 2000, 'bench part', 'c' || i % 10, 1 + i % 4
    from bench.lists cross join generate_series(1, 84) as i";
const TIDY: [&str; 2] = [
    "delete from public.wishlist_items where title = 'bench wish'",
    "delete from public.moc_parts where part_name = 'bench part'",
];

/// Imports, and the names of their figures: how long they take, until all of it is projected, and how soon
/// others' changes are projected during the import.
const IMPORTS: [(&str, [&str; 5]); 2] = [
    (
        MILLION_KEYS,
        [
            "a million wishes imported",
            "a million wishes projected",
            "change meanwhile, p50",
            "change meanwhile, p99",
            "change meanwhile, max",
        ],
    ),
    (
        MILLION_PARTS,
        [
            "a million parts imported",
            "a million parts projected",
            "change amid parts, p50",
            "change amid parts, p99",
            "change amid parts, max",
        ],
    ),
];

/// With triggers and a projector at work (`Server`), or without either (`Floor`).
pub(super) async fn run(kind: Kind, database: &Database) -> anyhow::Result<Vec<Figure>> {
    let with_us = kind == Kind::Server;
    let host = Host::open(database, with_us).await?;
    let mut working = None;
    if with_us {
        working = Some(host.project().await?);
        host.settled().await?;
    }
    let mut figures = writes(database, &host, with_us).await?;
    if with_us {
        host.settled().await?;
        let probes = Probes::start(&host).await?;
        sleep(QUIET).await;
        let names =
            ["quiet change projected, p50", "quiet change projected, p99", "quiet change, max"];
        figures.extend(told(names, &probes.end().await?));
    }
    for (statement, [imported, projected, p50, p99, max]) in IMPORTS {
        let probes = if with_us { Some(Probes::start(&host).await?) } else { None };
        let began = Instant::now();
        host.pool.execute(statement).await?;
        let took = began.elapsed().as_secs_f64();
        figures.push(figure(imported, "s", took).promised(Promise::RatioAtMost(1.2)));
        if let Some(probes) = probes {
            host.bulk_settled().await?;
            figures.push(figure(projected, "s", began.elapsed().as_secs_f64()));
            figures.extend(told([p50, p99, max], &probes.end().await?));
        }
    }
    for statement in TIDY {
        host.pool.execute(statement).await?;
    }
    if let Some(working) = working {
        host.settled().await?;
        working.stop().await?;
    }
    Ok(figures)
}

async fn writes(database: &Database, host: &Host, with_us: bool) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mixes = [
        (UPSERT, ["upserts, 1 writer", "upserts, 8 writers", "upserts, 32 writers"]),
        (
            IMPORT,
            ["lists imported, 1 writer", "lists imported, 8 writers", "lists imported, 32 writers"],
        ),
    ];
    for (script, names) in mixes {
        for ((clients, least), name) in [(1, 0.8), (8, 0.65), (32, 0.65)].into_iter().zip(names) {
            let (tps, _) = database.pgbench_on(&host.url, script, clients, SECONDS).await?;
            figures.push(figure(name, "1/s", tps).promised(Promise::RatioAtLeast(least)));
            if with_us {
                host.settled().await?;
            }
        }
    }
    let mut took: [Vec<f64>; LARGE.len()] = Default::default();
    for _ in 0..TIMES {
        for ((_, statement), took) in LARGE.iter().zip(&mut took) {
            let began = Instant::now();
            host.pool.execute(*statement).await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
            if with_us {
                host.settled().await?;
            }
        }
    }
    for ((name, _), took) in LARGE.iter().zip(&took) {
        figures.push(figure(name, "ms", median(took)).promised(Promise::RatioAtMost(1.2)));
    }
    Ok(figures)
}

fn told([p50, p99, max]: [&'static str; 3], took: &[f64]) -> Vec<Figure> {
    vec![
        figure(p50, "ms", quantile(took, 0.5)),
        figure(p99, "ms", quantile(took, 0.99)).promised(Promise::AtMost(100.0)),
        figure(max, "ms", quantile(took, 1.0)),
    ]
}

/// Users who change something now and then. From before the statement is sent until a look at the change
/// log, every 2 ms, has seen it.
struct Probes {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    watcher: JoinHandle<anyhow::Result<()>>,
    took: Arc<Mutex<Vec<f64>>>,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;

impl Probes {
    async fn start(host: &Host) -> anyhow::Result<Self> {
        const LAST: &str = "select coalesce(max(id), 0) from dashboard.changes";
        // Before anything is written that is to be seen.
        let mut last: i64 = sqlx::query_scalar(LAST).fetch_one(&host.pool).await?;
        let (stop, took) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let waiting = Waiting::default();
        let mut tasks = JoinSet::new();
        for number in 1..=PROBES {
            let (pool, stop) = (&host.pool, stop.clone());
            let (waiting, took) = (Arc::clone(&waiting), Arc::clone(&took));
            // Neither connecting nor writing all at once is measured.
            let mut connection = pool.acquire().await?;
            let offset = PROBE_PAUSE * number / PROBES;
            tasks.spawn(async move {
                sleep(offset).await;
                let user = format!("user-{number}");
                let change = format!(
                    "update public.sets set theme = 'Theme ' || (random() * 1e9)::int
                     where id = (select id from public.sets
                                 where user_id = '{user}' and status = 'owned' order by id limit 1)"
                );
                while !stop.is_cancelled() {
                    let (sender, seen) = oneshot::channel();
                    lock(&waiting).insert(user.clone(), sender);
                    let began = Instant::now();
                    connection.execute(AssertSqlSafe(change.clone())).await?;
                    timeout(PATIENCE, seen).await.context("a change was never projected")??;
                    lock(&took).push(began.elapsed().as_secs_f64() * 1e3);
                    sleep(PROBE_PAUSE).await;
                }
                Ok(())
            });
        }
        let pool = host.pool.clone();
        let watcher = tokio::spawn(async move {
            let mut connection = pool.acquire().await?;
            loop {
                let rows: Vec<(i64, String)> = sqlx::query_as(
                    "select id, user_id from dashboard.changes where id > $1 order by id",
                )
                .bind(last)
                .fetch_all(&mut *connection)
                .await?;
                for (id, user) in rows {
                    last = id;
                    if let Some(sender) = lock(&waiting).remove(&user) {
                        sender.send(()).ok();
                    }
                }
                sleep(Duration::from_millis(2)).await;
            }
        });
        Ok(Self { stop, tasks, watcher, took })
    }

    async fn end(mut self) -> anyhow::Result<Vec<f64>> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        self.watcher.abort();
        Ok(lock(&self.took).clone())
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

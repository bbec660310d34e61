//! Makes the collection that all contenders serve: 20,000 users, 1,000,000 MOCs, a few users with very many.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use private_postgres::{Cluster, Options};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::contender::{Contender, Kind};

const NAME: &str = "bench";
/// Changes with what `SEED` makes.
const SEED_VERSION: &str = "6";
pub(crate) const USERS: usize = 20_000;
/// The first users have most: one has 10,000 MOCs, the next hundred 1,000 each.
pub(crate) const RICH: usize = 101;

/// A user's id, by number.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number:05}@bench.test")
}

/// Like most users: about 45 MOCs, ten sets, five wishes.
pub(crate) fn typical(number: usize) -> String {
    user(RICH + number % (USERS - RICH))
}

/// The user with 10,000 MOCs.
pub(crate) fn giant() -> String {
    user(0)
}

/// A running cluster with the collection in it.
pub(crate) struct Database {
    cluster: Cluster,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

impl Database {
    /// Starts the cluster in that folder, and fills it unless it is full already.
    pub(crate) async fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all("target/bench")?;
        let options = Options::new(folder);
        let cluster = tokio::task::spawn_blocking(move || {
            let cluster = Cluster::start(&options, &mut |said| println!("{said}"))?;
            for setting in SETTINGS {
                cluster.execute(&format!("alter system set {setting}"))?;
            }
            cluster.create_database(NAME)?;
            anyhow::Ok(cluster)
        });
        let mut cluster = cluster.await??;
        cluster.restart()?;
        let url = cluster.url(NAME);
        let pool = PgPool::connect(&url).await?;
        let database = Self { cluster, url, pool };
        if database.version().await.as_deref() != Some(SEED_VERSION) {
            database.seed().await?;
        }
        Ok(database)
    }

    /// Another database of the cluster, made if it is not there: its address, and connections.
    pub(crate) async fn other(&self, name: &str) -> anyhow::Result<(String, PgPool)> {
        self.cluster.create_database(name)?;
        let url = self.cluster.url(name);
        let pool = PgPoolOptions::new().max_connections(100).connect(&url).await?;
        Ok((url, pool))
    }

    /// Runs `pgbench`: transactions per second, and their mean latency in milliseconds.
    pub(crate) async fn pgbench(
        &self,
        script: &str,
        clients: usize,
        seconds: u32,
    ) -> anyhow::Result<(f64, f64)> {
        self.pgbench_on(&self.url, script, clients, seconds).await
    }

    /// The same on another database of the cluster.
    pub(crate) async fn pgbench_on(
        &self,
        url: &str,
        script: &str,
        clients: usize,
        seconds: u32,
    ) -> anyhow::Result<(f64, f64)> {
        let file = std::env::temp_dir().join(format!("bench-{}.sql", std::process::id()));
        std::fs::write(&file, script)?;
        let mut command = Command::new(self.cluster.binaries().join("pgbench"));
        command.args(["--no-vacuum", "--protocol=prepared"]).arg("--file").arg(&file);
        command.args(["--client", &clients.to_string(), "--jobs", "1"]);
        command.args(["--time", &seconds.to_string()]).arg(url);
        let output = command.stdin(Stdio::null()).output().await?;
        std::fs::remove_file(&file).ok();
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let number = |label: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(label));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).with_context(|| format!("{label}: {text}"))
        };
        Ok((number("tps = ")?, number("latency average = ")?))
    }

    /// Takes back what earlier measurements added, and has it projected, so that each begins alike. No
    /// contender may be running.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        self.take_back().await?;
        if !self.is_settled().await? {
            self.project().await?;
        }
        for statement in TIDY {
            self.pool.execute(*statement).await?;
        }
        Ok(())
    }

    /// Takes the rows back that measurements added.
    pub(crate) async fn take_back(&self) -> anyhow::Result<()> {
        for statement in TAKE_BACK {
            self.pool.execute(*statement).await?;
        }
        Ok(())
    }

    /// Waits until nothing is left to be projected. Some server must be running.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        while !self.is_settled().await? {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn is_settled(&self) -> anyhow::Result<bool> {
        Ok(sqlx::query_scalar(
            "select not exists (select from dashboard.outbox)
                and not exists (select from dashboard.pending)
                and not exists (select from dashboard.sweeps)
                and (select is_ready from dashboard.current_epoch)",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Has a server project what is there.
    async fn project(&self) -> anyhow::Result<()> {
        let server = Contender::start(Kind::Server, &self.url).await?;
        self.settled().await?;
        server.stop().await
    }

    /// CPU time that the cluster's processes have used so far, in milliseconds. Those that have ended
    /// are not counted, so keep connections open between two looks.
    pub(crate) fn cpu_ms(&self) -> anyhow::Result<f64> {
        let parent = self.cluster.pid().context("the cluster has ended")?;
        let mut total = 0.0;
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while it is read.
            if pid == parent || parent_of(pid) == Some(parent) {
                total += crate::contender::cpu_ms(pid).unwrap_or(0.0);
            }
        }
        Ok(total)
    }

    pub(crate) async fn close(self) {
        // A run that was interrupted leaves writers behind, which would hold their connections.
        timeout(Duration::from_secs(2), self.pool.close()).await.ok();
        if let Err(error) = self.cluster.stop() {
            eprintln!("the cluster did not stop: {error}");
        }
    }

    async fn version(&self) -> Option<String> {
        sqlx::query_scalar("select version from bench.seed").fetch_one(&self.pool).await.ok()
    }

    async fn seed(&self) -> anyhow::Result<()> {
        println!("filling the database: {USERS} users, 1,000,000 MOCs (once; a few minutes)");
        for statement in SEED {
            self.pool.execute(*statement).await.with_context(|| (*statement).to_owned())?;
        }
        // The first server puts its triggers onto what is there, and reads all of it.
        println!("projecting them for the first time");
        self.project().await?;
        self.pool.execute("vacuum analyze").await?;
        self.pool.execute("checkpoint").await?;
        sqlx::query("insert into bench.seed values ($1)")
            .bind(SEED_VERSION)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// What an operator would set on a machine with a few GiB.
const SETTINGS: [&str; 4] = [
    "shared_buffers = '1GB'",
    "max_connections = 200",
    "max_wal_size = '4GB'",
    "random_page_cost = 1.1",
];

const SEED: &[&str] = &[
    "drop schema if exists dashboard cascade",
    "drop schema if exists collection cascade",
    include_str!("../../server/sources/standalone/tables.sql"),
    "create schema if not exists bench",
    "drop table if exists bench.seed",
    "create table bench.seed (version text)",
    "drop table if exists bench.users",
    "create table bench.users as
     select n as number, 'user-' || lpad(n::text, 5, '0') || '@bench.test' as id,
            case when n = 0 then 10000 when n <= 100 then 1000
                 else 44 + case when n <= 14544 then 1 else 0 end end as mocs
     from generate_series(0, 19999) as n",
    "insert into collection.mocs (user_id, title, theme, build_status, cover_image_url, created_at)
     select u.id, 'MOC ' || k || ' of ' || u.number,
            (array['City','Space','Castle','Technic','Trains','Pirates','Ideas','Creator','Icons',
                   'Ninjago','Friends','Speed'])[1 + (k * 7 + u.number) % 12],
            (array['ADDED','IN_PROGRESS','BUILT'])[1 + k % 3]::collection.build_status,
            case when k % 4 > 0 then 'https://img.example/' || u.number || '/' || k || '.jpg' end,
            timestamptz '2026-01-01Z' + make_interval(mins => k * 10 + u.number % 600)
     from bench.users as u cross join lateral generate_series(1, u.mocs) as k
     order by random()",
    // Two MOCs in five have a part: of a twentieth of all there is some, of a twentieth enough, and of the
    // others none. One lot of each for a user, so how much is covered depends on how much a MOC takes.
    "insert into collection.inventory (user_id, part_num, color_id, owned_quantity)
     select id, part, 0, 100 from bench.users cross join unnest(array['some', 'enough']) as part",
    "insert into collection.moc_parts (moc_id, part_num, color_id, quantity)
     select id, case hash % 20 when 0 then 'some' when 1 then 'enough' else 'none' end, 0,
            case hash % 20 when 0 then 120 + hash / 20 % 180 else 100 end
     from (select id, abs(hashtext(id::text)::bigint) as hash from collection.mocs) as m
     where hash % 20 < 8",
    "insert into collection.sets (user_id, title, theme)
     select u.id, 'Set ' || k, (array['City','Space','Castle','Technic','Trains'])[1 + k % 5]
     from bench.users as u cross join generate_series(1, 10) as k",
    "insert into collection.wishlist_items (user_id, title)
     select u.id, 'Wish ' || k from bench.users as u cross join generate_series(1, 5) as k",
    "drop table if exists bench.picks",
    "create table bench.picks as
     select (row_number() over (order by random()))::int as number, id
     from (select id from collection.mocs where user_id > 'user-00100@bench.test'
           order by random() limit 100000) as picked",
    "alter table bench.picks add primary key (number)",
    "drop table if exists bench.nothing",
    "create table bench.nothing (n int)",
    "vacuum analyze",
];

const TAKE_BACK: &[&str] = &[
    "delete from collection.wishlist_items where title like 'bench %'",
    "delete from collection.sets where title like 'bench %'",
    "delete from collection.mocs where title like 'bench %'",
];

const TIDY: &[&str] = &[
    // As the server does it in time: of a user's changes the newest stays, whose number is the revision.
    "with gone as (
         delete from dashboard.changes
         where id not in (select max(id) from dashboard.changes group by user_id)
     )
     update dashboard.meta
     set removed_to = greatest(removed_to, (select coalesce(max(id), 0) from dashboard.changes))",
    "vacuum analyze collection.wishlist_items, collection.sets, dashboard.wishlist_items,
                    dashboard.sets, dashboard.changes, dashboard.outbox, dashboard.pending",
    "checkpoint",
];

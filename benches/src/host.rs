//! Makes an application's own database, for the source `moc-instructions` to read: 200 users with 50 MOCs
//! each and one with 2,000, each MOC with a list of 100 parts.

use std::time::{Duration, Instant};

use anyhow::Context;
use dashboard_server::projector::{self, Projector};
use dashboard_server::source::{self, Source};
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::database::Database;

const NAME: &str = "host";
/// Changes with what `SEED` makes, and with the schema.
const SEED_VERSION: &str = "5";
/// How often a projector looks that has nothing to do.
const INTERVAL: Duration = Duration::from_millis(10);
const TABLES: [&str; 7] = [
    "moc_instructions",
    "moc_parts_lists",
    "moc_parts",
    "parts_inventory",
    "sets",
    "wishlist_items",
    "tag_theme_mappings",
];

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

/// A projector at work.
pub(crate) struct Working {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Host {
    /// The application's database with the source installed and all of it projected. Without triggers, if
    /// that is what is measured.
    pub(crate) async fn open(database: &Database, with_triggers: bool) -> anyhow::Result<Self> {
        let (url, pool) = database.other(NAME).await?;
        let host = Self { url, pool };
        let known: Option<String> =
            sqlx::query_scalar("select version from bench.seed").fetch_one(&host.pool).await.ok();
        if known.as_deref() != Some(SEED_VERSION) {
            host.seed().await?;
        }
        for table in TABLES {
            let what = if with_triggers { "enable" } else { "disable" };
            let statement = format!("alter table public.{table} {what} trigger user");
            host.pool.execute(AssertSqlSafe(statement)).await?;
        }
        if with_triggers {
            host.pool.execute(REARM).await?;
        }
        host.pool.execute("vacuum analyze").await?;
        host.pool.execute("checkpoint").await?;
        Ok(host)
    }

    /// Runs a projector until it is stopped.
    pub(crate) async fn project(&self) -> anyhow::Result<Working> {
        let options = self.url.parse()?;
        let mut node = projector::connect(&options).await?;
        let installed = source::load(&mut node, &host_source()?).await?;
        let mut projector = Projector::new(installed);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                match projector.pass(&mut node).await {
                    Ok(pass) if pass.has_more => sleep(pass.rest).await,
                    Ok(_) => sleep(INTERVAL).await,
                    // As the server does: with another connection.
                    Err(error) => {
                        eprintln!("the projector failed: {error}");
                        node = projector::connect(&options).await?;
                    }
                }
            }
            Ok(())
        });
        Ok(Working { stop, task })
    }

    /// Waits until nothing is left to be projected.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        self.empty(
            "select not exists (select from dashboard.outbox)
                and not exists (select from dashboard.pending)
                and not exists (select from dashboard.sweeps)",
        )
        .await
    }

    /// Waits until all bulk work is projected. Small work may go on.
    pub(crate) async fn bulk_settled(&self) -> anyhow::Result<()> {
        self.empty(
            "select not exists (select from dashboard.outbox where size > 50)
                and not exists (select from dashboard.pending where is_bulk)",
        )
        .await
    }

    async fn empty(&self, question: &'static str) -> anyhow::Result<()> {
        while !sqlx::query_scalar::<_, bool>(question).fetch_one(&self.pool).await? {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn seed(&self) -> anyhow::Result<()> {
        println!("filling an application's database: 12,000 MOCs, 1,200,000 parts (once)");
        let began = Instant::now();
        let mut connection = self.pool.acquire().await?;
        for statement in SEED {
            connection.execute(*statement).await.with_context(|| (*statement).to_owned())?;
        }
        println!("projecting them for the first time");
        source::install(&mut connection, &host_source()?, &mut |_| {}).await?;
        let working = self.project().await?;
        self.settled().await?;
        working.stop().await?;
        sqlx::query("insert into bench.seed values ($1)")
            .bind(SEED_VERSION)
            .execute(&mut *connection)
            .await?;
        println!("done after {:.0} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}

impl Working {
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

fn host_source() -> anyhow::Result<Source> {
    Source::built_in("moc-instructions").context("it comes with the server")
}

/// For after all triggers were switched on: those that are for replication alone have become ordinary ones.
pub(crate) const REARM: &str = "
    do $$
    declare
        armed record;
    begin
        for armed in select tgrelid::regclass as of, tgname from pg_trigger
                     where tgname like 'dashboard_note_%_replicated'
        loop
            execute format('alter table %s enable replica trigger %I', armed.of, armed.tgname);
        end loop;
    end $$";

const SEED: &[&str] = &[
    "drop schema if exists dashboard cascade",
    "drop schema if exists bench cascade",
    "drop schema public cascade",
    "create schema public",
    "create schema bench",
    "create table bench.seed (version text)",
    include_str!("../../server/sources/moc-instructions/example.sql"),
    "insert into public.moc_instructions
         (user_id, title, description, type, theme, tags, build_status, created_at, updated_at)
     select 'user-' || u, 'MOC ' || k || ' of ' || u, repeat('As its builder tells it. ', 20), 'moc',
            case when k % 3 > 0 then (array['City','Space','Castle','Technic'])[1 + k % 4] end,
            '[\"red\", \"castle\"]',
            (array['instructions_added','building','complete'])[1 + k % 3],
            timestamp '2026-01-01' + make_interval(mins => k * 10 + u),
            timestamp '2026-01-01' + make_interval(mins => k * 10 + u)
     from generate_series(0, 200) as u
     cross join lateral generate_series(1, case u when 0 then 2000 else 50 end) as k",
    "insert into public.moc_parts_lists (moc_id, purchased) select id, false from public.moc_instructions",
    "create table bench.lists as
     select (row_number() over (order by id))::int as number, id from public.moc_parts_lists",
    "alter table bench.lists add primary key (number)",
    "insert into public.moc_parts (parts_list_id, part_id, color, quantity)
     select id, 'p' || (i * 37 + number) % 2000, 'c' || i % 10, 1 + i % 4
     from bench.lists cross join generate_series(1, 100) as i",
    "insert into public.parts_inventory (user_id, part_number, color, quantity)
     select 'user-' || u, 'p' || i * 7 % 2000, 'c' || i % 10, i % 5
     from generate_series(0, 200) as u
     cross join lateral generate_series(1, case u when 0 then 2000 else 300 end) as i",
    "insert into public.sets (user_id, status, theme)
     select 'user-' || u, (array['owned', 'wanted'])[1 + k % 2], 'City'
     from generate_series(0, 200) as u cross join generate_series(1, 10) as k",
    "insert into public.wishlist_items (user_id)
     select 'user-' || u from generate_series(0, 200) as u cross join generate_series(1, 5) as k",
    "insert into public.tag_theme_mappings (tag, theme) values ('castle', 'Castle'), ('red', 'Red')",
    "vacuum analyze",
];

//! Tests the way from an application's own tables to the read model. After any write, what is projected
//! equals what the rules of the source (`model`) make of the rows, and exactly those users are informed who
//! see something new.

mod attack;
mod check;
mod failures;
mod model;
mod oddities;
mod races;
mod standalone;
mod values;
mod writer;

use std::collections::BTreeMap;

use dashboard_server::projector::{self, Projector};
use dashboard_server::source::{Source, install, uninstall};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use self::model::{Model, Views};
use self::writer::Writer;
use crate::support::{EXAMPLE, create_database, drop_database};

/// The query of a source whose MOCs have no parts.
const MOCS: &str = "
    select id, user_id, title, theme, 'ADDED' as build_status, null as cover_image_url,
           created_at, updated_at, 0 as covered_parts, 0 as total_parts
    from public.moc_instructions
    where id = any ($1::uuid[])";

/// An application's database with the source installed, and a projector that runs on request.
struct Host {
    name: String,
    url: String,
    connection: PgConnection,
    projector: Projector,
    node: PgConnection,
    last_change: i64,
}

impl Host {
    /// With what `before` writes into the application's tables before anything is installed.
    async fn new(before: &[&str]) -> Self {
        Self::of(&Source::built_in("moc-instructions").unwrap(), EXAMPLE, before).await
    }

    /// The same for another source and its tables.
    async fn of(source: &Source, tables: &str, before: &[&str]) -> Self {
        let (name, url) = create_database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for statement in [tables].iter().chain(before) {
            sqlx::raw_sql(AssertSqlSafe(*statement)).execute(&mut connection).await.unwrap();
        }
        let (node, projector) = install_source(&url, source).await;
        Self { name, url, connection, projector, node, last_change: 0 }
    }

    async fn write(&mut self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&mut self.connection).await.unwrap();
    }

    /// Passes until there is nothing more to do.
    async fn settle(&mut self) {
        while self.projector.pass(&mut self.node).await.unwrap().has_more {}
    }

    /// The users that were informed since the last time, and of what.
    async fn told(&mut self) -> BTreeMap<String, i16> {
        let rows: Vec<(i64, String, i16)> = sqlx::query_as(
            "select id, user_id, sections from dashboard.changes where id > $1 order by id",
        )
        .bind(self.last_change)
        .fetch_all(&mut self.node)
        .await
        .unwrap();
        let mut told = BTreeMap::new();
        for (id, user, sections) in rows {
            self.last_change = id;
            *told.entry(user).or_default() |= sections;
        }
        told
    }

    /// What the rules say, from the application's rows alone.
    async fn expected(&mut self) -> Model {
        Model::of(&mut self.connection).await
    }

    /// What is projected.
    async fn projected(&mut self) -> Model {
        Model::projected(&mut self.node).await
    }

    async fn end(self) {
        self.connection.close().await.ok();
        self.node.close().await.ok();
        drop_database(&self.name).await;
    }
}

async fn install_source(url: &str, source: &Source) -> (PgConnection, Projector) {
    let mut node = projector::connect(&url.parse().unwrap()).await.unwrap();
    let installed = install(&mut node, source, &mut |_| {}).await.unwrap();
    (node, Projector::new(installed))
}

#[tokio::test]
async fn all_writes_are_projected_and_announced_exactly() {
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut writer = Writer::default();
        let mut host = Host::new(&[]).await;
        let mut views = Views::default();
        for step in 0..200 {
            let written = writer.write(&mut random, &mut host.connection).await;
            host.settle().await;
            let expected = host.expected().await;
            let projected = host.projected().await;
            assert!(
                projected == expected,
                "seed {seed}, step {step}: {}\nprojected: {:#?}\nexpected: {:#?}",
                written.join("\n"),
                projected.minus(&expected),
                expected.minus(&projected)
            );
            let now = expected.views();
            let told = host.told().await;
            for (user, seen) in now.differences(&views) {
                let of_user = told.get(&user).copied().unwrap_or_default();
                assert_eq!(
                    of_user & seen,
                    seen,
                    "seed {seed}, step {step}: {user} was not told: {}",
                    written.join("\n")
                );
            }
            for (user, of_user) in told {
                let may = now.rows_differ(&views, &user);
                assert_eq!(
                    of_user & !may,
                    0,
                    "seed {seed}, step {step}: {user} was told for nothing: {}",
                    written.join("\n")
                );
            }
            views = now;
        }
        host.end().await;
    }
}

#[tokio::test]
async fn rows_from_before_the_installation_are_projected() {
    let (name, url) = create_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(EXAMPLE).execute(&mut connection).await.unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let mut writer = Writer::default();
    for _ in 0..200 {
        writer.write(&mut random, &mut connection).await;
    }
    let (mut node, mut projector) =
        install_source(&url, &Source::built_in("moc-instructions").unwrap()).await;
    while projector.pass(&mut node).await.unwrap().has_more {}
    let expected = Model::of(&mut connection).await;
    assert!(!expected.is_empty());
    assert_eq!(Model::projected(&mut node).await, expected);
    connection.close().await.ok();
    node.close().await.ok();
    drop_database(&name).await;
}

/// A description, an order within a wishlist, a note that changes nothing: none of it is shown.
#[tokio::test]
async fn what_no_card_shows_is_announced_to_no_one() {
    let mut host = Host::new(&[
        "insert into public.moc_instructions (id, user_id, title, type)
         values ('00000000-0000-4000-8000-000000000001', 'ada', 'Castle', 'moc')",
        "insert into public.wishlist_items (user_id) values ('ada'), ('ada')",
    ])
    .await;
    host.settle().await;
    assert_eq!(host.told().await.into_keys().collect::<Vec<_>>(), ["ada"]);
    for statement in [
        "update public.moc_instructions set description = 'new', updated_at = now()",
        "update public.wishlist_items set sort_order = 'b' || sort_order",
        "insert into public.moc_instructions (user_id, title, type) values ('ada', 'Castle', 'moc')
         on conflict (user_id, title) do update set title = excluded.title",
        "begin; delete from public.wishlist_items; rollback",
        "insert into public.parts_inventory (user_id, part_number, color, quantity)
         values ('ada', '3001', 'red', 4)",
    ] {
        host.write(statement).await;
        host.settle().await;
        assert!(host.told().await.is_empty(), "{statement}");
    }
    host.end().await;
}

/// A reload within one transaction deletes and inserts the same rows: triggers see both statements, and
/// the net effect is what counts.
#[tokio::test]
async fn the_net_effect_of_a_transaction_is_what_counts() {
    let mut host = Host::new(&["insert into public.moc_instructions (id, user_id, title, type)
         values ('00000000-0000-4000-8000-000000000001', 'ada', 'Castle', 'moc')"])
    .await;
    host.settle().await;
    host.told().await;
    let reload = |title: &str| {
        format!(
            "begin; delete from public.moc_instructions where user_id = 'ada';
             insert into public.moc_instructions (id, user_id, title, type, created_at, updated_at)
             values ('00000000-0000-4000-8000-000000000001', 'ada', '{title}', 'moc',
                     '2026-01-02', '2026-01-02'); commit"
        )
    };
    host.write(&reload("Castle")).await;
    host.settle().await;
    host.told().await;
    host.write(&reload("Castle")).await;
    host.settle().await;
    assert!(host.told().await.is_empty(), "the same rows again");
    host.write(&reload("Keep")).await;
    host.settle().await;
    // The recent list, and not a new MOC, which would be announced.
    assert_eq!(host.told().await, BTreeMap::from([("ada".to_owned(), 4)]));
    let added: Option<Vec<uuid::Uuid>> =
        sqlx::query_scalar("select added from dashboard.changes order by id desc limit 1")
            .fetch_one(&mut host.node)
            .await
            .unwrap();
    assert_eq!(added, None);
    host.end().await;
}

/// A column that the triggers name is renamed and becomes another type, without a word to us: writes go
/// on, and what was touched is found all the same.
#[tokio::test]
async fn a_renamed_key_makes_no_write_fail() {
    let mut host = Host::new(&["insert into public.wishlist_items (user_id) values ('ada')"]).await;
    host.settle().await;
    host.told().await;
    // The session of the writer has the trigger's plan from before.
    host.write("update public.tag_theme_mappings set tag = tag").await;
    host.write("insert into public.tag_theme_mappings (tag, theme) values ('a', 'b')").await;
    host.write("alter table public.tag_theme_mappings rename column tag to label").await;
    host.write("insert into public.tag_theme_mappings (label, theme) values ('b', 'b')").await;
    host.write("alter table public.tag_theme_mappings alter column label type varchar(9)").await;
    host.write("update public.tag_theme_mappings set label = 'c' where label = 'b'").await;
    host.write("delete from public.tag_theme_mappings").await;
    let any_row: i64 =
        sqlx::query_scalar("select count(*) from dashboard.outbox where keys is null")
            .fetch_one(&mut host.node)
            .await
            .unwrap();
    assert!(any_row >= 3, "{any_row}");
    host.end().await;
}

const TRACES: &str = "
    select string_agg(trace, E'\\n' order by trace) from (
        select tgname::text as trace from pg_trigger where not tgisinternal
        union all select nspname from pg_namespace where nspname !~ '^pg_'
        union all select relname from pg_class where relnamespace = 'public'::regnamespace
        union all select proname from pg_proc where pronamespace = 'public'::regnamespace
    ) as traces";

#[tokio::test]
async fn uninstalled_it_leaves_no_trace() {
    let mut host = Host::new(&[]).await;
    let (name, url) = create_database().await;
    let mut untouched = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(EXAMPLE).execute(&mut untouched).await.unwrap();
    host.write("insert into public.wishlist_items (user_id) values ('ada')").await;
    host.settle().await;
    uninstall(&mut host.node, &mut |_| {}).await.unwrap();
    let left: String = sqlx::query_scalar(TRACES).fetch_one(&mut host.node).await.unwrap();
    let before: String = sqlx::query_scalar(TRACES).fetch_one(&mut untouched).await.unwrap();
    assert_eq!(left, before);
    untouched.close().await.ok();
    drop_database(&name).await;
    host.end().await;
}

/// Another version of a source has another kind of rows in a feed's place, or none: what was shown of it goes, and
/// its users are informed.
#[tokio::test]
async fn nothing_is_shown_of_a_feed_that_the_source_has_no_more() {
    let version = |feed: &str| {
        let manifest =
            format!("name = 'test'\n[mocs]\ntable = 'public.moc_instructions'\nkey = 'id'\n{feed}");
        let query = |name: &str| {
            let kept = "select id, user_id, title as theme from public.wishlist_items
                        where id = any ($1::uuid[])";
            Ok(Some(if name == "mocs" { MOCS } else { kept }.to_owned()))
        };
        Source::read(&manifest, query).unwrap()
    };
    let of_kind = |kind: &str| {
        version(&format!("[kept]\nkind = '{kind}'\ntable = 'public.wishlist_items'\nkey = 'id'"))
    };
    let write = "insert into public.wishlist_items (user_id) values ('ada'), ('ada')";
    let mut host = Host::of(&of_kind("wishlist"), EXAMPLE, &[write]).await;
    for (next, wishes, sets, told) in [
        (None, 2, 0, 1),
        (Some(of_kind("sets")), 0, 2, 3),
        (Some(version("")), 0, 0, 2),
        (Some(of_kind("wishlist")), 2, 0, 1),
        (Some(version("")), 0, 0, 1),
    ] {
        if let Some(source) = next {
            (host.node, host.projector) = install_source(&host.url, &source).await;
        }
        host.settle().await;
        let counts: (i64, i64) = sqlx::query_as(
            "select (select count(*) from dashboard.wishlist_items),
                    (select count(*) from dashboard.sets)",
        )
        .fetch_one(&mut host.node)
        .await
        .unwrap();
        assert_eq!(counts, (wishes, sets));
        assert_eq!(host.told().await, BTreeMap::from([("ada".to_owned(), told)]));
        // Where it has been read before, that was long ago.
        let is_complete: bool = sqlx::query_scalar("select is_complete from dashboard.meta")
            .fetch_one(&mut host.node)
            .await
            .unwrap();
        assert!(is_complete);
    }
    host.end().await;
}

/// What one server leaves to the application's writers, another does not take.
#[tokio::test]
async fn while_bulk_work_rests_small_work_goes_on_at_all_servers() {
    let mut host = Host::new(&[]).await;
    host.settle().await;
    host.write(
        "insert into public.wishlist_items (user_id) select 'ada' from generate_series(1, 1000)",
    )
    .await;
    // Now it is known to be bulk work, and is not begun.
    host.projector.pass(&mut host.node).await.unwrap();
    assert_eq!(host.told().await, BTreeMap::new());
    host.write("update dashboard.turn set rests_since = clock_timestamp(), rest = '1 hour'").await;
    host.write("insert into public.wishlist_items (user_id) values ('bob')").await;
    let pass = host.projector.pass(&mut host.node).await.unwrap();
    assert!(pass.has_more && !pass.rest.is_zero(), "{pass:?}");
    assert_eq!(host.told().await, BTreeMap::from([("bob".to_owned(), 1)]));
    // A clock that was set back ends no rest late.
    host.write("update dashboard.turn set rests_since = clock_timestamp() + interval '1 hour'")
        .await;
    host.settle().await;
    assert_eq!(host.told().await, BTreeMap::from([("ada".to_owned(), 1)]));
    host.end().await;
}

/// Two servers, and the turn: what one server has taken the other does not see, even if the first one fails.
#[tokio::test]
async fn what_a_dead_projector_had_taken_is_done_by_another() {
    let mut host = Host::new(&[]).await;
    host.settle().await;
    host.write("insert into public.wishlist_items (user_id) values ('ada')").await;
    let mut rival = PgConnection::connect(&host.url).await.unwrap();
    sqlx::raw_sql("begin; select from dashboard.turn for update; delete from dashboard.outbox")
        .execute(&mut rival)
        .await
        .unwrap();
    assert!(host.projector.pass(&mut host.node).await.unwrap().is_elsewhere);
    // Its connection breaks in the middle.
    let rival_id: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut rival).await.unwrap();
    sqlx::query("select pg_terminate_backend($1, 60000)")
        .bind(rival_id)
        .execute(&mut host.connection)
        .await
        .unwrap();
    host.settle().await;
    assert_eq!(host.told().await, BTreeMap::from([("ada".to_owned(), 1)]));
    host.end().await;
}

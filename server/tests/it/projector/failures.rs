//! Tests that what cannot be projected waits alone, and everything else goes on.

use std::collections::BTreeMap;

use dashboard_server::source::{Source, install};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Host, MOCS};
use crate::support::{EXAMPLE, create_database, drop_database};

/// Wishes of a table `public.wishes`, by a query of the test's own, and no MOCs.
fn wishes(query: &str, to: &str) -> Source {
    let manifest = format!(
        "name = 'test'
         [mocs]
         table = 'public.moc_instructions'
         key = 'id'
         [wishlist]
         table = 'public.wishes'
         key = 'id'
         [[wishlist.watch]]
         table = 'public.shops'
         key = 'name'
         to = \"{to}\""
    );
    let query = |name: &str| {
        Ok(Some(match name {
            "mocs" => MOCS.to_owned(),
            _ => query.to_owned(),
        }))
    };
    Source::read(&manifest, query).unwrap()
}

const TABLES: &str = "
    create table public.wishes (id bigint primary key, user_id text, shop text, price integer);
    create table public.shops (name text primary key)";
const PLAIN: &str = "select id, user_id from public.wishes where id = any ($1::bigint[])";
const BY_SHOP: &str = "select id from public.wishes where shop = any ($1)";

impl Host {
    async fn with_wishes(query: &str, to: &str) -> Self {
        let mut host = Self::of(&wishes(query, to), &format!("{EXAMPLE}{TABLES}"), &[]).await;
        host.settle().await;
        host
    }

    async fn wishes(&mut self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select user_id, count(*) from dashboard.wishlist_items group by user_id",
        )
        .fetch_all(&mut self.node)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.node).await.unwrap()
    }

    /// Passes until users have that number of wishes. A test that waits for ever is ended by the runner.
    async fn until(&mut self, wishes: &[(&str, i64)]) {
        let wishes: BTreeMap<_, _> =
            wishes.iter().map(|(user, count)| ((*user).to_owned(), *count)).collect();
        while self.wishes().await != wishes {
            self.projector.pass(&mut self.node).await.unwrap();
        }
    }

    /// Passes until a row has failed alone: its key, and the error.
    async fn until_failed(&mut self) -> (String, String) {
        loop {
            if let Some(failed) = self.failed().await.pop() {
                return failed;
            }
            self.projector.pass(&mut self.node).await.unwrap();
        }
    }

    async fn failed(&mut self) -> Vec<(String, String)> {
        sqlx::query_as("select key, error from dashboard.failed order by key")
            .fetch_all(&mut self.node)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn one_poisonous_row_stops_no_other() {
    let query = "select id, user_id from public.wishes
                 where id = any ($1::bigint[]) and 100 / price > 0";
    let mut host = Host::with_wishes(query, BY_SHOP).await;
    host.write(
        "insert into public.wishes
         select i, 'ada', 'brickshop', case i when 70 then 0 else 5 end
         from generate_series(1, 100) as i",
    )
    .await;
    host.until(&[("ada", 99)]).await;
    let (key, error) = host.until_failed().await;
    assert_eq!(key, "70");
    assert!(error.contains("division by zero"), "{error}");
    // It is tried again, and counted.
    while host.count("select failures::int8 from dashboard.failed").await < 3 {
        host.projector.pass(&mut host.node).await.unwrap();
    }
    host.projector.pass(&mut host.node).await.unwrap();
    assert_eq!(host.projector.failed(), 1);
    // Others are not held up, and the row is there as soon as it can be.
    host.write("insert into public.wishes values (101, 'bob', '', 1)").await;
    host.until(&[("ada", 99), ("bob", 1)]).await;
    host.write("update public.wishes set price = 7 where id = 70").await;
    host.until(&[("ada", 100), ("bob", 1)]).await;
    while !host.failed().await.is_empty() {
        host.projector.pass(&mut host.node).await.unwrap();
    }
    host.projector.pass(&mut host.node).await.unwrap();
    assert_eq!(host.projector.failed(), 0);
    host.end().await;
}

/// As while triggers are missing, and all rows are read again and again.
#[tokio::test]
async fn rows_beside_a_poisonous_one_are_projected_though_sweep_follows_upon_sweep() {
    let query = "select id, user_id from public.wishes
                 where id = any ($1::bigint[]) and 100 / price > 0";
    let mut host = Host::with_wishes(query, BY_SHOP).await;
    host.write(
        "alter table public.wishes disable trigger all;
         insert into public.wishes
         select i, 'ada', 'brickshop', case i when 70 then 0 else 5 end
         from generate_series(1, 100) as i;
         insert into dashboard.sweeps (feed)
         select number from dashboard.feeds where name = 'wishlist'",
    )
    .await;
    while host.wishes().await.get("ada") != Some(&99) {
        host.projector.pass(&mut host.node).await.unwrap();
        host.write("update dashboard.sweeps set again = true").await;
    }
    assert_eq!(host.until_failed().await.0, "70");
    host.end().await;
}

#[tokio::test]
async fn a_key_that_a_query_yields_twice_is_named() {
    let query = "select wish.id, wish.user_id
                 from public.wishes as wish
                 left join public.shops as shop on shop.name ^@ wish.shop
                 where wish.id = any ($1::bigint[])";
    let mut host = Host::with_wishes(query, BY_SHOP).await;
    host.write("insert into public.shops values ('brick1'), ('brick2'), ('other')").await;
    host.write("insert into public.wishes values (1, 'ada', 'brick', 1), (2, 'ada', 'other', 1)")
        .await;
    host.until(&[("ada", 1)]).await;
    let (key, error) = host.until_failed().await;
    assert_eq!(key, "1");
    assert_eq!(error, "the query of wishlist yields the key 1 more than once");
    host.write("delete from public.shops where name = 'brick2'").await;
    host.until(&[("ada", 2)]).await;
    host.end().await;
}

/// A migration of the application's holds a table: it is not waited for, and does not wait.
#[tokio::test]
async fn a_locked_table_holds_up_only_what_is_in_it() {
    let mut host = Host::new(&[]).await;
    host.settle().await;
    let mut migration = PgConnection::connect(&host.url).await.unwrap();
    host.write("insert into public.sets (user_id, status, theme) values ('ada', 'wanted', '')")
        .await;
    sqlx::raw_sql("begin; alter table public.sets add column note text")
        .execute(&mut migration)
        .await
        .unwrap();
    host.write(
        "insert into public.moc_instructions (user_id, title, type) values ('bob', 'A', 'set')",
    )
    .await;
    let sets = "select count(*) from dashboard.sets";
    while sqlx::query_scalar::<_, i64>(sets).fetch_one(&mut host.node).await.unwrap() == 0 {
        host.projector.pass(&mut host.node).await.unwrap();
    }
    assert!(host.wishes().await.is_empty());
    sqlx::raw_sql("commit").execute(&mut migration).await.unwrap();
    host.until(&[("ada", 1)]).await;
    migration.close().await.ok();
    host.end().await;
}

/// Which rows a change concerns cannot be found out: all are read.
#[tokio::test]
async fn a_to_that_fails_loses_no_change() {
    let query = "select wish.id, wish.user_id
                 from public.wishes as wish
                 join public.shops as shop on shop.name = wish.shop
                 where wish.id = any ($1::bigint[])";
    let mut host = Host::with_wishes(query, "select 1 / 0 from unnest($1)").await;
    host.write("insert into public.wishes values (1, 'ada', 'brick', 1), (2, 'ada', 'other', 1)")
        .await;
    host.settle().await;
    assert!(host.wishes().await.is_empty());
    host.write("insert into public.shops values ('brick'), ('other')").await;
    host.until(&[("ada", 2)]).await;
    host.end().await;
}

#[tokio::test]
async fn keys_need_not_be_uuids_and_need_no_order() {
    let mut host = Host::with_wishes(PLAIN, BY_SHOP).await;
    for id in [3, -1, 40, 5] {
        let insert = format!("insert into public.wishes values ({id}, 'ada', '', 1)");
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut host.connection).await.unwrap();
    }
    host.until(&[("ada", 4)]).await;
    host.write("update public.wishes set id = id + 1").await;
    host.settle().await;
    assert_eq!(host.wishes().await, BTreeMap::from([("ada".to_owned(), 4)]));
    host.write("truncate public.wishes").await;
    host.until(&[]).await;
    host.end().await;
}

/// Rows reach a partitioned table by way of it, or go straight to where they lie. So do those of a table
/// that others inherit from.
#[tokio::test]
async fn tables_may_have_partitions_and_heirs() {
    for tables in [
        "create table public.wishes (id bigint, user_id text, shop text, price integer)
             partition by range (id);
         create table public.low partition of public.wishes for values from (0) to (100);
         create table public.high partition of public.wishes for values from (100) to (1000)
             partition by list (user_id);
         create table public.ada partition of public.high for values in ('ada');
         create index on public.wishes (id)",
        "create table public.wishes (id bigint primary key, user_id text, shop text, price integer);
         create table public.low () inherits (public.wishes);
         create table public.ada () inherits (public.wishes)",
    ] {
        let shops = "create table public.shops (name text primary key)";
        let source = wishes(PLAIN, BY_SHOP);
        let mut host = Host::of(&source, &format!("{EXAMPLE}{tables};{shops}"), &[]).await;
        host.settle().await;
        for (statement, count) in [
            ("insert into public.wishes values (1, 'ada', 'a', 1), (101, 'ada', 'a', 1)", 2),
            ("insert into public.ada values (102, 'ada', 'a', 1)", 3),
            ("copy public.low from program 'printf 2,ada,a,1' with (format csv)", 4),
            ("delete from public.ada where id = 102", 3),
            ("update public.low set user_id = 'bob' where id = 2", 2),
            ("update public.wishes set id = id + 10", 2),
            ("set session_replication_role = replica;
              insert into public.ada values (103, 'ada', 'a', 1);
              insert into public.wishes values (104, 'ada', 'a', 1);
              delete from public.low where id = 12;
              reset session_replication_role", 4),
            ("truncate public.ada", 1),
            ("truncate public.wishes", 0),
        ] {
            host.write(statement).await;
            host.settle().await;
            let found = host.wishes().await.get("ada").copied().unwrap_or_default();
            // An heir's rows are where they were written.
            let rows: i64 =
                sqlx::query_scalar("select count(*) from public.wishes where user_id = 'ada'")
                    .fetch_one(&mut host.connection)
                    .await
                    .unwrap();
            assert_eq!(found, rows, "{statement}");
            if tables.contains("partition") {
                assert_eq!(found, count, "{statement}");
            }
            let bob = sqlx::query_scalar::<_, i64>(
                "select (select count(*) from public.wishes where user_id = 'bob')
                      - (select count(*) from dashboard.wishlist_items where user_id = 'bob')",
            );
            assert_eq!(bob.fetch_one(&mut host.node).await.unwrap(), 0, "{statement}");
        }
        host.end().await;
    }
}

/// A fact that changes is stored, and its owner's other rows follow, even if one of them fails. And one
/// failed row that is written to again and again is one failed row.
#[tokio::test]
async fn one_poisonous_row_keeps_no_other_from_following_a_fact() {
    let manifest = "name = 'test'
        [mocs]
        table = 'public.moc_instructions'
        key = 'id'
        [given]
        kind = 'fact'
        table = 'public.gifts'
        key = 'user_id'
        [wishlist]
        table = 'public.wishes'
        key = 'id'
        [[wishlist.watch]]
        fact = 'given'
        to = 'select id from public.wishes where user_id = any ($1)'";
    let query = |name: &str| {
        Ok(Some(match name {
            "mocs" => MOCS.to_owned(),
            "given" => "select user_id as id, user_id, amount as content from public.gifts
                        where user_id = any ($1)"
                .to_owned(),
            _ => "select wish.id, wish.user_id from public.wishes as wish
                  join given as gift on gift.user_id = wish.user_id
                  where wish.id = any ($1::bigint[]) and gift.content::integer / wish.price >= 1"
                .to_owned(),
        }))
    };
    let source = Source::read(manifest, query).unwrap();
    let tables = format!(
        "{EXAMPLE}{TABLES};
         create table public.gifts (user_id text primary key, amount integer)"
    );
    let mut host = Host::of(&source, &tables, &[]).await;
    host.write("insert into public.gifts values ('ada', 1)").await;
    host.write("insert into public.wishes values (1, 'ada', '', 5), (2, 'ada', '', 0)").await;
    host.until_failed().await;
    assert!(host.wishes().await.is_empty());
    host.write("update public.gifts set amount = 10").await;
    host.until(&[("ada", 1)]).await;
    for _ in 0..5 {
        host.write("update public.wishes set shop = shop || '.'").await;
        host.settle().await;
    }
    assert_eq!(host.failed().await.len(), 1);
    assert_eq!(host.count("select count(*) from dashboard.pending").await, 0);
    assert_eq!(host.count("select count(*) from dashboard.sweeps").await, 0);
    host.write("update public.wishes set price = 10").await;
    host.until(&[("ada", 2)]).await;
    host.end().await;
}

/// The application drops a column that the query names: nothing of the feed can be read, and that is known
/// at once. When the query can be run again, all that was missed is there.
#[tokio::test]
async fn a_query_that_cannot_be_run_holds_up_its_feed_only() {
    let mut host = Host::new(&[]).await;
    host.settle().await;
    host.write("alter table public.sets rename theme to topic").await;
    host.write(
        "insert into public.sets (user_id, status, topic)
         select 'ada', 'owned', 'City' from generate_series(1, 700)",
    )
    .await;
    host.write("insert into public.sets (user_id, status, topic) values ('ada', 'wanted', '')")
        .await;
    host.until(&[("ada", 1)]).await;
    let error = loop {
        host.projector.pass(&mut host.node).await.unwrap();
        let error: Option<Option<String>> =
            sqlx::query_scalar("select error from dashboard.sweeps limit 1")
                .fetch_optional(&mut host.node)
                .await
                .unwrap();
        if let Some(error) = error.flatten() {
            break error;
        }
    };
    assert!(error.contains("column \"theme\" does not exist"), "{error}");
    assert_eq!(host.count("select count(*) from dashboard.failed").await, 0);
    host.write("delete from public.sets where id in (select id from public.sets limit 100)").await;
    host.write("alter table public.sets rename topic to theme").await;
    let left = host.count("select count(*) from public.sets where status = 'owned'").await;
    while host.count("select count(*) from dashboard.sets").await != left {
        host.projector.pass(&mut host.node).await.unwrap();
    }
    host.end().await;
}

/// Rows that were there before are found page by page, in the order of their keys and not of their text.
#[tokio::test]
async fn a_sweep_finds_every_row() {
    for (of_type, key) in [
        ("bigint", "i * 7 - 9000"),
        ("text", "case i when 1 then '' else 'k' || i end"),
        ("varchar(20)", "upper('k' || i)"),
        ("uuid", "md5(i::text)::uuid"),
    ] {
        let tables = format!(
            "create table public.wishes (id {of_type} unique, user_id text, shop text, price integer);
             create table public.shops (name text primary key);
             insert into public.wishes
             select {key}, 'ada', 'brick', 1 from generate_series(1, 3000) as i;
             insert into public.wishes values (null, 'ada', '', 1), (null, 'ada', '', 1)"
        );
        let query =
            format!("select id, user_id from public.wishes where id = any ($1::{of_type}[])");
        let mut host = Host::of(&wishes(&query, BY_SHOP), &format!("{EXAMPLE}{tables}"), &[]).await;
        host.settle().await;
        assert_eq!(host.wishes().await, BTreeMap::from([("ada".to_owned(), 3000)]), "{of_type}");
        host.write("truncate public.wishes").await;
        host.until(&[]).await;
        host.end().await;
    }
}

/// A fact concerns all rows of its owner. Of many facts the same rows would be requested again and again, while all
/// of them are still to be read.
#[tokio::test]
async fn facts_ask_for_no_row_that_a_sweep_will_look_at() {
    let mut host = Host::new(&["
        insert into public.moc_instructions (user_id, title, type, build_status, want_to_build)
        select 'ada', 'Given ' || i, 'moc', 'parted_out', false from generate_series(1, 600) as i;
        insert into public.moc_instructions (user_id, title, type)
        select 'ada', 'Kept ' || i, 'moc' from generate_series(1, 200) as i"])
    .await;
    let begun = "
        select count(*) from dashboard.sweeps join dashboard.feeds on number = feed
        where name = 'mocs' and (is_at_model or after is not null)";
    let asked = "
        select coalesce(sum(cardinality(keys)), 0)::int8 from dashboard.pending
        join dashboard.feeds on number = feed where name = 'mocs'";
    loop {
        assert!(host.projector.pass(&mut host.node).await.unwrap().has_more);
        if host.count(begun).await > 0 {
            break;
        }
        assert_eq!(host.count(asked).await, 0);
    }
    host.settle().await;
    let facts = "select count(*) from dashboard.facts";
    let shown = "select count(*) from dashboard.mocs where user_id = 'ada'";
    assert_eq!((host.count(facts).await, host.count(shown).await), (600, 200));
    host.end().await;
}

/// Sweeps and bulk work take turns, and what cannot be written down now is not forgotten.
#[tokio::test]
async fn a_note_of_any_row_waits_for_a_lock_and_for_no_other_work() {
    let mut host = Host::with_wishes(PLAIN, BY_SHOP).await;
    host.write("insert into public.wishes values (1, 'ada', '', 1)").await;
    host.settle().await;
    let mut other = PgConnection::connect(&host.url).await.unwrap();
    sqlx::raw_sql(
        "begin; insert into dashboard.sweeps (feed)
         select number from dashboard.feeds where name = 'wishlist'",
    )
    .execute(&mut other)
    .await
    .unwrap();
    host.write("truncate public.wishes").await;
    host.projector.pass(&mut host.node).await.unwrap();
    // It is kept, whether it has been tried or not.
    while host.count("select count(error) from dashboard.pending").await == 0 {
        assert_eq!(host.count("select count(*) from dashboard.pending").await, 1);
        host.projector.pass(&mut host.node).await.unwrap();
    }
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    // An import that never ends.
    let mut number = 0;
    while host.wishes().await.contains_key("ada") {
        number += 100;
        host.write(&format!(
            "insert into public.wishes
             select {number} + i, 'bob', '', 1 from generate_series(1, 60) as i"
        ))
        .await;
        host.projector.pass(&mut host.node).await.unwrap();
    }
    other.close().await.ok();
    host.end().await;
}

/// An object mapper saves row by row, thousands in one transaction. The next user's change is seen at once, and
/// nothing is left for the look that comes every few seconds.
#[tokio::test]
async fn a_transaction_of_many_statements_delays_no_other() {
    let mut host = Host::with_wishes(PLAIN, BY_SHOP).await;
    host.write(
        "do $$ begin for i in 1..9000 loop
             insert into public.wishes values (i, 'ada', '', 1);
         end loop; end $$",
    )
    .await;
    host.write("insert into public.wishes values (10000, 'bob', '', 1)").await;
    host.projector.pass(&mut host.node).await.unwrap();
    assert_eq!(host.told().await.remove("bob"), Some(1));
    host.settle().await;
    assert_eq!(host.wishes().await.remove("ada"), Some(9000));
    host.end().await;
}

/// Types whose text depends on the session, or whose cast its owner writes, name no row.
#[tokio::test]
async fn a_key_of_another_type_runs_no_code_and_names_no_row() {
    let mut host = Host::new(&[]).await;
    host.settle().await;
    host.write(
        "create type public.evil as (x text);
         create table public.marks (by_role name);
         create function public.evil_text(public.evil) returns text language plpgsql as $$
             begin insert into public.marks values (current_user); return ($1).x; end $$;
         create cast (public.evil as text) with function public.evil_text(public.evil);
         alter table public.tag_theme_mappings alter tag type public.evil using row(tag)::public.evil;
         insert into public.tag_theme_mappings (tag, theme) values (row('a')::public.evil, 'b')",
    )
    .await;
    assert_eq!(host.count("select count(*) from public.marks").await, 0);
    assert_eq!(host.count("select count(*) from dashboard.outbox where keys is null").await, 1);
    host.settle().await;
    assert_eq!(host.count("select count(*) from public.marks").await, 0);
    host.write(
        "alter table public.tag_theme_mappings alter tag type date using '2026-01-01'::date",
    )
    .await;
    host.write(
        "set datestyle = 'SQL, DMY'; insert into public.tag_theme_mappings values
                (gen_random_uuid(), '2026-02-01', 'c'); reset datestyle",
    )
    .await;
    assert_eq!(host.count("select count(*) from dashboard.outbox where keys is null").await, 1);
    host.end().await;
}

/// Two spellings that a column takes for one: both are noted.
#[tokio::test]
async fn keys_are_told_apart_by_their_text() {
    let tables = "
        create collation public.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table public.wishes (id text collate public.caseless primary key, user_id text,
                                    shop text, price integer);
        create table public.shops (name text primary key);
        insert into public.wishes values ('Bar', 'ada', '', 1)";
    let query = "select id, user_id from public.wishes where id collate \"C\" = any ($1)";
    let mut host = Host::of(&wishes(query, BY_SHOP), &format!("{EXAMPLE}{tables}"), &[]).await;
    host.settle().await;
    host.write("update public.wishes set id = 'bar'").await;
    host.settle().await;
    assert_eq!(host.wishes().await, BTreeMap::from([("ada".to_owned(), 1)]));
    host.end().await;
}

/// A schema that another role has made would have its code run by the one who installs.
#[tokio::test]
async fn the_schema_of_another_role_is_refused() {
    let (name, url) = create_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let role = format!("squatter_{}", &name[name.len() - 12..]);
    let setup =
        format!("{EXAMPLE}; create role {role}; create schema dashboard authorization {role}");
    sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut connection).await.unwrap();
    let source = Source::built_in("moc-instructions").unwrap();
    let refused = install(&mut connection, &source, &mut |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("the schema dashboard belongs to {role}")), "{refused}");
    let drop = format!("drop schema dashboard; drop role {role}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
    connection.close().await.ok();
    drop_database(&name).await;
}

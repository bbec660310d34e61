//! What cannot be projected waits by itself, and everything else goes on.

use std::collections::BTreeMap;

use dashboard_server::source::Source;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{EXAMPLE, Host};

/// Wishes of a table `public.wishes`, by a query of the test's own; and no MOCs.
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
            "mocs" => include_str!("../../../sources/moc-instructions/mocs.sql").to_owned(),
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

    /// Passes until users have so many wishes. A test that waits for ever is ended by the runner.
    async fn until(&mut self, wishes: &[(&str, i64)]) {
        let wishes: BTreeMap<_, _> =
            wishes.iter().map(|(user, count)| ((*user).to_owned(), *count)).collect();
        while self.wishes().await != wishes {
            self.projector.pass(&mut self.node).await.unwrap();
        }
    }

    /// Passes until something waits because it failed: its keys, and the error.
    async fn until_waiting(&mut self) -> (Vec<String>, String) {
        loop {
            if let Some(waiting) = self.waiting().await.pop() {
                return waiting;
            }
            self.projector.pass(&mut self.node).await.unwrap();
        }
    }

    async fn waiting(&mut self) -> Vec<(Vec<String>, String)> {
        sqlx::query_as(
            "select keys, error from dashboard.pending where error is not null order by id",
        )
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
    let (keys, error) = host.until_waiting().await;
    assert_eq!(keys, ["70"]);
    assert!(error.contains("division by zero"), "{error}");
    // Others are not held up, and the row is there as soon as it can be.
    host.write("insert into public.wishes values (101, 'bob', '', 1)").await;
    host.until(&[("ada", 99), ("bob", 1)]).await;
    host.write("update public.wishes set price = 7 where id = 70").await;
    host.until(&[("ada", 100), ("bob", 1)]).await;
    while !host.waiting().await.is_empty() {
        host.projector.pass(&mut host.node).await.unwrap();
    }
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
    let (keys, error) = host.until_waiting().await;
    assert_eq!(keys, ["1"]);
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

/// Which rows a change concerns cannot be found out: all are looked at.
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

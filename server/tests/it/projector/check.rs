//! Tests that the check names what stands in a source's way, and what to do about it.

use dashboard_server::source::{Finding, Source, check, check_installed, load};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Host, MOCS};
use crate::support::{EXAMPLE, create_database, drop_database};

fn source() -> Source {
    Source::built_in("moc-instructions").unwrap()
}

/// The findings on the application's tables after some statements.
async fn found(statements: &str) -> Vec<Finding> {
    let (name, url) = create_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in [EXAMPLE, statements] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    let found = check(&mut connection, &source()).await.unwrap();
    connection.close().await.ok();
    drop_database(&name).await;
    found
}

#[tokio::test]
async fn tables_that_a_query_reads_and_no_watch_hears_of_are_named() {
    let manifest = "name = 'test'
        [mocs]
        table = 'public.moc_instructions'
        key = 'id'
        [stock]
        kind = 'fact'
        table = 'public.moc_parts_lists'
        key = 'moc_id'
        [[mocs.watch]]
        fact = 'stock'
        to = 'select id from public.moc_instructions where user_id = any ($1)'";
    let query = |name: &str| {
        Ok(Some(match name {
            "mocs" => MOCS.replace(
                "theme, 'ADDED'",
                "(select max(theme) from public.tag_theme_mappings) as theme, 'ADDED'",
            ),
            _ => "select moc_id as id, 'ada' as user_id, '' as content from public.moc_parts_lists
                  where moc_id = any ($1::uuid[])"
                .to_owned(),
        }))
    };
    let source = Source::read(manifest, query).unwrap();
    let mut host = Host::of(&source, EXAMPLE, &[]).await;
    let found = check(&mut host.node, &source).await.unwrap();
    let told: Vec<_> = found.iter().map(|finding| (finding.is_fatal, &*finding.what)).collect();
    let unheard = "mocs.sql reads public.tag_theme_mappings, which [mocs] does not watch: \
                   a change there is shown at the next full look only";
    let unread = "[mocs] watches the fact stock, which mocs.sql does not read";
    assert_eq!(told, [(false, unread), (false, unheard)]);
    host.end().await;
}

#[tokio::test]
async fn tables_as_the_source_expects_them_are_in_order() {
    assert_eq!(found("").await, []);
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_with_its_remedy() {
    for (statements, what, fix) in [
        ("drop table public.sets", "there is no table public.sets", "correct the source"),
        (
            "alter table public.sets rename to old_sets; create view public.sets as table public.old_sets",
            "public.sets is not a table",
            "name the tables behind it",
        ),
        (
            "alter table public.moc_parts rename parts_list_id to list_id",
            "public.moc_parts has no column parts_list_id",
            "correct `key`",
        ),
        (
            "alter table public.wishlist_items alter id drop default,
                 alter id type numeric using 1",
            "public.wishlist_items.id is numeric; a key is a uuid, text or an integer",
            "",
        ),
        (
            "drop index public.moc_parts_lists_moc",
            "public.moc_parts_lists has no index that begins with moc_id",
            "create index concurrently on public.moc_parts_lists (\"moc_id\");",
        ),
        (
            "alter table public.sets rename theme to topic",
            "sets.sql: column \"theme\" does not exist",
            "",
        ),
        (
            "alter table public.moc_instructions rename want_to_build to wanted",
            "stock.sql: column moc.want_to_build does not exist",
            "",
        ),
        (
            "alter table public.moc_parts rename color to colour",
            "[mocs], the `to` of the watch of public.parts_inventory: column part.color does not exist",
            "",
        ),
        (
            "drop index public.parts_inventory_user;
             insert into public.parts_inventory (user_id, part_number, color)
             select 'ada', i, '' from generate_series(1, 20000) as i;
             analyze public.parts_inventory",
            "mocs.sql reads all of public.parts_inventory, which is large, for each change",
            "make an index",
        ),
    ] {
        let found = found(statements).await;
        let finding = found.iter().find(|finding| finding.what.starts_with(what));
        let finding = finding.unwrap_or_else(|| panic!("{statements}: {found:#?}"));
        let told = finding.fix.as_deref().unwrap_or_default();
        assert!(told.contains(fix), "{statements}: {told}");
    }
}

#[tokio::test]
async fn rights_that_a_role_lacks_are_named_with_the_grant() {
    let (name, url) = create_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(EXAMPLE).execute(&mut connection).await.unwrap();
    let role = format!("reader_{}", &name[name.len() - 12..]);
    let owner: String =
        sqlx::query_scalar("select current_user::text").fetch_one(&mut connection).await.unwrap();
    // All but one of the tables are its own.
    let setup = format!(
        "create role {role};
         grant create on schema public to {role};
         grant select on public.moc_parts to {role};
         do $$ declare name regclass; begin
             for name in select oid from pg_class
                 where relnamespace = 'public'::regnamespace and relkind = 'r'
                   and relname <> 'moc_parts'
             loop execute format('alter table %s owner to {role}', name); end loop;
         end $$;
         revoke select on public.sets from {role};
         set role {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut connection).await.unwrap();
    let found = check(&mut connection, &source()).await.unwrap();
    let fixes: Vec<_> = found.iter().filter_map(|finding| finding.fix.clone()).collect();
    assert_eq!(
        fixes,
        [
            format!("run this as {owner}: DATABASE_URL says as which role"),
            format!("grant select on public.sets to {role};"),
        ]
    );
    let drop = format!("reset role; drop owned by {role} cascade; drop role {role}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
    connection.close().await.ok();
    drop_database(&name).await;
}

#[tokio::test]
async fn triggers_that_do_not_fire_and_rows_that_are_not_shown_are_named() {
    let mut host = Host::new(&[
        "insert into public.wishlist_items (user_id) select '' from generate_series(1, 7)",
        "insert into public.moc_instructions (user_id, title, type, created_at)
         values ('ada', repeat('x', 201), 'moc', 'infinity')",
    ])
    .await;
    host.settle().await;
    let installed = load(&mut host.node, &source()).await.unwrap();
    let found = check_installed(&mut host.node, &installed).await.unwrap();
    let told: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("mocs.sql: 1 rows with a date"), "{told:#?}");
    assert!(told[1].starts_with("mocs.sql: 1 rows with a title"), "{told:#?}");
    assert!(
        told[2].starts_with("old_wishlist.sql: 7 rows left out: without a user id"),
        "{told:#?}"
    );
    assert_eq!(told[2].matches(", ").count(), 5, "five examples: {told:#?}");

    for (statement, what) in [
        ("alter table public.sets disable trigger user", "of public.sets is disabled"),
        ("alter table public.sets enable trigger user", "of public.sets fires at the wrong times"),
        (
            "create table public.new (like public.moc_parts including all);
             drop table public.moc_parts; alter table public.new rename to moc_parts",
            "public.moc_parts lacks the trigger",
        ),
        ("drop table public.moc_parts", "public.moc_parts is not a table"),
    ] {
        host.write(statement).await;
        let found = check_installed(&mut host.node, &installed).await.unwrap();
        let fatal: Vec<_> = found.iter().filter(|finding| finding.is_fatal).collect();
        assert!(fatal.iter().any(|finding| finding.what.contains(what)), "{statement}: {fatal:#?}");
    }
    host.end().await;
}

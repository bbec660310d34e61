//! What each statement leaves in the change log: exactly the users and sections that it changed.

use sqlx::{AssertSqlSafe, Executor};

use crate::support::{TestDb, with_database};

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";
const C: &str = "00000000-0000-4000-8000-00000000000c";

/// A has no parts, B is partly covered; both are Ada's. C is Bob's. Ada has a set and a wish.
const START: &str = "
    insert into dashboard.mocs (id, user_id, title, theme)
    values ('00000000-0000-4000-8000-00000000000a', 'ada', 'A', 'Castle'),
           ('00000000-0000-4000-8000-00000000000b', 'ada', 'B', 'Space'),
           ('00000000-0000-4000-8000-00000000000c', 'bob', 'C', 'Space');
    insert into dashboard.moc_parts
    values ('00000000-0000-4000-8000-00000000000b', 'p', 1, 1000);
    insert into dashboard.inventory values ('ada', 'p', 1, 500, 0), ('bob', 'p', 1, 300, 0);
    insert into dashboard.sets (user_id, title, theme) values ('ada', 'S', 'Castle');
    insert into dashboard.wishlist_items (user_id, title) values ('ada', 'W')";

async fn start(db: &TestDb) {
    db.run(START).await;
    db.run("truncate dashboard.changes").await;
}

const SUMMARY: i16 = 1;
const THEMES: i16 = 2;
const RECENT: i16 = 4;
const PARTIAL: i16 = 8;
const ENTRY: i16 = SUMMARY | THEMES | RECENT;

/// What a transaction left for a user: user, sections, whether and which MOC was added.
type Row = (String, i16, Option<String>);

async fn log(db: &TestDb) -> Vec<Row> {
    // What coverage shows is noted apart, at commit; readers see both at once. Whether a MOC is in the
    // partial table is judged by whoever reads it, as `query::refresh` does.
    let rows = "
        with gone as (
            delete from dashboard.changes
            returning id, xid, user_id, added_moc,
                      sections | case when exists (
                          select from dashboard.moc_coverage as c
                          where c.moc_id = any (maybe_partial) and c.user_id = changes.user_id
                            and c.parts_coverage_status = 'PARTIAL_ORDERED'
                      ) then 8 else 0 end::int2 as sections
        )
        select user_id, bit_or(sections), max(added_moc::text) from gone
        group by xid, user_id having bit_or(sections) <> 0 order by min(id)";
    sqlx::query_as(rows).fetch_all(&db.pool).await.unwrap()
}

#[tokio::test]
async fn each_statement_notes_what_it_changed_and_nothing_else() {
    let update =
        |what: &str, id: &str| format!("update dashboard.mocs set {what} where id = '{id}'");
    let own = |count: i32| {
        format!("update dashboard.inventory set owned_quantity = {count} where user_id = 'ada'")
    };
    let need = |id: &str, part: &str, count: i32| {
        format!("insert into dashboard.moc_parts values ('{id}', '{part}', 1, {count})")
    };
    let cases: Vec<(String, Vec<(&str, i16)>)> = vec![
        // Nothing that is shown.
        (update("title = title", A), vec![]),
        (update("title = 'x'", "00000000-0000-4000-8000-0000000000ff"), vec![]),
        (update("updated_at = now()", A), vec![]),
        ("update dashboard.sets set title = 'other'".into(), vec![]),
        ("update dashboard.wishlist_items set title = 'other'".into(), vec![]),
        ("delete from dashboard.mocs where false".into(), vec![]),
        // Shown in one place or several.
        (update("title = 'x'", A), vec![("ada", RECENT)]),
        (update("title = 'x'", B), vec![("ada", RECENT | PARTIAL)]),
        (update("theme = 'Space'", A), vec![("ada", THEMES | RECENT)]),
        (update("theme = 'Castle'", B), vec![("ada", THEMES | RECENT | PARTIAL)]),
        (update("build_status = 'BUILT'", A), vec![("ada", SUMMARY | RECENT)]),
        (update("build_status = 'BUILT'", B), vec![("ada", SUMMARY | RECENT | PARTIAL)]),
        (update("cover_image_url = 'https://a/b'", A), vec![("ada", RECENT)]),
        (update("created_at = now() - interval '1 year'", A), vec![("ada", RECENT)]),
        (update("updated_at = now() - interval '1 year'", B), vec![("ada", PARTIAL)]),
        // Coverage: within a percent something is touched too, for the row says when.
        (own(501), vec![("ada", PARTIAL)]),
        (own(700), vec![("ada", PARTIAL)]),
        (own(1000), vec![("ada", SUMMARY | PARTIAL)]),
        (own(0), vec![("ada", SUMMARY | PARTIAL)]),
        (need(A, "q", 9), vec![]),
        (need(A, "p", 9), vec![("ada", SUMMARY)]),
        (need(A, "p", 501), vec![("ada", SUMMARY | PARTIAL)]),
        ("delete from dashboard.moc_parts".into(), vec![("ada", SUMMARY | PARTIAL)]),
        ("truncate dashboard.moc_parts".into(), vec![("ada", SUMMARY | PARTIAL)]),
        ("truncate dashboard.inventory".into(), vec![("ada", SUMMARY | PARTIAL)]),
        // Leaving and entering.
        (format!("delete from dashboard.mocs where id = '{A}'"), vec![("ada", ENTRY)]),
        (format!("delete from dashboard.mocs where id = '{B}'"), vec![("ada", ENTRY | PARTIAL)]),
        (update("user_id = 'bob'", A), vec![("ada", ENTRY), ("bob", ENTRY)]),
        (update("user_id = 'bob'", B), vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY | PARTIAL)]),
        (update("id = gen_random_uuid()", A), vec![("ada", ENTRY)]),
        ("truncate dashboard.mocs cascade".into(), vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY)]),
        // Sets and wishes.
        (
            "insert into dashboard.sets (user_id, title, theme) values ('ada', 'x', 'y')".into(),
            vec![("ada", THEMES)],
        ),
        ("update dashboard.sets set theme = 'Space'".into(), vec![("ada", THEMES)]),
        (
            "update dashboard.sets set user_id = 'bob'".into(),
            vec![("ada", THEMES), ("bob", THEMES)],
        ),
        ("delete from dashboard.sets".into(), vec![("ada", THEMES)]),
        ("truncate dashboard.sets".into(), vec![("ada", THEMES)]),
        (
            "insert into dashboard.wishlist_items (user_id, title) values ('bob', 'x')".into(),
            vec![("bob", SUMMARY)],
        ),
        (
            "update dashboard.wishlist_items set user_id = 'bob'".into(),
            vec![("ada", SUMMARY), ("bob", SUMMARY)],
        ),
        ("delete from dashboard.wishlist_items".into(), vec![("ada", SUMMARY)]),
        ("truncate dashboard.wishlist_items".into(), vec![("ada", SUMMARY)]),
        // Many rows, one entry for each user.
        (
            "update dashboard.mocs set title = title || '!'".into(),
            vec![("ada", RECENT | PARTIAL), ("bob", RECENT)],
        ),
        (
            "insert into dashboard.sets (user_id, title, theme)
          select 'u' || i % 3, 'x', 'y' from generate_series(1, 1000) i"
                .into(),
            vec![("u0", THEMES), ("u1", THEMES), ("u2", THEMES)],
        ),
    ];
    with_database(|db| async move {
        for (statement, expected) in cases {
            db.run(
                "truncate dashboard.mocs, dashboard.inventory, dashboard.sets,
                          dashboard.wishlist_items cascade",
            )
            .await;
            start(&db).await;
            db.run(&statement).await;
            let mut got = log(&db).await;
            got.sort();
            let got: Vec<_> =
                got.iter().map(|(user, sections, _)| (user.as_str(), *sections)).collect();
            assert_eq!(got, expected, "{statement}");
        }
    })
    .await;
}

#[tokio::test]
async fn one_new_moc_is_named_and_several_are_not() {
    with_database(|db| async move {
        let insert = |rows: &str| {
            format!("insert into dashboard.mocs (id, user_id, title, theme) values {rows}")
        };
        let one = |id: &str, user: &str| format!("('{id}', '{user}', 'x', 'y')");
        db.run(&insert(&one(A, "ada"))).await;
        assert_eq!(log(&db).await, [("ada".to_owned(), ENTRY, Some(A.to_owned()))]);

        let two_users = [one(B, "ada"), one(C, "bob")].join(", ");
        db.run(&insert(&two_users)).await;
        let mut rows = log(&db).await;
        rows.sort();
        let expected = [("ada", B), ("bob", C)];
        let expected = expected.map(|(user, id)| (user.to_owned(), ENTRY, Some(id.to_owned())));
        assert_eq!(rows, expected);

        db.run("delete from dashboard.mocs").await;
        log(&db).await;
        db.run(&insert(&[one(A, "ada"), one(B, "ada")].join(", "))).await;
        assert_eq!(log(&db).await, [("ada".to_owned(), ENTRY, None)]);
    })
    .await;
}

/// Sessions keep the plans of a trigger's statements, made for what it met first.
#[tokio::test]
async fn a_large_update_ends_after_a_small_one_of_the_same_session() {
    const MANY: &str = "
        insert into dashboard.mocs (id, user_id, title, theme)
        select md5(i::text)::uuid, 'u' || i % 7, 'x', 'y' from generate_series(1, 20000) as i";
    const PARTS: &str = "
        insert into dashboard.moc_parts select id, 'p', 1, 2 from dashboard.mocs where user_id = 'u0'";
    with_database(|db| async move {
        start(&db).await;
        db.run(MANY).await;
        db.run(PARTS).await;
        let mut session = db.connection().await;
        // Many times what all of them take together.
        session.execute("set statement_timeout = '30s'").await.unwrap();
        let one = format!("update dashboard.mocs set title = 'z' where id = '{A}'");
        for statement in [
            one.as_str(),
            "update dashboard.mocs set title = title || '!'",
            "update dashboard.inventory set owned_quantity = 501 where user_id = 'ada'",
            "insert into dashboard.inventory values ('u0', 'p', 1, 1, 0)",
            "update dashboard.sets set title = 'x'",
        ] {
            session.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        let noted: i64 =
            db.one("select count(*) from dashboard.changes where user_id = 'u0'").await;
        assert_eq!(noted, 3, "added, renamed, partly covered");
    })
    .await;
}

#[tokio::test]
async fn an_upsert_that_updates_is_no_new_moc() {
    with_database(|db| async move {
        start(&db).await;
        let upsert = format!(
            "insert into dashboard.mocs (id, user_id, title, theme) values ('{A}', 'ada', 'x', 'y')
             on conflict (id) do update set title = excluded.title"
        );
        db.run(&upsert).await;
        assert_eq!(log(&db).await, [("ada".to_owned(), RECENT, None)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_rolled_back_leaves_nothing() {
    with_database(|db| async move {
        db.run("begin; insert into dashboard.wishlist_items (user_id, title) values ('a', 'b'); rollback")
            .await;
        assert!(log(&db).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn bad_rows_are_refused_by_the_tables() {
    let long = "x".repeat(201);
    // Of no session, and so of no user.
    let user = "x".repeat(256);
    let moc = |columns: &str, values: &str| {
        format!("insert into dashboard.mocs (user_id, {columns}) values ('ada', {values})")
    };
    let cases = [
        moc("title, theme", "'', 'y'"),
        moc("title, theme", &format!("'{long}', 'y'")),
        moc("title, theme", "'x', ''"),
        moc("title, theme, cover_image_url", "'x', 'y', 'javascript:alert(1)'"),
        moc("title, theme, cover_image_url", "'x', 'y', 'https://a b/'"),
        moc("title, theme, created_at", "'x', 'y', 'infinity'"),
        "insert into dashboard.moc_parts values (gen_random_uuid(), 'p', 1, 1)".to_owned(),
        "insert into dashboard.inventory values ('ada', 'p', 1, -1, 0)".to_owned(),
        format!("insert into dashboard.mocs (user_id, title, theme) values ('{user}', 'x', 'y')"),
        format!("insert into dashboard.inventory values ('{user}', 'p', 1, 1, 0)"),
        format!("insert into dashboard.sets (user_id, title, theme) values ('{user}', 'x', 'y')"),
        format!("insert into dashboard.wishlist_items (user_id, title) values ('{user}', 'x')"),
    ];
    with_database(|db| async move {
        for statement in cases {
            let result = sqlx::query(AssertSqlSafe(statement.as_str())).execute(&db.pool).await;
            assert!(result.is_err(), "{statement}");
        }
    })
    .await;
}

//! Tests what the outbox holds after writes: exactly the users and the sections in which something else is shown.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Executor};
use uuid::{Uuid, uuid};

use crate::support::{TestDb, pause, with_database};

const A: Uuid = uuid!("00000000-0000-4000-8000-00000000000a");
const B: Uuid = uuid!("00000000-0000-4000-8000-00000000000b");
const C: Uuid = uuid!("00000000-0000-4000-8000-00000000000c");

/// A has no parts, B is partly covered. Both are Ada's. C is Bob's. Ada has a set and a wish.
const START: &str = "
    truncate collection.mocs, collection.inventory, collection.sets, collection.wishlist_items cascade;
    insert into collection.mocs (id, user_id, title, theme)
    values ('00000000-0000-4000-8000-00000000000a', 'ada', 'A', 'Castle'),
           ('00000000-0000-4000-8000-00000000000b', 'ada', 'B', 'Space'),
           ('00000000-0000-4000-8000-00000000000c', 'bob', 'C', 'Space');
    insert into collection.moc_parts
    values ('00000000-0000-4000-8000-00000000000b', 'p', 1, 1000);
    insert into collection.inventory values ('ada', 'p', 1, 500, 0), ('bob', 'p', 1, 300, 0);
    insert into collection.sets (user_id, title, theme) values ('ada', 'S', 'Castle');
    insert into collection.wishlist_items (user_id, title) values ('ada', 'W')";

const SUMMARY: i16 = 1;
const THEMES: i16 = 2;
const RECENT: i16 = 4;
const PARTIAL: i16 = 8;
const ENTRY: i16 = SUMMARY | THEMES | RECENT;

/// An outbox row of a transaction of the projector: user, sections, MOCs that were added.
type Row = (String, i16, Option<Vec<Uuid>>);

fn row(user: &str, sections: i16, added: Option<&[Uuid]>) -> Row {
    (user.to_owned(), sections, added.map(<[_]>::to_vec))
}

/// A reader of the outbox.
#[derive(Default)]
struct Log {
    /// The last row that was read. Rows stay: a user's newest is the user's revision.
    last: i64,
}

impl Log {
    /// A collection to write to, of which all changes have been announced.
    async fn start(db: &TestDb) -> Self {
        let mut log = Self::default();
        log.restart(db).await;
        log
    }

    async fn restart(&mut self, db: &TestDb) {
        db.run(START).await;
        self.rows(db).await;
    }

    /// The changes that were announced since the last time, one row for each user. A user's rows are merged,
    /// as a client merges them: large work is announced piece by piece, and work that waits for a lock is
    /// announced separately.
    async fn rows(&mut self, db: &TestDb) -> Vec<Row> {
        db.settle().await;
        let rows: Vec<(i64, String, i16, Option<Vec<Uuid>>)> = sqlx::query_as(
            "select id, user_id, sections, added from dashboard.changes where id > $1 order by id",
        )
        .bind(self.last)
        .fetch_all(&db.pool)
        .await
        .unwrap();
        self.last = rows.last().map_or(self.last, |(id, ..)| *id);
        let mut told: BTreeMap<String, (i16, Option<Vec<Uuid>>)> = BTreeMap::new();
        for (_, user, sections, added) in rows {
            let (all, named) = told.entry(user).or_default();
            // A client that is sent the whole list once needs no names.
            let is_whole = sections & RECENT != 0 && added.is_none();
            let was_whole = *all & RECENT != 0 && named.is_none();
            *named = match (named.take(), added) {
                _ if is_whole || was_whole => None,
                (None, added) => added,
                (named, None) => named,
                (Some(named), Some(added)) => Some([named, added].concat()),
            };
            *all |= sections;
        }
        let sorted = |mut added: Vec<Uuid>| {
            added.sort();
            added
        };
        told.into_iter().map(|(user, (all, added))| (user, all, added.map(sorted))).collect()
    }

    /// The same without what was added.
    async fn sections(&mut self, db: &TestDb) -> Vec<(String, i16)> {
        self.rows(db).await.into_iter().map(|(user, sections, _)| (user, sections)).collect()
    }
}

/// Statements, and which users get an announcement of which sections after them.
type Case = (String, Vec<(&'static str, i16)>);

async fn assert_told(cases: Vec<Case>) {
    with_database(|db| async move {
        let mut log = Log::default();
        for (statements, expected) in cases {
            log.restart(&db).await;
            db.run(&statements).await;
            let told = log.sections(&db).await;
            let told: Vec<_> = told.iter().map(|(user, told)| (user.as_str(), *told)).collect();
            assert_eq!(told, expected, "{statements}");
        }
    })
    .await;
}

#[tokio::test]
async fn each_statement_is_announced_where_it_shows_and_nowhere_else() {
    let update =
        |what: &str, id: Uuid| format!("update collection.mocs set {what} where id = '{id}'");
    let own = |count: i32| {
        format!("update collection.inventory set owned_quantity = {count} where user_id = 'ada'")
    };
    let need = |id: Uuid, part: &str, count: i32| {
        format!("insert into collection.moc_parts values ('{id}', '{part}', 1, {count})")
    };
    let cases: Vec<Case> = vec![
        // Nothing that is shown.
        (update("title = title", A), vec![]),
        (update("title = 'x'", Uuid::from_u128(0xff)), vec![]),
        (update("updated_at = now()", A), vec![]),
        ("update collection.sets set title = 'other'".into(), vec![]),
        ("update collection.wishlist_items set title = 'other'".into(), vec![]),
        ("delete from collection.mocs where false".into(), vec![]),
        // Shown in one place or several.
        (update("title = 'x'", A), vec![("ada", RECENT)]),
        (update("title = 'x'", B), vec![("ada", RECENT | PARTIAL)]),
        (update("theme = 'Space'", A), vec![("ada", THEMES | RECENT)]),
        (update("theme = 'Castle'", B), vec![("ada", THEMES | RECENT | PARTIAL)]),
        (update("build_status = 'BUILT'", A), vec![("ada", SUMMARY | RECENT)]),
        (update("build_status = 'BUILT'", B), vec![("ada", SUMMARY | RECENT | PARTIAL)]),
        (update("cover_image_url = 'https://a/b'", A), vec![("ada", RECENT)]),
        (update("cover_image_url = 'https://a/b'", B), vec![("ada", RECENT)]),
        (update("created_at = now() - interval '1 year'", A), vec![("ada", RECENT)]),
        (update("created_at = now() - interval '1 year'", B), vec![("ada", RECENT)]),
        (update("updated_at = now() - interval '1 year'", B), vec![("ada", PARTIAL)]),
        // Coverage: shown as a percentage, rounded down.
        (own(501), vec![]),
        (own(509), vec![]),
        (own(510), vec![("ada", PARTIAL)]),
        (own(700), vec![("ada", PARTIAL)]),
        (own(1000), vec![("ada", SUMMARY | PARTIAL)]),
        (own(0), vec![("ada", SUMMARY | PARTIAL)]),
        (need(A, "q", 9), vec![]),
        (need(A, "p", 9), vec![("ada", SUMMARY)]),
        (need(A, "p", 501), vec![("ada", SUMMARY | PARTIAL)]),
        ("insert into collection.inventory values ('ada', 'q', 1, 5, 0)".into(), vec![]),
        ("update collection.moc_parts set quantity = 500".into(), vec![("ada", SUMMARY | PARTIAL)]),
        (
            "update collection.inventory set owned_quantity = 0, ordered_quantity = 500".into(),
            vec![],
        ),
        ("delete from collection.inventory".into(), vec![("ada", SUMMARY | PARTIAL)]),
        ("delete from collection.moc_parts".into(), vec![("ada", SUMMARY | PARTIAL)]),
        ("truncate collection.moc_parts".into(), vec![("ada", SUMMARY | PARTIAL)]),
        ("truncate collection.inventory".into(), vec![("ada", SUMMARY | PARTIAL)]),
        // What a part list gains another loses. Each MOC is judged alone: the counts that the summary shows are
        // announced though they come out as before.
        (
            format!("update collection.moc_parts set moc_id = '{A}'"),
            vec![("ada", SUMMARY | PARTIAL)],
        ),
        (
            format!("update collection.moc_parts set moc_id = '{C}'"),
            vec![("ada", SUMMARY | PARTIAL), ("bob", SUMMARY | PARTIAL)],
        ),
        // Leaving and entering.
        (format!("delete from collection.mocs where id = '{A}'"), vec![("ada", ENTRY)]),
        (format!("delete from collection.mocs where id = '{B}'"), vec![("ada", ENTRY | PARTIAL)]),
        (update("user_id = 'bob'", A), vec![("ada", ENTRY), ("bob", ENTRY)]),
        (update("user_id = 'bob'", B), vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY | PARTIAL)]),
        (update("id = gen_random_uuid()", A), vec![("ada", ENTRY)]),
        ("truncate collection.mocs cascade".into(), vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY)]),
        // Sets and wishes.
        (
            "insert into collection.sets (user_id, title, theme) values ('ada', 'x', 'y')".into(),
            vec![("ada", THEMES)],
        ),
        ("update collection.sets set theme = 'Space'".into(), vec![("ada", THEMES)]),
        (
            "update collection.sets set user_id = 'bob'".into(),
            vec![("ada", THEMES), ("bob", THEMES)],
        ),
        ("delete from collection.sets".into(), vec![("ada", THEMES)]),
        ("truncate collection.sets".into(), vec![("ada", THEMES)]),
        (
            "insert into collection.wishlist_items (user_id, title) values ('bob', 'x')".into(),
            vec![("bob", SUMMARY)],
        ),
        (
            "update collection.wishlist_items set user_id = 'bob'".into(),
            vec![("ada", SUMMARY), ("bob", SUMMARY)],
        ),
        ("delete from collection.wishlist_items".into(), vec![("ada", SUMMARY)]),
        ("truncate collection.wishlist_items".into(), vec![("ada", SUMMARY)]),
        // Many rows, one entry for each user.
        (
            "update collection.mocs set title = title || '!'".into(),
            vec![("ada", RECENT | PARTIAL), ("bob", RECENT)],
        ),
        (
            "insert into collection.sets (user_id, title, theme)
             select 'u' || i % 3, 'x', 'y' from generate_series(1, 1000) i"
                .into(),
            vec![("u0", THEMES), ("u1", THEMES), ("u2", THEMES)],
        ),
    ];
    assert_told(cases).await;
}

/// Triggers see statements. The outbox holds their joint result, for one transaction or several.
#[tokio::test]
async fn only_the_result_of_statements_is_announced() {
    let reload = |remove: &str| {
        format!(
            "begin;
             create temp table kept_mocs on commit drop as table collection.mocs;
             create temp table kept_parts on commit drop as table collection.moc_parts;
             create temp table kept_lots on commit drop as table collection.inventory;
             create temp table kept_sets on commit drop as table collection.sets;
             {remove};
             insert into collection.mocs table kept_mocs;
             insert into collection.moc_parts table kept_parts;
             insert into collection.inventory table kept_lots;
             insert into collection.sets table kept_sets;
             commit"
        )
    };
    let give = format!("update collection.mocs set user_id = 'bob' where id = '{B}'");
    let cases: Vec<Case> = vec![
        // The same rows again.
        (
            reload(
                "delete from collection.mocs; delete from collection.inventory;
                 delete from collection.sets",
            ),
            vec![],
        ),
        (
            reload(
                "truncate collection.mocs, collection.moc_parts, collection.inventory, collection.sets",
            ),
            vec![],
        ),
        // There and back.
        (
            "begin; delete from collection.wishlist_items;
             insert into collection.wishlist_items (user_id, title) values ('eve', 'x'); rollback"
                .into(),
            vec![],
        ),
        ("begin; savepoint s; delete from collection.mocs; rollback to s; commit".into(), vec![]),
        (
            "insert into collection.wishlist_items (user_id, title) values ('eve', 'x');
             delete from collection.wishlist_items where user_id = 'eve'"
                .into(),
            vec![],
        ),
        (format!("{give}; update collection.mocs set user_id = 'ada' where id = '{B}'"), vec![]),
        // A MOC whose parts change while it changes hands: its new owner has all that it takes.
        (
            format!("begin; {give}; update collection.moc_parts set quantity = 300; commit"),
            vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY)],
        ),
        (
            format!("begin; update collection.moc_parts set quantity = 300; {give}; commit"),
            vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY)],
        ),
        (
            format!(
                "begin; update collection.mocs set title = 'x'; {give};
                 update collection.inventory set owned_quantity = 0 where user_id = 'bob';
                 update collection.mocs set theme = 'Castle' where id = '{C}'; commit"
            ),
            vec![("ada", ENTRY | PARTIAL), ("bob", ENTRY)],
        ),
        // A lot that was only ordered is delivered, and another one is cancelled.
        (
            "update collection.inventory set owned_quantity = 0, ordered_quantity = 500;
             update collection.inventory set owned_quantity = 500, ordered_quantity = 0"
                .into(),
            vec![],
        ),
        (
            "update collection.inventory set owned_quantity = 0, ordered_quantity = 500;
             delete from collection.inventory where user_id = 'ada'"
                .into(),
            vec![("ada", SUMMARY | PARTIAL)],
        ),
    ];
    assert_told(cases).await;
}

/// What was only ordered counts until it is cancelled. The projector has seen it then.
#[tokio::test]
async fn a_cancelled_order_is_announced() {
    with_database(|db| async move {
        let mut log = Log::start(&db).await;
        db.run("update collection.inventory set owned_quantity = 0, ordered_quantity = 500").await;
        assert_eq!(log.rows(&db).await, []);
        db.run("delete from collection.inventory where user_id = 'ada' and owned_quantity = 0")
            .await;
        assert_eq!(log.rows(&db).await, [row("ada", SUMMARY | PARTIAL, None)]);
        db.run("insert into collection.inventory values ('ada', 'p', 1, 0, 1)").await;
        assert_eq!(log.rows(&db).await, [row("ada", SUMMARY | PARTIAL, None)]);
    })
    .await;
}

fn insert(rows: &[(Uuid, &str)]) -> String {
    let rows: Vec<_> =
        rows.iter().map(|(id, user)| format!("('{id}', '{user}', 'x', 'y')")).collect();
    let rows = rows.join(", ");
    format!("insert into collection.mocs (id, user_id, title, theme) values {rows}")
}

#[tokio::test]
async fn new_mocs_are_named_where_nothing_else_has_happened_to_the_recent_list() {
    const D: Uuid = uuid!("00000000-0000-4000-8000-00000000000d");
    const E: Uuid = uuid!("00000000-0000-4000-8000-00000000000e");
    let rename = format!("update collection.mocs set title = 'x' where id = '{A}'");
    let stock = format!(
        "insert into collection.moc_parts values ('{D}', 'p', 1, 1000);
         update collection.inventory set owned_quantity = 700;
         insert into collection.wishlist_items (user_id, title) values ('ada', 'x')"
    );
    let cases = [
        (vec![insert(&[(D, "ada")])], vec![row("ada", ENTRY, Some(&[D]))]),
        (
            vec![insert(&[(D, "ada"), (E, "bob")])],
            vec![row("ada", ENTRY, Some(&[D])), row("bob", ENTRY, Some(&[E]))],
        ),
        (vec![insert(&[(D, "ada"), (E, "ada")])], vec![row("ada", ENTRY, Some(&[D, E]))]),
        (
            vec![insert(&[(E, "ada")]), insert(&[(D, "ada")])],
            vec![row("ada", ENTRY, Some(&[D, E]))],
        ),
        // What else has changed is not in the list.
        (vec![insert(&[(D, "ada")]), stock], vec![row("ada", ENTRY | PARTIAL, Some(&[D]))]),
        (vec![insert(&[(D, "ada")]), rename.clone()], vec![row("ada", ENTRY, None)]),
        (
            vec![insert(&[(D, "ada")]), format!("delete from collection.mocs where id = '{A}'")],
            vec![row("ada", ENTRY, None)],
        ),
        // Renamed before it has been announced: it is new all the same.
        (
            vec![insert(&[(D, "ada")]), rename.replace(&A.to_string(), &D.to_string())],
            vec![row("ada", ENTRY, Some(&[D]))],
        ),
        // For its new owner it is new.
        (
            vec![format!("update collection.mocs set user_id = 'bob' where id = '{A}'")],
            vec![row("ada", ENTRY, None), row("bob", ENTRY, Some(&[A]))],
        ),
        (
            vec![insert(&[(D, "ada")]), format!("delete from collection.mocs where id = '{D}'")],
            vec![],
        ),
    ];
    with_database(|db| async move {
        let mut log = Log::default();
        for (statements, expected) in cases {
            log.restart(&db).await;
            for statement in &statements {
                db.run(statement).await;
            }
            assert_eq!(log.rows(&db).await, expected, "{statements:?}");
        }
    })
    .await;
}

/// More than one transaction of the projector holds: each names its own, and each MOC is named once.
#[tokio::test]
async fn mocs_of_a_large_import_are_all_named() {
    with_database(|db| async move {
        let mut log = Log::start(&db).await;
        db.run(
            "insert into collection.mocs (user_id, title, theme)
             select 'eve', 'x', 'y' from generate_series(1, 3000)",
        )
        .await;
        let mut named = Vec::new();
        for (user, sections, added) in log.rows(&db).await {
            assert_eq!((user.as_str(), sections), ("eve", ENTRY));
            named.extend(added.unwrap());
        }
        named.sort();
        let all: Vec<Uuid> =
            sqlx::query_scalar("select id from collection.mocs where user_id = 'eve' order by id")
                .fetch_all(&db.pool)
                .await
                .unwrap();
        assert_eq!(named, all);
    })
    .await;
}

#[tokio::test]
async fn an_upsert_that_updates_is_no_new_moc() {
    with_database(|db| async move {
        let mut log = Log::start(&db).await;
        let upsert = format!(
            "{} on conflict (id) do update set title = excluded.title",
            insert(&[(A, "ada"), (C, "ada")])
        );
        db.run(&upsert).await;
        assert_eq!(log.rows(&db).await, [row("ada", RECENT, None), row("bob", RECENT, None)]);
    })
    .await;
}

/// Two transactions at once: one makes a MOC partly covered while the other renames it. In either order of
/// their commits, the last one announces the table, and the table holds the MOC under its new name.
#[tokio::test]
async fn a_moc_that_enters_the_partial_table_while_it_is_renamed_is_shown_with_its_name() {
    with_database(|db| async move {
        for is_renamed_last in [true, false] {
            let mut log = Log::start(&db).await;
            db.run("delete from collection.inventory").await;
            log.rows(&db).await;
            let (mut renaming, mut stocking) = (db.connection().await, db.connection().await);
            renaming.execute("begin; update collection.mocs set title = 'new'").await.unwrap();
            let stock = "begin; insert into collection.inventory values ('ada', 'p', 1, 500, 0)";
            stocking.execute(stock).await.unwrap();
            let (first, last) = if is_renamed_last {
                (&mut stocking, &mut renaming)
            } else {
                (&mut renaming, &mut stocking)
            };
            first.execute("commit").await.unwrap();
            log.rows(&db).await;
            last.execute("commit").await.unwrap();
            let told = log.rows(&db).await;
            assert!(told.iter().any(|(_, sections, _)| sections & PARTIAL != 0), "{told:?}");
            let partial =
                "select title from dashboard.mocs where coverage_status = 'PARTIAL_ORDERED'";
            assert_eq!(db.one::<String>(partial).await, "new");
        }
    })
    .await;
}

/// Sessions keep the plans of a trigger's statements, made for what it met first.
#[tokio::test]
async fn a_large_update_ends_after_a_small_one_of_the_same_session() {
    const MANY: &str = "
        insert into collection.mocs (id, user_id, title, theme)
        select md5(i::text)::uuid, 'u' || i % 7, 'x', 'y' from generate_series(1, 20000) as i";
    const PARTS: &str = "
        insert into collection.moc_parts select id, 'p', 1, 2 from collection.mocs where user_id = 'u0'";
    with_database(|db| async move {
        let mut log = Log::start(&db).await;
        db.run(MANY).await;
        db.run(PARTS).await;
        log.rows(&db).await;
        let mut session = db.connection().await;
        // Many times what all of them take together.
        session.execute("set statement_timeout = '30s'").await.unwrap();
        let one = format!("update collection.mocs set title = 'z' where id = '{A}'");
        for statement in [
            one.as_str(),
            "update collection.mocs set title = title || '!'",
            "update collection.inventory set owned_quantity = 501 where user_id = 'ada'",
            "insert into collection.inventory values ('u0', 'p', 1, 1, 0)",
            "update collection.sets set title = 'x'",
        ] {
            session.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        let told = log.sections(&db).await;
        let of = |user: &str| told.iter().find(|(who, _)| who == user).map(|(_, told)| *told);
        assert_eq!(of("u0"), Some(SUMMARY | RECENT | PARTIAL), "renamed, partly covered");
        assert_eq!(of("u1"), Some(RECENT));
        assert_eq!(of("ada"), Some(RECENT | PARTIAL));
        assert_eq!(told.len(), 9);
        let wrong = "select count(*) from dashboard.mocs as shown join collection.mocs using (id)
                     where shown.title <> mocs.title or not mocs.title like '%!'";
        assert_eq!(db.one::<i64>(wrong).await, 0);
    })
    .await;
}

/// Plans are kept for a minute, and the first are made while there is little to read. Rows are found by their keys
/// with those, too, not by reading all that are there, however many follow.
#[tokio::test]
async fn a_large_import_into_a_small_read_model_does_not_read_it_again_and_again() {
    const MANY: &str = "
        insert into collection.mocs (user_id, title, theme)
        select 'eve', 'x', 'y' from generate_series(1, 3000);
        insert into collection.sets (user_id, title, theme)
        select 'eve', 'x', 'y' from generate_series(1, 3000);
        insert into collection.wishlist_items (user_id, title)
        select 'eve', 'x' from generate_series(1, 3000)";
    // A session counts for itself, and adds it up when it ends.
    const READ: &str = "
        select coalesce(sum(idx_tup_read) filter (where relname = 'mocs'), 0)::int8,
               coalesce(sum(idx_tup_read) filter (where relname = 'sets'), 0)::int8,
               coalesce(sum(idx_tup_read) filter (where relname = 'wishlist_items'), 0)::int8
        from pg_stat_user_indexes
        where schemaname = 'dashboard'
        having (select sum(n_tup_ins) from pg_stat_user_tables
                where schemaname = 'dashboard'
                  and relname in ('mocs', 'sets', 'wishlist_items')) >= 9005";
    with_database(|db| async move {
        Log::start(&db).await;
        db.write(MANY).await;
        let read = loop {
            let read: Option<(i64, i64, i64)> =
                sqlx::query_as(READ).fetch_optional(&db.pool).await.unwrap();
            if let Some(read) = read {
                break read;
            }
            pause().await;
        };
        assert!(read.0 <= 6_000 && read.1 <= 6_000 && read.2 <= 6_000, "{read:?}");
    })
    .await;
}

/// The same of the application's tables: each part of a MOC leads to one lot, no matter what else its owner has.
#[tokio::test]
async fn an_import_of_lots_reads_no_lot_again_and_again() {
    const MANY: &str = "
        insert into collection.mocs (id, user_id, title, theme)
        select md5(i::text)::uuid, 'eve', 'x', 'y' from generate_series(1, 100) as i;
        insert into collection.moc_parts
        select md5(i::text)::uuid, 'p' || (i * 7 + part * 13) % 2000, 1, 1
        from generate_series(1, 100) as i, generate_series(1, 20) as part;
        insert into collection.inventory
        select 'eve', 'p' || i, 1, 1, 0 from generate_series(1, 2000) as i";
    const READ: &str = "
        select sum(idx_tup_read)::int8 from pg_stat_user_indexes
        where schemaname = 'collection' and relname = 'inventory'
        having (select sum(n_tup_ins) from pg_stat_user_tables
                where schemaname = 'dashboard' and relname = 'mocs') >= 100";
    with_database(|db| async move {
        Log::start(&db).await;
        db.write(MANY).await;
        let read = loop {
            let read: Option<i64> =
                sqlx::query_scalar(READ).fetch_optional(&db.pool).await.unwrap();
            if let Some(read) = read {
                break read;
            }
            pause().await;
        };
        assert!(read <= 100_000, "{read}");
    })
    .await;
}

#[tokio::test]
async fn bad_rows_are_refused_by_the_tables() {
    let long = "x".repeat(201);
    // Of no session, and so of no user.
    let user = "x".repeat(256);
    let moc = |columns: &str, values: &str| {
        format!("insert into collection.mocs (user_id, {columns}) values ('ada', {values})")
    };
    let cases = [
        moc("title, theme", "'', 'y'"),
        moc("title, theme", &format!("'{long}', 'y'")),
        moc("title, theme", "'x', ''"),
        moc("title, theme", &format!("'x', '{long}'")),
        moc("title, theme, build_status", "'x', 'y', 'LOST'"),
        moc("title, theme, cover_image_url", "'x', 'y', 'javascript:alert(1)'"),
        moc("title, theme, cover_image_url", "'x', 'y', 'https://a b/'"),
        moc("title, theme, created_at", "'x', 'y', 'infinity'"),
        moc("title, theme, updated_at", "'x', 'y', '1899-12-31Z'"),
        format!("insert into collection.moc_parts values ('{C}', 'p', 1, 1)"),
        format!("insert into collection.moc_parts values ('{A}', 'q', 1, 0)"),
        "insert into collection.inventory values ('ada', 'q', 1, -1, 0)".to_owned(),
        "insert into collection.inventory values ('ada', 'q', 1, 0, -1)".to_owned(),
        "insert into collection.sets (user_id, title, theme) values ('ada', 'x', '')".to_owned(),
        format!(
            "insert into collection.sets (user_id, title, theme) values ('ada', 'x', '{long}')"
        ),
        format!("insert into collection.mocs (user_id, title, theme) values ('{user}', 'x', 'y')"),
        format!("insert into collection.inventory values ('{user}', 'p', 1, 1, 0)"),
        format!("insert into collection.sets (user_id, title, theme) values ('{user}', 'x', 'y')"),
        format!("insert into collection.wishlist_items (user_id, title) values ('{user}', 'x')"),
        "insert into collection.mocs (user_id, title, theme) values ('', 'x', 'y')".to_owned(),
        "insert into collection.wishlist_items (user_id, title) values ('', 'x')".to_owned(),
    ];
    with_database(|db| async move {
        db.run(&insert(&[(A, "ada")])).await;
        for statement in cases {
            let result = sqlx::query(AssertSqlSafe(statement.as_str())).execute(&db.pool).await;
            let error = result.expect_err(&statement);
            // A check, a foreign key, or a word that is none of the type's.
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert!(["23514", "23503", "22P02"].contains(&code.as_str()), "{statement}: {error}");
        }
    })
    .await;
}

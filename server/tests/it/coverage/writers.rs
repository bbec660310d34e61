//! Tests concurrent writers: all that they do together is counted, in any order of their commits, and neither
//! they nor the projector keep one another waiting.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashboard_server::projector::{self, Projector};
use dashboard_server::source::{Source, load};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::time::timeout;

use super::{MOC, assert_consistent, moc, waiting};
use crate::support::{PATIENCE, TestDb, pause, with_database};

/// A projector that goes on from what it has seen, as a server's does.
struct Follower {
    projector: Projector,
    node: PgConnection,
}

impl Follower {
    async fn of(db: &TestDb) -> Self {
        let options = PgConnectOptions::from_str(&db.url).unwrap();
        let mut node = projector::connect(&options).await.unwrap();
        let source = Source::built_in("standalone").unwrap();
        let installed = load(&mut node, &source).await.unwrap();
        Self { projector: Projector::new(installed), node }
    }

    /// Does what can be done now.
    async fn catch_up(&mut self) {
        while self.projector.pass(&mut self.node).await.unwrap().has_more {}
    }

    /// Does all of it, also what has to wait a little for a lock.
    async fn finish(&mut self, db: &TestDb) {
        let finished = async {
            self.catch_up().await;
            while waiting(db).await > 0 {
                pause().await;
                self.catch_up().await;
            }
        };
        timeout(PATIENCE, finished).await.expect("something is left");
    }
}

/// Sessions A, B and P, and what they do in turn. After each step a projector does what it can. A step that
/// waits for another session would wait for ever, and one that the database ends for a deadlock fails.
async fn interleave(setup: &str, steps: &[(char, &str)]) {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        db.run(setup).await;
        let mut follower = Follower::of(&db).await;
        let mut sessions = [db.connection().await, db.connection().await, db.connection().await];
        for (session, statement) in steps {
            let connection =
                &mut sessions[['A', 'B', 'P'].iter().position(|s| s == session).unwrap()];
            let step = connection.execute(AssertSqlSafe(statement.replace('$', MOC)));
            let outcome = timeout(PATIENCE, step).await;
            let outcome = outcome.unwrap_or_else(|_| panic!("{session}: {statement} waits"));
            outcome.unwrap_or_else(|error| panic!("{session}: {statement}: {error}"));
            follower.catch_up().await;
        }
        // No note is left for the look that comes every few seconds.
        assert_eq!(db.one::<i64>("select count(*) from dashboard.outbox").await, 0);
        follower.finish(&db).await;
        assert_consistent(&db).await;
    })
    .await;
}

/// Ada has one of each part, and Bob five.
const STOCK: &str = "insert into collection.inventory
    values ('ada', 'p', 1, 1, 0), ('ada', 'q', 1, 1, 0), ('bob', 'p', 1, 5, 0), ('bob', 'q', 1, 5, 0)";

/// Neither sees the other's row, at any isolation level. Only the projector, afterwards, sees both.
#[tokio::test]
async fn two_transactions_that_complete_each_other_are_both_counted() {
    for level in ["read committed", "repeatable read", "serializable"] {
        let begin = format!("begin isolation level {level}; select 1 from collection.mocs");
        for order in [['A', 'B'], ['B', 'A']] {
            let steps = [
                ('A', begin.as_str()),
                ('B', begin.as_str()),
                ('A', "insert into collection.moc_parts values ('$', 'p', 1, 10)"),
                ('B', "update collection.inventory set owned_quantity = 4 where user_id = 'ada'"),
                ('B', "insert into collection.inventory values ('ada', 'r', 1, 4, 0)"),
                ('A', "insert into collection.moc_parts values ('$', 'r', 1, 10)"),
                (order[0], "commit"),
                (order[1], "commit"),
            ];
            interleave(STOCK, &steps).await;
        }
    }
}

/// The note of a transaction that began early and commits late is found, no matter what was seen in between.
/// A rollback to a savepoint takes the notes along.
#[tokio::test]
async fn a_transaction_that_commits_after_later_ones_is_counted() {
    let steps = [
        ('A', "begin; insert into collection.moc_parts values ('$', 'p', 1, 10)"),
        ('B', "update collection.mocs set title = 'B'"),
        ('A', "savepoint s; insert into collection.moc_parts values ('$', 'q', 1, 10)"),
        ('B', "update collection.inventory set owned_quantity = 4"),
        (
            'A',
            "rollback to s; savepoint s; insert into collection.moc_parts values ('$', 'r', 1, 2)",
        ),
        ('B', "insert into collection.inventory values ('ada', 'r', 1, 1, 0)"),
        ('A', "release s; savepoint t; delete from collection.inventory where part_num = 'q'"),
        ('B', "update collection.mocs set title = 'C'"),
        ('A', "commit"),
        ('B', "begin; delete from collection.moc_parts where part_num = 'p'"),
        ('A', "delete from collection.inventory where part_num = 'r'"),
        ('B', "commit"),
    ];
    interleave(STOCK, &steps).await;
}

#[tokio::test]
async fn a_writer_of_mocs_and_parts_and_a_writer_of_inventory_pass_each_other() {
    let steps = [
        ('A', "insert into collection.moc_parts values ('$', 'p', 1, 10)"),
        ('A', "begin; update collection.mocs set title = 'B'"),
        ('B', "update collection.inventory set owned_quantity = 2 where user_id = 'ada'"),
        ('A', "insert into collection.moc_parts values ('$', 'q', 1, 10)"),
        ('B', "begin; update collection.inventory set owned_quantity = 3 where user_id = 'ada'"),
        ('A', "update collection.mocs set title = 'C'; commit"),
        ('B', "update collection.mocs set title = 'D'; commit"),
    ];
    interleave(STOCK, &steps).await;
}

#[tokio::test]
async fn writers_of_two_users_in_opposite_order_pass_each_other() {
    let own = |user: &str, part: &str| {
        format!(
            "update collection.inventory set owned_quantity = 3
             where user_id = '{user}' and part_num = '{part}'"
        )
    };
    let [one, two] =
        [("ada", "p"), ("bob", "p")].map(|(user, part)| format!("begin; {}", own(user, part)));
    let (three, four) = (own("bob", "q"), own("ada", "q"));
    let steps = [
        ('A', one.as_str()),
        ('B', &two),
        ('A', &three),
        ('B', &four),
        ('A', "commit"),
        ('B', "commit"),
    ];
    interleave(STOCK, &steps).await;
}

#[tokio::test]
async fn truncating_waits_for_no_writer_and_no_writer_for_it() {
    let steps = [
        ('B', "begin; insert into collection.moc_parts values ('$', 'p', 1, 10)"),
        ('A', "truncate collection.inventory"),
        ('B', "insert into collection.inventory values ('ada', 'p', 1, 2, 0)"),
        ('A', "update collection.mocs set title = 'B'"),
        ('B', "commit; begin; update collection.inventory set owned_quantity = 3"),
        ('A', "truncate collection.moc_parts"),
        ('B', "commit"),
        // The projector cannot read the table yet. A writer to another table does not notice.
        ('A', "begin; truncate collection.inventory"),
        ('B', "insert into collection.moc_parts values ('$', 'p', 1, 10)"),
        ('B', "update collection.mocs set title = 'C'"),
        ('A', "insert into collection.inventory values ('ada', 'p', 1, 4, 0)"),
        ('A', "commit"),
    ];
    interleave(STOCK, &steps).await;
}

#[tokio::test]
async fn a_moc_that_changes_hands_while_it_gets_parts_is_counted_for_its_owner() {
    let part = "begin; insert into collection.moc_parts values ('$', 'p', 1, 10)";
    let give = "begin; update collection.mocs set user_id = 'bob'";
    for [first, second] in [['A', 'B'], ['B', 'A']] {
        let steps = [('A', part), ('B', give), (first, "commit"), (second, "commit")];
        interleave(STOCK, &steps).await;
        let steps = [('B', give), ('A', part), (first, "commit"), (second, "commit")];
        interleave(STOCK, &steps).await;
    }
}

/// P is another server's projector: it has the turn, and has taken notes and written rows. Then it is lost.
#[tokio::test]
async fn a_projector_in_the_middle_of_its_work_stops_no_writer() {
    let steps = [
        ('A', "begin; insert into collection.moc_parts values ('$', 'p', 1, 10)"),
        (
            'P',
            "begin; select from dashboard.turn for update; delete from dashboard.outbox;
             update dashboard.mocs set title = 'X'; delete from dashboard.mocs;
             insert into dashboard.changes (user_id, sections, nonce) values ('ada', 15, 1)",
        ),
        ('A', "update collection.mocs set title = 'B'; commit"),
        ('B', "delete from collection.inventory where part_num = 'q'"),
        ('B', "truncate collection.sets, collection.wishlist_items"),
        ('A', "begin; delete from collection.mocs"),
        ('B', "update collection.inventory set owned_quantity = 7"),
        ('A', "rollback"),
        ('P', "rollback"),
    ];
    interleave(STOCK, &steps).await;
}

/// Statements of every kind, for one transaction.
const EVERY_KIND: &str = "
    insert into collection.mocs (id, user_id, title, theme)
    values ('00000000-0000-4000-8000-00000000000b', 'ada', 'B', 'Castle');
    update collection.mocs set user_id = 'bob';
    insert into collection.moc_parts select id, 'p', 1, 10 from collection.mocs;
    update collection.moc_parts set quantity = 3;
    update collection.inventory set owned_quantity = 2;
    insert into collection.sets (user_id, title, theme) values ('ada', 'S', 'Castle');
    insert into collection.wishlist_items (user_id, title) values ('ada', 'W');
    delete from collection.inventory where user_id = 'ada';
    delete from collection.mocs where id = '00000000-0000-4000-8000-00000000000b'";

/// What a writer holds of ours until it commits: the right to add notes, which it shares with all others.
#[tokio::test]
async fn writers_lock_nothing_of_ours_that_another_writer_waits_for() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        db.write(STOCK).await;
        let mut writer = db.connection().await;
        writer.execute("begin").await.unwrap();
        writer.execute(EVERY_KIND).await.unwrap();
        writer.execute("truncate collection.wishlist_items").await.unwrap();
        let held: Vec<String> = sqlx::query_scalar(
            "select distinct coalesce(relname, locktype) || ' ' || mode as held
             from pg_locks left join pg_class on pg_class.oid = relation
             where pid = pg_backend_pid()
               and (relnamespace = 'dashboard'::regnamespace and mode <> 'AccessShareLock'
                    or locktype in ('advisory', 'tuple'))
             order by held",
        )
        .fetch_all(&mut writer)
        .await
        .unwrap();
        assert_eq!(held, ["outbox RowExclusiveLock", "outbox_id_seq RowExclusiveLock"]);
        writer.execute("commit").await.unwrap();
        db.settle().await;
        assert_consistent(&db).await;
    })
    .await;
}

/// What the projector holds of the application's tables: the right to read them, at which no writer stops.
#[tokio::test]
async fn the_projector_locks_nothing_of_the_applications_that_a_writer_waits_for() {
    with_database(|db| async move {
        db.run(
            "create table public.held (lock text);
             create function public.note_locks() returns trigger language plpgsql as $$
             begin
                 insert into public.held
                 select relname || ' ' || mode
                 from pg_locks join pg_class on pg_class.oid = relation
                 where pid = pg_backend_pid() and relnamespace = 'collection'::regnamespace
                   and relkind = 'r';
                 return null;
             end $$;
             create trigger note_locks after insert on dashboard.changes
             for each statement execute function public.note_locks()",
        )
        .await;
        moc(&db, MOC, "ada").await;
        db.run(STOCK).await;
        db.write(EVERY_KIND).await;
        db.write("truncate collection.mocs cascade").await;
        let held: Vec<String> =
            sqlx::query_scalar("select distinct lock from public.held order by lock")
                .fetch_all(&db.pool)
                .await
                .unwrap();
        let expected = ["inventory", "moc_parts", "mocs", "sets", "wishlist_items"]
            .map(|name| format!("{name} AccessShareLock"));
        assert_eq!(held, expected);
    })
    .await;
}

#[tokio::test]
async fn writers_of_every_kind_neither_deadlock_nor_are_miscounted() {
    with_database(|db| async move {
        for number in 0..40 {
            let user = format!("u{}", number % 3);
            moc(&db, &format!("00000000-0000-4000-8000-0000000000{number:02}"), &user).await;
        }
        let is_done = Arc::new(AtomicBool::new(false));
        let mut follower = Follower::of(&db).await;
        let projecting = tokio::spawn({
            let is_done = Arc::clone(&is_done);
            async move {
                while !is_done.load(Ordering::Relaxed) {
                    follower.catch_up().await;
                }
                follower
            }
        });
        let mut writers = Vec::new();
        for seed in 1..=8_u64 {
            let connection = db.connection().await;
            writers.push(tokio::spawn(write_at_random(connection, seed)));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        projecting.await.unwrap().finish(&db).await;
        assert_consistent(&db).await;
    })
    .await;
}

async fn write_at_random(mut connection: PgConnection, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..60 {
        let id = format!("00000000-0000-4000-8000-0000000000{:02}", random(40));
        let (user, part, count) = (random(3), random(4), random(9) + 1);
        // One row each or in no order: what deadlocks is then of our making.
        let statement = match random(9) {
            0 => format!("update collection.mocs set user_id = 'u{user}' where id = '{id}'"),
            1 => format!("update collection.mocs set title = 'T{count}' where id = '{id}'"),
            2 => format!("delete from collection.moc_parts where moc_id = '{id}'"),
            3 => format!(
                "delete from collection.mocs where id = '{id}';
                 insert into collection.mocs (id, user_id, title, theme)
                 values ('{id}', 'u{user}', 'x', 'y') on conflict do nothing"
            ),
            4 | 5 => format!(
                "insert into collection.moc_parts
                 select id, 'p{part}', 1, {count} from collection.mocs where id = '{id}'
                 on conflict (moc_id, part_num, color_id)
                 do update set quantity = excluded.quantity"
            ),
            _ => format!(
                "insert into collection.inventory values ('u{user}', 'p{part}', 1, {count}, 1)
                 on conflict (user_id, part_num, color_id)
                 do update set owned_quantity = excluded.owned_quantity"
            ),
        };
        if let Err(error) = connection.execute(AssertSqlSafe(statement)).await {
            // A MOC may be gone by the time that its part arrives.
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "23503", "{error}");
        }
    }
}

//! Coverage is right after every kind of change, also of two at once (D-DM-2, D-DM-3).

use std::time::Duration;

use dashboard_server::push::cursor::Cursor;
use dashboard_server::push::section::Sections;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::{TestDb, refresh, with_database};

const MOC: &str = "00000000-0000-4000-8000-00000000000a";

async fn moc(db: &TestDb, id: &str, user: &str) {
    let insert = "insert into dashboard.mocs (id, user_id, title, theme) values";
    db.run(&format!("{insert} ('{id}', '{user}', 'A castle', 'Castle')")).await;
}

/// Covered, total, percentage, status.
async fn coverage(db: &TestDb, id: &str) -> (i32, i32, i32, String) {
    let query = "select covered_parts_count, total_parts_count, coverage_percentage,
                        parts_coverage_status::text
                 from dashboard.moc_details where id = $1::uuid";
    sqlx::query_as(query).bind(id).fetch_one(&db.pool).await.unwrap()
}

fn like(covered: i32, total: i32, percent: i32, status: &str) -> (i32, i32, i32, String) {
    (covered, total, percent, status.to_owned())
}

/// What the stored counts must equal.
async fn assert_consistent(db: &TestDb) {
    let wrong: i64 = db
        .one(
            "select count(*)
             from dashboard.mocs m
             full join dashboard.moc_coverage c on c.moc_id = m.id
             left join lateral (
                 select coalesce(sum(least(p.quantity,
                            coalesce(i.owned_quantity + i.ordered_quantity, 0))), 0) as covered,
                        coalesce(sum(p.quantity), 0) as total
                 from dashboard.moc_parts p
                 left join dashboard.inventory i
                   on (i.user_id, i.part_num, i.color_id) = (m.user_id, p.part_num, p.color_id)
                 where p.moc_id = m.id
             ) as counted on true
             where m.id is null
                or (c.moc_id is not null and c.user_id <> m.user_id)
                or (c.moc_id is not null) <> (counted.total > 0)
                or coalesce(c.covered_parts_count, 0) <> counted.covered
                or coalesce(c.total_parts_count, 0) <> counted.total",
        )
        .await;
    assert_eq!(wrong, 0);
    assert_eq!(db.one::<i64>("select count(*) from dashboard.recounts").await, 0);
}

#[tokio::test]
async fn counts_follow_parts_and_inventory() {
    let steps = [
        ("insert into dashboard.moc_parts values ('$', '3001', 1, 100), ('$', '3002', 1, 100)",
         like(0, 200, 0, "NONE")),
        ("insert into dashboard.inventory values ('bob', '3001', 1, 100, 0)",
         like(0, 200, 0, "NONE")),
        ("insert into dashboard.inventory values ('ada', '3001', 2, 100, 0)",
         like(0, 200, 0, "NONE")),
        ("insert into dashboard.inventory values ('ada', '3001', 1, 0, 1)",
         like(1, 200, 1, "PARTIAL_ORDERED")),
        ("update dashboard.inventory set owned_quantity = 39 where user_id = 'ada' and color_id = 1",
         like(40, 200, 20, "PARTIAL_ORDERED")),
        // What arrives was ordered: nothing changes.
        ("update dashboard.inventory set owned_quantity = 40, ordered_quantity = 0
          where user_id = 'ada' and color_id = 1",
         like(40, 200, 20, "PARTIAL_ORDERED")),
        // More than is needed covers no more than is needed.
        ("update dashboard.inventory set owned_quantity = 5000 where user_id = 'ada'",
         like(100, 200, 50, "PARTIAL_ORDERED")),
        ("insert into dashboard.inventory values ('ada', '3002', 1, 0, 99)",
         like(199, 200, 99, "PARTIAL_ORDERED")),
        ("update dashboard.inventory set ordered_quantity = 100 where part_num = '3002'",
         like(200, 200, 100, "FULL_INVENTORY")),
        ("update dashboard.moc_parts set quantity = 300 where part_num = '3002'",
         like(200, 400, 50, "PARTIAL_ORDERED")),
        ("update dashboard.moc_parts set part_num = '3003' where part_num = '3002'",
         like(100, 400, 25, "PARTIAL_ORDERED")),
        ("delete from dashboard.moc_parts where part_num = '3003'",
         like(100, 100, 100, "FULL_INVENTORY")),
        ("update dashboard.inventory set part_num = '9999' where user_id = 'ada' and color_id = 1
          and part_num = '3001'",
         like(0, 100, 0, "NONE")),
        ("update dashboard.mocs set user_id = 'bob'", like(100, 100, 100, "FULL_INVENTORY")),
        ("delete from dashboard.inventory where user_id = 'bob'", like(0, 100, 0, "NONE")),
        ("delete from dashboard.moc_parts", like(0, 0, 0, "NONE")),
    ];
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        for (statement, expected) in steps {
            db.run(&statement.replace('$', MOC)).await;
            assert_eq!(coverage(&db, MOC).await, expected, "{statement}");
            assert_consistent(&db).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_part_that_is_nearly_nothing_or_nearly_all_is_neither_0_nor_100_percent() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        db.run(&format!("insert into dashboard.moc_parts values ('{MOC}', '3001', 1, 100000)"))
            .await;
        db.run("insert into dashboard.inventory values ('ada', '3001', 1, 1, 0)").await;
        assert_eq!(coverage(&db, MOC).await, like(1, 100_000, 1, "PARTIAL_ORDERED"));
        db.run("update dashboard.inventory set owned_quantity = 99999").await;
        assert_eq!(coverage(&db, MOC).await, like(99_999, 100_000, 99, "PARTIAL_ORDERED"));
    })
    .await;
}

#[tokio::test]
async fn absurd_quantities_do_not_stop_the_writer() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let most = i32::MAX;
        db.run(&format!(
            "insert into dashboard.moc_parts values ('{MOC}', 'a', 1, {most}), ('{MOC}', 'b', 1, {most});
             insert into dashboard.inventory values ('ada', 'a', 1, {most}, {most})"
        ))
        .await;
        assert_eq!(coverage(&db, MOC).await, like(most, most, 100, "FULL_INVENTORY"));
    })
    .await;
}

#[tokio::test]
async fn truncating_counts_too() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let fill = format!(
            "insert into dashboard.moc_parts values ('{MOC}', '3001', 1, 10);
             insert into dashboard.inventory values ('ada', '3001', 1, 5, 0)"
        );
        db.run(&fill).await;
        db.run("truncate dashboard.inventory").await;
        assert_eq!(coverage(&db, MOC).await, like(0, 10, 0, "NONE"));
        db.run("truncate dashboard.moc_parts").await;
        assert_eq!(coverage(&db, MOC).await, like(0, 0, 0, "NONE"));
        db.run(&fill).await;
        assert_eq!(coverage(&db, MOC).await, like(5, 10, 50, "PARTIAL_ORDERED"));
        db.run("truncate dashboard.mocs cascade").await;
        assert_eq!(db.one::<i64>("select count(*) from dashboard.moc_parts").await, 0);
    })
    .await;
}

#[tokio::test]
async fn last_updated_moves_with_what_is_shown_and_not_otherwise() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let old = "2020-01-01 00:00:00+00";
        let moved = "select updated_at > '2020-01-01Z' from dashboard.moc_details";
        let cases = [
            ("update dashboard.mocs set title = title", false),
            ("update dashboard.mocs set title = 'B'", true),
            ("update dashboard.mocs set build_status = 'BUILT'", true),
            ("insert into dashboard.moc_parts values ('$', '3001', 1, 10)", true),
            ("insert into dashboard.inventory values ('ada', '3001', 1, 5, 0)", true),
            ("update dashboard.inventory set ordered_quantity = 1", true),
            ("update dashboard.inventory set ordered_quantity = 0, owned_quantity = 6", false),
            ("insert into dashboard.inventory values ('ada', '9999', 1, 5, 0)", false),
        ];
        for (statement, expected) in cases {
            for table in ["mocs", "moc_coverage"] {
                db.run(&format!("update dashboard.{table} set updated_at = '{old}'")).await;
            }
            db.run(&statement.replace('$', MOC)).await;
            assert_eq!(db.one::<bool>(moved).await, expected, "{statement}");
        }
    })
    .await;
}

#[tokio::test]
async fn only_mocs_that_use_the_part_are_touched() {
    with_database(|db| async move {
        let other = "00000000-0000-4000-8000-00000000000b";
        moc(&db, MOC, "ada").await;
        moc(&db, other, "ada").await;
        db.run(&format!(
            "insert into dashboard.moc_parts values ('{MOC}', '3001', 1, 10), ('{other}', '3002', 1, 9)"
        ))
        .await;
        let version = format!("select xmin::text from dashboard.moc_coverage where moc_id = '{other}'");
        let before: String = db.one(&version).await;
        db.run("insert into dashboard.inventory values ('ada', '3001', 1, 5, 0)").await;
        assert_eq!(db.one::<String>(&version).await, before);
        assert_eq!(coverage(&db, MOC).await, like(5, 10, 50, "PARTIAL_ORDERED"));
    })
    .await;
}

/// Takes the turns now and keeps them: a transaction that is held up in its commit.
const COUNT_NOW: &str = "set constraints all immediate";

async fn begin(db: &TestDb, isolation: &str) -> PgConnection {
    let mut connection = db.connection().await;
    let begin = format!("begin isolation level {isolation}");
    connection.execute(AssertSqlSafe(begin)).await.unwrap();
    connection
}

/// Waits until some backend waits for a lock.
async fn somebody_waits(db: &TestDb) {
    let waiting = "select exists (select from pg_stat_activity
                   where wait_event_type = 'Lock' and datname = current_database())";
    while !db.one::<bool>(waiting).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn two_transactions_that_complete_each_other_are_both_counted() {
    let part = format!("insert into dashboard.moc_parts values ('{MOC}', '3001', 1, 10)");
    let stock = "insert into dashboard.inventory values ('ada', '3001', 1, 4, 0)".to_owned();
    // In either order: who comes second did not see the other's row when it began.
    for (first, second) in [(part.clone(), stock.clone()), (stock, part)] {
        with_database(|db| async move {
            moc(&db, MOC, "ada").await;
            let mut one = begin(&db, "read committed").await;
            one.execute(AssertSqlSafe(first)).await.unwrap();
            one.execute(COUNT_NOW).await.unwrap();
            let mut two = begin(&db, "read committed").await;
            let (done, finished) = oneshot::channel();
            let task = tokio::spawn(async move {
                two.execute(AssertSqlSafe(second)).await.unwrap();
                two.execute("commit").await.unwrap();
                done.send(()).ok();
            });
            somebody_waits(&db).await;
            one.execute("commit").await.unwrap();
            finished.await.unwrap();
            task.await.unwrap();
            assert_eq!(coverage(&db, MOC).await, like(4, 10, 40, "PARTIAL_ORDERED"));
            one.close().await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn under_a_fixed_snapshot_the_second_fails_rather_than_miscounts() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let mut one = begin(&db, "repeatable read").await;
        let mut two = begin(&db, "repeatable read").await;
        // Both snapshots are taken before either writes.
        two.execute("select 1").await.unwrap();
        let part = format!("insert into dashboard.moc_parts values ('{MOC}', '3001', 1, 10)");
        one.execute(AssertSqlSafe(part)).await.unwrap();
        one.execute("commit").await.unwrap();
        let stock = "insert into dashboard.inventory values ('ada', '3001', 1, 4, 0)";
        two.execute(stock).await.unwrap();
        let error = two.execute("commit").await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "40001", "a serialisation failure, which writers retry");
        two.execute(stock).await.unwrap();
        assert_eq!(coverage(&db, MOC).await, like(4, 10, 40, "PARTIAL_ORDERED"));
    })
    .await;
}

#[tokio::test]
async fn many_writers_at_once_leave_right_counts() {
    with_database(|db| async move {
        for moc_number in 0..6 {
            let id = format!("00000000-0000-4000-8000-00000000000{moc_number}");
            moc(&db, &id, "ada").await;
        }
        let mut writers = Vec::new();
        for writer in 0..8_i32 {
            let mut connection = db.connection().await;
            writers.push(tokio::spawn(async move {
                for round in 0..12_i32 {
                    let part = (writer * 7 + round * 5) % 4;
                    let id = format!("00000000-0000-4000-8000-00000000000{}", (writer + round) % 6);
                    let statement = if (writer + round) % 2 == 0 {
                        format!(
                            "insert into dashboard.moc_parts values ('{id}', 'p{part}', 1, {})
                             on conflict (moc_id, part_num, color_id)
                             do update set quantity = moc_parts.quantity + 1",
                            round + 1
                        )
                    } else {
                        format!(
                            "insert into dashboard.inventory values ('ada', 'p{part}', 1, {round}, 1)
                             on conflict (user_id, part_num, color_id)
                             do update set owned_quantity = inventory.owned_quantity + 1"
                        )
                    };
                    connection.execute(AssertSqlSafe(statement)).await.unwrap();
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        assert_consistent(&db).await;
    })
    .await;
}

/// Two transactions, A and B, and what they do in turn. A step that waits for the other would wait
/// for ever, and a step that the database ends for a deadlock fails.
async fn interleave(setup: &str, steps: &[(char, &str)]) {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        db.run(setup).await;
        let mut sessions = [db.connection().await, db.connection().await];
        for (session, statement) in steps {
            let connection = &mut sessions[usize::from(*session == 'B')];
            let step = connection.execute(AssertSqlSafe(statement.replace('$', MOC)));
            let outcome = timeout(PATIENCE, step).await;
            let outcome = outcome.unwrap_or_else(|_| panic!("{session}: {statement} waits"));
            outcome.unwrap_or_else(|error| panic!("{session}: {statement}: {error}"));
        }
        assert_consistent(&db).await;
    })
    .await;
}

const STOCK: &str = "insert into dashboard.inventory
    values ('ada', 'p', 1, 1, 0), ('ada', 'q', 1, 1, 0), ('bob', 'p', 1, 5, 0), ('bob', 'q', 1, 5, 0)";

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_writer_of_mocs_and_parts_and_a_writer_of_inventory_pass_each_other() {
    let steps = [
        ('A', "insert into dashboard.moc_parts values ('$', 'p', 1, 10)"),
        ('A', "begin; update dashboard.mocs set title = 'B'"),
        ('B', "update dashboard.inventory set owned_quantity = 2 where user_id = 'ada'"),
        ('A', "insert into dashboard.moc_parts values ('$', 'q', 1, 10)"),
        ('B', "begin; update dashboard.inventory set owned_quantity = 3 where user_id = 'ada'"),
        ('A', "update dashboard.mocs set title = 'C'; commit"),
        ('B', "update dashboard.mocs set title = 'D'; commit"),
    ];
    interleave(STOCK, &steps).await;
}

#[tokio::test]
async fn writers_of_two_users_in_opposite_order_pass_each_other() {
    let steps = [
        (
            'A',
            "begin; update dashboard.inventory set owned_quantity = 3
               where user_id = 'ada' and part_num = 'p'",
        ),
        (
            'B',
            "begin; update dashboard.inventory set owned_quantity = 3
               where user_id = 'bob' and part_num = 'p'",
        ),
        (
            'A',
            "update dashboard.inventory set owned_quantity = 3
               where user_id = 'bob' and part_num = 'q'",
        ),
        (
            'B',
            "update dashboard.inventory set owned_quantity = 3
               where user_id = 'ada' and part_num = 'q'",
        ),
        ('A', "commit"),
        ('B', "commit"),
    ];
    interleave(STOCK, &steps).await;
}

#[tokio::test]
async fn truncating_waits_for_no_writer_that_waits_for_it() {
    let steps = [
        ('B', "begin; insert into dashboard.moc_parts values ('$', 'p', 1, 10)"),
        ('A', "truncate dashboard.inventory"),
        ('B', "insert into dashboard.inventory values ('ada', 'p', 1, 2, 0)"),
        ('A', "update dashboard.mocs set title = 'B'"),
        ('B', "commit; begin; update dashboard.inventory set owned_quantity = 3"),
        ('A', "truncate dashboard.moc_parts"),
        ('B', "commit"),
    ];
    interleave(STOCK, &steps).await;
    // A writer that must count while the table is being truncated takes no turn before it is its.
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        db.run(STOCK).await;
        let mut truncating = begin(&db, "read committed").await;
        truncating.execute("truncate dashboard.inventory").await.unwrap();
        let mut writer = db.connection().await;
        let part = format!("insert into dashboard.moc_parts values ('{MOC}', 'p', 1, 10)");
        let task = tokio::spawn(async move {
            writer.execute(AssertSqlSafe(part)).await.unwrap();
        });
        somebody_waits(&db).await;
        truncating
            .execute("insert into dashboard.inventory values ('ada', 'p', 1, 4, 0)")
            .await
            .unwrap();
        truncating.execute("commit").await.unwrap();
        task.await.unwrap();
        assert_consistent(&db).await;
    })
    .await;
}

#[tokio::test]
async fn a_moc_that_changes_hands_while_it_gets_parts_is_counted_for_its_owner() {
    let part = "insert into dashboard.moc_parts values ('$', 'p', 1, 10)";
    let (begin_part, begin_move) =
        (format!("begin; {part}"), "begin; update dashboard.mocs set user_id = 'bob'");
    for order in [["A", "B"], ["B", "A"]] {
        let [first, second] = order.map(|name| name.chars().next().unwrap());
        let steps =
            [('A', begin_part.as_str()), ('B', begin_move), (first, "commit"), (second, "commit")];
        interleave(STOCK, &steps).await;
        let steps =
            [('B', begin_move), ('A', begin_part.as_str()), (first, "commit"), (second, "commit")];
        interleave(STOCK, &steps).await;
    }
}

#[tokio::test]
async fn an_owner_that_changes_while_the_turn_is_awaited_is_looked_up_again() {
    // In either order of the two users: the second turn may have to come before the first.
    for (from, to) in [("ada", "bob"), ("bob", "ada")] {
        with_database(|db| async move {
            moc(&db, MOC, from).await;
            db.run(STOCK).await;
            let mut mover = begin(&db, "read committed").await;
            let give = format!("update dashboard.mocs set user_id = '{to}'");
            mover.execute(AssertSqlSafe(give)).await.unwrap();
            mover.execute(COUNT_NOW).await.unwrap();
            let mut writer = db.connection().await;
            let part = format!("insert into dashboard.moc_parts values ('{MOC}', 'p', 1, 10)");
            let task = tokio::spawn(async move {
                writer.execute(AssertSqlSafe(part)).await.unwrap();
            });
            somebody_waits(&db).await;
            mover.execute("commit").await.unwrap();
            task.await.unwrap();
            assert_consistent(&db).await;
            assert_eq!(db.one::<String>("select user_id from dashboard.moc_coverage").await, to);
        })
        .await;
    }
}

#[tokio::test]
async fn a_moc_that_enters_the_partial_table_while_it_is_renamed_is_shown_with_its_name() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        db.run(&format!("insert into dashboard.moc_parts values ('{MOC}', 'p', 1, 10)")).await;
        // Whichever commits last: the refresh that sees it shows the MOC under its new name.
        for (title, is_renamed_last) in [("B", true), ("C", false)] {
            db.run("delete from dashboard.inventory").await;
            let mut renaming = begin(&db, "read committed").await;
            let mut stocking = begin(&db, "read committed").await;
            let rename = format!("update dashboard.mocs set title = '{title}'");
            renaming.execute(AssertSqlSafe(rename)).await.unwrap();
            stocking.execute(STOCK).await.unwrap();
            let (first, last) = if is_renamed_last {
                (&mut stocking, &mut renaming)
            } else {
                (&mut renaming, &mut stocking)
            };
            first.execute("commit").await.unwrap();
            let seen: Cursor =
                db.one::<String>("select pg_current_snapshot()::text").await.parse().unwrap();
            last.execute("commit").await.unwrap();
            let read = refresh(&db.pool, "ada", &seen, Sections::NONE).await;
            assert!(read.sections.contains(Sections::PARTIAL), "{title}: {}", read.sections);
            assert_eq!(read.view.partial_parts_mocs[0].title.as_str(), title);
        }
    })
    .await;
}

#[tokio::test]
async fn a_moc_that_is_not_in_the_partial_table_does_not_send_it() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let seen: Cursor =
            db.one::<String>("select pg_current_snapshot()::text").await.parse().unwrap();
        db.run("update dashboard.mocs set updated_at = now() - interval '1 day'").await;
        let read = refresh(&db.pool, "ada", &seen, Sections::NONE).await;
        assert_eq!(read.sections, Sections::NONE);
        db.run("update dashboard.mocs set title = 'B'").await;
        let read = refresh(&db.pool, "ada", &seen, Sections::NONE).await;
        assert_eq!(read.sections, Sections::RECENT);
    })
    .await;
}

#[tokio::test]
async fn writers_of_every_kind_neither_deadlock_nor_miscount() {
    with_database(|db| async move {
        for number in 0..40 {
            let user = format!("u{}", number % 3);
            moc(&db, &format!("00000000-0000-4000-8000-0000000000{number:02}"), &user).await;
        }
        let mut writers = Vec::new();
        for seed in 1..=8_u64 {
            let mut connection = db.connection().await;
            writers.push(tokio::spawn(async move {
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
                    // One row each or in no order: what deadlocks is then the counting.
                    let statement = match random(9) {
                        0 => format!("update dashboard.mocs set user_id = 'u{user}' where id = '{id}'"),
                        1 => format!("update dashboard.mocs set title = 'T{count}' where id = '{id}'"),
                        2 => format!("delete from dashboard.moc_parts where moc_id = '{id}'"),
                        3 => format!(
                            "delete from dashboard.mocs where id = '{id}';
                             insert into dashboard.mocs (id, user_id, title, theme)
                             values ('{id}', 'u{user}', 'x', 'y') on conflict do nothing"
                        ),
                        4 | 5 => format!(
                            "insert into dashboard.moc_parts
                             select id, 'p{part}', 1, {count} from dashboard.mocs where id = '{id}'
                             on conflict (moc_id, part_num, color_id)
                             do update set quantity = excluded.quantity"
                        ),
                        _ => format!(
                            "insert into dashboard.inventory values ('u{user}', 'p{part}', 1, {count}, 1)
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
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        assert_consistent(&db).await;
    })
    .await;
}

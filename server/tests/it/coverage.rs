//! Tests that coverage is right after every kind of change (D-DM-2, D-DM-3).

mod writers;

use sqlx::{AssertSqlSafe, Executor};

use crate::support::{TestDb, with_database};

const MOC: &str = "00000000-0000-4000-8000-00000000000a";

async fn moc(db: &TestDb, id: &str, user: &str) {
    let insert = "insert into collection.mocs (id, user_id, title, theme) values";
    db.run(&format!("{insert} ('{id}', '{user}', 'A castle', 'Castle')")).await;
}

/// Covered, total, percentage, status.
type Coverage = (i32, i32, i32, String);

async fn coverage(db: &TestDb, id: &str) -> Coverage {
    let query = "select covered_parts, total_parts, coverage_percentage, coverage_status::text
                 from dashboard.mocs where id = $1::uuid";
    sqlx::query_as(query).bind(id).fetch_one(&db.pool).await.unwrap()
}

fn like(covered: i32, total: i32, percent: i32, status: &str) -> Coverage {
    (covered, total, percent, status.to_owned())
}

/// That nothing is left to do, and every MOC is shown as counting the application's rows says.
async fn assert_consistent(db: &TestDb) {
    assert_eq!(waiting(db).await, 0);
    let wrong: Option<String> = db
        .one(
            "with counted as (
                 select m.id, coalesce(sum(p.quantity), 0) as total,
                        coalesce(sum(case when i.owned_quantity + i.ordered_quantity < p.quantity
                                          then i.owned_quantity + i.ordered_quantity
                                          when i.user_id is not null then p.quantity end), 0) as covered
                 from collection.mocs m
                 left join collection.moc_parts p on p.moc_id = m.id
                 left join collection.inventory i
                   on (i.user_id, i.part_num, i.color_id) = (m.user_id, p.part_num, p.color_id)
                 group by m.id
             ),
             expected as (
                 select id::text, id, user_id, title, theme, build_status::text, cover_image_url,
                        created_at, updated_at, covered, total,
                        case when covered in (0, total) then sign(covered) * 100
                             else greatest(1, floor(covered * 100.0 / total)) end,
                        case covered when 0 then 'NONE' when total then 'FULL_INVENTORY'
                             else 'PARTIAL_ORDERED' end
                 from collection.mocs join counted using (id)
             ),
             projected as (
                 select key, id, user_id, title, theme, build_status::text, cover_image_url,
                        created_at, updated_at, covered_parts, total_parts,
                        coverage_percentage, coverage_status::text
                 from dashboard.mocs
             )
             select string_agg(wrong, E'\\n') from (
                 select 'expected ' || missing::text as wrong
                 from (table expected except all table projected) as missing
                 union all
                 select 'projected ' || present::text
                 from (table projected except all table expected) as present
             ) as differences",
        )
        .await;
    assert_eq!(wrong, None);
}

/// How much is known and not done.
async fn waiting(db: &TestDb) -> i64 {
    db.one(
        "select (select count(*) from dashboard.outbox) + (select count(*) from dashboard.pending)
              + (select count(*) from dashboard.sweeps) + (select count(*) from dashboard.failed)",
    )
    .await
}

#[tokio::test]
async fn counts_follow_parts_and_inventory() {
    let steps = [
        ("insert into collection.moc_parts values ('$', '3001', 1, 100), ('$', '3002', 1, 100)",
         like(0, 200, 0, "NONE")),
        ("insert into collection.inventory values ('bob', '3001', 1, 100, 0)",
         like(0, 200, 0, "NONE")),
        ("insert into collection.inventory values ('ada', '3001', 2, 100, 0)",
         like(0, 200, 0, "NONE")),
        ("insert into collection.inventory values ('ada', '3001', 1, 0, 1)",
         like(1, 200, 1, "PARTIAL_ORDERED")),
        ("update collection.inventory set owned_quantity = 39 where user_id = 'ada' and color_id = 1",
         like(40, 200, 20, "PARTIAL_ORDERED")),
        // What arrives was ordered: nothing changes.
        ("update collection.inventory set owned_quantity = 40, ordered_quantity = 0
          where user_id = 'ada' and color_id = 1",
         like(40, 200, 20, "PARTIAL_ORDERED")),
        // More than is needed covers no more than is needed.
        ("update collection.inventory set owned_quantity = 5000 where user_id = 'ada'",
         like(100, 200, 50, "PARTIAL_ORDERED")),
        ("insert into collection.inventory values ('ada', '3002', 1, 0, 99)",
         like(199, 200, 99, "PARTIAL_ORDERED")),
        ("update collection.inventory set ordered_quantity = 100 where part_num = '3002'",
         like(200, 200, 100, "FULL_INVENTORY")),
        ("update collection.moc_parts set quantity = 300 where part_num = '3002'",
         like(200, 400, 50, "PARTIAL_ORDERED")),
        ("update collection.moc_parts set part_num = '3003' where part_num = '3002'",
         like(100, 400, 25, "PARTIAL_ORDERED")),
        ("delete from collection.moc_parts where part_num = '3003'",
         like(100, 100, 100, "FULL_INVENTORY")),
        ("update collection.moc_parts set color_id = 2", like(100, 100, 100, "FULL_INVENTORY")),
        ("update collection.inventory set color_id = 3 where color_id = 2",
         like(0, 100, 0, "NONE")),
        ("update collection.moc_parts set color_id = 1", like(100, 100, 100, "FULL_INVENTORY")),
        ("update collection.inventory set part_num = '9999' where user_id = 'ada' and color_id = 1
          and part_num = '3001'",
         like(0, 100, 0, "NONE")),
        ("update collection.mocs set user_id = 'bob'", like(100, 100, 100, "FULL_INVENTORY")),
        ("update collection.inventory set user_id = 'eve' where user_id = 'bob'",
         like(0, 100, 0, "NONE")),
        ("update collection.mocs set user_id = 'eve'", like(100, 100, 100, "FULL_INVENTORY")),
        ("delete from collection.inventory where user_id = 'eve'", like(0, 100, 0, "NONE")),
        ("delete from collection.moc_parts", like(0, 0, 0, "NONE")),
    ];
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        for (statement, expected) in steps {
            db.write(&statement.replace('$', MOC)).await;
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
        db.run(&format!("insert into collection.moc_parts values ('{MOC}', '3001', 1, 100000)"))
            .await;
        db.write("insert into collection.inventory values ('ada', '3001', 1, 1, 0)").await;
        assert_eq!(coverage(&db, MOC).await, like(1, 100_000, 1, "PARTIAL_ORDERED"));
        db.write("update collection.inventory set owned_quantity = 99999").await;
        assert_eq!(coverage(&db, MOC).await, like(99_999, 100_000, 99, "PARTIAL_ORDERED"));
    })
    .await;
}

#[tokio::test]
async fn absurd_quantities_stop_neither_the_writer_nor_the_projector() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let most = i32::MAX;
        db.write(&format!(
            "insert into collection.moc_parts values ('{MOC}', 'a', 1, {most}), ('{MOC}', 'b', 1, {most});
             insert into collection.inventory values ('ada', 'a', 1, {most}, {most})"
        ))
        .await;
        assert_eq!(coverage(&db, MOC).await, like(most, most, 100, "FULL_INVENTORY"));
        assert_eq!(waiting(&db).await, 0);
    })
    .await;
}

#[tokio::test]
async fn truncating_counts_too() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let fill = format!(
            "insert into collection.moc_parts values ('{MOC}', '3001', 1, 10);
             insert into collection.inventory values ('ada', '3001', 1, 5, 0)"
        );
        db.write(&fill).await;
        db.write("truncate collection.inventory").await;
        assert_eq!(coverage(&db, MOC).await, like(0, 10, 0, "NONE"));
        db.write("truncate collection.moc_parts").await;
        assert_eq!(coverage(&db, MOC).await, like(0, 0, 0, "NONE"));
        db.write(&fill).await;
        assert_eq!(coverage(&db, MOC).await, like(5, 10, 50, "PARTIAL_ORDERED"));
        db.write("truncate collection.mocs cascade").await;
        assert_eq!(db.one::<i64>("select count(*) from collection.moc_parts").await, 0);
        assert_eq!(db.one::<i64>("select count(*) from dashboard.mocs").await, 0);
        assert_consistent(&db).await;
    })
    .await;
}

/// When a MOC was last updated is for the application to say. Parts that come and go do not say it.
#[tokio::test]
async fn last_updated_is_what_the_moc_itself_says() {
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let shown = "select to_char(updated_at at time zone 'utc', 'YYYY') from dashboard.mocs";
        let steps = [
            ("update collection.mocs set updated_at = '2020-02-02Z'", "2020"),
            ("update collection.mocs set title = 'B'", "2020"),
            ("insert into collection.moc_parts values ('$', '3001', 1, 10)", "2020"),
            ("insert into collection.inventory values ('ada', '3001', 1, 5, 0)", "2020"),
            ("update collection.mocs set updated_at = '2021-02-02Z'", "2021"),
            ("update collection.inventory set owned_quantity = 6", "2021"),
            ("update collection.mocs set title = 'C', updated_at = '2019-02-02Z'", "2019"),
        ];
        for (statement, expected) in steps {
            db.write(&statement.replace('$', MOC)).await;
            assert_eq!(db.one::<String>(shown).await, expected, "{statement}");
            assert_consistent(&db).await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_mocs_that_use_the_part_are_written() {
    with_database(|db| async move {
        let other = "00000000-0000-4000-8000-00000000000b";
        moc(&db, MOC, "ada").await;
        moc(&db, other, "ada").await;
        db.write(&format!(
            "insert into collection.moc_parts values ('{MOC}', '3001', 1, 10), ('{other}', '3002', 1, 9)"
        ))
        .await;
        let version = format!("select xmin::text from dashboard.mocs where id = '{other}'");
        let before: String = db.one(&version).await;
        db.write("insert into collection.inventory values ('ada', '3001', 1, 5, 0)").await;
        assert_eq!(db.one::<String>(&version).await, before);
        assert_eq!(coverage(&db, MOC).await, like(5, 10, 50, "PARTIAL_ORDERED"));
    })
    .await;
}

/// Only triggers that are made for it fire for what replication applies, and for a restored dump.
#[tokio::test]
async fn rows_that_replication_applies_are_counted() {
    let steps = [
        (
            "insert into collection.moc_parts values ('$', '3001', 1, 10), ('$', '3002', 1, 10)",
            like(0, 20, 0, "NONE"),
        ),
        (
            "insert into collection.inventory values ('ada', '3001', 1, 5, 0), ('bob', '3002', 1, 9, 0)",
            like(5, 20, 25, "PARTIAL_ORDERED"),
        ),
        (
            "update collection.inventory set part_num = '3002' where user_id = 'ada'",
            like(5, 20, 25, "PARTIAL_ORDERED"),
        ),
        (
            "update collection.moc_parts set quantity = 5 where part_num = '3002'",
            like(5, 15, 33, "PARTIAL_ORDERED"),
        ),
        (
            "update collection.mocs set user_id = 'bob', title = 'B'",
            like(5, 15, 33, "PARTIAL_ORDERED"),
        ),
        (
            "delete from collection.moc_parts where part_num = '3001'",
            like(5, 5, 100, "FULL_INVENTORY"),
        ),
        ("delete from collection.inventory where user_id = 'bob'", like(0, 5, 0, "NONE")),
        ("truncate collection.moc_parts", like(0, 0, 0, "NONE")),
    ];
    with_database(|db| async move {
        moc(&db, MOC, "ada").await;
        let mut replication = db.connection().await;
        replication.execute("set session_replication_role = replica").await.unwrap();
        for (statement, expected) in steps {
            let statement = statement.replace('$', MOC);
            replication.execute(AssertSqlSafe(statement.clone())).await.unwrap();
            db.settle().await;
            assert_eq!(coverage(&db, MOC).await, expected, "{statement}");
            assert_consistent(&db).await;
        }
        replication.execute("delete from collection.mocs").await.unwrap();
        db.settle().await;
        assert_consistent(&db).await;
    })
    .await;
}

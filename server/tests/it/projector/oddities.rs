//! Tests ten thousand MOCs with every oddity that the application's types allow: what each user gets over HTTP
//! is what the rules say.

use sqlx::{AssertSqlSafe, PgConnection};

use super::model::Model;
use crate::support::{TestDb, TestServer, access, installed, start, with_application};

const ROWS: &str = include_str!("oddities.sql");

/// Oddities become other oddities, and some rows go. Titles keep their numbers, so that a MOC may change hands.
const CHANGES: &str = "
    update public.moc_instructions as moc
    set user_id = case when n > 2 * cardinality(pg_temp.owners()) and n % 2 = 0
                       then pg_temp.pick(pg_temp.owners(), 'new owner' || n) else user_id end,
        theme = pg_temp.pick(pg_temp.themes(), 'new theme' || n),
        tags = pg_temp.pick(pg_temp.tags(), 'new tags' || n),
        type = pg_temp.pick(pg_temp.types(), 'new type' || n),
        build_status = pg_temp.pick(pg_temp.statuses(), 'new status' || n),
        want_to_build = pg_temp.pick(pg_temp.wants(), 'new want' || n),
        created_at = pg_temp.pick(pg_temp.times(n), 'new created' || n)
    from generate_series(1, 10000, 13) as n
    where moc.id = md5('moc' || n)::uuid;
    update public.moc_parts as part
    set quantity = pg_temp.pick(pg_temp.quantities(), 'new quantity' || n)
    from generate_series(1, 12000, 41) as n
    where part.id = md5('part' || n)::uuid;
    update public.sets as bought set status = 'owned', user_id = 'ada'
    from generate_series(1, 2000, 7) as n
    where bought.id = md5('set' || n)::uuid;
    delete from public.sets as sold using generate_series(1, 2000, 11) as n
    where sold.id = md5('set' || n)::uuid;
    delete from public.moc_parts_lists as list using generate_series(1, 6000, 43) as n
    where list.id = md5('list' || n)::uuid;
    delete from public.moc_instructions as moc using generate_series(1, 10000, 101) as n
    where moc.id = md5('moc' || n)::uuid;
    delete from public.tag_theme_mappings where tag in ('castle', '7')";

/// Everyone to whom a row belongs, shown or not.
const USERS: &str = "
    select user_id from public.moc_instructions
    union select user_id from public.sets
    union select user_id from public.wishlist_items
    union select user_id from public.parts_inventory";

/// Half of the rows, or all that are not there yet.
fn rows(is_first_half: bool) -> String {
    ROWS.replace(":is_first_half", &is_first_half.to_string())
}

async fn write(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}

/// Asserts that each user is served what the rules say. Returns how many users and MOCs those are.
async fn assert_served(
    db: &TestDb,
    server: &TestServer,
    connection: &mut PgConnection,
) -> (usize, u64) {
    db.projected().await;
    let model = Model::of(connection).await;
    let users: Vec<String> = sqlx::query_scalar(USERS).fetch_all(connection).await.unwrap();
    let (mut owners, mut mocs) = (0, 0);
    for user in users {
        if !(1..=255).contains(&user.len()) {
            // No session is of such a user.
            let bearer = format!("Bearer {}", access(&user));
            let refused = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
            assert_eq!(refused.status(), 401, "{user:?}");
            continue;
        }
        let (body, _) = server.snapshot(&user).await;
        let expected = model.snapshot(&user);
        for (section, expected) in expected.as_object().unwrap() {
            assert_eq!(&body[section], expected, "{section} of {user:?}");
        }
        assert_eq!(body, expected, "{user:?}");
        owners += 1;
        mocs += body["summary"]["totalMocs"].as_u64().unwrap();
    }
    (owners, mocs)
}

/// The first sweep sees half of the rows, and the triggers note the others.
#[tokio::test]
async fn each_user_of_ten_thousand_odd_mocs_is_served_what_the_rules_say() {
    with_application(|db, _| async move {
        let mut connection = db.connection().await;
        write(&mut connection, &rows(true)).await;
        let (running, server) = start(installed(&db).await).await;
        for what in ["", &rows(false), CHANGES] {
            write(&mut connection, what).await;
            let (users, mocs) = assert_served(&db, &server, &mut connection).await;
            println!("{users} users are shown {mocs} MOCs");
            assert!(users > 30 && mocs > 3_000);
        }
        running.shutdown().await;
    })
    .await;
}

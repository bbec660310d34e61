//! Tests what installing does, and that removing leaves nothing (promise 4).

use dashboard_server::database::Database;
use sqlx::{Connection, PgConnection};

use crate::support::{admin, config, create_database, drop_database, with_database};

/// Everything in a database that is not the system's own, in the schema `dashboard`, or the collection.
const FOREIGN: &str = "
    select (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname not in ('dashboard', 'collection', 'pg_catalog', 'information_schema')
              and n.nspname not like 'pg_toast%')
         + (select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where n.nspname not in ('dashboard', 'pg_catalog', 'information_schema'))
         + (select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid
            where not t.tgisinternal and c.relnamespace <> 'collection'::regnamespace)
         + (select count(*) from pg_extension where extname <> 'plpgsql')
         + (select count(*) from pg_event_trigger)";

#[tokio::test]
async fn installing_touches_its_own_schema_only_and_dropping_it_leaves_no_trace() {
    with_database(|db| async move {
        assert_eq!(db.one::<i64>(FOREIGN).await, 0);
        db.write("insert into collection.wishlist_items (user_id, title) values ('ada', 'x')")
            .await;
        db.run("drop schema dashboard cascade").await;
        assert_eq!(db.one::<i64>(FOREIGN).await, 0);
        let triggers = "select count(*) from pg_trigger where not tgisinternal";
        assert_eq!(db.one::<i64>(triggers).await, 0);
        let schemas = "select count(*) from pg_namespace where nspname = 'dashboard'";
        assert_eq!(db.one::<i64>(schemas).await, 0);
        // And it can be installed again, with all that is in the collection.
        Database::open(&config(&db.url)).await.unwrap().close().await;
        assert!(!db.one::<bool>("select is_complete from dashboard.meta").await);
        db.settle().await;
        assert!(db.one::<bool>("select is_complete from dashboard.meta").await);
        let wishes = "select count(*) from dashboard.wishlist_items where user_id = 'ada'";
        assert_eq!(db.one::<i64>(wishes).await, 1);
    })
    .await;
}

#[tokio::test]
async fn starting_again_keeps_epoch_and_data() {
    with_database(|db| async move {
        let epoch: String = db.one("select life from dashboard.meta").await;
        db.write("insert into collection.wishlist_items (user_id, title) values ('ada', 'x')")
            .await;
        Database::open(&config(&db.url)).await.unwrap().close().await;
        assert_eq!(db.one::<String>("select life from dashboard.meta").await, epoch);
        assert_eq!(db.one::<i64>("select count(*) from dashboard.wishlist_items").await, 1);
        let owed = "select count(*) from dashboard.sweeps";
        assert_eq!(db.one::<i64>(owed).await, 0, "nothing is installed twice");
    })
    .await;
}

#[tokio::test]
async fn nodes_that_start_at_the_same_time_install_once() {
    let (name, url) = create_database().await;
    let nodes = [(); 6].map(|()| {
        let config = config(&url);
        tokio::spawn(async move { Box::pin(Database::open(&config)).await })
    });
    let mut failures = Vec::new();
    for node in nodes {
        match node.await.unwrap() {
            Ok(database) => database.close().await,
            Err(error) => failures.push(error.to_string()),
        }
    }
    drop_database(&name).await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn writers_need_no_rights_on_our_schema() {
    with_database(|db| async move {
        let role = format!("writer_{}", uuid::Uuid::new_v4().simple());
        db.run(&format!(
            "create role {role};
             grant usage on schema collection to {role};
             grant insert on collection.wishlist_items, collection.mocs to {role};
             set role {role};
             insert into collection.wishlist_items (user_id, title) values ('ada', 'x');
             insert into collection.mocs (user_id, title, theme) values ('ada', 'x', 'y');
             reset role;
             drop owned by {role};
             drop role {role}"
        ))
        .await;
        assert_eq!(db.one::<i64>("select count(*) from dashboard.outbox").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_missing_right_is_explained() {
    let (name, url) = create_database().await;
    let role = format!("poor_{}", uuid::Uuid::new_v4().simple());
    admin(&format!("create role {role} login password 'poor'")).await;
    let mut poor: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    poor = poor.username(&role).password("poor");
    // The cluster may be one that asks no passwords. Either way the role may log in.
    PgConnection::connect_with(&poor).await.unwrap().close().await.unwrap();
    let url = sqlx::ConnectOptions::to_url_lossy(&poor).to_string();
    let error = Database::open(&config(&url)).await.unwrap_err().to_string();
    drop_database(&name).await;
    admin(&format!("drop role {role}")).await;
    assert!(error.contains("grant CREATE on the database"), "{error}");
}

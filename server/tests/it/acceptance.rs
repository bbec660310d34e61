//! Tests what a socket receives when it is accepted: the tag of its user's data, read once the socket is in its room.

use futures_util::future::join;
use serde_json::{Value, json};
use shared_types::SnapshotTag;
use sqlx::Executor;

use crate::support::{
    Client, Frozen, TestDb, TestServer, access, admin, config, start, with_database, with_server,
};

const WISH: &str = "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";
const ROUNDS: u64 = 10;

/// A client that has entered the namespace, and what the acceptance says of the tag.
async fn enter(server: &TestServer) -> (Client, Value) {
    let mut client = server.open(&[]).await;
    client.send(&format!("40/dashboard,{}", json!({ "token": access("ada") }))).await;
    let answer = client.frame().await;
    let data = answer.strip_prefix("40/dashboard,").unwrap_or_else(|| panic!("{answer}"));
    let data: Value = serde_json::from_str(data).unwrap();
    assert!(data["sid"].is_string(), "{data}");
    (client, data["tag"].clone())
}

fn tag(told: &Value) -> SnapshotTag {
    told.as_str().unwrap_or_else(|| panic!("no tag: {told}")).parse().unwrap()
}

async fn snapshot_tag(server: &TestServer) -> SnapshotTag {
    let bearer = format!("Bearer {}", access("ada"));
    let snapshot = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
    SnapshotTag::from_header(snapshot.headers()["etag"].to_str().unwrap()).unwrap()
}

#[tokio::test]
async fn the_tag_is_that_of_the_snapshot() {
    with_server(|db: TestDb, server: TestServer| async move {
        for revision in 0..3 {
            let (_client, told) = enter(&server).await;
            let tag = tag(&told);
            assert_eq!(tag.revision.get(), revision);
            assert_eq!(tag, snapshot_tag(&server).await);
            db.write(WISH).await;
        }
    })
    .await;
}

/// A change that comes while the tag is read is in it, or comes as an event: the socket is in its room by then.
/// And no tag is ahead of a snapshot that is asked for after it.
#[tokio::test]
async fn no_change_falls_between_the_tag_and_the_events() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut rival = db.connection().await;
        let (mut clients, mut tags) = (Vec::new(), 0);
        for round in 1..=ROUNDS {
            // Holds the reading up, which no time ends.
            let lock = "begin; lock table dashboard.changes in access exclusive mode";
            rival.execute(sqlx::raw_sql(lock)).await.unwrap();
            let time = Frozen::start();
            let change = async {
                server.await_metric(&format!("dashboard_connections {round}")).await;
                db.run(WISH).await;
                rival.execute("rollback").await.unwrap();
            };
            let ((mut client, told), ()) = join(enter(&server), change).await;
            drop(time);
            // On a slow machine the database gives a reading up that waits for a lock.
            let revision = if told.is_null() {
                0
            } else {
                let (told, snapshot) = (tag(&told), snapshot_tag(&server).await);
                assert_eq!(told.epoch, snapshot.epoch);
                assert!(told.revision <= snapshot.revision, "{told} before {snapshot}");
                tags += 1;
                told.revision.get()
            };
            if revision < round {
                assert_eq!(client.event_at(round).await["payload"]["totalWishlistItems"], round);
            }
            db.projected().await;
            clients.push(client);
        }
        assert!(tags > 0, "no reading ended, as the lock goes only when the socket is in its room");
    })
    .await;
}

#[tokio::test]
async fn without_a_database_sockets_are_accepted_without_a_tag() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut operator = db.connection().await;
        let name: String = db.one("select current_database()::text").await;
        admin(&format!("alter database {name} with allow_connections false")).await;
        operator
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and application_name = 'dashboard-server'",
            )
            .await
            .unwrap();
        let (mut client, told) = enter(&server).await;
        assert_eq!(told, Value::Null);
        admin(&format!("alter database {name} with allow_connections true")).await;
        // It is in its room all the same.
        operator.execute(WISH).await.unwrap();
        client.event_at(1).await;
        let (_client, told) = enter(&server).await;
        assert_eq!(tag(&told).revision.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_holds_no_socket_up() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut rival = db.connection().await;
        let lock = "begin; lock table dashboard.changes in access exclusive mode";
        rival.execute(sqlx::raw_sql(lock)).await.unwrap();
        let (mut client, told) = enter(&server).await;
        assert_eq!(told, Value::Null);
        rival.execute("rollback").await.unwrap();
        db.run(WISH).await;
        while client.event().await["payload"]["totalWishlistItems"] != 1 {}
    })
    .await;
}

#[tokio::test]
async fn before_all_rows_have_been_looked_at_there_is_no_tag() {
    with_database(|db: TestDb| async move {
        db.run(
            "insert into dashboard.sweeps (feed, not_before)
             select number, 'infinity' from dashboard.feeds limit 1;
             update dashboard.meta set is_complete = false, swept = null",
        )
        .await;
        let (running, server) = start(config(&db.url)).await;
        let (mut client, told) = enter(&server).await;
        assert_eq!(told, Value::Null);
        db.run("delete from dashboard.sweeps").await;
        db.run(WISH).await;
        while client.event().await["payload"]["totalWishlistItems"] != 1 {}
        let (_client, told) = enter(&server).await;
        assert_eq!(tag(&told), snapshot_tag(&server).await);
        running.shutdown().await;
    })
    .await;
}

/// The tag that a socket receives when it is accepted counts as shown: its client takes nothing older, and
/// may need no snapshot to call its view current. While the changes cannot be followed, the client learns
/// that the server does not vouch for the tag. Afterwards the server notices that the database has lost
/// what the tag names.
#[tokio::test]
async fn a_database_that_lost_what_a_socket_was_told_begins_a_new_epoch() {
    with_server(|db: TestDb, server: TestServer| async move {
        const EPOCH: &str = "select life from dashboard.current_epoch";
        let epoch: String = db.one(EPOCH).await;
        let mut bob = server.connect("bob").await;
        // Tags can be read without this column, changes cannot be followed. All clients that are there get a notice.
        db.run("alter table dashboard.changes rename nonce to other").await;
        assert_eq!(bob.event().await["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        db.run("insert into dashboard.changes (user_id, sections, other) values ('ada', 1, 7)")
            .await;
        let (mut ada, told) = enter(&server).await;
        assert_eq!(tag(&told).revision.get(), db.cursor().await.0.cast_unsigned());
        assert_eq!(ada.event().await["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        db.run(
            "delete from dashboard.changes;
             alter table dashboard.changes rename other to nonce",
        )
        .await;
        while ada.next().await.is_some() {}
        server.await_metric("dashboard_disconnects_total{reason=\"revision_lost\"} 2").await;
        assert_ne!(db.one::<String>(EPOCH).await, epoch);
    })
    .await;
}

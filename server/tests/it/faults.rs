//! The database dies, comes back, goes back in time: sockets stay, nothing is missed, nobody lies.

use dashboard_server::{Server, StartError};
use serde_json::Value;
use sqlx::Executor;

use crate::support::{
    TestDb, TestServer, access, admin, config, start, with_database, with_server,
};

const WISH: &str = "insert into dashboard.wishlist_items (user_id, title) values ('ada', 'x')";

/// Ends the server's connections to the database.
const CUT_OFF: &str = "
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'dashboard-server'";

async fn cut_off(db: &TestDb) {
    db.run(CUT_OFF).await;
}

async fn database_name(db: &TestDb) -> String {
    db.one("select current_database()::text").await
}

#[tokio::test]
async fn changes_during_an_outage_arrive_afterwards_on_the_same_socket() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run(WISH).await;
        client.event_at(1).await;
        let mut writer = db.connection().await;
        let name = database_name(&db).await;
        for round in 0..3_u64 {
            // Nobody new gets in; who is in writes on.
            admin(&format!("alter database {name} with allow_connections false")).await;
            writer.execute(CUT_OFF).await.unwrap();
            writer.execute(WISH).await.unwrap();
            admin(&format!("alter database {name} with allow_connections true")).await;
            let event = client.event_at(round + 2).await;
            assert_eq!(event["payload"]["totalWishlistItems"], round + 2);
        }
        let (view, revision) = server.snapshot("ada").await;
        assert_eq!((view["summary"]["totalWishlistItems"].as_u64(), revision), (Some(4), 4));
    })
    .await;
}

#[tokio::test]
async fn who_has_missed_nothing_is_left_in_peace() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run(WISH).await;
        client.event_at(1).await;
        cut_off(&db).await;
        server.await_metric("dashboard_capture_gaps_total 1").await;
        db.run(WISH).await;
        // Not a repetition of revision 1, but the next change; unless the machine was so slow that the
        // outage had to be told.
        let event = client.event().await;
        if event["type"] == "dashboard:error" {
            client.event_at(2).await;
        } else {
            assert_eq!(event["revision"], 2, "{event}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_database_snapshots_are_503_and_readiness_fails() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        let name = database_name(&db).await;
        // Opened while that is still possible.
        let mut operator = db.connection().await;
        admin(&format!("alter database {name} with allow_connections false")).await;
        operator.execute(CUT_OFF).await.unwrap();
        let bearer = format!("Bearer {}", access("ada"));
        let response = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 503);
        assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "INTERNAL_ERROR");
        assert_eq!(body["error"]["message"], "Unable to load dashboard");
        let ready = reqwest::get(format!("{}/readyz", server.admin)).await.unwrap();
        assert_eq!(ready.status(), 503);
        let healthy = reqwest::get(format!("{}/healthz", server.admin)).await.unwrap();
        assert_eq!(healthy.status(), 200);
        admin(&format!("alter database {name} with allow_connections true")).await;
        db.run(WISH).await;
        client.event_at(1).await;
        let ready = reqwest::get(format!("{}/readyz", server.admin)).await.unwrap();
        assert_eq!(ready.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_failed_refresh_is_told_and_made_good() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        // The change can be captured but not read.
        db.run("alter table dashboard.sets rename to sets_away").await;
        db.run(WISH).await;
        let event = client.event().await;
        assert_eq!(event["type"], "dashboard:error");
        assert_eq!(event["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        let bearer = format!("Bearer {}", access("ada"));
        let response = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 500);
        db.run("alter table dashboard.sets_away rename to sets").await;
        // Told once, however often the retry failed.
        let event = client.event().await;
        assert_eq!(event["type"], "dashboard:summaryUpdated");
        assert_eq!(event["payload"]["totalWishlistItems"], 1);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_shown_of_one_user_hides_nothing_of_another() {
    with_server(|db: TestDb, server: TestServer| async move {
        let (mut ada, mut bob) = (server.connect("ada").await, server.connect("bob").await);
        // The tables of an application may know no such limit.
        db.run("alter table dashboard.mocs drop constraint mocs_created_at_check").await;
        // One transaction, so that both are due together.
        let both = "insert into dashboard.mocs (user_id, title, theme, created_at)
                    values ('ada', 'x', 'y', 'infinity'), ('bob', 'x', 'y', now())";
        db.run(both).await;
        let event = bob.event().await;
        assert_eq!(event["type"], "dashboard:summaryUpdated", "{event}");
        let event = ada.event().await;
        assert_eq!(event["payload"]["code"], "SNAPSHOT_UNAVAILABLE", "{event}");
        let bearer = format!("Bearer {}", access("ada"));
        let response = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 500);
        db.run("update dashboard.mocs set created_at = now() where user_id = 'ada'").await;
        let event = ada.event().await;
        assert_eq!(event["type"], "dashboard:summaryUpdated", "{event}");
        server.await_metric("dashboard_panics_total 0").await;
    })
    .await;
}

#[tokio::test]
async fn who_always_fails_takes_others_along_once() {
    with_server(|db: TestDb, server: TestServer| async move {
        let (mut ada, mut robert) = (server.connect("ada").await, server.connect("robert").await);
        // Whoever reads ada's wishes divides by nothing.
        db.run(
            "alter table dashboard.wishlist_items rename to wishes;
             create view dashboard.wishlist_items as
             select * from dashboard.wishes where 1 / (length(user_id) - 3) >= 0",
        )
        .await;
        // One transaction, so that both are due together.
        let both = "insert into dashboard.wishes (user_id, title)
                    values ('ada', 'x'), ('robert', 'x')";
        db.run(both).await;
        for client in [&mut ada, &mut robert] {
            let event = client.event().await;
            assert_eq!(event["payload"]["code"], "SNAPSHOT_UNAVAILABLE", "{event}");
        }
        for wishes in 1..=3 {
            let event = robert.event().await;
            assert_eq!(event["payload"]["totalWishlistItems"], wishes, "{event}");
            if wishes < 3 {
                db.run(both).await;
            }
        }
        db.run("create or replace view dashboard.wishlist_items as select * from dashboard.wishes")
            .await;
        let event = ada.event().await;
        assert_eq!(event["payload"]["totalWishlistItems"], 3, "{event}");
    })
    .await;
}

#[tokio::test]
async fn a_change_log_made_anew_makes_clients_start_over() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run("update dashboard.meta set epoch = 'another'").await;
        cut_off(&db).await;
        while client.next().await.is_some() {}
        server.await_metric("dashboard_disconnects_total{reason=\"epoch_changed\"} 1").await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_lost_what_was_shown_begins_a_new_epoch() {
    with_server(|db: TestDb, server: TestServer| async move {
        let (mut ada, mut bob) = (server.connect("ada").await, server.connect("bob").await);
        db.run(WISH).await;
        ada.event_at(1).await;
        let epoch: String = db.one("select dashboard.epoch()").await;
        db.run("truncate dashboard.changes").await;
        cut_off(&db).await;
        while ada.next().await.is_some() {}
        while bob.next().await.is_some() {}
        // A client that comes back must not wait for a revision that it has seen before.
        assert_ne!(db.one::<String>("select dashboard.epoch()").await, epoch);
        // Once: the log can be relied on again.
        let mut again = server.connect("ada").await;
        cut_off(&db).await;
        db.run(WISH).await;
        again.event_at(1).await;
    })
    .await;
}

#[tokio::test]
async fn a_log_from_an_older_cluster_is_not_read_for_ever() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.run(
            "insert into dashboard.changes (user_id, sections, xid) values ('ada', 1, '1000000000');
             update dashboard.meta set folded = '1000000000:1000000000:'",
        )
        .await;
        cut_off(&db).await;
        let sane = "select (select count(*) from dashboard.changes) = 0
                        and (select pg_snapshot_xmax(folded) < '1000000000' from dashboard.meta)";
        while !db.one::<bool>(sane).await {}
        let mut ada = server.connect("ada").await;
        db.run(WISH).await;
        assert_eq!(ada.event_at(1).await["payload"]["totalWishlistItems"], 1);
    })
    .await;
}

/// The comparison after an outage fails, and users change something else before it succeeds.
#[tokio::test]
async fn what_was_missed_is_sent_though_other_things_change_before_it_is_known() {
    const USERS: usize = 20;
    with_server(|db: TestDb, server: TestServer| async move {
        let users: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
        let mut clients = Vec::new();
        for user in &users {
            clients.push(server.connect(user).await);
        }
        let mut writer = db.connection().await;
        let name = database_name(&db).await;
        admin(&format!("alter database {name} with allow_connections false")).await;
        writer.execute(CUT_OFF).await.unwrap();
        let missed = "insert into dashboard.sets (user_id, title, theme) values ($1, 'x', 'City')";
        for user in &users {
            sqlx::query(missed).bind(user).execute(&mut writer).await.unwrap();
        }
        // Neither revisions nor refreshes can be read now, while changes can be followed.
        writer.execute("alter table dashboard.revisions rename to away").await.unwrap();
        admin(&format!("alter database {name} with allow_connections true")).await;
        // On a slow machine, what follows is told before that.
        server.await_metric("dashboard_capture_gaps_total 1").await;
        while clients[0].event().await["type"] != "dashboard:error" {}
        // One after the other, so that the attempts to send them do not fall together.
        let other = "insert into dashboard.wishlist_items (user_id, title) values ($1, 'x')";
        for (number, user) in users.iter().enumerate() {
            sqlx::query(other).bind(user).execute(&mut writer).await.unwrap();
            server.await_metric(&format!("dashboard_changes_captured_total {}", number + 1)).await;
        }
        writer.execute("alter table dashboard.away rename to revisions").await.unwrap();
        for client in &mut clients {
            let (mut summary, mut themes) = (false, false);
            while !(summary && themes) {
                let event = client.event().await;
                summary |= event["payload"]["totalWishlistItems"] == 1;
                themes |= event["payload"][0]["setCount"] == 1;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn starting_without_a_database_explains_itself() {
    let mut config = config("postgres://nobody:hunter2@127.0.0.1:1/none");
    config.database_wait_s = 0;
    let Err(StartError::Database(error)) = Server::start(config).await else {
        panic!("a server without a database has started")
    };
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1/none does not answer"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn two_nodes_serve_one_user() {
    with_database(|db: TestDb| async move {
        let ((one, first), (two, second)) =
            (start(config(&db.url)).await, start(config(&db.url)).await);
        let (mut here, mut there) = (first.connect("ada").await, second.connect("ada").await);
        db.run(WISH).await;
        assert_eq!(here.event_at(1).await["payload"], there.event_at(1).await["payload"]);
        one.shutdown().await;
        db.run(WISH).await;
        assert_eq!(there.event_at(2).await["payload"]["totalWishlistItems"], 2);
        two.shutdown().await;
    })
    .await;
}

//! Tests faults of the database: it dies, comes back, goes back in time. Sockets stay, clients miss nothing,
//! and no server says what is false.

use dashboard_server::{Server, StartError};
use serde_json::Value;
use sqlx::Executor;

use crate::support::{
    TestDb, TestServer, access, admin, config, start, with_database, with_server,
};

const WISH: &str = "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";

/// Ends the server's connections to the database.
const CUT_OFF: &str = "
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'dashboard-server'";

const EPOCH: &str = "select life from dashboard.current_epoch";

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
            // No new session gets in. Sessions that are in go on writing.
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
        // Not a repetition of revision 1, but the next change. On a very slow machine, the outage comes first,
        // because the server had to report it.
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
async fn under_an_uninstallation_clients_get_an_error_and_may_ask_again() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        // The server reads it all the time: a deadlock ends one of the two.
        let drop = || sqlx::raw_sql("drop schema dashboard cascade").execute(&db.pool);
        while drop().await.is_err() {}
        assert_eq!(client.event().await["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        let bearer = format!("Bearer {}", access("ada"));
        let response = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        let (status, text) = server.readiness().await;
        assert!(status == 503 && text.contains("no source is installed"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_failed_refresh_is_reported_and_made_good() {
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
        assert_eq!(response.status(), 503);
        db.run("alter table dashboard.sets_away rename to sets").await;
        // Reported once, however often the retry failed.
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
        // One transaction, so that both are due together.
        let both = "insert into collection.mocs (user_id, title, theme)
                    values ('ada', 'x', 'y'), ('bob', 'x', 'y')";
        db.run(both).await;
        for client in [&mut ada, &mut bob] {
            client.events(&["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"]).await;
        }
        // The projector lets nothing of the kind through. Another program may write to its tables.
        db.run("update dashboard.mocs set title = '' where user_id = 'ada'").await;
        db.run(both).await;
        let event = bob.event().await;
        assert_eq!(event["type"], "dashboard:summaryUpdated", "{event}");
        let event = ada.event().await;
        assert_eq!(event["payload"]["code"], "SNAPSHOT_UNAVAILABLE", "{event}");
        let bearer = format!("Bearer {}", access("ada"));
        let response = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(response.status(), 500);
        db.run("update dashboard.mocs set title = 'x' where user_id = 'ada'").await;
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
        db.run("insert into collection.sets (user_id, title, theme) values ('ada', 'x', 'y')")
            .await;
        ada.events(&["themeBreakdownUpdated"]).await;
        // A query that reads ada's sets divides by zero.
        db.run(
            "alter table dashboard.sets rename to all_sets;
             create view dashboard.sets as
             select * from dashboard.all_sets where 1 / (length(user_id) - 3) >= 0",
        )
        .await;
        // One transaction, so that both are due together.
        let both = "insert into collection.mocs (user_id, title, theme)
                    values ('ada', 'x', 'y'), ('robert', 'x', 'y')";
        db.run(both).await;
        for client in [&mut ada, &mut robert] {
            let event = client.event().await;
            assert_eq!(event["payload"]["code"], "SNAPSHOT_UNAVAILABLE", "{event}");
        }
        let types = ["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"];
        for mocs in 1..=3 {
            let events = robert.events(&types).await;
            assert_eq!(events[0]["payload"]["totalMocs"], mocs, "{events:?}");
            if mocs < 3 {
                db.run(both).await;
            }
        }
        db.run("create or replace view dashboard.sets as select * from dashboard.all_sets").await;
        let event = ada.event().await;
        assert_eq!(event["payload"]["totalMocs"], 3, "{event}");
    })
    .await;
}

#[tokio::test]
async fn a_change_log_made_anew_makes_clients_start_over() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut client = server.connect("ada").await;
        db.run("update dashboard.meta set life = 'another'").await;
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
        let epoch: String = db.one(EPOCH).await;
        db.run("truncate dashboard.changes").await;
        cut_off(&db).await;
        while ada.next().await.is_some() {}
        while bob.next().await.is_some() {}
        // A client that comes back must not wait for a revision that it has seen before.
        assert_ne!(db.one::<String>(EPOCH).await, epoch);
        // Once: the log can be relied on again.
        let mut again = server.connect("ada").await;
        cut_off(&db).await;
        db.run(WISH).await;
        again.event_at(1).await;
    })
    .await;
}

/// A backup is put back while the server runs, and its last numbers are used for other changes: nothing is
/// missing, and yet what clients hold is of another past.
#[tokio::test]
async fn a_database_put_back_to_an_earlier_state_begins_a_new_epoch() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run(WISH).await;
        ada.event_at(1).await;
        let epoch: String = db.one(EPOCH).await;
        db.run(
            "begin;
             create temporary table other on commit drop as
                 select id, 'bob' as user_id, sections, nonce + 1 as nonce from dashboard.changes;
             delete from dashboard.changes;
             insert into dashboard.changes (id, user_id, sections, nonce)
             overriding system value select * from other;
             commit",
        )
        .await;
        while ada.next().await.is_some() {}
        server.await_metric("dashboard_disconnects_total{reason=\"epoch_changed\"} 1").await;
        assert_ne!(db.one::<String>(EPOCH).await, epoch);
        let mut again = server.connect("ada").await;
        db.run(WISH).await;
        assert_eq!(again.event_at(2).await["payload"]["totalWishlistItems"], 2);
    })
    .await;
}

/// A database that was started anew may have lost its last changes, which clients have seen: their numbers are
/// passed over. Who has missed nothing stays.
#[tokio::test]
async fn after_a_start_of_the_database_no_number_is_given_out_again() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run(WISH).await;
        let before = ada.event_at(1).await["revision"].as_u64().unwrap();
        db.run("update dashboard.meta set started = started - interval '1 hour'").await;
        cut_off(&db).await;
        server.await_metric("dashboard_capture_gaps_total 1").await;
        db.run(WISH).await;
        let after = ada.event_at(before + 1).await["revision"].as_u64().unwrap();
        assert!(after > before + 900_000, "{after} after {before}");
        db.run(WISH).await;
        let next = ada.event_at(after + 1).await["revision"].as_u64().unwrap();
        assert!(next < after + 900_000, "once: {next} after {after}");
    })
    .await;
}

/// The application's migration goes through, its writes go on, and no dashboard is called current in that time.
#[tokio::test]
async fn a_source_that_cannot_be_read_is_reported_and_recovers_automatically() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run(WISH).await;
        ada.events(&["summaryUpdated"]).await;
        db.run("alter table collection.wishlist_items rename column user_id to owner").await;
        db.run("insert into collection.wishlist_items (owner, title) values ('ada', 'x')").await;
        assert_eq!(ada.event().await["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        let (status, text) = server.readiness().await;
        assert!(status == 503 && text.contains("changes wait to be projected for"), "{text}");
        // Others' dashboards can be seen, as they were.
        assert_eq!(server.snapshot("ada").await.0["summary"]["totalWishlistItems"], 1);
        db.run("alter table collection.wishlist_items rename column owner to user_id").await;
        loop {
            let event = ada.event().await;
            if event["payload"]["totalWishlistItems"] == 2 {
                break;
            }
            assert_eq!(event["payload"]["code"], "SNAPSHOT_UNAVAILABLE", "{event}");
        }
        while server.readiness().await.0 != 200 {}
    })
    .await;
}

/// The same where nothing has been projected yet: a sweep that comes to no rows proves nothing.
#[tokio::test]
async fn a_source_that_could_never_be_read_is_reported() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run("alter table collection.sets rename column theme to topic").await;
        db.run("insert into collection.sets (user_id, title, topic) values ('ada', 'x', 'y')")
            .await;
        assert_eq!(ada.event().await["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        assert_eq!(server.readiness().await.0, 503);
        db.run("alter table collection.sets rename column topic to theme").await;
        while ada.event().await["payload"][0]["setCount"] != 1 {}
        while server.readiness().await.0 != 200 {}
    })
    .await;
}

/// What is written while triggers are off is found all the same.
#[tokio::test]
async fn triggers_that_were_switched_off_are_put_back_and_what_was_missed_is_found() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run("alter table collection.wishlist_items disable trigger user").await;
        db.run(WISH).await;
        while ada.event().await["payload"]["totalWishlistItems"] != 1 {}
        let off = "select exists (select from pg_trigger where tgenabled = 'D')";
        assert!(!db.one::<bool>(off).await);
        db.run(WISH).await;
        while ada.event().await["payload"]["totalWishlistItems"] != 2 {}
    })
    .await;
}

/// All rows are read now and then, no matter what the triggers noted.
#[tokio::test]
async fn rows_are_looked_at_again_by_schedule() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.reconcile_interval_s = 3_600;
        let (server, test) = start(config).await;
        let mut ada = test.connect("ada").await;
        let unheard = "begin;
                       insert into collection.wishlist_items (user_id, title) values ('ada', 'x');
                       delete from dashboard.outbox;
                       commit";
        db.run(unheard).await;
        db.run("update dashboard.meta set reconciled = reconciled - interval '2 hours'").await;
        while ada.event().await["payload"]["totalWishlistItems"] != 1 {}
        server.shutdown().await;
    })
    .await;
}

/// A restore makes tables anew, fills them, and then puts their triggers onto them, in one transaction.
#[tokio::test]
async fn a_table_that_was_restored_with_its_triggers_is_looked_at_again() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run(
            "begin;
             create temp table kept as
                 select tgname, tgenabled, pg_get_triggerdef(oid) as definition from pg_trigger
                 where tgrelid = 'collection.wishlist_items'::regclass and not tgisinternal;
             alter table collection.wishlist_items rename to former;
             create table collection.wishlist_items (like collection.former including all);
             drop table collection.former;
             insert into collection.wishlist_items (user_id, title) values ('ada', 'x');
             do $$
             declare trigger record;
             begin
                 for trigger in select * from kept loop
                     execute trigger.definition;
                     execute format('alter table collection.wishlist_items enable %s trigger %I',
                         case trigger.tgenabled when 'R' then 'replica' when 'A' then 'always' end,
                         trigger.tgname);
                 end loop;
             end $$;
             drop table kept;
             commit",
        )
        .await;
        while ada.event().await["payload"]["totalWishlistItems"] != 1 {}
        // Nothing is missing now, so changes are heard as before.
        db.run(WISH).await;
        while ada.event().await["payload"]["totalWishlistItems"] != 2 {}
    })
    .await;
}

/// PostgreSQL starts read-only, so the server cannot know what it still has. Later it can.
#[tokio::test]
async fn a_database_that_may_be_written_to_again_is_projected_again() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run(WISH).await;
        ada.event_at(1).await;
        let name = database_name(&db).await;
        db.run("update dashboard.meta set started = started - interval '1 hour'").await;
        admin(&format!("alter database {name} set default_transaction_read_only = on")).await;
        cut_off(&db).await;
        server.await_metric("dashboard_capture_gaps_total 1").await;
        // Read all the same, though under a separate epoch.
        assert_eq!(server.snapshot("ada").await.0["summary"]["totalWishlistItems"], 1);
        admin(&format!("alter database {name} reset default_transaction_read_only")).await;
        cut_off(&db).await;
        server.await_metric("dashboard_capture_gaps_total 2").await;
        db.run(WISH).await;
        while ada.event().await["payload"]["totalWishlistItems"] != 2 {}
    })
    .await;
}

/// Rows of `changes` came without their sequence, as logical replication brings them.
#[tokio::test]
async fn numbers_that_lag_behind_are_not_given_out_again() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        db.run(
            "insert into dashboard.changes (id, user_id, sections, nonce) overriding system value
                values (500, 'bob', 1, 1)",
        )
        .await;
        db.run(WISH).await;
        let event = ada.event_at(1).await;
        assert!(event["revision"].as_u64().unwrap() > 500, "{event}");
    })
    .await;
}

/// Another server has the turn, and makes no progress.
#[tokio::test]
async fn a_turn_that_does_not_end_is_reported() {
    with_server(|db: TestDb, server: TestServer| async move {
        let mut ada = server.connect("ada").await;
        let mut rival = db.connection().await;
        rival.execute(sqlx::raw_sql("begin; select from dashboard.turn for update")).await.unwrap();
        db.run(WISH).await;
        assert_eq!(ada.event().await["payload"]["code"], "SNAPSHOT_UNAVAILABLE");
        assert_eq!(server.readiness().await.0, 503);
        rival.execute("rollback").await.unwrap();
        while ada.event().await["payload"]["totalWishlistItems"] != 1 {}
        while server.readiness().await.0 != 200 {}
    })
    .await;
}

/// No server was there that could know whether the database still has all that clients have seen.
#[tokio::test]
async fn after_a_start_of_database_and_servers_clients_start_over() {
    with_database(|db: TestDb| async move {
        db.write(WISH).await;
        let (life, cursor) = (db.one::<String>(EPOCH).await, db.cursor().await);
        db.run("update dashboard.meta set started = started - interval '1 hour'").await;
        let (server, test) = start(config(&db.url)).await;
        assert_ne!(db.one::<String>(EPOCH).await, life);
        assert_eq!(test.snapshot("ada").await.1, cursor.0.unsigned_abs(), "it has no newer change");
        let mut ada = test.connect("ada").await;
        db.run(WISH).await;
        let next = ada.event_at(2).await["revision"].as_u64().unwrap();
        assert!(next > 900_000, "{next}");
        server.shutdown().await;
    })
    .await;
}

/// What a dump from an older cluster brings along: notes of transactions that are yet to come here.
#[tokio::test]
async fn notes_of_an_older_cluster_are_taken() {
    with_server(|db: TestDb, server: TestServer| async move {
        db.run(
            "insert into dashboard.outbox (xid, watch, size, keys)
             select '1000000000', number, 1, array[gen_random_uuid()::text] from dashboard.watches
             where cardinality(key_columns) = 1",
        )
        .await;
        cut_off(&db).await;
        while db.one::<i64>("select count(*) from dashboard.outbox").await > 0 {}
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
        let missed = "insert into collection.sets (user_id, title, theme) values ($1, 'x', 'City')";
        for user in &users {
            sqlx::query(missed).bind(user).execute(&mut writer).await.unwrap();
        }
        // Neither revisions nor refreshes can be read now, while changes can be followed: a sweep is due that is
        // not done yet.
        writer
            .execute(sqlx::raw_sql(
                "insert into dashboard.sweeps (feed, not_before)
                 select number, 'infinity' from dashboard.feeds limit 1;
                 update dashboard.meta set is_complete = false, swept = null",
            ))
            .await
            .unwrap();
        admin(&format!("alter database {name} with allow_connections true")).await;
        // On a slow machine, what follows would be sent before that.
        server.await_metric("dashboard_capture_gaps_total 1").await;
        while clients[0].event().await["type"] != "dashboard:error" {}
        // One after the other, so that the attempts to send them do not fall together.
        let other = "insert into collection.wishlist_items (user_id, title) values ($1, 'x')";
        for user in &users {
            sqlx::query(other).bind(user).execute(&mut writer).await.unwrap();
            db.settle().await;
        }
        writer.execute("delete from dashboard.sweeps").await.unwrap();
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

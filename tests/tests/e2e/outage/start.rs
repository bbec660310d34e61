//! Starting on a database that cannot be used: each trouble has its own words, and they say what
//! to do. Never a password.

use e2e_tests::{OwnCluster, Process, pause};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::hog;

/// What the address of a test's cluster never shows.
fn password(url: &str) -> &str {
    url.split_once("dashboard:").unwrap().1.split_once('@').unwrap().0
}

/// Starts a server that must refuse, in words with these parts.
async fn refused(url: &str, parts: &[&str]) {
    let said = Process::refused(url, &[]).await;
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
    for secret in ["hunter2", password(url)] {
        assert!(!said.contains(secret), "{said}");
    }
    println!("{}", said.lines().last().unwrap_or_default());
}

#[tokio::test]
async fn an_address_that_leads_nowhere_has_a_separate_error() {
    let refuses = "postgres://dashboard:hunter2@127.0.0.1:1/dashboard";
    refused(refuses, &["127.0.0.1:1/dashboard does not answer", "nothing listens", "port"]).await;
    let unknown = "postgres://dashboard:hunter2@no-such-host.invalid/dashboard";
    refused(unknown, &["host name is unknown", "correct it in DATABASE_URL"]).await;
    let said = Process::refused("mysql//hunter2", &[]).await;
    assert!(said.contains("postgres://user:password@host:5432/name"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_log_in_that_is_refused_has_a_separate_error() {
    let cluster = OwnCluster::start().await;
    let url = cluster.url();
    let wrong = url.replace(password(&url), "hunter2");
    refused(&wrong, &["refuses the log-in", "correct user and password"]).await;
    let stranger = url.replace("//dashboard:", "//nobody-dashboard:");
    refused(&stranger, &["refuses the log-in", "nobody-dashboard"]).await;
    let elsewhere = url.replace("/dashboard", "/elsewhere").replace("elsewhere:", "dashboard:");
    let elsewhere = elsewhere.replace("postgres://elsewhere", "postgres://dashboard");
    refused(&elsewhere, &["does not exist", "create it, or correct the name"]).await;
    let encrypted = format!("{url}?sslmode=require");
    refused(&encrypted, &["cannot be reached by TLS", "sslmode"]).await;
    let hogs = hog(&url).await;
    refused(&url, &["no connection to spare", "max_connections"]).await;
    drop(hogs);
    cluster.allow("hostnossl all all 127.0.0.1/32 reject");
    refused(&url, &["takes only encrypted connections", "sslmode=require"]).await;
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_has_a_separate_error() {
    let cluster = OwnCluster::start().await;
    let url = cluster.url();
    let mut db = cluster.connect().await;
    run(&mut db, "alter database dashboard set default_transaction_read_only = on").await;
    refused(&url, &["may only be read", "default_transaction_read_only"]).await;
    run(&mut db, "alter database dashboard reset default_transaction_read_only").await;
    run(&mut db, "create role poor login password 'hunter2'").await;
    run(&mut db, "revoke create on database dashboard from public").await;
    let poor = url.replace(password(&url), "hunter2").replace("//dashboard:", "//poor:");
    let said = Process::refused(&poor, &[]).await;
    assert!(said.contains("grant CREATE on the database"), "{said}");
    println!("{}", said.lines().last().unwrap_or_default());

    let mut server = Process::start(&url, &[]).await;
    server.terminate();
    assert!(server.exit().await.success());
    // What another version made, in one way or another.
    for foreign in [
        "update dashboard.meta set schema = 'of another version'",
        "alter table dashboard.meta rename column schema to version",
        "drop table dashboard.meta cascade",
    ] {
        run(&mut db, foreign).await;
        refused(&url, &["another version", "drop schema dashboard cascade", "start again"]).await;
    }
    run(&mut db, "drop schema dashboard cascade").await;
    let mut server = Process::start(&url, &[]).await;
    server.terminate();
    assert!(server.exit().await.success());
}

#[tokio::test]
async fn a_standby_and_a_database_that_is_not_ready_are_told_apart() {
    let cluster = OwnCluster::start().await;
    let standby = cluster.standby(&[]).await;
    standby.connect().await.close().await.unwrap();
    refused(standby.url(), &["is a standby", "set DATABASE_URL to the primary"]).await;
    // One that takes no connections yet, and never will.
    let closed = cluster.standby(&["hot_standby=off"]).await;
    let code = loop {
        match PgConnection::connect(closed.url()).await {
            Err(sqlx::Error::Database(error)) => break error.code().unwrap().into_owned(),
            Err(_) => pause().await,
            Ok(_) => panic!("it takes connections"),
        }
    };
    assert_eq!(code, "57P03");
    refused(closed.url(), &["is not ready yet", "DASHBOARD_DATABASE_WAIT_S"]).await;
}

async fn run(db: &mut PgConnection, statement: &str) {
    sqlx::query(AssertSqlSafe(statement)).execute(db).await.unwrap();
}

//! Tests the pool of connections: what is given back at once, what is checked first, and what is closed.

use dashboard_server::database::Database;
use dashboard_server::postgres::{Lease, Pool};
use sqlx::Connection;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestDb, config, pause, with_database};

/// A pool with one connection, so that each lease shows what the one before has left.
async fn one_connection(db: &TestDb) -> Database {
    let mut config = config(&db.url);
    config.database_connections = 1;
    Database::open(&config).await.unwrap()
}

async fn number(lease: &mut Lease, query: &'static str) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(query).fetch_one(&mut **lease).await
}

/// The next connection, however often the one before is still being checked.
async fn next(pool: &Pool) -> Lease {
    let next = async {
        loop {
            match pool.get().await {
                Ok(lease) => return lease,
                Err(sqlx::Error::PoolTimedOut) => pause().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, next).await.unwrap()
}

const WAITS: &str =
    "select exists (select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock')";
const IS_GONE: &str = "select not exists (select from pg_stat_activity where pid = $1)";

/// Waits until that can be said of a session.
async fn until(db: &TestDb, condition: &'static str, session: i32) {
    let asked = async {
        let ask = || sqlx::query_scalar::<_, bool>(condition).bind(session).fetch_one(&db.pool);
        while !ask().await.unwrap() {
            pause().await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap();
}

/// Gives a statement up that waits for a lock, and then its connection. The lock is held until what is returned ends.
async fn give_up_waiting(
    db: &TestDb,
    mut lease: Lease,
    session: i32,
) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut held = db.pool.begin().await.unwrap();
    sqlx::query("lock table dashboard.changes").execute(&mut *held).await.unwrap();
    {
        let read = number(&mut lease, "select count(*)::int from dashboard.changes");
        tokio::pin!(read);
        tokio::select! {
            read = &mut read => panic!("the table is locked, and was read: {read:?}"),
            () = until(db, WAITS, session) => {}
        }
    }
    held
}

#[tokio::test]
async fn a_connection_that_is_done_is_free_at_once() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        let session = number(&mut lease, "select pg_backend_pid()").await.unwrap();
        assert_eq!(database.pool.used(), 1);
        lease.done();
        assert_eq!(database.pool.used(), 0);
        // It was not used, so there is nothing to ask.
        drop(database.pool.get().await.unwrap());
        assert_eq!(database.pool.used(), 0);
        let mut lease = database.pool.get().await.unwrap();
        assert_eq!(number(&mut lease, "select pg_backend_pid()").await.unwrap(), session);
        drop(lease);
        database.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_statement_was_given_up_is_used_again_when_that_has_ended() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        let session = number(&mut lease, "select pg_backend_pid()").await.unwrap();
        let held = give_up_waiting(&db, lease, session).await;
        assert_eq!(database.pool.used(), 1, "a statement is under way on it");
        held.rollback().await.unwrap();
        let mut lease = next(&database.pool).await;
        // Not the answer of the statement that was given up.
        assert_eq!(number(&mut lease, "select 42").await.unwrap(), 42);
        assert_eq!(number(&mut lease, "select pg_backend_pid()").await.unwrap(), session);
        drop(lease);
        database.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_was_given_up_is_over_before_the_connection_is_used_again() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        // Or the database would end it on its own.
        let patient = "set idle_in_transaction_session_timeout = 0";
        sqlx::raw_sql(patient).execute(&mut *lease).await.unwrap();
        {
            let mut transaction = lease.begin().await.unwrap();
            sqlx::query("lock table dashboard.changes").execute(&mut *transaction).await.unwrap();
        }
        drop(lease);
        // By another session, so it waits until the first one has let go.
        let read = sqlx::query("select from dashboard.changes").fetch_all(&db.pool);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        database.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_broke_is_replaced() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        let session = number(&mut lease, "select pg_backend_pid()").await.unwrap();
        sqlx::query("select pg_terminate_backend($1, 60000)")
            .bind(session)
            .execute(&db.pool)
            .await
            .unwrap();
        number(&mut lease, "select 1").await.unwrap_err();
        drop(lease);
        let mut lease = next(&database.pool).await;
        assert_ne!(number(&mut lease, "select pg_backend_pid()").await.unwrap(), session);
        drop(lease);
        database.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_closed_pool_has_closed_its_connections() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        let session = number(&mut lease, "select pg_backend_pid()").await.unwrap();
        lease.done();
        database.close().await;
        assert!(matches!(database.pool.get().await, Err(sqlx::Error::PoolClosed)));
        until(&db, IS_GONE, session).await;
    })
    .await;
}

/// The answer to a statement that was given up may be an error. It says nothing about the connection.
#[tokio::test]
async fn a_statement_that_was_given_up_and_failed_costs_no_connection() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        let session = number(&mut lease, "select pg_backend_pid()").await.unwrap();
        let patient = "set lock_timeout = 0; set statement_timeout = 0";
        sqlx::raw_sql(patient).execute(&mut *lease).await.unwrap();
        let _held = give_up_waiting(&db, lease, session).await;
        sqlx::query("select pg_cancel_backend($1)").bind(session).execute(&db.pool).await.unwrap();
        let mut lease = next(&database.pool).await;
        assert_eq!(number(&mut lease, "select pg_backend_pid()").await.unwrap(), session);
        drop(lease);
        database.close().await;
    })
    .await;
}

/// No library knows of a transaction that a plain statement began.
#[tokio::test]
async fn a_connection_that_was_left_in_a_transaction_is_closed() {
    with_database(|db| async move {
        let database = one_connection(&db).await;
        let mut lease = next(&database.pool).await;
        let session = number(&mut lease, "select pg_backend_pid()").await.unwrap();
        sqlx::raw_sql("begin").execute(&mut *lease).await.unwrap();
        drop(lease);
        let mut lease = next(&database.pool).await;
        assert_ne!(number(&mut lease, "select pg_backend_pid()").await.unwrap(), session);
        drop(lease);
        database.close().await;
    })
    .await;
}

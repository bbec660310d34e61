//! Tests how the database plans the statements of the server's pool.

use dashboard_server::dashboard::query::{self, Owed};
use dashboard_server::dashboard::section::Sections;
use dashboard_server::database::Database;
use dashboard_server::user::UserId;

use sqlx::Connection;

use crate::support::{TestDb, config, with_database};

/// Something in every table that is read, and statistics that say how little it is.
const LITTLE: &str = "
    insert into collection.mocs (user_id, title, theme) values ('ada', 'x', 'y'), ('bob', 'x', 'y');
    insert into collection.moc_parts select id, 'p', 1, 2 from collection.mocs;
    insert into collection.inventory values ('ada', 'p', 1, 1, 0);
    insert into collection.sets (user_id, title, theme) values ('ada', 'x', 'y');
    insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";

/// The scans of this transaction: of whole tables but for that of one row, and by index.
const SCANS: &str = "
    select coalesce(sum(seq_scan), 0)::bigint, coalesce(sum(idx_scan), 0)::bigint
    from pg_stat_xact_user_tables
    where schemaname = 'dashboard' and relname <> 'meta'";

/// A plan is kept, and the tables may have grown a thousandfold before it is made again.
#[tokio::test]
async fn tables_are_read_by_index_however_small_they_are() {
    with_database(|db: TestDb| async move {
        db.write(LITTLE).await;
        db.run("analyze").await;
        let since = db.cursor().await;
        let owed = ["ada", "bob", "nobody"].map(|user| Owed { user, since, forced: Sections::ALL });
        let database = Database::open(&config(&db.url)).await.unwrap();
        let mut lease = database.pool.get().await.unwrap();
        let mut transaction = lease.begin().await.unwrap();
        query::snapshot(&mut *transaction, "ada").await.unwrap();
        let read = query::refresh(&mut *transaction, &owed).await.unwrap();
        assert!(read.iter().all(Result::is_ok));
        query::tags(&mut *transaction, &owed.map(|owed| UserId::from(owed.user))).await.unwrap();
        let (whole, by_index): (i64, i64) =
            sqlx::query_as(SCANS).fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(whole, 0, "scans of whole tables");
        assert!(by_index > 0);
        transaction.rollback().await.unwrap();
        drop(lease);
        database.close().await;
    })
    .await;
}

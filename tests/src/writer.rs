//! Any writer: plain SQL by someone who knows the tables and nothing of the service.
//!
//! Each function takes a pool, a connection or a transaction, so a test decides what commits
//! together.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A MOC that is about to be added.
#[derive(Clone, Debug)]
pub struct NewMoc<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its theme.
    pub theme: &'a str,
    /// Its build status, such as `ADDED`.
    pub build_status: &'a str,
    /// Its cover's address.
    pub cover_image_url: Option<&'a str>,
}

impl<'a> NewMoc<'a> {
    /// A MOC that is not begun.
    #[must_use]
    pub fn new(title: &'a str, theme: &'a str) -> Self {
        Self { title, theme, build_status: "ADDED", cover_image_url: None }
    }
}

/// A lot of a parts list: part number, colour and quantity.
pub type Lot<'a> = (&'a str, i32, i32);

/// Adds a MOC and returns its id.
pub async fn add_moc(db: impl PgExecutor<'_>, user: &str, moc: &NewMoc<'_>) -> Uuid {
    let statement =
        "insert into collection.mocs (user_id, title, theme, build_status, cover_image_url)
                     values ($1, $2, $3, $4::collection.build_status, $5) returning id";
    let query = sqlx::query_scalar(statement).bind(user).bind(moc.title).bind(moc.theme);
    query
        .bind(moc.build_status)
        .bind(moc.cover_image_url)
        .fetch_one(db)
        .await
        .expect("a MOC can be added")
}

/// Adds that many MOCs by one statement.
pub async fn add_mocs(db: impl PgExecutor<'_>, user: &str, theme: &str, count: i32) {
    let statement = "insert into collection.mocs (user_id, title, theme)
                     select $1, 'MOC ' || n, $2 from generate_series(1, $3) n";
    let query = sqlx::query(statement).bind(user).bind(theme).bind(count);
    query.execute(db).await.expect("MOCs can be added");
}

/// Changes a MOC's title.
pub async fn rename_moc(db: impl PgExecutor<'_>, moc: Uuid, title: &str) {
    let statement = "update collection.mocs set title = $2, updated_at = now() where id = $1";
    one_row(sqlx::query(statement).bind(moc).bind(title).execute(db).await);
}

/// Changes a MOC's build status.
pub async fn set_build_status(db: impl PgExecutor<'_>, moc: Uuid, status: &str) {
    let statement = "update collection.mocs
                     set build_status = $2::collection.build_status, updated_at = now()
                     where id = $1";
    one_row(sqlx::query(statement).bind(moc).bind(status).execute(db).await);
}

/// Deletes a MOC.
pub async fn delete_moc(db: impl PgExecutor<'_>, moc: Uuid) {
    one_row(sqlx::query("delete from collection.mocs where id = $1").bind(moc).execute(db).await);
}

/// Gives a MOC its parts list.
pub async fn add_parts(db: impl PgExecutor<'_>, moc: Uuid, lots: &[Lot<'_>]) {
    let statement = "insert into collection.moc_parts (moc_id, part_num, color_id, quantity)
                     select $1, * from unnest($2::text[], $3::int[], $4::int[])";
    let parts: Vec<_> = lots.iter().map(|lot| lot.0).collect();
    let colours: Vec<_> = lots.iter().map(|lot| lot.1).collect();
    let quantities: Vec<_> = lots.iter().map(|lot| lot.2).collect();
    let query = sqlx::query(statement).bind(moc).bind(parts).bind(colours).bind(quantities);
    query.execute(db).await.expect("parts can be listed");
}

/// Orders parts: they cover MOCs from now on, although they have not arrived.
pub async fn order_parts(db: impl PgExecutor<'_>, user: &str, (part, colour, count): Lot<'_>) {
    let statement =
        "insert into collection.inventory as i (user_id, part_num, color_id, ordered_quantity)
         values ($1, $2, $3, $4)
         on conflict (user_id, part_num, color_id)
         do update set ordered_quantity = i.ordered_quantity + excluded.ordered_quantity";
    let query = sqlx::query(statement).bind(user).bind(part).bind(colour).bind(count);
    one_row(query.execute(db).await);
}

/// Puts parts into the collection that were not ordered.
pub async fn own_parts(db: impl PgExecutor<'_>, user: &str, (part, colour, count): Lot<'_>) {
    let statement =
        "insert into collection.inventory as i (user_id, part_num, color_id, owned_quantity)
         values ($1, $2, $3, $4)
         on conflict (user_id, part_num, color_id)
         do update set owned_quantity = i.owned_quantity + excluded.owned_quantity";
    let query = sqlx::query(statement).bind(user).bind(part).bind(colour).bind(count);
    one_row(query.execute(db).await);
}

/// Adds an owned set and returns its id.
pub async fn add_set(db: impl PgExecutor<'_>, user: &str, title: &str, theme: &str) -> Uuid {
    let statement =
        "insert into collection.sets (user_id, title, theme) values ($1, $2, $3) returning id";
    let query = sqlx::query_scalar(statement).bind(user).bind(title).bind(theme);
    query.fetch_one(db).await.expect("a set can be added")
}

/// Puts something on the wishlist and returns its id.
pub async fn add_wish(db: impl PgExecutor<'_>, user: &str, title: &str) -> Uuid {
    let statement =
        "insert into collection.wishlist_items (user_id, title) values ($1, $2) returning id";
    let query = sqlx::query_scalar(statement).bind(user).bind(title);
    query.fetch_one(db).await.expect("a wish can be added")
}

/// Gives all MOCs that user has a parts list of one lot, of which half is there.
pub async fn cover_half(db: &mut PgConnection, user: &str) {
    // The lot before the parts: alone, it concerns no MOC yet.
    own_parts(&mut *db, user, ("3001", 4, 5)).await;
    let statement = "insert into collection.moc_parts (moc_id, part_num, color_id, quantity)
                     select id, '3001', 4, 10 from collection.mocs where user_id = $1";
    sqlx::query(statement).bind(user).execute(db).await.expect("parts can be listed");
}

/// Takes something off the wishlist.
pub async fn remove_wish(db: impl PgExecutor<'_>, wish: Uuid) {
    let statement = "delete from collection.wishlist_items where id = $1";
    one_row(sqlx::query(statement).bind(wish).execute(db).await);
}

fn one_row(outcome: sqlx::Result<sqlx::postgres::PgQueryResult>) {
    assert_eq!(outcome.expect("a writer's statement is sound").rows_affected(), 1);
}

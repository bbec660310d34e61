//! Writes collections into the database, by plain SQL like any other writer.

use anyhow::Context;
use sqlx::{PgPool, Postgres, Transaction};

use crate::catalogue::{Catalogue, USERS};
use crate::plan::{self, Collection};

/// Puts the demo's people into the state that the demo begins with, also after an earlier run has
/// changed them. One transaction, so that a dashboard that is open never shows half of it.
pub(crate) async fn plant(pool: &PgPool, catalogue: &Catalogue) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    for (user, _) in USERS {
        let collection = plan::collection(catalogue, user);
        write(&mut transaction, &collection)
            .await
            .with_context(|| format!("the collection of {user} could not be written"))?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn write(
    transaction: &mut Transaction<'_, Postgres>,
    collection: &Collection<'_>,
) -> sqlx::Result<()> {
    for statement in [
        "delete from collection.mocs where user_id = $1",
        "delete from collection.inventory where user_id = $1",
        "delete from collection.sets where user_id = $1",
        "delete from collection.wishlist_items where user_id = $1",
    ] {
        sqlx::query(statement).bind(collection.user).execute(&mut **transaction).await?;
    }
    write_mocs(transaction, collection).await?;
    write_parts(transaction, collection).await?;
    write_inventory(transaction, collection).await?;
    write_shelves(transaction, collection).await
}

async fn write_mocs(
    transaction: &mut Transaction<'_, Postgres>,
    Collection { user, mocs, .. }: &Collection<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into collection.mocs
             (user_id, id, title, theme, build_status, cover_image_url, created_at, updated_at)
         select $1, id, title, theme, status::collection.build_status, cover,
                now() - make_interval(secs => age), now() - make_interval(secs => touched)
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[],
                     $8::float8[])
             as planned (id, title, theme, status, cover, age, touched)",
    )
    .bind(user)
    .bind(mocs.iter().map(|planned| planned.id).collect::<Vec<_>>())
    .bind(mocs.iter().map(|planned| planned.moc.title.as_str()).collect::<Vec<_>>())
    .bind(mocs.iter().map(|planned| planned.moc.theme.as_str()).collect::<Vec<_>>())
    .bind(mocs.iter().map(|planned| planned.moc.build_status.as_str()).collect::<Vec<_>>())
    .bind(mocs.iter().map(|planned| planned.cover).collect::<Vec<_>>())
    .bind(mocs.iter().map(|planned| planned.age).collect::<Vec<_>>())
    .bind(mocs.iter().map(|planned| planned.touched).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_parts(
    transaction: &mut Transaction<'_, Postgres>,
    Collection { mocs, .. }: &Collection<'_>,
) -> sqlx::Result<()> {
    let lots = || mocs.iter().flat_map(|planned| planned.parts.iter().map(|lot| (planned.id, lot)));
    sqlx::query(
        "insert into collection.moc_parts (moc_id, part_num, color_id, quantity)
         select * from unnest($1::uuid[], $2::text[], $3::int[], $4::int[])",
    )
    .bind(lots().map(|(id, _)| id).collect::<Vec<_>>())
    .bind(lots().map(|(_, lot)| lot.element.0).collect::<Vec<_>>())
    .bind(lots().map(|(_, lot)| lot.element.1).collect::<Vec<_>>())
    .bind(lots().map(|(_, lot)| lot.quantity.cast_signed()).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_inventory(
    transaction: &mut Transaction<'_, Postgres>,
    Collection { user, inventory, .. }: &Collection<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into collection.inventory
             (user_id, part_num, color_id, owned_quantity, ordered_quantity)
         select $1, * from unnest($2::text[], $3::int[], $4::int[], $5::int[])",
    )
    .bind(user)
    .bind(inventory.iter().map(|stock| stock.element.0).collect::<Vec<_>>())
    .bind(inventory.iter().map(|stock| stock.element.1).collect::<Vec<_>>())
    .bind(inventory.iter().map(|stock| stock.owned.cast_signed()).collect::<Vec<_>>())
    .bind(inventory.iter().map(|stock| stock.ordered.cast_signed()).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_shelves(
    transaction: &mut Transaction<'_, Postgres>,
    Collection { user, sets, wishes, .. }: &Collection<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into collection.sets (user_id, title, theme)
         select $1, * from unnest($2::text[], $3::text[])",
    )
    .bind(user)
    .bind(sets.iter().map(|(title, _)| *title).collect::<Vec<_>>())
    .bind(sets.iter().map(|(_, theme)| *theme).collect::<Vec<_>>())
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "insert into collection.wishlist_items (user_id, title) select $1, * from unnest($2::text[])",
    )
    .bind(user)
    .bind(wishes)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

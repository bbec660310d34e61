//! Somebody who keeps working on a collection: finds a MOC, orders its parts, builds it, wishes for
//! sets and buys them. Plain SQL, one transaction a change.

use std::collections::BTreeSet;

use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::catalogue::{Catalogue, Moc, USERS};
use crate::random::Random;
use crate::{coverage, plan};

/// How many MOCs of the demo's own the collection holds at most; then one is given away again.
const NEW_MOCS_MAX: i64 = 8;
const WISHES_MAX: i64 = 18;

/// Writes changes for the first person of the demo.
pub(crate) struct Author<'a> {
    database: &'a PgPool,
    catalogue: &'a Catalogue,
    user: &'static str,
    random: Random,
    turn: usize,
    added: usize,
}

/// The kinds of change, in the order in which a collector would come to them. The demo goes round;
/// a kind that does not fit the collection just now is passed over.
#[derive(Clone, Copy, Debug)]
enum Kind {
    AddMoc,
    OrderSome,
    OrderRest,
    Advance,
    Wish,
    Buy,
    Rename,
    GiveAway,
}

const ROUND: [Kind; 12] = [
    Kind::AddMoc,
    Kind::OrderSome,
    Kind::Wish,
    Kind::Advance,
    Kind::OrderRest,
    Kind::Rename,
    Kind::AddMoc,
    Kind::OrderSome,
    Kind::Buy,
    Kind::OrderSome,
    Kind::Advance,
    Kind::GiveAway,
];

impl<'a> Author<'a> {
    pub(crate) fn new(database: &'a PgPool, catalogue: &'a Catalogue) -> Self {
        let random = Random::seeded(0x000b_41c4);
        Self { database, catalogue, user: USERS[0].0, random, turn: 0, added: 0 }
    }

    /// Commits the next change and says what it was.
    pub(crate) async fn next(&mut self) -> sqlx::Result<String> {
        for _ in 0..ROUND.len() {
            let kind = ROUND[self.turn % ROUND.len()];
            self.turn += 1;
            let change = match kind {
                Kind::AddMoc => self.add_moc().await?,
                Kind::OrderSome => self.order("covered = 0", 0.4).await?,
                Kind::OrderRest => self.order("covered > 0", 1.0).await?,
                Kind::Advance => self.advance().await?,
                Kind::Wish => self.wish().await?,
                Kind::Buy => self.buy().await?,
                Kind::Rename => self.rename().await?,
                Kind::GiveAway => self.give_away().await?,
            };
            if let Some(change) = change {
                return Ok(change);
            }
        }
        Ok("nothing left to change".to_owned())
    }

    async fn add_moc(&mut self) -> sqlx::Result<Option<String>> {
        let mut all = self.catalogue.new_mocs();
        let count = all.by_ref().count().max(1);
        let Some(moc) = self.catalogue.new_mocs().nth(self.added % count) else { return Ok(None) };
        self.added += 1;
        let mut transaction = self.database.begin().await?;
        let id: Option<Uuid> = sqlx::query_scalar(
            "insert into collection.mocs (user_id, title, theme, cover_image_url)
             select $1, $2, $3, $4
             where not exists (select from collection.mocs where user_id = $1 and title = $2)
             returning id",
        )
        .bind(self.user)
        .bind(&moc.title)
        .bind(&moc.theme)
        .bind(self.catalogue.cover(moc))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(id) = id else { return Ok(None) };
        let parts = self.parts_of(moc);
        sqlx::query(
            "insert into collection.moc_parts (moc_id, part_num, color_id, quantity)
             select $1, * from unnest($2::text[], $3::int[], $4::int[])",
        )
        .bind(id)
        .bind(parts.iter().map(|lot| lot.element.0).collect::<Vec<_>>())
        .bind(parts.iter().map(|lot| lot.element.1).collect::<Vec<_>>())
        .bind(parts.iter().map(|lot| lot.quantity.cast_signed()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(format!("new MOC      “{}” ({})", moc.title, moc.theme)))
    }

    /// A parts list without what the collection's own MOCs are made of, so that it begins uncovered.
    fn parts_of(&mut self, moc: &Moc) -> Vec<plan::Lot> {
        let collection = plan::collection(self.catalogue, self.user);
        let lots = collection.mocs.iter().flat_map(|planned| &planned.parts);
        let mut taken: BTreeSet<_> = lots.map(|lot| lot.element).collect();
        plan::parts_list(moc.pieces, &mut taken, &mut self.random)
    }

    /// Orders a share of the lots that a MOC lacks.
    async fn order(&self, which: &'static str, share: f64) -> sqlx::Result<Option<String>> {
        let find = format!(
            "select id, title from ({}) as moc
             where covered < total and {which}
             order by covered * 100 / total desc, created_at desc limit 1",
            coverage::OF_MOCS
        );
        let mut transaction = self.database.begin().await?;
        // Only constant text is put together.
        let found = sqlx::query(sqlx::AssertSqlSafe(find))
            .bind(self.user)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = found else { return Ok(None) };
        let (id, title): (Uuid, String) = (row.get("id"), row.get("title"));
        let ordered: i64 = sqlx::query_scalar(
            "with lacking as (
                 select part.part_num, part.color_id,
                        part.quantity - coalesce(lot.owned_quantity + lot.ordered_quantity, 0)
                            as quantity
                 from collection.moc_parts as part
                 left join collection.inventory as lot
                     on lot.user_id = $1 and lot.part_num = part.part_num
                    and lot.color_id = part.color_id
                 where part.moc_id = $2
             ), shop as (
                 select * from lacking where quantity > 0
                 order by part_num, color_id
                 limit (select ceil(count(*) * $3) from lacking where quantity > 0)
             ), bought as (
                 insert into collection.inventory as i
                     (user_id, part_num, color_id, ordered_quantity)
                 select $1, part_num, color_id, quantity from shop
                 on conflict (user_id, part_num, color_id)
                 do update set ordered_quantity = i.ordered_quantity + excluded.ordered_quantity
             )
             select coalesce(sum(quantity), 0) from shop",
        )
        .bind(self.user)
        .bind(id)
        .bind(share)
        .fetch_one(&mut *transaction)
        .await?;
        let cover = format!(
            "select greatest(1, covered * 100 / total) from ({}) as moc where id = $2",
            coverage::OF_MOCS
        );
        let percent: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(cover))
            .bind(self.user)
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(format!("parts        {ordered} ordered for “{title}”: {percent} % covered")))
    }

    /// A MOC whose parts are complete is begun; one that was begun is finished.
    async fn advance(&self) -> sqlx::Result<Option<String>> {
        let advance = format!(
            "update collection.mocs
             set updated_at = now(), build_status = case build_status
                 when 'ADDED' then 'IN_PROGRESS' else 'BUILT' end::collection.build_status
             where id = (
                 select id from ({}) as moc
                 where covered = total and build_status <> 'BUILT'
                 order by updated_at limit 1)
             returning title, build_status::text",
            coverage::OF_MOCS
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(advance))
            .bind(self.user)
            .fetch_optional(self.database)
            .await?;
        Ok(row.map(|row| {
            let (title, status): (String, String) = (row.get("title"), row.get("build_status"));
            let doing = if status == "BUILT" { "is built" } else { "is being built" };
            format!("building     “{title}” {doing}")
        }))
    }

    async fn wish(&mut self) -> sqlx::Result<Option<String>> {
        let mut names: Vec<&str> =
            self.catalogue.sets.iter().map(|set| set.name.as_str()).collect();
        self.random.shuffle(&mut names);
        let wished: Option<String> = sqlx::query_scalar(
            "insert into collection.wishlist_items (user_id, title)
             select $1, name
             from unnest($2::text[]) with ordinality as known (name, place)
             where name not in (
                     select title from collection.sets where user_id = $1
                     union select title from collection.wishlist_items where user_id = $1)
               and (select count(*) from collection.wishlist_items where user_id = $1) < $3
             order by place
             limit 1
             returning title",
        )
        .bind(self.user)
        .bind(names)
        .bind(WISHES_MAX)
        .fetch_optional(self.database)
        .await?;
        Ok(wished.map(|title| format!("wishlist     “{title}” is wished for")))
    }

    /// A wish comes true: off the wishlist and onto the shelf, in one transaction.
    async fn buy(&self) -> sqlx::Result<Option<String>> {
        let mut transaction = self.database.begin().await?;
        let wish: Option<String> = sqlx::query_scalar(
            "delete from collection.wishlist_items
             where id = (select id from collection.wishlist_items where user_id = $1
                         order by created_at, id limit 1)
             returning title",
        )
        .bind(self.user)
        .fetch_optional(&mut *transaction)
        .await?;
        let set = wish.and_then(|wish| self.catalogue.sets.iter().find(|set| set.name == wish));
        let Some(set) = set else { return Ok(None) };
        sqlx::query("insert into collection.sets (user_id, title, theme) values ($1, $2, $3)")
            .bind(self.user)
            .bind(&set.name)
            .bind(&set.theme)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(format!(
            "set          “{}” ({}) moved from the wishlist to the shelf",
            set.name, set.theme
        )))
    }

    /// The newest of the demo's MOCs gets a better title, or its old one back. What anybody else has
    /// added keeps its title: they will want to find it by that.
    async fn rename(&self) -> sqlx::Result<Option<String>> {
        let titles: Vec<&str> = self.catalogue.titles_of(self.user).collect();
        let title: Option<String> = sqlx::query_scalar(
            "update collection.mocs
             set updated_at = now(), title = case when title like '%, Second Draft'
                 then left(title, -length(', Second Draft')) else title || ', Second Draft' end
             where id = (select id from collection.mocs
                         where user_id = $1 and replace(title, ', Second Draft', '') = any ($2)
                         order by created_at desc, id desc limit 1)
             returning title",
        )
        .bind(self.user)
        .bind(titles)
        .fetch_optional(self.database)
        .await?;
        Ok(title.map(|title| format!("new title    “{title}”")))
    }

    /// The oldest of the demo's own MOCs leaves, with its parts, once there are many.
    async fn give_away(&self) -> sqlx::Result<Option<String>> {
        let titles: Vec<&str> = self.catalogue.new_mocs().map(|moc| moc.title.as_str()).collect();
        let mut transaction = self.database.begin().await?;
        let found = sqlx::query(
            "select id, title, count(*) over () as count from collection.mocs
             where user_id = $1 and replace(title, ', Second Draft', '') = any ($2)
             order by created_at limit 1",
        )
        .bind(self.user)
        .bind(&titles)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = found.filter(|row| row.get::<i64, _>("count") > NEW_MOCS_MAX) else {
            return Ok(None);
        };
        let (id, title): (Uuid, String) = (row.get("id"), row.get("title"));
        sqlx::query(
            "delete from collection.inventory as lot using collection.moc_parts as part
             where part.moc_id = $2 and lot.user_id = $1
               and lot.part_num = part.part_num and lot.color_id = part.color_id",
        )
        .bind(self.user)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("delete from collection.mocs where id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(format!("given away   “{title}”, with its parts")))
    }
}

#[cfg(test)]
mod tests {
    use e2e_tests::TestApp;
    use sqlx::Connection;
    use sqlx::postgres::PgConnection;

    use super::*;
    use crate::{seed, stage};

    #[tokio::test]
    async fn what_is_told_to_try_works_whatever_the_author_does_meanwhile() {
        let app = TestApp::start().await;
        let catalogue = Catalogue::load().unwrap();
        seed::plant(app.db(), &catalogue).await.unwrap();
        let mut author = Author::new(app.db(), &catalogue);
        // As `cargo xtask psql` sees it.
        let mut psql = PgConnection::connect(&app.database.url()).await.unwrap();
        let search_path = "set search_path = collection, dashboard, public";
        sqlx::raw_sql(search_path).execute(&mut psql).await.unwrap();
        // The author's own MOC first: what is added now is the newest when it comes to renaming.
        let (mut said, mut changed) = (vec![author.next().await.unwrap()], Vec::new());
        for statement in stage::STATEMENTS {
            let outcome = sqlx::raw_sql(statement).execute(&mut psql).await.unwrap();
            changed.push(outcome.rows_affected());
            for _ in 0..ROUND.len() {
                said.push(author.next().await.unwrap());
            }
        }
        let log = said.join("\n");
        assert!(log.contains("new title"), "{log}");
        assert!(changed[0] == 1 && changed[1] > 10 && changed[2] == 1, "{changed:?}\n{log}");
    }
}

//! Plays a collector who keeps working on a collection: finds a MOC, orders its parts, builds it, sells it some
//! day, wishes for sets and buys them. Plain SQL, one transaction a change.
//!
//! The collection stays as it began, however long the demo runs. Each step of a MOC's way comes as often
//! as the step after it. A step that would take the counts too far from where they began is skipped.
//! What others add stays untouched, so that they find it where they put it.

use std::collections::BTreeSet;

use sqlx::{PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::catalogue::{Catalogue, Moc, USERS};
use crate::coverage;
use crate::plan::{self, Collection};
use crate::random::Random;

/// What a title ends in while its owner thinks it over.
const DRAFT: &str = ", Second Draft";
/// How far a count may be from where it began.
const SLACK: i64 = 3;

/// Writes changes for the first person of the demo.
pub(crate) struct Author<'a> {
    database: &'a PgPool,
    catalogue: &'a Catalogue,
    user: &'static str,
    /// Of all that the demo itself may give this person.
    titles: Vec<&'a str>,
    beginning: Counts,
    random: Random,
    turn: usize,
}

/// The kinds of change.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A MOC is found, and none of its parts is there.
    Find,
    /// The first parts for a MOC are ordered,
    OrderFirst,
    /// then more,
    OrderMore,
    /// then the rest.
    OrderRest,
    /// A MOC of which some parts are there is begun.
    Begin,
    /// One whose parts are complete is finished.
    Finish,
    /// One that is built leaves, with its parts.
    Sell,
    Rename,
    Wish,
    /// A wish comes true.
    Buy,
    /// A set leaves the shelf.
    SellSet,
}

/// The order in which they come, again and again: an evening of finding and wishing, parts that are
/// ordered, a weekend of building, and room made on the shelf. Each step of a MOC's way is there twice.
const ROUND: [Kind; 23] = [
    Kind::Find,
    Kind::Wish,
    Kind::OrderFirst,
    Kind::OrderMore,
    Kind::Rename,
    Kind::OrderRest,
    Kind::Finish,
    Kind::Begin,
    Kind::Buy,
    Kind::OrderMore,
    Kind::Sell,
    Kind::Find,
    Kind::OrderRest,
    Kind::Wish,
    Kind::OrderFirst,
    Kind::Rename,
    Kind::Finish,
    Kind::SellSet,
    Kind::Begin,
    Kind::OrderMore,
    Kind::Buy,
    Kind::Sell,
    Kind::SellSet,
];

/// What there is of the demo's own, as far as that is to stay. MOCs without a parts list do not count: they
/// are never built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    added: i64,
    in_progress: i64,
    built: i64,
    /// Of the parts, some are there and some are not.
    partial: i64,
    sets: i64,
    wishes: i64,
}

impl<'a> Author<'a> {
    pub(crate) fn new(database: &'a PgPool, catalogue: &'a Catalogue) -> Self {
        let (user, _) = USERS[0];
        let titles = catalogue.titles_of(user).collect();
        let beginning = Counts::planned(&plan::collection(catalogue, user));
        let random = Random::seeded(0x000b_41c4);
        Self { database, catalogue, user, titles, beginning, random, turn: 0 }
    }

    /// Commits the next change and says what it was.
    pub(crate) async fn next(&mut self) -> sqlx::Result<String> {
        let counts = self.counts().await?;
        for _ in 0..ROUND.len() {
            let kind = ROUND[self.turn % ROUND.len()];
            self.turn += 1;
            if !counts.allow(kind, &self.beginning) {
                continue;
            }
            let change = match kind {
                Kind::Find => self.find().await?,
                Kind::OrderFirst => self.order(kind, 0.4).await?,
                Kind::OrderMore => self.order(kind, 0.3).await?,
                Kind::OrderRest => self.order(kind, 1.0).await?,
                Kind::Begin | Kind::Finish => self.advance(kind).await?,
                Kind::Sell => self.sell().await?,
                Kind::Rename => self.rename().await?,
                Kind::Wish => self.wish().await?,
                Kind::Buy => self.buy().await?,
                Kind::SellSet => self.sell_set().await?,
            };
            if let Some(change) = change {
                return Ok(change);
            }
        }
        Ok("nothing left to change".to_owned())
    }

    async fn counts(&self) -> sqlx::Result<Counts> {
        let count = format!(
            "select count(*) filter (where build_status = 'ADDED') as added,
                    count(*) filter (where build_status = 'IN_PROGRESS') as in_progress,
                    count(*) filter (where build_status = 'BUILT') as built,
                    count(*) filter (where covered > 0 and covered < total) as partial,
                    (select count(*) from collection.sets
                     where user_id = $1 and title = any ($3)) as sets,
                    (select count(*) from collection.wishlist_items
                     where user_id = $1 and title = any ($3)) as wishes
             from ({}) as moc where replace(title, '{DRAFT}', '') = any ($2)",
            coverage::OF_MOCS
        );
        // Only constant text is put together.
        let row = sqlx::query(sqlx::AssertSqlSafe(count))
            .bind(self.user)
            .bind(&self.titles)
            .bind(self.set_names())
            .fetch_one(self.database)
            .await?;
        Ok(Counts {
            added: row.get("added"),
            in_progress: row.get("in_progress"),
            built: row.get("built"),
            partial: row.get("partial"),
            sets: row.get("sets"),
            wishes: row.get("wishes"),
        })
    }

    fn set_names(&self) -> Vec<&'a str> {
        self.catalogue.sets.iter().map(|set| set.name.as_str()).collect()
    }

    /// The first of the demo's own MOCs, with a parts list, in a state and an order given by constant text.
    async fn first(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        which: &'static str,
    ) -> sqlx::Result<Option<(Uuid, String)>> {
        let find = format!(
            "select id, title from ({}) as moc
             where replace(title, '{DRAFT}', '') = any ($2) and {which} limit 1",
            coverage::OF_MOCS
        );
        let found = sqlx::query_as(sqlx::AssertSqlSafe(find));
        found.bind(self.user).bind(&self.titles).fetch_optional(&mut **transaction).await
    }

    /// One of the demo's MOCs that is not there, or not there any more.
    async fn find(&mut self) -> sqlx::Result<Option<String>> {
        let present: Vec<String> =
            sqlx::query_scalar("select title from collection.mocs where user_id = $1")
                .bind(self.user)
                .fetch_all(self.database)
                .await?;
        let present: BTreeSet<&str> =
            present.iter().map(|title| title.strip_suffix(DRAFT).unwrap_or(title)).collect();
        let known = self.catalogue.mocs_of(self.user).chain(self.catalogue.new_mocs());
        let absent: Vec<&Moc> =
            known.filter(|moc| moc.pieces > 0 && !present.contains(moc.title.as_str())).collect();
        if absent.is_empty() {
            return Ok(None);
        }
        let moc = absent[self.random.below(absent.len())];

        let mut transaction = self.database.begin().await?;
        let id: Uuid = sqlx::query_scalar(
            "insert into collection.mocs (user_id, title, theme, cover_image_url)
             values ($1, $2, $3, $4) returning id",
        )
        .bind(self.user)
        .bind(&moc.title)
        .bind(&moc.theme)
        .bind(self.catalogue.cover(moc))
        .fetch_one(&mut *transaction)
        .await?;
        let mut taken = self.elements(&mut transaction).await?;
        let parts = plan::parts_list(moc.pieces, &mut taken, &mut self.random);
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

    /// What the collection's MOCs are made of, and what is in stock: a new parts list goes without, so that
    /// it begins uncovered and its orders cover nothing else.
    async fn elements(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> sqlx::Result<BTreeSet<plan::Element>> {
        let used: Vec<(String, i32)> = sqlx::query_as(
            "select part.part_num, part.color_id from collection.mocs as moc
             join collection.moc_parts as part on part.moc_id = moc.id
             where moc.user_id = $1
             union
             select part_num, color_id from collection.inventory where user_id = $1",
        )
        .bind(self.user)
        .fetch_all(&mut **transaction)
        .await?;
        let used: BTreeSet<_> =
            used.iter().map(|(part, colour)| (part.as_str(), *colour)).collect();
        Ok(plan::elements().filter(|element| used.contains(element)).collect())
    }

    /// Orders a share of the lots that a MOC lacks.
    async fn order(&self, kind: Kind, share: f64) -> sqlx::Result<Option<String>> {
        let which = match kind {
            // The one that has waited longest.
            Kind::OrderFirst => "covered = 0 order by created_at, id",
            // The next one, in an order that looks random to a person.
            Kind::OrderMore => {
                "covered > 0 and covered * 4 < total * 3
                 order by md5(covered::text || id::text), id"
            }
            // The one on the table, as soon as little is lacking.
            _ => {
                "covered > 0 and covered < total
                 order by build_status = 'IN_PROGRESS' desc, covered * 100 / total desc, id"
            }
        };
        let mut transaction = self.database.begin().await?;
        let Some((id, title)) = self.first(&mut transaction, which).await? else {
            return Ok(None);
        };
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

    async fn advance(&self, kind: Kind) -> sqlx::Result<Option<String>> {
        let (which, status, doing) = match kind {
            Kind::Begin => (
                "build_status = 'ADDED' and covered > 0
                 order by covered * 100 / total desc, created_at, id",
                "IN_PROGRESS",
                "is being built",
            ),
            _ => (
                "build_status = 'IN_PROGRESS' and covered = total order by updated_at, id",
                "BUILT",
                "is built",
            ),
        };
        let mut transaction = self.database.begin().await?;
        let Some((id, title)) = self.first(&mut transaction, which).await? else {
            return Ok(None);
        };
        sqlx::query(
            "update collection.mocs
             set updated_at = now(), build_status = $2::collection.build_status where id = $1",
        )
        .bind(id)
        .bind(status)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(format!("building     “{title}” {doing}")))
    }

    /// The MOC that was built longest ago leaves, with its parts.
    async fn sell(&self) -> sqlx::Result<Option<String>> {
        let mut transaction = self.database.begin().await?;
        let which = "build_status = 'BUILT' order by updated_at, id";
        let Some((id, title)) = self.first(&mut transaction, which).await? else {
            return Ok(None);
        };
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
        Ok(Some(format!("sold         “{title}”, with its parts")))
    }

    /// The newest MOC gets a better title. The next time, its old one back.
    async fn rename(&self) -> sqlx::Result<Option<String>> {
        let rename = format!(
            "update collection.mocs
             set updated_at = now(), title = case when title like '%{DRAFT}'
                 then left(title, -length('{DRAFT}')) else title || '{DRAFT}' end
             where id = (select id from collection.mocs
                         where user_id = $1 and replace(title, '{DRAFT}', '') = any ($2)
                         order by title like '%{DRAFT}' desc, created_at desc, id desc limit 1)
             returning title"
        );
        let title: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(rename))
            .bind(self.user)
            .bind(&self.titles)
            .fetch_optional(self.database)
            .await?;
        Ok(title.map(|title| format!("new title    “{title}”")))
    }

    async fn wish(&mut self) -> sqlx::Result<Option<String>> {
        let mut names = self.set_names();
        self.random.shuffle(&mut names);
        let wished: Option<String> = sqlx::query_scalar(
            "insert into collection.wishlist_items (user_id, title)
             select $1, name
             from unnest($2::text[]) with ordinality as known (name, place)
             where name not in (
                     select title from collection.sets where user_id = $1
                     union select title from collection.wishlist_items where user_id = $1)
             order by place
             limit 1
             returning title",
        )
        .bind(self.user)
        .bind(names)
        .fetch_optional(self.database)
        .await?;
        Ok(wished.map(|title| format!("wishlist     “{title}” is wished for")))
    }

    /// Off the wishlist and onto the shelf, in one transaction.
    async fn buy(&self) -> sqlx::Result<Option<String>> {
        let mut transaction = self.database.begin().await?;
        let wish: Option<String> = sqlx::query_scalar(
            "delete from collection.wishlist_items
             where id = (select id from collection.wishlist_items
                         where user_id = $1 and title = any ($2)
                         order by created_at, id limit 1)
             returning title",
        )
        .bind(self.user)
        .bind(self.set_names())
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

    async fn sell_set(&self) -> sqlx::Result<Option<String>> {
        let sold: Option<String> = sqlx::query_scalar(
            "delete from collection.sets
             where id = (select id from collection.sets where user_id = $1 and title = any ($2)
                         order by created_at, id limit 1)
             returning title",
        )
        .bind(self.user)
        .bind(self.set_names())
        .fetch_optional(self.database)
        .await?;
        Ok(sold.map(|title| format!("set          “{title}” is sold")))
    }
}

impl Counts {
    fn planned(collection: &Collection<'_>) -> Self {
        let mocs =
            || collection.mocs.iter().map(|planned| planned.moc).filter(|moc| moc.pieces > 0);
        let count = |fits: &dyn Fn(&Moc) -> bool| number(mocs().filter(|moc| fits(moc)).count());
        Self {
            added: count(&|moc| moc.build_status == "ADDED"),
            in_progress: count(&|moc| moc.build_status == "IN_PROGRESS"),
            built: count(&|moc| moc.build_status == "BUILT"),
            partial: count(&|moc| (1..100).contains(&moc.coverage)),
            sets: number(collection.sets.len()),
            wishes: number(collection.wishes.len()),
        }
    }

    fn mocs(&self) -> i64 {
        self.added + self.in_progress + self.built
    }

    /// Whether a change of that kind leaves the counts near where they were in the beginning.
    fn allow(&self, kind: Kind, beginning: &Self) -> bool {
        let above = |count: fn(&Self) -> i64| count(self) - count(beginning);
        match kind {
            Kind::Find => above(Self::mocs) < SLACK,
            Kind::OrderFirst => above(|counts| counts.partial) < SLACK,
            Kind::OrderRest => above(|counts| counts.partial) > -SLACK,
            Kind::Begin => {
                above(|counts| counts.added) > -SLACK && above(|counts| counts.in_progress) < SLACK
            }
            Kind::Finish => {
                above(|counts| counts.in_progress) > -SLACK && above(|counts| counts.built) < SLACK
            }
            Kind::Sell => above(|counts| counts.built) > -SLACK && above(Self::mocs) > -SLACK,
            Kind::Wish => above(|counts| counts.wishes) < SLACK,
            Kind::Buy => above(|counts| counts.wishes) > -SLACK,
            Kind::SellSet => above(|counts| counts.sets) > -SLACK,
            Kind::OrderMore | Kind::Rename => true,
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

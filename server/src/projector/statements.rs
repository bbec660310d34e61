//! Builds the SQL that projects a feed's rows. It reads what the source's query yields for some keys, corrects
//! what the contract cannot express, compares the result with what is projected, writes what differs, and
//! reports who sees it.
//!
//! Each is one statement, so it writes exactly what it compares. A change whose net effect is nothing writes
//! nothing. `$1` are the keys, `$2` the feed's number.

use crate::source::columns::{Column, LEFT_OUT, OWNER, columns_of};
use crate::source::{Feed, Kind};

/// What a statement returns: a row for each user who sees something new, and one for each key that the
/// query yielded more than once.
#[derive(sqlx::FromRow)]
pub(super) struct Touched {
    pub(super) user_id: Option<String>,
    pub(super) sections: Option<i16>,
    /// MOCs that are new, where nothing else has happened to the recent list.
    pub(super) added: Option<Vec<uuid::Uuid>>,
    pub(super) twice: Option<String>,
}

/// The statement for a feed. `number` finds the numbers of the facts that it watches.
///
/// The query reads facts as they are projected, not the tables that they come from. So what a row shows is made
/// of the facts that were compared, and the next difference makes the projector read the row again. Read from
/// the tables, a fact that came and went between two looks would stay in the row for good.
pub(super) fn project(feed: &Feed, number: impl Fn(&str) -> Option<i16>) -> String {
    let query = feed.query_over(|fact| {
        // A fact without an owner is left out, as any row is.
        let columns = "select key, user_id, content from dashboard.facts";
        match number(fact) {
            Some(number) => format!("{columns} where feed = {number} and user_id is not null"),
            None => format!("{columns} where false"),
        }
    });
    let columns = columns_of(feed.kind);
    // Where rows only count, any difference is seen in the same sections.
    match feed.kind {
        Kind::Mocs => statement(feed, &query, columns, &MOCS_DERIVED, MOCS_TOUCHED),
        Kind::Sets => statement(feed, &query, columns, &[], &owners(2)),
        Kind::Wishlist => statement(feed, &query, columns, &[], &owners(1)),
        Kind::Fact => statement(feed, &query, columns, &[], &owners(0)),
    }
}

/// Columns that follow from the others: name and SQL over `judged`.
const MOCS_DERIVED: [(&str, &str); 3] = [
    // Clients take UUIDs only. Any other key makes one, always the same.
    (
        "id",
        "case when key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then key::uuid
              else overlay(overlay(left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 32)
                                   placing '8' from 13) placing 'a' from 17)::uuid end",
    ),
    // Rounded down, but a MOC that is partly covered never reads as 0 or 100.
    (
        "coverage_percentage",
        "case when covered_parts = 0 then 0
              when covered_parts = total_parts then 100
              else greatest(1, covered_parts::bigint * 100 / total_parts)::integer end",
    ),
    (
        "coverage_status",
        "case when covered_parts = 0 then 'NONE'
              when covered_parts = total_parts then 'FULL_INVENTORY'
              else 'PARTIAL_ORDERED' end::dashboard.coverage_status",
    ),
];

/// A MOC that keeps its owner shows what differs. Any other has left one collection or entered one.
const MOCS_TOUCHED: &str = "
    select user_id,
           case when build_status <> old_build_status or coverage_status <> old_coverage_status
                then 1 else 0 end
         | case when theme <> old_theme then 2 else 0 end
         | case when (title, theme, build_status, cover_image_url, created_at) is distinct from
                     (old_title, old_theme, old_build_status, old_cover_image_url, old_created_at)
                then 4 else 0 end
         | case when (coverage_status = 'PARTIAL_ORDERED' or old_coverage_status = 'PARTIAL_ORDERED')
                 and (title, theme, build_status, coverage_percentage, coverage_status, updated_at)
                     is distinct from
                     (old_title, old_theme, old_build_status, old_coverage_percentage,
                      old_coverage_status, old_updated_at)
                then 8 else 0 end as sections,
           false as is_new, id
    from diff
    where user_id = old_user_id
    union all
    select old_user_id, case old_coverage_status when 'PARTIAL_ORDERED' then 15 else 7 end,
           false, old_id
    from diff
    where old_user_id is not null and user_id is distinct from old_user_id
    union all
    select user_id, case coverage_status when 'PARTIAL_ORDERED' then 15 else 7 end, true, id
    from diff
    where user_id is not null and user_id is distinct from old_user_id";

fn owners(sections: i16) -> String {
    format!(
        "select user_id, {sections} as sections, false as is_new, null::uuid as id
         from (
             select old_user_id as user_id from diff where is_seen
             union
             select user_id from diff where is_seen
         ) as owners
         where user_id is not null"
    )
}

fn statement(
    feed: &Feed,
    query: &str,
    columns: &[Column],
    derived: &[(&str, &str)],
    touched: &str,
) -> String {
    let table = feed.kind.table();
    let given = listed(columns, |column| format!("yielded.{}", column.name));
    let values = listed(columns, |column| format!("{} as {}", column.value, column.name));
    let oddities = std::iter::once(&OWNER)
        .chain(columns)
        .map(|column| format!("case when {} then {} else 0 end", column.is_odd, column.bit))
        .collect::<Vec<_>>()
        .join("\n | ");
    let plain = listed(columns, |column| column.name.to_owned());
    let computed = listed(derived, |(name, value)| format!("{value} as {name}"));

    let derived = derived.iter().map(|(name, _)| *name);
    let names: Vec<_> = ["user_id", "oddities"]
        .into_iter()
        .chain(columns.iter().map(|column| column.name))
        .chain(derived)
        .collect();
    let of = |side: &str, names: &[&str]| {
        let columns: Vec<_> = names.iter().map(|name| format!("{side}.{name}")).collect();
        columns.join(", ")
    };
    // What was odd about a row is not seen.
    let shown: Vec<_> = names.iter().copied().filter(|name| *name != "oddities").collect();
    let old = listed(&names, |name| format!("was.{name} as old_{name}"));
    let set: Vec<_> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    // Facts are seen in no section: who owns one is of interest all the same.
    let is_seen = if feed.kind == Kind::Fact { "true" } else { "bit_or(sections) <> 0" };
    format!(
        "with given as materialized (
            select yielded.id::text collate \"C\" as key, yielded.user_id{given}
            from (
{query}
            ) as yielded
            where yielded.id::text = any ($1::text[])
        ),
        judged as (
            select key, {owner} as owner{values},
                   {oddities} as oddities
            from given
        ),
        fresh as materialized (
            select key, case when oddities & {LEFT_OUT} = 0 then owner end as user_id, oddities
                   {plain}{computed}
            from judged
        ),
        twice as materialized (
            select key from fresh group by key having count(*) > 1
        ),
        was as materialized (
            select * from dashboard.{table} where feed = $2 and key = any ($1::text[])
        ),
        diff as materialized (
            select coalesce(fresh.key, was.key) as key, fresh.key is not null as stays,
                   ({seen_now}) is distinct from ({seen_before}) as is_seen, {fresh}{old}
            from fresh
            full join was on was.key = fresh.key
            where fresh.key is null or was.key is null or ({fresh}) is distinct from ({was})
        ),
        gone as (
            delete from dashboard.{table}
            where feed = $2 and key = any (array(select key from diff where not stays))
        ),
        kept as (
            insert into dashboard.{table} (feed, key, {list})
            select $2, key, {list} from diff where stays and not exists (select from twice)
            on conflict (feed, key) do update set {set}
        ),
        touched as ({touched})
        select user_id, bit_or(sections)::int2 as sections,
               case when bool_and(is_new) filter (where sections & 4 <> 0)
                    then array_agg(id) filter (where is_new) end as added,
               null::text as twice
        from touched
        group by user_id
        having {is_seen}
        union all
        select null, null, null, key from twice",
        owner = OWNER.value,
        fresh = of("fresh", &names),
        was = of("was", &names),
        seen_now = of("fresh", &shown),
        seen_before = of("was", &shown),
        list = names.join(", "),
        set = set.join(", "),
    )
}

/// One after the other, each with a comma before it.
fn listed<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().flat_map(|item| [", ".to_owned(), text(item)]).collect()
}

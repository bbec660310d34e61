//! The SQL.

use std::sync::LazyLock;

use crate::push::section::Sections;

/// The tags that snapshots of the users `$1` would have now, in that order.
pub(super) static TAGS: LazyLock<String> = LazyLock::new(|| {
    let epoch = epoch("u.id");
    let revision =
        revision("u.id", "(select count(*) from dashboard.changes where user_id = u.id)");
    format!(
        "select {epoch}, {revision}
        from unnest($1::text[]) with ordinality as u (id, place)
        order by u.place"
    )
});

/// The whole dashboard of `$1`: a head, which is the tag, and a branch for each part of the view.
pub(super) static SNAPSHOT: LazyLock<String> = LazyLock::new(|| {
    let head = format!("select {}", head("$1", CHANGES));
    let branches = branches("$1", "m.theme").map(|branch| format!("({})", branch.select));
    union(head, &branches)
});

/// What the users `$1` are owed: the sections that changed since their cursors `$2`, and in any case
/// their sections `$3`. The rows of a snapshot, and a head with more columns.
///
/// Each part is read user by user through its index, and not at all for users whose sections do not
/// need it: `offset 0` keeps the planner from making one large join of it, for which a small table's
/// statistics may call.
pub(super) static REFRESH: LazyLock<String> = LazyLock::new(|| {
    let head = format!(
        "with log as materialized (
            select asked.user_id, asked.place, mine.*
            from unnest($1::text[], $2::text[], $3::int2[])
                with ordinality as asked (user_id, since, forced, place)
            cross join lateral (
                select count(*) as total,
                       coalesce(bit_or(sections) filter (where late), 0::int2)
                           | case when bool_or(partial) filter (where late) then 8::int2 else 0::int2 end
                           | forced as sections,
                       array_agg(added_moc order by id)
                           filter (where late and sections & 4::int2 <> 0::int2) as added
                from (
                    select id, sections, added_moc, late,
                           late and maybe_partial is not null and exists (
                               select from dashboard.moc_coverage as c
                               where c.moc_id = any (maybe_partial)
                                 and c.user_id = asked.user_id
                                 and c.parts_coverage_status = 'PARTIAL_ORDERED'
                           ) as partial
                    from (
                        select *, not pg_visible_in_snapshot(xid, since::pg_snapshot) as late
                        from dashboard.changes
                        where user_id = asked.user_id
                    ) as seen
                ) as judged
            ) as mine
        )
        select {}, log.sections, log.added, pg_current_snapshot()::text as current_snapshot,
               meta.folded::text as folded, log.place
        from dashboard.meta cross join log",
        head("log.user_id", "log.total")
    );
    let theme = format!(
        "case when log.sections & {}::int2 <> 0::int2 then m.theme end",
        Sections::THEMES.bits()
    );
    let branches = branches("log.user_id", &theme).map(|Branch { sections, select }| {
        format!(
            "select branch.*, null, null, null, null, log.place
            from log cross join lateral ({select} offset 0) as branch
            where log.sections & {}::int2 <> 0::int2",
            sections.bits()
        )
    });
    union(head, &branches)
});

/// The part of a user's revision that has not been folded into the base yet.
const CHANGES: &str = "(select count(*) from dashboard.changes where user_id = $1)";

/// The epoch of a user's tags: no two users share one, so that a browser whose session changes hands
/// never takes the former user's copy for current.
fn epoch(user: &str) -> String {
    format!(
        "(select epoch from dashboard.current_epoch)
            || '_' || to_hex(hashtextextended({user}, 0))"
    )
}

fn revision(user: &str, changes: &str) -> String {
    format!(
        "coalesce((select base from dashboard.revisions as r where r.user_id = {user}), 0) + {changes}"
    )
}

/// The columns that all rows have.
fn head(user: &str, changes: &str) -> String {
    let (epoch, revision) = (epoch(user), revision(user, changes));
    format!(
        "0::int2 as kind, {revision} as n, null::uuid as id, {epoch} as title, null::text as theme,
         null::text as build, null::text as coverage, null::text as cover, null::timestamptz as at"
    )
}

fn union(head: String, branches: &[String]) -> String {
    [&[head], branches].concat().join(" union all ")
}

/// A part of the view.
struct Branch {
    /// The sections that it belongs to.
    sections: Sections,
    select: String,
}

fn branches(user: &str, theme: &str) -> [Branch; 5] {
    // A summary takes a tenth of the cells that the themes do.
    let cells = format!(
        "select 1::int2, count(*), null::uuid, null, theme, build::text, coverage::text,
                null, null::timestamptz
        from (
            select {theme} as theme, m.build_status as build,
                   coalesce(c.parts_coverage_status, 'NONE') as coverage
            from dashboard.mocs as m
            left join dashboard.moc_coverage as c on c.moc_id = m.id and c.user_id = m.user_id
            where m.user_id = {user}
        ) as cells
        group by theme, build, coverage"
    );
    let sets = format!(
        "select 2::int2, count(*), null::uuid, null, theme, null, null,
                null, null::timestamptz
        from dashboard.sets where user_id = {user}
        group by theme"
    );
    let wishlist = format!(
        "select 3::int2, count(*), null::uuid, null, null, null, null,
                null, null::timestamptz
        from dashboard.wishlist_items where user_id = {user}"
    );
    let recent = format!(
        "select 4::int2, 0::int8, id, title, theme, build_status::text, null,
                cover_image_url, created_at
        from dashboard.mocs where user_id = {user}
        order by created_at desc, id desc
        limit 10"
    );
    let partial = format!(
        "select 5::int2, c.coverage_percentage::int8, m.id, m.title, m.theme,
                m.build_status::text, null, null, greatest(m.updated_at, c.updated_at)
        from dashboard.mocs as m
        join dashboard.moc_coverage as c on c.moc_id = m.id and c.user_id = m.user_id
        where m.user_id = {user} and c.parts_coverage_status = 'PARTIAL_ORDERED'"
    );
    [
        Branch { sections: Sections::SUMMARY | Sections::THEMES, select: cells },
        Branch { sections: Sections::THEMES, select: sets },
        Branch { sections: Sections::SUMMARY, select: wishlist },
        Branch { sections: Sections::RECENT, select: recent },
        Branch { sections: Sections::PARTIAL, select: partial },
    ]
}

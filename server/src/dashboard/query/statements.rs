//! Holds the SQL of the reads.

use std::sync::LazyLock;

use crate::dashboard::section::Sections;

/// The tags that snapshots of the users `$1` would have now, in that order.
pub(super) static TAGS: LazyLock<String> = LazyLock::new(|| {
    let (epoch, revision) = (epoch("u.id"), revision("u.id"));
    format!(
        "select {epoch}, {revision}
        from unnest($1::text[]) with ordinality as u (id, place)
        order by u.place"
    )
});

/// The whole dashboard of `$1`: a head, which is the tag, and a branch for each part of the view.
pub(super) static SNAPSHOT: LazyLock<String> = LazyLock::new(|| {
    let head = format!("select {}", head("$1", &revision("$1")));
    let branches = branches("$1", "m.theme").map(|branch| format!("({})", branch.select));
    union(head, &branches)
});

/// What the users `$1` need: the sections of the changes after their cursors `$2`, and in any case
/// their sections `$3`. The rows of a snapshot, and a head with more columns.
///
/// Each part is read user by user through its index, and not at all for users whose sections do not
/// need it: `offset 0` keeps the planner from making one large join of it, for which a small table's
/// statistics may call.
pub(super) static REFRESH: LazyLock<String> = LazyLock::new(|| {
    let head = format!(
        "with log as materialized (
            select asked.user_id, asked.place, {revision} as revision,
                   coalesce(mine.sections, 0::int2) | asked.forced as sections,
                   mine.added, mine.added_by
            from unnest($1::text[], $2::int8[], $3::int2[])
                with ordinality as asked (user_id, since, forced, place)
            cross join lateral (
                select bit_or(sections) as sections,
                       array_agg(moc order by id, nth) filter (where sections & 4::int2 <> 0::int2)
                           as added,
                       array_agg(id order by id, nth) filter (where sections & 4::int2 <> 0::int2)
                           as added_by
                from dashboard.changes
                cross join lateral unnest(coalesce(added, array[null::uuid]))
                    with ordinality as new (moc, nth)
                where user_id = asked.user_id and id > asked.since
            ) as mine
        )
        select {}, log.sections, log.added, log.added_by,
               coalesce((select max(id) from dashboard.changes), 0) as newest,
               meta.removed_to, log.place
        from dashboard.meta cross join log",
        head("log.user_id", "log.revision"),
        revision = revision("asked.user_id")
    );
    let theme = format!(
        "case when log.sections & {}::int2 <> 0::int2 then m.theme end",
        Sections::THEMES.bits()
    );
    let branches = branches("log.user_id", &theme).map(|Branch { sections, select }| {
        format!(
            "select branch.*, null, null, null, null, null, log.place
            from log cross join lateral ({select} offset 0) as branch
            where log.sections & {}::int2 <> 0::int2",
            sections.bits()
        )
    });
    union(head, &branches)
});

/// The epoch of a user's tags: no two users share one, so that a browser whose session changes hands
/// never takes the former user's copy for current. None as long as nothing may be served.
fn epoch(user: &str) -> String {
    format!(
        "(select epoch from dashboard.current_epoch where is_ready)
            || '_' || to_hex(hashtextextended({user}, 0))"
    )
}

/// The number of the user's newest change, which is never removed.
fn revision(user: &str) -> String {
    format!(
        "coalesce((select id from dashboard.changes as c where c.user_id = {user}
                   order by id desc limit 1), 0)"
    )
}

/// The columns that all rows have.
fn head(user: &str, revision: &str) -> String {
    let epoch = epoch(user);
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
        "select 1::int2, count(*), null::uuid, null, theme, build_status::text, coverage_status::text,
                null, null::timestamptz
        from (
            select {theme} as theme, m.build_status, m.coverage_status
            from dashboard.mocs as m
            where m.user_id = {user}
        ) as cells
        group by theme, build_status, coverage_status"
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
        "select 5::int2, coverage_percentage::int8, id, title, theme,
                build_status::text, null, null, updated_at
        from dashboard.mocs
        where user_id = {user} and coverage_status = 'PARTIAL_ORDERED'"
    );
    [
        Branch { sections: Sections::SUMMARY | Sections::THEMES, select: cells },
        Branch { sections: Sections::THEMES, select: sets },
        Branch { sections: Sections::SUMMARY, select: wishlist },
        Branch { sections: Sections::RECENT, select: recent },
        Branch { sections: Sections::PARTIAL, select: partial },
    ]
}

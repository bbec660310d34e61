//! Reads a user's dashboard: whole for a snapshot, or the sections that changed for a refresh.
//!
//! Each read is one SQL statement, a UNION ALL of the sections and the revision, so that the
//! revision counts exactly the changes that the data includes. A refresh is the same statement
//! with one thing more: it works out itself, from the rows of the change log that were not visible
//! in the caller's cursor, which sections to read. What it returns at revision R is therefore
//! complete up to R: no change that R counts is left for a later event of the same revision, which
//! a client would have to take for old.

use std::cmp::Reverse;
use std::sync::LazyLock;
use std::time::Duration;

use shared_types::{
    BuildStatus, CoverImageUrl, CoverageStatus, DashboardView, Epoch, PartialPartsMoc, Percentage,
    RecentMoc, Revision, SnapshotTag, Theme, ThemeStats, Title,
};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::clock;
use crate::push::cursor::Cursor;
use crate::push::section::Sections;

/// How long to wait for an answer of several statements, with all that they wait for. Longer than
/// any one of them may take, so it is what is left when the network fails in silence.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a user's data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database did not answer, or answered with an error.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// It did not answer in time.
    #[error("the database did not answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// The database holds something that the contract cannot express.
    #[error("the database holds a bad value: {0}")]
    Value(&'static str),
}

/// What changed for a user since a cursor.
#[derive(Debug)]
pub struct Refresh {
    /// Epoch and revision of everything below.
    pub tag: SnapshotTag,
    /// The sections that were read: those that changed, and those that were asked for.
    pub sections: Sections,
    /// One entry for each change of the recent list: the MOC, if all that happened was that it was
    /// added.
    pub added: Vec<Option<Uuid>>,
    /// Where the statement stood in the change log.
    pub cursor: Cursor,
    /// The changes up to here have been folded into the base. If this is later than the caller's
    /// cursor, changes may have been missed.
    pub folded: Cursor,
    /// The sections that were read; the others are empty.
    pub view: DashboardView,
}

/// Waits for reads, but not for ever.
///
/// # Errors
/// [`QueryError::Slow`], and what the reads themselves return.
pub async fn in_time<T, E: From<QueryError>>(
    reads: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(PATIENCE, reads).await.unwrap_or_else(|_| Err(QueryError::Slow.into()))
}

/// Reads a whole dashboard and its tag (D-API-2).
///
/// # Errors
/// See [`QueryError`].
pub async fn snapshot(
    db: impl PgExecutor<'_>,
    user: &str,
) -> Result<(SnapshotTag, DashboardView), QueryError> {
    let rows = sqlx::query(SNAPSHOT.as_str()).bind(user).fetch_all(db).await?;
    let mut reader = Reader::default();
    for row in &rows {
        reader.read(row)?;
    }
    reader.finish()
}

/// Reads only the tag that a snapshot would have now.
///
/// # Errors
/// See [`QueryError`].
pub async fn tag(db: impl PgExecutor<'_>, user: &str) -> Result<SnapshotTag, QueryError> {
    let row = sqlx::query(TAG.as_str()).bind(user).fetch_one(db).await?;
    make_tag(row.try_get(0)?, row.try_get(1)?)
}

/// Reads the revisions of many users: one for each, in the order of `users`.
///
/// # Errors
/// See [`QueryError`].
pub async fn revisions(
    db: impl PgExecutor<'_>,
    users: &[String],
) -> Result<Vec<Revision>, QueryError> {
    let rows: Vec<i64> = sqlx::query_scalar(REVISIONS).bind(users).fetch_all(db).await?;
    rows.into_iter().map(revision).collect()
}

/// Begins a new epoch: what clients hold cannot be compared with the log any more. Returns it.
///
/// # Errors
/// See [`QueryError`].
pub async fn renew_epoch(db: &sqlx::PgPool) -> Result<String, QueryError> {
    const RENEW: &str =
        "update dashboard.meta set epoch = left(replace(gen_random_uuid()::text, '-', ''), 16)";
    sqlx::query(RENEW).execute(db).await?;
    Ok(sqlx::query_scalar("select epoch from dashboard.current_epoch").fetch_one(db).await?)
}

/// Reads what changed for a user since a cursor, and in any case the `forced` sections.
///
/// # Errors
/// See [`QueryError`].
pub async fn refresh(
    db: impl PgExecutor<'_>,
    user: &str,
    since: &Cursor,
    forced: Sections,
) -> Result<Refresh, QueryError> {
    let query = sqlx::query(REFRESH.as_str());
    let rows = query.bind(user).bind(since.as_str()).bind(forced.bits()).fetch_all(db).await?;
    let mut reader = Reader::default();
    let mut head = None;
    for row in &rows {
        reader.read(row)?;
        if row.try_get::<i16, _>(0)? == HEAD {
            head = Some(row);
        }
    }
    let head = head.ok_or(NO_HEAD)?;
    let sections = Sections::from_bits(head.try_get("sections")?);
    let added: Option<Vec<Option<Uuid>>> = head.try_get("added")?;
    // Asked for without regard to the log: what the log says is then not all that happened.
    let added = added.filter(|_| !forced.contains(Sections::RECENT));
    let cursor = parse_cursor(head, "current_snapshot")?;
    let folded = parse_cursor(head, "folded")?;
    let (tag, view) = reader.finish()?;
    Ok(Refresh { tag, sections, added: added.unwrap_or_default(), cursor, folded, view })
}

const HEAD: i16 = 0;
const MOC_CELL: i16 = 1;
const SETS: i16 = 2;
const WISHLIST: i16 = 3;
const RECENT: i16 = 4;
const PARTIAL: i16 = 5;

const NO_HEAD: QueryError = QueryError::Value("dashboard.meta is empty");

/// The epoch of a user's tags: no two users share one, so that a browser whose session changes hands
/// never takes the former user's copy for current.
const EPOCH: &str =
    "(select epoch from dashboard.current_epoch) || '_' || to_hex(hashtextextended($1, 0))";

static TAG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {EPOCH},
                coalesce((select base from dashboard.revisions where user_id = $1), 0)
                    + (select count(*) from dashboard.changes where user_id = $1)"
    )
});

const REVISIONS: &str = "
    select coalesce((select base from dashboard.revisions as r where r.user_id = u.id), 0)
               + (select count(*) from dashboard.changes as c where c.user_id = u.id)
    from unnest($1::text[]) with ordinality as u (id, place)
    order by u.place";

static SNAPSHOT: LazyLock<String> = LazyLock::new(|| {
    let head = format!(
        "select 0::int2 as kind,
               coalesce((select base from dashboard.revisions where user_id = $1), 0)
                   + (select count(*) from dashboard.changes where user_id = $1) as n,
               null::uuid as id, {EPOCH} as title, null::text as theme, null::text as build,
               null::text as coverage, null::text as cover, null::timestamptz as at"
    );
    format!("{head} {}", sections_sql("", ""))
});

static REFRESH: LazyLock<String> = LazyLock::new(|| {
    let head = format!(
        "with log as materialized (
            select count(*) as total,
                   coalesce(bit_or(sections) filter (where late), 0::int2)
                       | case when bool_or(partial) filter (where late) then 8 else 0 end::int2
                       | $3::int2 as sections,
                   array_agg(added_moc order by id) filter (where late and sections & 4 <> 0)
                       as added
            from (
                select id, sections, added_moc, late,
                       late and maybe_partial is not null and exists (
                           select from dashboard.moc_coverage as c
                           where c.moc_id = any (maybe_partial) and c.user_id = $1
                             and c.parts_coverage_status = 'PARTIAL_ORDERED'
                       ) as partial
                from (
                    select *, not pg_visible_in_snapshot(xid, $2::pg_snapshot) as late
                    from dashboard.changes
                    where user_id = $1
                ) as mine
            ) as judged
        )
        select 0::int2 as kind,
               coalesce((select base from dashboard.revisions where user_id = $1), 0)
                   + log.total as n,
               null::uuid as id, {EPOCH} as title, null::text as theme, null::text as build,
               null::text as coverage, null::text as cover, null::timestamptz as at,
               log.sections, log.added, pg_current_snapshot()::text as current_snapshot,
               m.folded::text as folded
        from dashboard.meta as m cross join log"
    );
    format!("{head} {}", sections_sql(", null, null, null, null", "(select sections from log)"))
});

/// The sections' branches. With a `mask` expression, a branch runs only if its bit is set: the
/// condition does not depend on the branch's rows, so the database tests it once.
fn sections_sql(padding: &str, mask: &str) -> String {
    let gate = |sections: Sections| {
        if mask.is_empty() {
            String::new()
        } else {
            format!("and {mask} & {} <> 0", sections.bits())
        }
    };
    let cells = gate(Sections::SUMMARY | Sections::THEMES);
    // A summary takes a tenth of the cells.
    let theme = if mask.is_empty() {
        "m.theme".to_owned()
    } else {
        format!("case when {mask} & {} <> 0 then m.theme end", Sections::THEMES.bits())
    };
    let sets = gate(Sections::THEMES);
    let wishlist = gate(Sections::SUMMARY);
    let recent = gate(Sections::RECENT);
    let partial = gate(Sections::PARTIAL);
    format!(
        "union all
        select 1::int2, count(*), null, null, theme, build::text, coverage::text, null,
               null {padding}
        from (
            select {theme} as theme, m.build_status as build,
                   coalesce(c.parts_coverage_status, 'NONE') as coverage
            from dashboard.mocs as m
            left join dashboard.moc_coverage as c on c.moc_id = m.id and c.user_id = m.user_id
            where m.user_id = $1 {cells}
        ) as cells
        group by theme, build, coverage
        union all
        select 2::int2, count(*), null, null, theme, null, null, null, null {padding}
        from dashboard.sets where user_id = $1 {sets}
        group by theme
        union all
        select 3::int2, count(*), null, null, null, null, null, null, null {padding}
        from dashboard.wishlist_items where user_id = $1 {wishlist}
        union all
        (select 4::int2, 0, id, title, theme, build_status::text, null, cover_image_url,
                created_at {padding}
         from dashboard.mocs where user_id = $1 {recent}
         order by created_at desc, id desc
         limit 10)
        union all
        select 5::int2, c.coverage_percentage, m.id, m.title, m.theme, m.build_status::text, null,
               null, greatest(m.updated_at, c.updated_at) {padding}
        from dashboard.mocs as m
        join dashboard.moc_coverage as c on c.moc_id = m.id and c.user_id = m.user_id
        where m.user_id = $1 and c.parts_coverage_status = 'PARTIAL_ORDERED' {partial}"
    )
}

/// Gathers the rows of either statement into a view.
#[derive(Default)]
struct Reader {
    tag: Option<SnapshotTag>,
    view: DashboardView,
    recent: Vec<(OffsetDateTime, Uuid, RecentMoc)>,
    partial: Vec<(Percentage, OffsetDateTime, Uuid, PartialPartsMoc)>,
}

impl Reader {
    fn read(&mut self, row: &PgRow) -> Result<(), QueryError> {
        match row.try_get::<i16, _>(0)? {
            HEAD => self.tag = Some(make_tag(row.try_get(3)?, row.try_get(1)?)?),
            MOC_CELL => self.moc_cell(row)?,
            SETS => {
                let count = count(row)?;
                self.theme(theme(row)?).set_count += count;
            }
            WISHLIST => self.view.summary.total_wishlist_items = count(row)?,
            RECENT => {
                let (id, at) = (row.try_get(2)?, row.try_get(8)?);
                self.recent.push((at, id, recent_moc(row, id, at)?));
            }
            PARTIAL => {
                let (id, at) = (row.try_get(2)?, row.try_get(8)?);
                let moc = partial_moc(row, id, at)?;
                self.partial.push((moc.coverage_percentage, at, id, moc));
            }
            _ => return Err(QueryError::Value("a row of unknown kind")),
        }
        Ok(())
    }

    /// MOCs of one theme, build status and coverage status; of all themes where nobody asks.
    fn moc_cell(&mut self, row: &PgRow) -> Result<(), QueryError> {
        let count = count(row)?;
        let summary = &mut self.view.summary;
        summary.total_mocs += count;
        let by_build = &mut summary.mocs_by_build_status;
        *match build_status(row)? {
            BuildStatus::Added => &mut by_build.added,
            BuildStatus::InProgress => &mut by_build.in_progress,
            BuildStatus::Built => &mut by_build.built,
        } += count;
        let by_coverage = &mut summary.mocs_by_coverage_status;
        *match coverage_status(row)? {
            CoverageStatus::FullInventory => &mut by_coverage.full_inventory,
            CoverageStatus::PartialOrdered => &mut by_coverage.partial_ordered,
            CoverageStatus::None => &mut by_coverage.none,
        } += count;
        if row.try_get::<Option<&str>, _>(4)?.is_some() {
            self.theme(theme(row)?).moc_count += count;
        }
        Ok(())
    }

    fn theme(&mut self, theme: Theme) -> &mut ThemeStats {
        let themes = &mut self.view.theme_breakdown;
        let place = themes.iter().position(|stats| stats.theme == theme).unwrap_or_else(|| {
            themes.push(ThemeStats { theme, moc_count: 0, set_count: 0 });
            themes.len() - 1
        });
        &mut themes[place]
    }

    /// UNION ALL promises no order, so the lists get theirs here.
    fn finish(mut self) -> Result<(SnapshotTag, DashboardView), QueryError> {
        let tag = self.tag.ok_or(NO_HEAD)?;
        self.view
            .theme_breakdown
            .sort_by(|a, b| b.moc_count.cmp(&a.moc_count).then_with(|| a.theme.cmp(&b.theme)));
        self.recent.sort_by_key(|(at, id, _)| Reverse((*at, *id)));
        self.view.recent_mocs = self.recent.into_iter().map(|(.., moc)| moc).collect();
        self.partial.sort_by_key(|(percent, at, id, _)| (*percent, Reverse(*at), *id));
        self.view.partial_parts_mocs = self.partial.into_iter().map(|(.., moc)| moc).collect();
        Ok((tag, self.view))
    }
}

fn make_tag(epoch: &str, count: i64) -> Result<SnapshotTag, QueryError> {
    let epoch = Epoch::try_from(epoch).map_err(|invalid| QueryError::Value(invalid.0))?;
    Ok(SnapshotTag { epoch, revision: revision(count)? })
}

fn revision(count: i64) -> Result<Revision, QueryError> {
    let count = u64::try_from(count).map_err(|_| QueryError::Value("a negative revision"))?;
    Revision::try_from(count).map_err(|invalid| QueryError::Value(invalid.0))
}

fn parse_cursor(row: &PgRow, column: &str) -> Result<Cursor, QueryError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| QueryError::Value("a malformed snapshot"))
}

fn count(row: &PgRow) -> Result<u32, QueryError> {
    u32::try_from(row.try_get::<i64, _>(1)?)
        .map_err(|_| QueryError::Value("a count beyond 32 bits"))
}

fn title(row: &PgRow) -> Result<Title, QueryError> {
    let text: String = row.try_get(3)?;
    Title::try_from(text).map_err(|invalid| QueryError::Value(invalid.0))
}

fn theme(row: &PgRow) -> Result<Theme, QueryError> {
    let text: String = row.try_get(4)?;
    Theme::try_from(text).map_err(|invalid| QueryError::Value(invalid.0))
}

fn build_status(row: &PgRow) -> Result<BuildStatus, QueryError> {
    match row.try_get(5)? {
        "ADDED" => Ok(BuildStatus::Added),
        "IN_PROGRESS" => Ok(BuildStatus::InProgress),
        "BUILT" => Ok(BuildStatus::Built),
        _ => Err(QueryError::Value("an unknown build status")),
    }
}

fn coverage_status(row: &PgRow) -> Result<CoverageStatus, QueryError> {
    match row.try_get(6)? {
        "FULL_INVENTORY" => Ok(CoverageStatus::FullInventory),
        "PARTIAL_ORDERED" => Ok(CoverageStatus::PartialOrdered),
        "NONE" => Ok(CoverageStatus::None),
        _ => Err(QueryError::Value("an unknown coverage status")),
    }
}

fn recent_moc(row: &PgRow, id: Uuid, at: OffsetDateTime) -> Result<RecentMoc, QueryError> {
    let cover: Option<String> = row.try_get(7)?;
    Ok(RecentMoc {
        id: clock::id(id),
        title: title(row)?,
        theme: theme(row)?,
        build_status: build_status(row)?,
        // A picture that cannot be shown safely is no reason to show nothing at all.
        cover_image_url: cover.and_then(|url| CoverImageUrl::try_from(url).ok()),
        created_at: timestamp(at)?,
    })
}

fn partial_moc(row: &PgRow, id: Uuid, at: OffsetDateTime) -> Result<PartialPartsMoc, QueryError> {
    let percent = u8::try_from(row.try_get::<i64, _>(1)?)
        .ok()
        .and_then(|percent| Percentage::try_from(percent).ok())
        .ok_or(QueryError::Value("a percentage beyond 0 to 100"))?;
    Ok(PartialPartsMoc {
        id: clock::id(id),
        title: title(row)?,
        theme: theme(row)?,
        build_status: build_status(row)?,
        coverage_percentage: percent,
        last_updated_at: timestamp(at)?,
    })
}

fn timestamp(at: OffsetDateTime) -> Result<shared_types::Timestamp, QueryError> {
    clock::timestamp(at).ok_or(QueryError::Value("a date beyond the year 9999"))
}

// Reads dashboards: each by one statement, which the driver prepares once for each connection. PostgreSQL
// makes the JSON, so that nothing is parsed here and put together again.

import { randomUUID } from 'node:crypto'
import pg from 'pg'

const SUMMARY = 1
const THEMES = 2
const RECENT = 4
const PARTIAL = 8
const ALL = SUMMARY | THEMES | RECENT | PARTIAL

const REVISION = `
  coalesce((select id from dashboard.changes where user_id = $1 order by id desc limit 1), 0)`

const TAG = `select (select epoch from dashboard.current_epoch) as epoch, ${REVISION} as revision`

const time = column => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
const counted = condition => `coalesce(sum(n) filter (where ${condition}), 0)`
const built = status => `'${status}', ${counted(`build_status = '${status}'`)}`
const covered = status => `'${status}', ${counted(`coverage_status = '${status}'`)}`
const list = (select, order) =>
  `(select coalesce(json_agg(item order by ${order}), '[]') from (${select}) as listed)`

// A section that is not asked for is not evaluated.
const SECTIONS = `
  with cells as (
    select theme, build_status, coverage_status, count(*) as n
    from dashboard.mocs where user_id = $1
    group by theme, build_status, coverage_status
  )
  select (select epoch from dashboard.current_epoch), ${REVISION},
    case when $2 & ${SUMMARY} <> 0 then (
      select json_build_object(
        'totalMocs', coalesce(sum(n), 0),
        'totalWishlistItems',
        (select count(*) from dashboard.wishlist_items where user_id = $1),
        'mocsByBuildStatus',
        json_build_object(${['ADDED', 'IN_PROGRESS', 'BUILT'].map(built).join(', ')}),
        'mocsByCoverageStatus',
        json_build_object(${['FULL_INVENTORY', 'PARTIAL_ORDERED', 'NONE'].map(covered).join(', ')}))
      from cells
    ) end::text,
    case when $2 & ${THEMES} <> 0 then ${list(
      `select mocs,
              json_build_object('theme', theme, 'mocCount', mocs, 'setCount', sets) as item
       from (
         select theme, sum(mocs) as mocs, sum(sets) as sets
         from (
           select theme, n as mocs, 0 as sets from cells
           union all
           select theme, 0, count(*) from dashboard.sets where user_id = $1 group by theme
         ) as counts
         group by theme
       ) as themes`,
      'mocs desc',
    )} end::text,
    case when $2 & ${RECENT} <> 0 then ${list(
      `select created_at, id,
              json_build_object(
                'id', id, 'title', title, 'theme', theme, 'buildStatus', build_status,
                'coverImageUrl', cover_image_url, 'createdAt', ${time('created_at')}) as item
       from dashboard.mocs where user_id = $1
       order by created_at desc, id desc limit 10`,
      'created_at desc, id desc',
    )} end::text,
    case when $2 & ${PARTIAL} <> 0 then ${list(
      `select coverage_percentage,
              json_build_object(
                'id', id, 'title', title, 'theme', theme, 'buildStatus', build_status,
                'coveragePercentage', coverage_percentage,
                'lastUpdatedAt', ${time('updated_at')}) as item
       from dashboard.mocs where user_id = $1 and coverage_status = 'PARTIAL_ORDERED'`,
      'coverage_percentage',
    )} end::text`

export class Dashboards {
  #pool

  constructor(connectionString) {
    this.#pool = new pg.Pool({ connectionString, max: 8 })
    this.#pool.on('connect', client => client.query('set jit = off'))
  }

  async tag(user) {
    const { rows } = await this.#pool.query({ name: 'tag', text: TAG, values: [user] })
    return `"${rows[0].epoch}-${rows[0].revision}"`
  }

  /** A tag, and a body of JSON. */
  async snapshot(user) {
    const [epoch, revision, summary, themes, recent, partial] = await this.#read(user, ALL)
    const body =
      `{"summary":${summary},"themeBreakdown":${themes},` +
      `"recentMocs":${recent},"partialPartsMocs":${partial}}`
    return { tag: `"${epoch}-${revision}"`, body }
  }

  /** One event for each of those sections. */
  async events(user, sections) {
    const [, revision, summary, themes, recent, partial] = await this.#read(user, sections)
    const timestamp = new Date().toISOString()
    const events = []
    const add = (type, json) => {
      const payload = JSON.parse(json)
      const eventId = randomUUID()
      events.push({ eventId, type, timestamp, revision: Number(revision), payload })
    }
    if (sections & SUMMARY) add('dashboard:summaryUpdated', summary)
    if (sections & RECENT) add('dashboard:recentMocsUpdated', recent)
    if (sections & PARTIAL) add('dashboard:partialPartsUpdated', partial)
    if (sections & THEMES) add('dashboard:themeBreakdownUpdated', themes)
    return events
  }

  async #read(user, sections) {
    const query = { name: 'sections', text: SECTIONS, values: [user, sections], rowMode: 'array' }
    const { rows } = await this.#pool.query(query)
    return rows[0]
  }
}

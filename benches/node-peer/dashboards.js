// Reads dashboards: each by one statement, which the driver prepares once for each connection.

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

const SECTIONS = `
  select 0 as kind, ${REVISION} as n, null::uuid as id, (select epoch from dashboard.current_epoch) as title,
         null::text as theme, null::text as build, null::text as coverage, null::text as cover,
         null::timestamptz as at
  union all
  select 1, count(*), null, null, theme, build::text, coverage::text, null, null
  from (
    select case when $2 & ${THEMES} <> 0 then theme end as theme, build_status as build,
           coverage_status as coverage
    from dashboard.mocs
    where user_id = $1 and $2 & ${SUMMARY | THEMES} <> 0
  ) as cells
  group by theme, build, coverage
  union all
  select 2, count(*), null, null, theme, null, null, null, null
  from dashboard.sets where user_id = $1 and $2 & ${THEMES} <> 0
  group by theme
  union all
  select 3, count(*), null, null, null, null, null, null, null
  from dashboard.wishlist_items where user_id = $1 and $2 & ${SUMMARY} <> 0
  union all
  (select 4, 0, id, title, theme, build_status::text, null, cover_image_url, created_at
   from dashboard.mocs where user_id = $1 and $2 & ${RECENT} <> 0
   order by created_at desc, id desc limit 10)
  union all
  select 5, coverage_percentage, id, title, theme, build_status::text, null, null, updated_at
  from dashboard.mocs
  where user_id = $1 and coverage_status = 'PARTIAL_ORDERED' and $2 & ${PARTIAL} <> 0`

export class Dashboards {
  #pool

  constructor(connectionString) {
    this.#pool = new pg.Pool({ connectionString, max: 10 })
    this.#pool.on('connect', client => client.query('set jit = off'))
  }

  async tag(user) {
    const { rows } = await this.#pool.query({ name: 'tag', text: TAG, values: [user] })
    return `"${rows[0].epoch}-${rows[0].revision}"`
  }

  async snapshot(user) {
    const { epoch, revision, view } = await this.#read(user, ALL)
    return { tag: `"${epoch}-${revision}"`, view }
  }

  /** One event for each of those sections. */
  async events(user, sections) {
    const { revision, view } = await this.#read(user, sections)
    const timestamp = new Date().toISOString()
    const event = (type, payload) => ({ eventId: randomUUID(), type, timestamp, revision, payload })
    const events = []
    if (sections & SUMMARY) events.push(event('dashboard:summaryUpdated', view.summary))
    if (sections & RECENT) events.push(event('dashboard:recentMocsUpdated', view.recentMocs))
    if (sections & PARTIAL) {
      events.push(event('dashboard:partialPartsUpdated', view.partialPartsMocs))
    }
    if (sections & THEMES) {
      events.push(event('dashboard:themeBreakdownUpdated', view.themeBreakdown))
    }
    return events
  }

  async #read(user, sections) {
    const query = { name: 'sections', text: SECTIONS, values: [user, sections], rowMode: 'array' }
    const { rows } = await this.#pool.query(query)
    return gather(rows)
  }
}

function gather(rows) {
  let epoch
  let revision
  const summary = {
    totalMocs: 0,
    totalWishlistItems: 0,
    mocsByBuildStatus: { ADDED: 0, IN_PROGRESS: 0, BUILT: 0 },
    mocsByCoverageStatus: { FULL_INVENTORY: 0, PARTIAL_ORDERED: 0, NONE: 0 },
  }
  const themes = new Map()
  const recent = []
  const partial = []
  const theme = name => {
    let stats = themes.get(name)
    if (!stats) {
      stats = { theme: name, mocCount: 0, setCount: 0 }
      themes.set(name, stats)
    }
    return stats
  }
  for (const [kind, n, id, title, name, build, coverage, cover, at] of rows) {
    const count = Number(n)
    switch (kind) {
      case 0:
        epoch = title
        revision = count
        break
      case 1:
        summary.totalMocs += count
        summary.mocsByBuildStatus[build] += count
        summary.mocsByCoverageStatus[coverage] += count
        if (name !== null) theme(name).mocCount += count
        break
      case 2:
        theme(name).setCount += count
        break
      case 3:
        summary.totalWishlistItems = count
        break
      case 4:
        recent.push({
          id,
          title,
          theme: name,
          buildStatus: build,
          coverImageUrl: cover,
          createdAt: at.toISOString(),
        })
        break
      default:
        partial.push({
          id,
          title,
          theme: name,
          buildStatus: build,
          coveragePercentage: count,
          lastUpdatedAt: at.toISOString(),
        })
    }
  }
  recent.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
  partial.sort((a, b) => a.coveragePercentage - b.coveragePercentage)
  const themeBreakdown = [...themes.values()].sort((a, b) => b.mocCount - a.mocCount)
  const view = { summary, themeBreakdown, recentMocs: recent, partialPartsMocs: partial }
  return { epoch, revision, view }
}

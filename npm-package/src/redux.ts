/**
 * Redux Toolkit Query: the dashboard as an endpoint whose cache entry follows the client.
 *
 * It imports nothing of Redux Toolkit, and declares the types of what it uses. So it fits every
 * version that has these names (2 and newer).
 */
import type { DashboardClient } from './api.js'
import { checkClient, hold } from './lease.js'
import { IDLE } from './state.js'
import type { DashboardState } from './types.js'

/** The part of an endpoint that `dashboardQuery` gives. */
export interface DashboardQuery {
  queryFn(argument: unknown, api: { forced?: boolean | undefined }): { data: DashboardState }
  onQueryStarted(argument: unknown, query: DashboardQueryRun): Promise<void>
  onCacheEntryAdded(argument: unknown, entry: DashboardCacheEntry): Promise<void>
}

/** The part of a cache entry that is used. */
interface CacheEntry {
  getCacheEntry(): { data?: unknown }
  updateCachedData(recipe: () => DashboardState): unknown
}

/** The part of the lifecycle of one run of the query that is used. */
export interface DashboardQueryRun extends CacheEntry {
  queryFulfilled: PromiseLike<unknown>
}

/** The part of the lifecycle of a cache entry that is used. */
export interface DashboardCacheEntry extends CacheEntry {
  cacheDataLoaded: PromiseLike<unknown>
  cacheEntryRemoved: PromiseLike<unknown>
}

/**
 * Spread it into an endpoint: `build.query<DashboardState, void>({ ...dashboardQuery(client) })`.
 *
 * The client starts with the first subscriber and closes its connection when the cache entry is
 * removed. The stored view stays until `stop()`. The entry is the client's state itself, so
 * sections that did not change keep their identity. `refetch()` asks the client to refresh; the
 * result arrives like every other change. Components read the state by `dashboardOf`.
 */
export function dashboardQuery(client: DashboardClient): DashboardQuery {
  checkClient('dashboardQuery', client)
  function follow(entry: CacheEntry): void {
    const state = client.getState()
    const { data } = entry.getCacheEntry()
    // Without data it was removed. Replaced as a whole: Immer copies what a recipe assigns to a
    // part of a draft.
    if (data !== undefined && data !== state) entry.updateCachedData(() => state)
  }

  return {
    queryFn(_argument, { forced }) {
      if (forced === true) client.refresh()
      return { data: client.getState() }
    },

    async onQueryStarted(_argument, query) {
      try {
        await query.queryFulfilled
        // What the query took a few turns ago has overwritten what the client has told since.
        follow(query)
      } catch {
        // The entry was removed before the query was done.
      }
    },

    async onCacheEntryAdded(_argument, entry) {
      const letGo = hold(client)
      let unsubscribe = () => {}
      try {
        await entry.cacheDataLoaded
        unsubscribe = client.subscribe(() => follow(entry))
        follow(entry)
      } catch {
        // The entry was removed before it had data, so there is nothing to follow.
      }
      await entry.cacheEntryRemoved
      unsubscribe()
      letGo()
    },
  }
}

/** What is used of a hook's result. */
export interface DashboardQueryResult {
  currentData?: DashboardState | undefined
}

/**
 * The state that a hook of the endpoint shows: `dashboardOf(useDashboardQuery())`. It is `idle`
 * without a view where there is none: with `skip`, say, or in a first rendering.
 *
 * The result's own `data` is no state to show: for a hook that skips, Redux Toolkit keeps in it what
 * was there last, which goes on saying `live` when the client has long been closed.
 */
export function dashboardOf(result: DashboardQueryResult): DashboardState {
  return result.currentData ?? IDLE
}

/**
 * Redux Toolkit Query: the dashboard as an endpoint whose cache entry follows the client.
 *
 * Typed by what it uses of Redux Toolkit, and importing nothing of it, so it fits every version
 * that has these names (2 and newer).
 */
import type { DashboardClient } from './api.js'
import { hold } from './lease.js'
import type { DashboardState } from './types.js'

/** The part of an endpoint that `dashboardQuery` gives. */
export interface DashboardQuery {
  queryFn(argument: unknown, api: { forced?: boolean | undefined }): { data: DashboardState }
  onCacheEntryAdded(argument: unknown, entry: DashboardCacheEntry): Promise<void>
}

/** What is used of the lifecycle of a cache entry. */
export interface DashboardCacheEntry {
  cacheDataLoaded: PromiseLike<unknown>
  cacheEntryRemoved: PromiseLike<unknown>
  getCacheEntry(): { data?: unknown }
  updateCachedData(recipe: () => DashboardState): unknown
}

/**
 * Spread it into an endpoint: `build.query<DashboardState, void>({ ...dashboardQuery(client) })`.
 *
 * The client starts with the first subscriber and stops when the cache entry is removed. `data` is
 * the client's state itself, so sections that did not change keep their identity. `refetch()`
 * asks the client to refresh; what comes of it arrives like every other change.
 */
export function dashboardQuery(client: DashboardClient): DashboardQuery {
  return {
    queryFn(_argument, { forced }) {
      if (forced === true) client.refresh()
      return { data: client.getState() }
    },

    async onCacheEntryAdded(_argument, entry) {
      const letGo = hold(client)
      let unsubscribe = () => {}
      try {
        await entry.cacheDataLoaded
        const follow = () => {
          const state = client.getState()
          // Replaced as a whole: Immer copies what a recipe assigns to a part of a draft.
          if (entry.getCacheEntry().data !== state) entry.updateCachedData(() => state)
        }
        unsubscribe = client.subscribe(follow)
        follow()
      } catch {
        // The entry was removed before it had data, so there is nothing to follow.
      }
      await entry.cacheEntryRemoved
      unsubscribe()
      letGo()
    },
  }
}

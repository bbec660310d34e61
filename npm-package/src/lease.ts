import type { DashboardClient } from './api.js'
import { kindOf } from './text.js'

/**
 * Ends the connection and keeps the stored view. Clients of this package do this once they have no
 * holder any more. A symbol of the whole program, because a bundle may hold this package twice.
 */
export const REST: unique symbol = Symbol.for('@moc/dashboard-sdk:rest')

/** Refuses what is no client: `undefined` out of a circular import, say, or a client's options. */
export function checkClient(who: string, client: unknown): void {
  const { getState, subscribe } = (client ?? {}) as { [Name in keyof DashboardClient]?: unknown }
  if (typeof getState === 'function' && typeof subscribe === 'function') return
  const given = typeof client === 'object' && client !== null ? 'another object' : kindOf(client)
  throw new TypeError(
    `${who} expects the client that createDashboardClient({ … }) returned, not ${given}.`,
  )
}

const holders = new WeakMap<DashboardClient, number>()

/**
 * Starts the client, and lets it rest once the last of its holders has let go. Only the app's own
 * `stop()`, or another user, drops the stored view: who leaves a page wants to find it again.
 *
 * It rests in a microtask, not at once: StrictMode, fast refresh and a change of page unmount and
 * mount in one go, which must not close a connection and forget the view.
 */
export function hold(client: DashboardClient): () => void {
  change(client, 1)
  client.start()
  let isHeld = true
  return function letGo() {
    if (!isHeld) return
    isHeld = false
    change(client, -1)
    queueMicrotask(() => {
      if (holders.get(client) === 0) rest(client)
    })
  }
}

/** What wraps a client has no `REST`, and stops. */
function rest(client: DashboardClient & { [REST]?(): void }): void {
  if (client[REST] === undefined) client.stop()
  else client[REST]()
}

function change(client: DashboardClient, by: 1 | -1): void {
  holders.set(client, (holders.get(client) ?? 0) + by)
}

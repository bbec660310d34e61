import type { DashboardClient } from './api.js'

const holders = new WeakMap<DashboardClient, number>()

/**
 * Starts the client, and stops it once the last of its holders has let go.
 *
 * It stops in a microtask, not at once: StrictMode, fast refresh and a change of page unmount and
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
      if (holders.get(client) === 0) client.stop()
    })
  }
}

function change(client: DashboardClient, by: 1 | -1): void {
  holders.set(client, (holders.get(client) ?? 0) + by)
}

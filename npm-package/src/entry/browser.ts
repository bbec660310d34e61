/**
 * The entry for bundlers that build for browsers. They see the `new URL` below, copy the module
 * beside their own output and give it a hashed name, without a plugin.
 */
import { clientFactory } from '../client.js'
import { once } from '../core.js'
import init, { DashboardCore } from '../wasm/glue.js'

export type * from '../api.js'

/** Makes a client that keeps one user's dashboard current; it does nothing before `start()`. */
export const createDashboardClient = clientFactory(
  once(async () => {
    await init({ module_or_path: new URL('../wasm/dashboard_core_bg.wasm', import.meta.url) })
    return DashboardCore
  }),
)

/** For Node: server-side rendering, tests, tools. The module is read from its file. */
import { readFile } from 'node:fs/promises'

import { clientFactory } from '../client.js'
import { once } from '../core.js'
import init, { DashboardCore } from '../wasm/glue.js'

export type * from '../api.js'

/** Makes a client that keeps one user's dashboard current; it does nothing before `start()`. */
export const createDashboardClient = clientFactory(
  once(async () => {
    const file = new URL('../wasm/dashboard_core_bg.wasm', import.meta.url)
    await init({ module_or_path: await readFile(file) })
    return DashboardCore
  }),
)

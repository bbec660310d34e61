/** The entry for Node: server-side rendering, tests, tools. It reads the module from its file. */
import { readFile } from 'node:fs/promises'

import { clientFactory } from '../client.js'
import { once } from '../core.js'
import init, { DashboardCore } from '../wasm/glue.js'

export type * from '../api.js'

/** Not written into `new URL`, where Vitest with jsdom would make a page's asset of the file. */
const MODULE = '../wasm/dashboard_core_bg.wasm'

/** Makes a client that keeps one user's dashboard current; it does nothing before `start()`. */
export const createDashboardClient = clientFactory(
  once(async () => {
    const file = new URL(MODULE, import.meta.url)
    await init({ module_or_path: await readFile(file) })
    return DashboardCore
  }),
)

/**
 * The entry that contains the module inside the script. It is for development servers, which move a
 * dependency's script without the files beside it, and for runtimes that this package does not
 * know.
 */
import { clientFactory } from '../client.js'
import { once } from '../core.js'
import init, { DashboardCore } from '../wasm/glue.js'
import { base64 } from '../wasm/inlined.js'

export type * from '../api.js'

/** Makes a client that keeps one user's dashboard current; it does nothing before `start()`. */
export const createDashboardClient = clientFactory(
  once(async () => {
    const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0))
    await init({ module_or_path: bytes })
    return DashboardCore
  }),
)

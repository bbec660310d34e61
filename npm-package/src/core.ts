import type { DashboardState, Diagnostic } from './types.js'

/** The options of the WebAssembly core. The core does not check them. */
export interface CoreOptions {
  /** The WebSocket's address. */
  socketUrl: string
  /** The snapshot's address, without a query. */
  snapshotUrl: string
  getToken?: () => Promise<string | null>
  cookies: boolean
  lastView?: CoreLastView
  onState: (state: DashboardState) => void
  onDiagnostic: (entry: Diagnostic) => void
}

/** Where the core keeps its last view. `save` and `drop` return at once; none of them throws. */
export interface CoreLastView {
  /** Asked once after each start; its answer is shown as stale until the first snapshot. */
  load: () => Promise<string | null>
  /** Called at most every 2 s while the view changes. */
  save: (record: string) => void
  /** Called on stop, when the session is refused, and when another user's begins. */
  drop: () => void
}

/** The class `DashboardCore` of the WebAssembly module. */
export interface Core {
  start(): void
  stop(): void
  /** With true the view stays, as stale. */
  reauthenticate(isSameUser: boolean): void
  refresh(): void
  getState(): DashboardState
  free(): void
}

/** Makes a core; there is one only after the module has been loaded. */
export type CoreConstructor = new (options: CoreOptions) => Core

/** Loads the WebAssembly module; may be called again after a failure. */
export type CoreLoader = () => Promise<CoreConstructor>

let lastLoad: Promise<unknown> = Promise.resolve()

/** Settles with the last load. The test kit awaits it, as loading takes real time, not virtual. */
export const loadSettled = (): Promise<unknown> => lastLoad.catch(() => {})

/** Calls `load` at most once at a time, and never again after it has succeeded. */
export function once(load: CoreLoader): CoreLoader {
  let loading: Promise<CoreConstructor> | null = null
  return function loadOnce() {
    loading ??= load().catch((error: unknown) => {
      loading = null
      throw error
    })
    lastLoad = loading
    return loading
  }
}

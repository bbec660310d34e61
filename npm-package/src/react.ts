'use client'

/**
 * React bindings: one provider near the root, and a hook for each component that shows state.
 *
 * Rendering neither loads WebAssembly nor touches the browser, so it works on a server. The client
 * starts when the provider has been mounted.
 */
import {
  createContext,
  createElement,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
} from 'react'

import type { DashboardClient } from './api.js'
import { checkClient, hold } from './lease.js'
import { IDLE } from './state.js'
import type { DashboardState } from './types.js'

/** What `DashboardProvider` expects. */
export interface DashboardProviderProps {
  /** Made once, outside of rendering: by `createDashboardClient` at the module's top, say. */
  client: DashboardClient
  children?: ReactNode
}

const Context = createContext<DashboardClient | null>(null)

/**
 * Passes the client to the hooks. Starts it when mounted, and closes its connection when the last
 * of its providers has been unmounted for good. The stored view stays until `stop()`.
 */
export function DashboardProvider({ client, children }: DashboardProviderProps): ReactNode {
  checkClient('<DashboardProvider client={…}>', client)
  useEffect(() => hold(client), [client])
  return createElement(Context.Provider, { value: client }, children)
}

/** The client of the nearest provider, for `refresh()` and `reauthenticate()`. */
export function useDashboardClient(): DashboardClient {
  const client = useContext(Context)
  if (client === null) {
    throw new Error(
      'useDashboard found no client. Render the component inside <DashboardProvider client={client}>.',
    )
  }
  return client
}

/** The whole state; the component renders again after each change. */
export function useDashboard(): DashboardState
/**
 * What `selector` takes from the state; the component renders again only when that changes.
 *
 * @param isEqual tells whether two selections are the same. Default: `Object.is`, which fits
 * selectors that return a part of the state, as unchanged parts keep their identity.
 */
export function useDashboard<T>(
  selector: (state: DashboardState) => T,
  isEqual?: (a: T, b: T) => boolean,
): T
export function useDashboard<T>(
  selector: (state: DashboardState) => T | DashboardState = everything,
  isEqual: (a: T, b: T) => boolean = Object.is,
): T | DashboardState {
  const client = useDashboardClient()
  const shown = useRef<{ value: T } | null>(null)
  const [read, readOnServer] = useMemo(() => {
    // Remembers the last selection, so that a selector that builds a new object each time
    // does not look like a change each time.
    let last: { state: DashboardState; value: T } | null = null
    function select(state: DashboardState): T {
      if (last?.state === state) return last.value
      let value = selector(state) as T
      const previous = last ?? shown.current
      if (previous !== null && isEqual(previous.value, value)) value = previous.value
      last = { state, value }
      return value
    }
    return [() => select(client.getState()), () => select(IDLE)] as const
  }, [client, selector, isEqual])

  const value = useSyncExternalStore(client.subscribe, read, readOnServer)
  useEffect(() => {
    shown.current = { value }
  }, [value])
  return value
}

function everything(state: DashboardState): DashboardState {
  return state
}

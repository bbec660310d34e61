import type { DashboardState } from '@moc/dashboard-sdk'
import { useDashboardClient } from '@moc/dashboard-sdk/react'
import { useEffect, useState } from 'react'

/**
 * What a person should know of the connection, beyond its state now. A state says what is; these
 * need what was: a banner that stays until live again, a notice that recovery has happened.
 */
export interface ConnectionHistory {
  /** Whether the client gave up on quick retries and has not been live since. */
  degraded: boolean
  /** How often it has come back from that. */
  recoveries: number
  /** How often the server has refused the session. */
  refusals: number
  /** Whether the session is refused now. */
  expired: boolean
  /** Whether the first view failed to load; holds until there is a view. */
  failed: boolean
  /**
   * Whether there has been a view since the start. Before the first view there was no connection to
   * restore and no session to expire: a visitor without a session has just not signed in yet.
   */
  hasLoaded: boolean
  /** Whether a poll has been answered since the connection was lost for long (D-RES-4). */
  hasPolled: boolean
}

export const BEGINNING: ConnectionHistory = {
  degraded: false,
  recoveries: 0,
  refusals: 0,
  expired: false,
  failed: false,
  hasLoaded: false,
  hasPolled: false,
}

/** The history after the next state; the same object where nothing changed (D-RES-2, D-RES-4). */
export function advance(history: ConnectionHistory, state: DashboardState): ConnectionHistory {
  const { status, view, freshness } = state
  const ended = status === 'closed' || status === 'idle' || status === 'authRequired'
  const recovered = history.degraded && status === 'live'
  const expired = status === 'authRequired'
  const next: ConnectionHistory = {
    degraded: status === 'degraded' || (history.degraded && !recovered && !ended),
    recoveries: history.recoveries + (recovered ? 1 : 0),
    refusals: history.refusals + (expired && !history.expired ? 1 : 0),
    expired,
    failed: view === null && !expired && (history.failed ? status !== 'idle' : isFailure()),
    hasLoaded: view !== null || (history.hasLoaded && status !== 'closed' && status !== 'idle'),
    hasPolled: status === 'degraded' && (history.hasPolled || freshness.source === 'polling'),
  }
  const same = (Object.keys(next) as (keyof ConnectionHistory)[]).every(
    key => next[key] === history[key],
  )
  return same ? history : next

  function isFailure(): boolean {
    if (status === 'backoff' || status === 'degraded') return true
    // Connected but without a snapshot, or ended by something that has a reason.
    return (status === 'syncing' || status === 'closed') && freshness.reason !== null
  }
}

/** Follows every state of the client, also those that come and go between two renderings. */
export function useConnectionHistory(): ConnectionHistory {
  const client = useDashboardClient()
  const [history, setHistory] = useState(BEGINNING)
  useEffect(() => {
    setHistory(history => advance(history, client.getState()))
    return client.subscribe(state => setHistory(history => advance(history, state)))
  }, [client])
  return history
}

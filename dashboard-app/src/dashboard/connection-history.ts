import type { DashboardState } from '@moc/dashboard-sdk'
import { useDashboardClient } from '@moc/dashboard-sdk/react'
import { useEffect, useState } from 'react'

/**
 * What a person should know of the connection, beyond its state now. A state says what is; these
 * need what was: a banner that stays until live again, a notice that recovery has happened.
 */
export interface ConnectionStory {
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
   * Whether there has been a view since the start. Before it, no connection was there to be made
   * again, and no session to expire: whoever comes without one has just not signed in yet.
   */
  begun: boolean
}

export const BEGINNING: ConnectionStory = {
  degraded: false,
  recoveries: 0,
  refusals: 0,
  expired: false,
  failed: false,
  begun: false,
}

/** The story after the next state; the same object where nothing changed (D-RES-2, D-RES-4). */
export function advance(story: ConnectionStory, state: DashboardState): ConnectionStory {
  const { status, view, freshness } = state
  const ended = status === 'closed' || status === 'idle' || status === 'authRequired'
  const recovered = story.degraded && status === 'live'
  const expired = status === 'authRequired'
  const next: ConnectionStory = {
    degraded: status === 'degraded' || (story.degraded && !recovered && !ended),
    recoveries: story.recoveries + (recovered ? 1 : 0),
    refusals: story.refusals + (expired && !story.expired ? 1 : 0),
    expired,
    failed: view === null && !expired && (story.failed ? status !== 'idle' : isFailure()),
    begun: view !== null || (story.begun && status !== 'closed' && status !== 'idle'),
  }
  const same = (Object.keys(next) as (keyof ConnectionStory)[]).every(
    key => next[key] === story[key],
  )
  return same ? story : next

  function isFailure(): boolean {
    if (status === 'backoff' || status === 'degraded') return true
    // Connected but without a snapshot, or ended by something that has a reason.
    return (status === 'syncing' || status === 'closed') && freshness.reason !== null
  }
}

/** Follows every state of the client, also those that come and go between two renderings. */
export function useConnectionStory(): ConnectionStory {
  const client = useDashboardClient()
  const [story, setStory] = useState(BEGINNING)
  useEffect(() => {
    setStory(story => advance(story, client.getState()))
    return client.subscribe(state => setStory(story => advance(story, state)))
  }, [client])
  return story
}

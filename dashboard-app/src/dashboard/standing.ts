import type { DashboardState } from '@moc/dashboard-sdk'
import { useDashboard } from '@moc/dashboard-sdk/react'
import { useEffect, useState } from 'react'

import { useOnline } from '../ui/online'

/**
 * How the view stands to the server's data, as far as can be known: the one word behind the dot, the
 * bar, the banner and the page's title, so that no two of them contradict each other.
 */
export type Standing =
  /** It is the server's, at this moment. */
  | 'live'
  /** There was no view yet, and one is being fetched. */
  | 'connecting'
  /** The device says that it has no network. */
  | 'offline'
  /** The connection is lost and is being made again. */
  | 'reconnecting'
  /** Without a connection, but the server answers requests every 30 s or so (D-RES-4). */
  | 'polling'
  /** Without a connection for long, and the server answers nothing. */
  | 'unreachable'
  /** The server refuses the session; nothing is tried until there is a new one (D-RES-2). */
  | 'expired'
  /** Ended, by the app or because it cannot work here. */
  | 'stopped'

/** How long the first poll may take before it is said that nothing answers. */
const FIRST_POLL_MS = 2_000

interface Circumstances {
  /** Whether there has been a view. */
  hasLoaded: boolean
  online: boolean
  /** Whether the first poll without a connection has had time to be answered. */
  isPolled: boolean
}

export function standingOf(
  state: DashboardState,
  { hasLoaded, online, isPolled }: Circumstances,
): Standing {
  const { status, freshness } = state
  if (status === 'live') return 'live'
  if (status === 'authRequired') return 'expired'
  if (status === 'closed') return 'stopped'
  if (!hasLoaded) return 'connecting'
  if (!online || freshness.reason?.code === 'OFFLINE') return 'offline'
  if (status !== 'degraded') return 'reconnecting'
  // The source is polling while the last poll has succeeded.
  return freshness.source === 'polling' || !isPolled ? 'polling' : 'unreachable'
}

export function useStanding(hasLoaded: boolean): Standing {
  const online = useOnline()
  const isPolled = useLasted(useDashboard(state => state.status === 'degraded'))
  return useDashboard(state => standingOf(state, { hasLoaded, online, isPolled }))
}

/** Whether something has been so for the time of a first poll. */
function useLasted(is: boolean): boolean {
  const [hasLasted, setLasted] = useState(false)
  useEffect(() => {
    if (!is) return
    const timer = setTimeout(() => setLasted(true), FIRST_POLL_MS)
    return () => {
      clearTimeout(timer)
      setLasted(false)
    }
  }, [is])
  return is && hasLasted
}

/** Before the page's name in its title, which is all that is seen of a page in another tab. */
export const IN_TITLE: Record<Standing, string | null> = {
  live: null,
  connecting: null,
  offline: 'Offline',
  reconnecting: 'Reconnecting',
  polling: 'Limited connectivity',
  unreachable: 'No connection',
  expired: 'Session expired',
  stopped: 'Stopped',
}

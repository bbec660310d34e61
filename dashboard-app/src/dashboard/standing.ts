import type { DashboardState } from '@moc/dashboard-sdk'
import { useDashboard } from '@moc/dashboard-sdk/react'

import { useNow } from '../ui/now'
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
  /** The device has no network. Nothing is tried until it has. */
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

/** A poll's period (D-RES-4), and as long as one may take. */
const POLLED_MS = 45_000

interface Circumstances {
  /** Whether there has been a view. */
  begun: boolean
  online: boolean
  now: number
}

export function standingOf(state: DashboardState, { begun, online, now }: Circumstances): Standing {
  const { status, freshness } = state
  if (status === 'live') return 'live'
  if (status === 'authRequired') return 'expired'
  if (status === 'closed') return 'stopped'
  if (!begun) return 'connecting'
  if (!online || freshness.reason?.code === 'OFFLINE') return 'offline'
  if (status !== 'degraded') return 'reconnecting'
  if (freshness.source === 'polling') return 'polling'
  // Before the first poll nothing has gone wrong yet but the connection.
  const isDue = freshness.asOf === null || now - freshness.asOf > POLLED_MS
  return isDue || freshness.reason?.code.startsWith('SNAPSHOT_') ? 'unreachable' : 'polling'
}

export function useStanding(begun: boolean): Standing {
  const online = useOnline()
  const now = useNow(false)
  return useDashboard(state => standingOf(state, { begun, online, now }))
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

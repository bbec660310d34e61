import type { DashboardState } from '@moc/dashboard-sdk'
import { useDashboard } from '@moc/dashboard-sdk/react'

import { useOnline } from '../ui/online'
import type { ConnectionHistory } from './connection-history'
import { useSnapshotFailed } from './snapshot-failed'

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
  /** Without a connection: the data are requested every 30 s or so, and no request fails (D-RES-4). */
  | 'polling'
  /** Without a connection for long, and the last poll has failed. */
  | 'unreachable'
  /** The server refuses the session; nothing is tried until there is a new one (D-RES-2). */
  | 'expired'
  /** Ended, by the app or because it cannot work here. */
  | 'stopped'

interface Circumstances {
  /** Whether there has been a view. */
  hasLoaded: boolean
  online: boolean
  /** Whether a poll has failed since the last one that was answered. */
  hasPollFailed: boolean
}

export function standingOf(
  state: DashboardState,
  { hasLoaded, online, hasPollFailed }: Circumstances,
): Standing {
  const { status, freshness } = state
  if (status === 'live') return 'live'
  if (status === 'authRequired') return 'expired'
  if (status === 'closed') return 'stopped'
  if (!hasLoaded) return 'connecting'
  if (!online || freshness.reason?.code === 'OFFLINE') return 'offline'
  if (status !== 'degraded') return 'reconnecting'
  // The source is polling while the last poll has succeeded.
  // The first poll may be up to 30 s away. Until it fails, nothing speaks against the server.
  return hasPollFailed ? 'unreachable' : 'polling'
}

export function useStanding({ hasLoaded, hasPolled }: ConnectionHistory): Standing {
  const online = useOnline()
  const isUnanswered = useDashboard(
    ({ status, freshness }) => status === 'degraded' && freshness.source !== 'polling',
  )
  const hasFailed = useSnapshotFailed(isUnanswered)
  // Polls that were answered and no longer are have failed.
  const hasPollFailed = hasFailed || (isUnanswered && hasPolled)
  return useDashboard(state => standingOf(state, { hasLoaded, online, hasPollFailed }))
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

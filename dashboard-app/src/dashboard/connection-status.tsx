import { useDashboard } from '@moc/dashboard-sdk/react'

import { RelativeTime } from '../ui/relative-time'
import type { ConnectionStory } from './connection-story'

/** The dot that tells whether what is shown is live; where it is not, how old it is. */
export function ConnectionStatus({ begun }: Pick<ConnectionStory, 'begun'>) {
  const status = useDashboard(state => state.status)
  const asOf = useDashboard(state => state.freshness.asOf)
  const connected = status === 'live'
  return (
    <div className="flex flex-wrap items-baseline sm:justify-end gap-x-4 gap-y-1 font-control text-sm">
      {/* In degraded mode the banner says it. */}
      {!connected && status !== 'degraded' && asOf !== null && (
        <p className="text-muted-foreground">
          As of <RelativeTime at={asOf} precise />
        </p>
      )}
      <p
        role="status"
        data-testid="connection-status"
        data-connected={connected}
        className="flex items-center gap-2.5 pl-1"
      >
        <span
          aria-hidden="true"
          className={`size-2.5 shrink-0 rounded-full ring-4 ${
            connected
              ? 'bg-success ring-success/20'
              : `bg-destructive ring-destructive/20 ${status === 'authRequired' ? '' : 'pulse'}`
          }`}
        />
        {text()}
      </p>
    </div>
  )

  function text(): string {
    if (connected) return 'Real-time updates active'
    // Nothing is being tried then, and saying so would be untrue.
    if (status === 'authRequired') {
      return `Real-time updates paused: ${begun ? 'session expired' : 'not signed in'}`
    }
    if (status === 'closed') return 'Real-time updates stopped'
    return `${begun ? 'Reconnecting' : 'Connecting'} to real-time updates...`
  }
}

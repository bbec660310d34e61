import { useDashboard } from '@moc/dashboard-sdk/react'
import type { Ref } from 'react'

import { ButtonLink } from '../ui/button'
import { RelativeTime } from '../ui/relative-time'
import type { ConnectionHistory } from './connection-history'
import type { Standing } from './standing'

interface ConnectionStatusProps extends Pick<ConnectionHistory, 'hasLoaded'> {
  standing: Standing
  loginUrl: string
  ref?: Ref<HTMLDivElement>
}

/** The dot that tells whether what is shown is live; where it is not, how old it is (D-FR-5). */
export function ConnectionStatus({ standing, hasLoaded, loginUrl, ref }: ConnectionStatusProps) {
  const asOf = useDashboard(state => state.freshness.asOf)
  const hasView = useDashboard(state => state.view !== null)
  const isDegraded = useDashboard(state => state.status === 'degraded')
  const connected = standing === 'live'
  return (
    <div
      ref={ref}
      // On a phone there is room for both lines from the beginning, so that the second moves nothing.
      className="flex min-h-12 flex-wrap content-start items-center gap-x-4 gap-y-1 font-control text-sm sm:min-h-0 sm:justify-end"
    >
      {/* In degraded mode the banner says it. */}
      {!connected && !isDegraded && asOf !== null && (
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
        <Dot standing={standing} />
        {textOf(standing, hasLoaded)}
      </p>
      {/* Without a view the page itself asks for the login. */}
      {standing === 'expired' && hasView && <ButtonLink href={loginUrl}>Log in</ButtonLink>}
    </div>
  )
}

/** Green while live; it pulses while something is being tried. */
export function Dot({ standing }: { standing: Standing }) {
  const tries = standing !== 'expired' && standing !== 'stopped' && standing !== 'offline'
  return (
    <span
      aria-hidden="true"
      className={`swatch size-2.5 shrink-0 rounded-full ring-4 ${
        standing === 'live'
          ? 'bg-success ring-success/20'
          : `bg-destructive ring-destructive/20 ${tries ? 'pulse' : ''}`
      }`}
    />
  )
}

function textOf(standing: Standing, hasLoaded: boolean): string {
  switch (standing) {
    case 'live':
      return 'Real-time updates active'
    case 'expired':
      // Nothing is being tried then, and saying so would be untrue.
      return `Real-time updates paused: ${hasLoaded ? 'session expired' : 'not signed in'}`
    case 'stopped':
      return 'Real-time updates stopped'
    case 'offline':
      return 'Offline: waiting for the network'
    case 'connecting':
      return 'Connecting to real-time updates...'
    default:
      return 'Reconnecting to real-time updates...'
  }
}

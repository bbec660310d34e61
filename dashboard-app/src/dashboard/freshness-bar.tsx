import { useDashboard } from '@moc/dashboard-sdk/react'
import { useState } from 'react'

import { ButtonLink } from '../ui/button'
import { Dot } from './connection-status'
import { NextTry, ShownSince } from './data-age'
import type { Standing } from './standing'

const FRESH_LOSS_MS = 2_000

const WORDS: Record<Exclude<Standing, 'live' | 'connecting'>, string> = {
  offline: 'Offline.',
  reconnecting: 'Reconnecting.',
  polling: 'Limited connectivity.',
  unreachable: 'The server does not answer.',
  expired: 'Session expired.',
  stopped: 'Updates stopped.',
}

/**
 * One line at the top of the window while what is shown is not live and the status has been scrolled
 * away. It lies above the page, so that nothing moves; the status itself tells screen readers.
 */
export function FreshnessBar({ standing, loginUrl }: { standing: Standing; loginUrl: string }) {
  const asOf = useDashboard(state => state.freshness.asOf)
  // A loss that may be over in a moment is not worth a bar yet; data that are old already are.
  const [waits] = useState(() => asOf === null || Date.now() - asOf < FRESH_LOSS_MS)
  if (standing === 'live' || standing === 'connecting') return null
  return (
    <div
      data-testid="freshness-bar"
      className={`${waits ? 'freshness-bar' : ''} fixed inset-x-0 top-0 z-40 flex min-h-11 items-center justify-center gap-3 border-border border-b bg-card px-4 py-1 font-control text-card-foreground text-sm shadow-md`}
    >
      <Dot standing={standing} />
      <p className="min-w-0">
        <span className="font-medium">{WORDS[standing]}</span> <ShownSince />{' '}
        {standing !== 'offline' && <NextTry />}
      </p>
      {standing === 'expired' && (
        <ButtonLink href={loginUrl} className="-my-1">
          Log in
        </ButtonLink>
      )}
    </div>
  )
}

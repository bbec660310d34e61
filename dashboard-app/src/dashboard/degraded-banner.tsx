import { useDashboard, useDashboardClient } from '@moc/dashboard-sdk/react'
import { RefreshCw, TriangleAlert } from 'lucide-react'
import { useEffect, useState } from 'react'

import { Button } from '../ui/button'
import { RelativeTime } from '../ui/relative-time'
import { NextTry, ShownSince } from './data-age'
import { useSnapshotFailed } from './snapshot-failed'
import type { Standing } from './standing'

/** After this long without an answer a refresh has failed: the client itself waits no longer. */
const PATIENCE_MS = 10_000

/** Shown from degraded mode until live again (D-RES-4). */
export function DegradedBanner({ standing }: { standing: Standing }) {
  const asOf = useDashboard(state => state.freshness.asOf)
  const { refresh, isBusy, hasFailed } = useRefresh(asOf)
  return (
    <section
      aria-labelledby="degraded-title"
      data-testid="degraded-mode-banner"
      className="mb-6 flex flex-wrap items-center gap-x-4 gap-y-3 rounded-lg border border-warning border-l-4 bg-card px-5 py-3.5"
    >
      <TriangleAlert className="size-5 shrink-0 self-start text-foreground" aria-hidden="true" />
      <div className="min-w-0 grow basis-64">
        <h2 id="degraded-title" className="font-heading font-semibold text-xl leading-tight">
          Limited connectivity
        </h2>
        <p className="text-[0.9375rem]">
          <Explanation standing={standing} />
        </p>
        <p className="font-control text-muted-foreground text-sm">
          Last updated: {asOf === null ? 'not yet' : <RelativeTime at={asOf} precise />}
        </p>
        {/* There from the beginning, so that it is read out when it is filled. */}
        <p role="status" className="font-control text-sm">
          {hasFailed && 'Refreshing failed: the server did not answer.'}
        </p>
      </div>
      <Button onClick={refresh} aria-disabled={isBusy} className="grow sm:grow-0">
        <RefreshCw className={`size-4 ${isBusy ? 'animate-spin' : ''}`} aria-hidden="true" />
        {isBusy ? 'Refreshing…' : 'Refresh now'}
      </Button>
    </section>
  )
}

/** Says that data are refreshed only where they are. */
function Explanation({ standing }: { standing: Standing }) {
  if (standing === 'offline') {
    return (
      <>
        You are offline. <ShownSince />
      </>
    )
  }
  if (standing === 'unreachable') {
    return (
      <>
        The server does not answer. <ShownSince /> <NextTry />
      </>
    )
  }
  return <>Real-time updates unavailable. Data refreshes every 30 seconds.</>
}

/** Busy from the press until the data have been confirmed, or until it has failed. */
function useRefresh(asOf: number | null) {
  const client = useDashboardClient()
  const [asked, setAsked] = useState<{ asOf: number | null; isLate: boolean } | null>(null)
  // Newer data are an answer, whichever question it was to.
  const open = asked !== null && asked.asOf === asOf ? asked : null
  const hasFailed = useSnapshotFailed(open !== null) || open?.isLate === true
  const isBusy = open !== null && !hasFailed
  useEffect(() => {
    if (!isBusy) return
    const late = () => setAsked(asked => asked && { ...asked, isLate: true })
    const timer = setTimeout(late, PATIENCE_MS)
    return () => clearTimeout(timer)
  }, [isBusy])
  return {
    isBusy,
    hasFailed,
    refresh() {
      if (isBusy) return
      setAsked({ asOf, isLate: false })
      client.refresh()
    },
  }
}

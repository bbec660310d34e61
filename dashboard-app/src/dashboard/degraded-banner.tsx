import { useDashboard, useDashboardClient } from '@moc/dashboard-sdk/react'
import { RefreshCw, TriangleAlert } from 'lucide-react'
import { useEffect, useState } from 'react'

import { Button } from '../ui/button'
import { RelativeTime } from '../ui/relative-time'

/** After this long without an answer, the button may be pressed again. */
const PATIENCE_MS = 8_000

/** Shown from degraded mode until live again (D-RES-4). */
export function DegradedBanner() {
  const asOf = useDashboard(state => state.freshness.asOf)
  const { busy, refresh } = useRefresh(asOf)
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
          Real-time updates unavailable. Data refreshes every 30 seconds.
        </p>
        <p className="font-control text-muted-foreground text-sm">
          Last updated: {asOf === null ? 'not yet' : <RelativeTime at={asOf} precise />}
        </p>
      </div>
      <Button onClick={refresh} aria-disabled={busy} className="grow sm:grow-0">
        <RefreshCw className={`size-4 ${busy ? 'animate-spin' : ''}`} aria-hidden="true" />
        Refresh now
      </Button>
    </section>
  )
}

/** Busy from the press until the data has been confirmed, or until patience ends. */
function useRefresh(asOf: number | null) {
  const client = useDashboardClient()
  const [askedAt, setAskedAt] = useState<{ asOf: number | null } | null>(null)
  const busy = askedAt !== null && askedAt.asOf === asOf
  useEffect(() => {
    if (!busy) return
    const timer = setTimeout(() => setAskedAt(null), PATIENCE_MS)
    return () => clearTimeout(timer)
  }, [busy])
  return {
    busy,
    refresh() {
      if (busy) return
      setAskedAt({ asOf })
      client.refresh()
    },
  }
}

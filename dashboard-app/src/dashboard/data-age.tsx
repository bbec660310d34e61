import { useDashboard } from '@moc/dashboard-sdk/react'

import { clockTime } from '../ui/format'
import { useNow } from '../ui/now'

/** "Showing data from 2:02 PM.": of which time the data are that are on the screen. */
export function ShownSince() {
  const asOf = useDashboard(state => state.freshness.asOf)
  const now = useNow(false)
  if (asOf === null) return null
  return (
    <>
      Showing data from{' '}
      <time className="whitespace-nowrap" dateTime={new Date(asOf).toISOString()}>
        {clockTime(asOf, now)}
      </time>
      .
    </>
  )
}

/** "Next try in 12 s.", counted down; nothing while a try is under way. */
export function NextTry() {
  const at = useDashboard(state => state.freshness.nextRetryAt)
  const now = useNow(true)
  if (at === null || at <= now) return null
  return (
    <span className="whitespace-nowrap tabular-nums">
      Next try in {Math.ceil((at - now) / 1_000)} s.
    </span>
  )
}

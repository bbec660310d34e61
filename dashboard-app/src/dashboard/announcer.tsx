import type { DashboardView } from '@moc/dashboard-sdk'
import { useEffect, useRef, useState } from 'react'

import { describeChanges } from './describe-changes'

/** How long changes are gathered before they are announced together. */
const GATHER_MS = 1_000
/** How long a listener is left in peace after an announcement. */
const QUIET_MS = 10_000

/** Tells a screen reader what has changed: one sentence at a time, and not often. */
export function Announcer({ view }: { view: DashboardView }) {
  const [said, setSaid] = useState({ sentence: '', times: 0 })
  const known = useRef(view)
  const latest = useRef(view)
  const quietUntil = useRef(0)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)

  useEffect(() => {
    latest.current = view
    if (timer.current !== undefined || known.current === view) return
    timer.current = setTimeout(
      () => {
        timer.current = undefined
        const sentence = describeChanges(known.current, latest.current)
        known.current = latest.current
        if (sentence === null) return
        quietUntil.current = performance.now() + QUIET_MS
        setSaid(({ times }) => ({ sentence, times: times + 1 }))
      },
      Math.max(GATHER_MS, quietUntil.current - performance.now()),
    )
  }, [view])

  useEffect(
    () => () => {
      clearTimeout(timer.current)
      timer.current = undefined
    },
    [],
  )

  return (
    <div role="status" data-testid="changes-announced" className="sr-only">
      {/* The same sentence is another announcement. */}
      <p key={said.times}>{said.sentence}</p>
    </div>
  )
}

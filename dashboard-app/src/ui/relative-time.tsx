import { absolute, relative } from './format'
import { useNow } from './now'

/** How long ago, kept current; the exact time on hover and for programs. */
export function RelativeTime({ at, precise = false }: { at: string | number; precise?: boolean }) {
  const now = useNow(precise)
  const then = new Date(at).getTime()
  // The contract checks a date's shape, not the calendar: a leap second is no date to JavaScript.
  if (Number.isNaN(then)) return <time>{String(at).slice(0, 10)}</time>
  return (
    <time dateTime={new Date(then).toISOString()} title={absolute(then)}>
      {relative(then, now, precise)}
    </time>
  )
}

import { useDashboardClient } from '@moc/dashboard-sdk/react'
import { useLayoutEffect, useState } from 'react'

/** How often the client's diagnostics are read: often enough for a person who waits. */
const LOOK_MS = 250

/**
 * Whether a request for a snapshot has failed since `isWatched` became true. A state's reason may be
 * that of the socket, or of an earlier failure; the diagnostics have one entry for each failure.
 */
export function useSnapshotFailed(isWatched: boolean): boolean {
  const client = useDashboardClient()
  const [hasFailed, setFailed] = useState(false)
  // Before the browser can deliver an answer: what fails from now on counts.
  useLayoutEffect(() => {
    if (!isWatched) return
    const before = client.diagnostics().at(-1)
    const timer = setInterval(() => {
      const told = client.diagnostics()
      const news = told.slice(before === undefined ? 0 : told.lastIndexOf(before) + 1)
      if (news.some(({ code }) => code.startsWith('SNAPSHOT_'))) setFailed(true)
    }, LOOK_MS)
    return () => {
      clearInterval(timer)
      setFailed(false)
    }
  }, [isWatched, client])
  return isWatched && hasFailed
}

import type { DashboardStatus } from '@moc/dashboard-sdk'
import { useDashboard, useDashboardClient } from '@moc/dashboard-sdk/react'
import { type SubmitEvent, useEffect, useState } from 'react'

const WORDS: Record<DashboardStatus, string> = {
  idle: 'Not connected',
  connecting: 'Connecting',
  syncing: 'Connecting',
  live: 'Live',
  backoff: 'Reconnecting',
  degraded: 'Not live',
  authRequired: 'Logged out',
  closed: 'Not connected',
}

/** How the connection is and, unless it is live, how old the data is. */
export function Badge() {
  const status = useDashboard(state => state.status)
  const asOf = useDashboard(state => state.freshness.asOf)
  return (
    <output data-status={status}>
      {WORDS[status]}
      {status !== 'live' && asOf !== null && <Age asOf={asOf} />}
    </output>
  )
}

/** The state changes when something happens. That time passes is for the page to show. */
function Age({ asOf }: { asOf: number }) {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  const seconds = Math.max(0, Math.round((now - asOf) / 1000))
  return seconds < 60 ? `, ${seconds} s old` : `, ${Math.floor(seconds / 60)} min old`
}

export function DegradedBanner() {
  const client = useDashboardClient()
  const degraded = useDashboard(state => state.status === 'degraded')
  const trying = useDashboard(state => state.freshness.nextRetryAt === null)
  if (!degraded) return null
  return (
    <p role="alert">
      There is no live connection. The data is asked for every 30 seconds.{' '}
      <button type="button" onClick={client.refresh} disabled={trying}>
        {trying ? 'Refreshing' : 'Refresh now'}
      </button>
    </p>
  )
}

export function LogInAgain({ onLogIn }: { onLogIn: (token: string) => void }) {
  const client = useDashboardClient()
  const refused = useDashboard(state => state.status === 'authRequired')
  if (!refused) return null
  function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault()
    onLogIn(String(new FormData(event.currentTarget).get('token')))
    client.reauthenticate()
  }
  return (
    <form onSubmit={submit}>
      <label>
        Please log in again. Access token: <input name="token" required />
      </label>{' '}
      <button type="submit">Log in</button>
    </form>
  )
}

export function CopyDiagnostics() {
  const client = useDashboardClient()
  const [copied, setCopied] = useState(false)
  async function copy() {
    await navigator.clipboard.writeText(JSON.stringify(client.diagnostics(), null, 2))
    setCopied(true)
  }
  return (
    <button type="button" onClick={copy}>
      {copied ? 'Copied' : 'Copy diagnostics'}
    </button>
  )
}

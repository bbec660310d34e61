import { useDashboardClient } from '@moc/dashboard-sdk/react'

import { Button, ButtonLink } from '../ui/button'
import { AREA, type Area, Ornament } from '../ui/card'

/** The shapes of the cards to come, as large as they will be (first load). */
export function Loading() {
  return (
    <div data-testid="dashboard-loading" aria-busy="true">
      <p role="status" className="sr-only">
        Loading your dashboard
      </p>
      <div className="grid-areas gap-5 lg:gap-6" aria-hidden="true">
        <CardSkeleton area="summary" lines={5} height="min-h-64" />
        <CardSkeleton area="quick" lines={3} height="min-h-64" />
        <CardSkeleton area="recent" lines={8} height="min-h-[38rem]" />
        <CardSkeleton area="themes" lines={10} height="min-h-[32rem]" />
        <CardSkeleton area="partial" lines={6} height="min-h-80" />
      </div>
    </div>
  )
}

const WIDTHS = ['w-11/12', 'w-4/5', 'w-2/3', 'w-10/12', 'w-3/5']

function CardSkeleton({ area, lines, height }: { area: Area; lines: number; height: string }) {
  return (
    <div className={`plate px-6 pt-5 pb-6 ${height} ${AREA[area]}`}>
      <div className="shimmer mb-6 h-7 w-44" />
      <div className="grid gap-5">
        {Array.from({ length: lines }, (_, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the lines are all alike.
          <div key={at} className={`shimmer h-4 ${WIDTHS[at % WIDTHS.length]}`} />
        ))}
      </div>
    </div>
  )
}

/** There is no view, and loading one failed; the client goes on trying. */
export function LoadFailure() {
  const client = useDashboardClient()
  return (
    <Panel testId="dashboard-load-failure" title="Failed to load dashboard. Please try again.">
      <Button
        look="primary"
        onClick={() => {
          client.start()
          client.refresh()
        }}
      >
        Try again
      </Button>
    </Panel>
  )
}

/** There is no view, since the host has stopped the client. */
export function Stopped() {
  const client = useDashboardClient()
  return (
    <Panel testId="dashboard-stopped" title="Updates are stopped.">
      <Button look="primary" onClick={() => client.start()}>
        Load the dashboard
      </Button>
    </Panel>
  )
}

/** There is no view, and this browser cannot bring one, however often it is tried. */
export function Unsupported({ why }: { why: string }) {
  return (
    <Panel testId="dashboard-unsupported" title="This browser cannot show the dashboard.">
      <p>{why}</p>
    </Panel>
  )
}

/** There is no view, and the server wants a login: the first one, or another. */
export function LoginNeeded({ again, loginUrl }: { again: boolean; loginUrl: string }) {
  return (
    <Panel
      testId="dashboard-login-needed"
      title={again ? 'Session expired' : 'Sign in to see your dashboard'}
    >
      {again && <p>Please log in again to continue.</p>}
      <ButtonLink look="primary" href={loginUrl}>
        Log in
      </ButtonLink>
    </Panel>
  )
}

interface PanelProps {
  testId: string
  title: string
  children: React.ReactNode
}

function Panel({ testId, title, children }: PanelProps) {
  return (
    <div
      role="alert"
      data-testid={testId}
      className="plate mx-auto mt-10 flex max-w-xl flex-col items-center gap-5 px-6 py-14 text-center"
    >
      <Ornament />
      <p className="font-heading font-semibold text-2xl">{title}</p>
      {children}
    </div>
  )
}

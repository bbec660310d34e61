import type { DashboardView, ReasonCode } from '@moc/dashboard-sdk'
import { useDashboard } from '@moc/dashboard-sdk/react'
import { useEffect, useRef } from 'react'

import { useInView } from '../ui/in-view'
import { useMedia } from '../ui/media'
import { MovingCards } from '../ui/moving'
import { Account, type AccountLinks } from './account'
import { Announcer } from './announcer'
import { CollectionSummary } from './collection-summary'
import type { ConnectionHistory } from './connection-history'
import { ConnectionStatus } from './connection-status'
import { DegradedBanner } from './degraded-banner'
import { Frame } from './frame'
import { FreshnessBar } from './freshness-bar'
import { PartialParts } from './partial-parts'
import { QuickActions } from './quick-actions'
import { RecentMocs } from './recent-mocs'
import { IN_TITLE, type Standing, useStanding } from './standing'
import { LoadFailure, Loading, LoginNeeded, Stopped, Unsupported } from './states'
import { ThemeBreakdown } from './theme-breakdown'

/** What a browser lacks for good. */
const UNSUPPORTED: ReasonCode[] = [
  'WEBASSEMBLY_UNAVAILABLE',
  'WEBSOCKET_UNAVAILABLE',
  'FETCH_UNAVAILABLE',
]

/** The page in whichever state it is: loading, failed, refused, unsupported, or the dashboard. */
export function Page({ history, account }: { history: ConnectionHistory; account: AccountLinks }) {
  const { loginUrl } = account
  const view = useDashboard(state => state.view)
  const standing = useStanding(history)
  const status = useRef<HTMLDivElement>(null)
  const isStatusInView = useInView(status)
  useTitle(standing)
  return (
    <Frame
      aside={
        <>
          <div className="flex flex-col sm:items-end">
            {!history.expired && <Account {...account} />}
            <ConnectionStatus
              ref={status}
              standing={standing}
              hasLoaded={history.hasLoaded}
              loginUrl={loginUrl}
            />
          </div>
          {view !== null && !isStatusInView && (
            <FreshnessBar standing={standing} loginUrl={loginUrl} />
          )}
        </>
      }
    >
      {history.degraded && <DegradedBanner standing={standing} />}
      {view === null ? (
        <WithoutView history={history} standing={standing} loginUrl={loginUrl} />
      ) : (
        <>
          <Cards view={view} />
          <Announcer view={view} />
        </>
      )}
    </Frame>
  )
}

/** Tells a page in the background what its tab can show. */
function useTitle(standing: Standing): void {
  useEffect(() => {
    const name = document.title
    const said = IN_TITLE[standing]
    if (said === null) return
    document.title = `${said} · ${name}`
    return () => {
      document.title = name
    }
  }, [standing])
}

interface WithoutViewProps {
  history: ConnectionHistory
  standing: Standing
  loginUrl: string
}

function WithoutView({ history, standing, loginUrl }: WithoutViewProps) {
  const reason = useDashboard(state => state.freshness.reason)
  if (history.expired) return <LoginNeeded again={history.hasLoaded} loginUrl={loginUrl} />
  if (reason !== null && UNSUPPORTED.includes(reason.code)) {
    return <Unsupported why={reason.message} />
  }
  if (standing === 'stopped') return <Stopped />
  return history.failed ? <LoadFailure /> : <Loading />
}

function Cards({ view }: { view: DashboardView }) {
  // On a phone the table comes second: in the document too, so that the focus goes as the eye does.
  const isPhone = useMedia('(width < 48rem)')
  const grid = useRef<HTMLDivElement>(null)
  const parts = <PartialParts key="parts" mocs={view.partialPartsMocs} />
  return (
    <MovingCards grid={grid}>
      <div ref={grid} className="grid-areas gap-5 lg:gap-6">
        <CollectionSummary summary={view.summary} />
        {[
          isPhone && parts,
          <QuickActions key="quick" />,
          <RecentMocs key="recent" mocs={view.recentMocs} />,
          <ThemeBreakdown key="themes" themes={view.themeBreakdown} />,
          !isPhone && parts,
        ]}
      </div>
    </MovingCards>
  )
}

import { useDashboard } from '@moc/dashboard-sdk/react'
import { PartialParts, RecentMocs, Themes, Totals } from './Cards'
import { Badge, CopyDiagnostics, DegradedBanner, LogInAgain } from './Connection'

export function App({ onLogIn }: { onLogIn: (token: string) => void }) {
  return (
    <>
      <header>
        <h1>My MOCs</h1>
        <Badge />
      </header>
      <LogInAgain onLogIn={onLogIn} />
      <DegradedBanner />
      <main>
        <Cards />
      </main>
      <footer>
        <CopyDiagnostics />
      </footer>
    </>
  )
}

/** Shows the view if there is one, in every state of the connection. */
function Cards() {
  const view = useDashboard(state => state.view)
  if (view === null) return <p>Nothing to show yet.</p>
  return (
    <>
      <Totals summary={view.summary} />
      <Themes themes={view.themeBreakdown} />
      <RecentMocs mocs={view.recentMocs} />
      <PartialParts mocs={view.partialPartsMocs} />
    </>
  )
}

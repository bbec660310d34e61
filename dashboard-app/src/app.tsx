import type { DashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider } from '@moc/dashboard-sdk/react'

import { useConnectionStory } from './dashboard/connection-story'
import { Notices } from './dashboard/notices'
import { Page } from './dashboard/page'

/** The whole app; the client is passed in, so that tests can script it. */
export function App({ client, loginUrl }: { client: DashboardClient; loginUrl: string }) {
  return (
    <DashboardProvider client={client}>
      <Dashboard loginUrl={loginUrl} />
    </DashboardProvider>
  )
}

function Dashboard({ loginUrl }: { loginUrl: string }) {
  const story = useConnectionStory()
  return (
    <>
      <Page story={story} loginUrl={loginUrl} />
      <Notices story={story} loginUrl={loginUrl} />
    </>
  )
}

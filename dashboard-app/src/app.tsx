import type { DashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider } from '@moc/dashboard-sdk/react'

import type { AccountLinks } from './dashboard/account'
import { useConnectionHistory } from './dashboard/connection-history'
import { Notices } from './dashboard/notices'
import { Page } from './dashboard/page'

/** The whole app; the client is passed in, so that tests can script it. */
export function App({ client, account }: { client: DashboardClient; account: AccountLinks }) {
  return (
    <DashboardProvider client={client}>
      <Dashboard account={account} />
    </DashboardProvider>
  )
}

function Dashboard({ account }: { account: AccountLinks }) {
  const history = useConnectionHistory()
  return (
    <>
      <Page history={history} account={account} />
      <Notices history={history} loginUrl={account.loginUrl} />
    </>
  )
}

import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider } from '@moc/dashboard-sdk/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './App'
import { accessToken, logIn, userId } from './session'
import './style.css'

const client = createDashboardClient({
  url: location.origin,
  getToken: accessToken,
  lastView: { userId },
})

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root.')
createRoot(root).render(
  <StrictMode>
    <DashboardProvider client={client}>
      <App onLogIn={logIn} />
    </DashboardProvider>
  </StrictMode>,
)

import './styles/app.css'

import { createDashboardClient } from '@moc/dashboard-sdk'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

import { App } from './app'
import { readConfig } from './config'

const root = document.getElementById('root')
if (root === null) throw new Error('The page has no element with the id "root".')

const config = readConfig(document)
const client = createDashboardClient({
  url: location.origin,
  basePath: config.apiBase,
  cookies: true,
})

createRoot(root).render(
  <StrictMode>
    <App client={client} account={config} />
  </StrictMode>,
)

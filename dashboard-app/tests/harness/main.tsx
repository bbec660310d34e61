/**
 * The app with a scripted server, for looking at states that are hard to reach:
 * `?scene=live|empty|loading|failed|expired|refused|degraded|restored|crowded`. No part of the
 * product. Time is real here, so degraded takes its five failures.
 */
import '../../src/styles/app.css'

import { createDashboardClient, type DashboardView } from '@moc/dashboard-sdk'
import { createFakeServer, type FakeServer } from '@moc/dashboard-sdk/testing'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

import { App } from '../../src/app'
import { crowdedView, emptyView, view } from '../support/fixtures'

interface Scene {
  view?: DashboardView
  /** What is wrong from the beginning. */
  before?: (server: FakeServer) => void
  /** What happens once the page is live. */
  afterwards?: (server: FakeServer) => void
}

const scenes: Record<string, Scene> = {
  live: {},
  empty: { view: emptyView() },
  crowded: { view: crowdedView() },
  loading: { before: server => server.connections.hang() },
  failed: {
    before(server) {
      server.connections.refuse()
      server.snapshots.networkError()
    },
  },
  refused: { before: server => server.connections.deny() },
  expired: { afterwards: server => server.endSession() },
  degraded: { afterwards: degrade },
  restored: {
    async afterwards(server) {
      degrade(server)
      await server.until(client, 'degraded')
      server.heal()
    },
  },
}

function degrade(server: FakeServer): void {
  server.connections.refuse()
  server.connections.drop()
}

const scene = scenes[new URLSearchParams(location.search).get('scene') ?? 'live'] ?? {}
const server = createFakeServer({ view: scene.view ?? view() })
const client = createDashboardClient({ url: server.url, cookies: true, logger: null })
server.install()
scene.before?.(server)
if (scene.afterwards !== undefined)
  void server.until(client, 'live').then(() => scene.afterwards?.(server))

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App client={client} account={{ loginUrl: '/login', logoutUrl: '/logout', userName: 'Ada' }} />
  </StrictMode>,
)

Object.assign(globalThis, { client, server, fixtures: { view, emptyView, crowdedView } })

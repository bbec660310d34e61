// @vitest-environment jsdom
import {
  createDashboardClient,
  type DashboardClient,
  type LastViewEntry,
  type LastViewStore,
} from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import { createFakeServer, makeView } from '@moc/dashboard-sdk/testing'
import { act, cleanup, render } from '@testing-library/react'
import { StrictMode } from 'react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

let user: string
let kept: LastViewEntry | null
const store: LastViewStore = {
  load: async () => kept,
  save: async entry => {
    kept = entry
  },
  drop: async () => {
    kept = null
  },
}
const server = createFakeServer({ view: makeView({ summary: { totalMocs: 3 } }), time: vi, act })

beforeEach(() => {
  user = 'ann'
  kept = null
  vi.useFakeTimers()
  server.install()
})

afterEach(() => {
  cleanup()
  server.uninstall()
  vi.useRealTimers()
})

function Total() {
  const { view, freshness } = useDashboard()
  return <p>{view === null ? 'nothing' : `${view.summary.totalMocs} ${freshness.source}`}</p>
}

/** An app whose dashboard is one of its routes, live long enough that its view has been kept. */
async function liveRoute() {
  const options = { url: server.url, cookies: true, logger: null }
  const lastView = { userId: () => user, store }
  const client = createDashboardClient({ ...options, lastView })
  const page = render(<App client={client} route="dashboard" />)
  await server.until(client, 'live')
  await server.advance(5_000)
  expect(page.container.textContent).toBe('3 live')
  const go = async (route: string) => {
    page.rerender(<App client={client} route={route} />)
    await server.advance(1_000)
  }
  return { client, go, shown: () => page.container.textContent }
}

function App({ client, route }: { client: DashboardClient; route: string }) {
  return (
    <StrictMode>
      {route === 'dashboard' && (
        <DashboardProvider client={client}>
          <Total />
        </DashboardProvider>
      )}
    </StrictMode>
  )
}

function loseNetwork(): void {
  server.connections.refuse()
  server.snapshots.networkError()
}

describe('a dashboard on one route of an app', () => {
  it('closes its connection on another route, and shows its last view on the way back', async () => {
    const { client, go, shown } = await liveRoute()
    await go('settings')
    expect(server.connections.open).toBe(0)
    expect(client.getState()).toMatchObject({ status: 'closed', view: null })
    loseNetwork()
    await go('dashboard')
    expect(shown()).toBe('3 stale')
  })

  it('shows nothing to another user who comes meanwhile', async () => {
    const { go, shown } = await liveRoute()
    await go('settings')
    user = 'bob'
    loseNetwork()
    await go('dashboard')
    expect(shown()).toBe('nothing')
    expect(kept).toBeNull()
  })

  it('shows nothing after a logout on another route', async () => {
    const { client, go, shown } = await liveRoute()
    await go('settings')
    client.stop()
    loseNetwork()
    await go('dashboard')
    expect(shown()).toBe('nothing')
  })
})

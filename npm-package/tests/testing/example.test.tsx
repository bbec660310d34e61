// @vitest-environment jsdom
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import { createFakeServer, makeView } from '@moc/dashboard-sdk/testing'
import { act, cleanup, render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

function Total() {
  const { view, freshness } = useDashboard()
  if (view === null) return <p>Loading</p>
  const age = freshness.source === 'live' ? '' : ' (not live)'
  return <p>{`${view.summary.totalMocs} MOCs${age}`}</p>
}

const server = createFakeServer({ view: makeView({ summary: { totalMocs: 3 } }), time: vi, act })

beforeEach(() => {
  vi.useFakeTimers()
  server.install()
})

afterEach(() => {
  cleanup()
  server.uninstall()
  vi.useRealTimers()
})

it('shows the total, follows it, and says when it is not live', async () => {
  const client = createDashboardClient({ url: server.url, cookies: true, logger: null })
  render(
    <DashboardProvider client={client}>
      <Total />
    </DashboardProvider>,
  )
  screen.getByText('Loading')
  await server.until(client, 'live')
  screen.getByText('3 MOCs')

  server.update(({ summary }) => ({ summary: { ...summary, totalMocs: 4 } }))
  await server.advance()
  screen.getByText('4 MOCs')

  server.connections.refuse() // from now on; { times: 2 } for the next two
  server.connections.drop()
  await server.until(client, 'degraded')
  screen.getByText('4 MOCs (not live)')
  await server.advance(90_000) // it polls about every 30 s
  expect(server.snapshots.requests.at(-1)).toMatchObject({ unchanged: true })

  server.heal()
  await server.until(client, 'live')
  screen.getByText('4 MOCs')
})

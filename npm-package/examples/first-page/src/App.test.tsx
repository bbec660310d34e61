// @vitest-environment jsdom
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider } from '@moc/dashboard-sdk/react'
import { createFakeServer, makeRecentMoc, makeView } from '@moc/dashboard-sdk/testing'
import { act, cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { App } from './App'

const view = makeView({ recentMocs: [makeRecentMoc({ title: 'Lighthouse' })] })
const server = createFakeServer({ view, time: vi, act })

beforeEach(() => {
  vi.useFakeTimers()
  server.install()
})

afterEach(() => {
  cleanup()
  server.uninstall()
  vi.useRealTimers()
})

it('is live, shows its age without a connection, and goes on after a login', async () => {
  let token = 'first'
  const client = createDashboardClient({ url: server.url, getToken: () => token, logger: null })
  function logIn(entered: string) {
    token = entered
  }
  render(
    <DashboardProvider client={client}>
      <App onLogIn={logIn} />
    </DashboardProvider>,
  )
  screen.getByText('Nothing to show yet.')
  await server.until(client, 'live')
  screen.getByText(/Lighthouse/)
  expect(badge()).toBe('Live')

  server.connections.refuse()
  server.connections.drop()
  await server.until(client, 'degraded')
  screen.getByText(/Lighthouse/)
  expect(badge()).toMatch(/^Not live, \d+ s old$/)

  server.heal()
  fireEvent.click(screen.getByText('Refresh now'))
  await server.until(client, 'live')
  expect(screen.queryByRole('alert')).toBeNull()

  server.expireTokens()
  await server.until(client, 'authRequired')
  fireEvent.change(screen.getByLabelText(/Access token/), { target: { value: 'second' } })
  fireEvent.click(screen.getByText('Log in'))
  await server.until(client, 'live')
  expect(server.tokens.at(-1)).toBe('second')
  screen.getByText(/Lighthouse/)
})

function badge(): string | null {
  return screen.getByRole('status').textContent
}

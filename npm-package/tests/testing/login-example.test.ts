import { createDashboardClient } from '@moc/dashboard-sdk'
import { createFakeServer } from '@moc/dashboard-sdk/testing'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

const server = createFakeServer({ time: vi, accepts: token => token === 'valid' })

beforeEach(() => {
  vi.useFakeTimers()
  server.install()
})

afterEach(() => {
  server.uninstall()
  vi.useRealTimers()
})

it('wants a login, and is live after it', async () => {
  let token: string | null = null // nobody is logged in
  const onAuthRequired = vi.fn()
  const session = { getToken: () => token, onAuthRequired }
  const client = createDashboardClient({ url: server.url, ...session, logger: null })
  client.start()
  await server.until(client, 'authRequired')
  expect(onAuthRequired).toHaveBeenCalledOnce()

  token = 'valid'
  client.reauthenticate()
  await server.until(client, 'live')
})

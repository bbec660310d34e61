import { createDashboardClient } from '@moc/dashboard-sdk'
import { createFakeServer, recordStates } from '@moc/dashboard-sdk/testing'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { inVirtualTime, liveScene, scene } from './scene.js'

describe('until', () => {
  inVirtualTime()

  it('stops at the very moment', async () => {
    const { server, client } = await liveScene()
    server.connections.drop()
    const { freshness } = await server.until(client, 'backoff')
    await server.until(client, 'connecting')
    expect(Date.now()).toBe(freshness.nextRetryAt)
  })

  it('sees also what holds for a moment only', async () => {
    const { server, client } = scene()
    const state = await server.until(client, 'syncing')
    expect(state.status).toBe('syncing')
    expect(client.getState().status).toBe('live')
  })

  it('fails with the story of the client when the state does not come', async () => {
    const { server, client } = await liveScene()
    server.connections.drop()
    const waiting = server.until(client, 'degraded', { within: 30_000 })
    const error = await waiting.then(
      () => null,
      (error: unknown) => error,
    )
    expect(String(error)).toMatch(/did not reach status 'degraded' within 30 s/)
    expect(String(error)).toContain('States: live -> backoff -> connecting -> syncing -> live')
    expect(String(error)).toContain(
      'The server saw: sockets closed, accepted; requests 200, 200 unchanged',
    )
    expect(String(error)).toMatch(/^0\.0 s warn SOCKET_CLOSED: live -> backoff/m)
  })

  it('says so where the client was never started', async () => {
    const server = createFakeServer({ time: vi })
    const client = createDashboardClient({ url: server.url, cookies: true })
    await expect(server.until(client, 'live')).rejects.toThrow('It was never started.')
    await expect(server.until(client, 'live')).rejects.toThrow(
      "nothing. Is https://dashboard.test the client's url?",
    )
    await expect(server.until(client, state => state.view !== null)).rejects.toThrow(
      /did not reach .*state\.view !== null within 600 s/,
    )
  })

  it('works also where a test advances time itself', async () => {
    const { server, client, record } = await liveScene()
    server.connections.drop()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(record.statuses).toEqual(['live', 'backoff', 'connecting', 'syncing', 'live'])
    expect(client.getState().view).toEqual(server.view)
  })

  it('lets components render in between', async () => {
    const depth = { now: 0, most: 0, times: 0 }
    async function act(callback: () => Promise<void>) {
      depth.now += 1
      depth.times += 1
      depth.most = Math.max(depth.most, depth.now)
      await callback()
      depth.now -= 1
    }
    const { server, client } = await liveScene({ act })
    const before = depth.times
    await server.advance(10_000)
    expect(depth.times - before).toBe(11)
    server.connections.drop()
    await server.until(client, 'live')
    expect(depth.most).toBe(1)
  })
})

describe('real time', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  it('does where no timers are given, for pages that people look at', async () => {
    const server = createFakeServer({ latency: 2 })
    const uninstall = server.install()
    const client = createDashboardClient({ url: server.url, cookies: true })
    const record = recordStates(client)
    client.start()
    await server.until(client, 'live')
    client.stop()
    record.stop()
    uninstall()
    expect(record.statuses).toEqual(['idle', 'connecting', 'syncing', 'live', 'closed'])
  })

  it('says what is missing where timers are fake', async () => {
    vi.useFakeTimers()
    await expect(createFakeServer().advance(10)).rejects.toThrow('createFakeServer({ time: vi })')
  })
})

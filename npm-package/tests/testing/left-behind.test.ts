// @vitest-environment jsdom
/** A client leaves nothing behind when it is stopped, in any phase. */
import { createDashboardClient, type LastViewStore } from '@moc/dashboard-sdk'
import { createFakeServer, type FakeServer } from '@moc/dashboard-sdk/testing'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { deferred } from '../support.js'

const server = createFakeServer({ time: vi })
let listeners: string[]

beforeEach(() => {
  listeners = []
  vi.useFakeTimers()
  server.install()
  for (const target of [window, document]) {
    const { addEventListener, removeEventListener } = target
    vi.spyOn(target, 'addEventListener').mockImplementation((...added: unknown[]) => {
      listeners.push(String(added[0]))
      Reflect.apply(addEventListener, target, added)
    })
    vi.spyOn(target, 'removeEventListener').mockImplementation((...removed: unknown[]) => {
      listeners.splice(listeners.indexOf(String(removed[0])), 1)
      Reflect.apply(removeEventListener, target, removed)
    })
  }
})

afterEach(() => {
  server.uninstall()
  vi.useRealTimers()
})

const never = <T>() => deferred<T>().promise
const SILENT_STORE: LastViewStore = { load: never, save: never, drop: never }

function onceThenNever(): () => Promise<string> {
  return vi.fn(() => never<string>()).mockResolvedValueOnce('token')
}

interface Engaged {
  getToken?: () => string | Promise<string>
  store?: LastViewStore
  fault?: (server: FakeServer) => void
  until?: Parameters<FakeServer['until']>[1]
}

describe('a client that is stopped leaves no timer, no listener and no connection', () => {
  it.each<[string, Engaged]>([
    ['while its module loads', {}],
    ['while a token for the socket is awaited', { getToken: never, until: 'connecting' }],
    ['while a token for the snapshot is awaited', { getToken: onceThenNever(), until: 'syncing' }],
    [
      'while the socket is not answered',
      { fault: ({ connections }) => connections.hang(), until: 'connecting' },
    ],
    [
      'while the snapshot is not answered',
      { fault: ({ snapshots }) => snapshots.hang(), until: 'syncing' },
    ],
    ['while it is live', { until: 'live' }],
    ['while its store does not answer', { store: SILENT_STORE, until: 'live' }],
    [
      'while it waits for the next attempt',
      { fault: ({ connections }) => connections.refuse(), until: 'backoff' },
    ],
    ['while it polls', { fault: ({ connections }) => connections.refuse(), until: 'degraded' }],
    [
      'while a login is needed',
      { fault: ({ connections }) => connections.deny(), until: 'authRequired' },
    ],
  ])('%s', async (_when, { getToken = () => 'token', store, fault, until }) => {
    fault?.(server)
    const lastView = store && { userId: () => 'ann', store }
    const client = createDashboardClient({ url: server.url, getToken, logger: null, lastView })
    client.start()
    if (until !== undefined) {
      await server.until(client, until)
      await server.advance(100)
    }
    client.stop()
    await server.advance()
    expect(listeners).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
    const { attempts } = server.connections
    expect(attempts.filter(({ outcome }) => /accepted|opening/.test(outcome))).toEqual([])

    const [told, sockets, requests] = [client.diagnostics(), attempts.length, server.tokens.length]
    await server.advance(60_000)
    expect(client.diagnostics()).toEqual(told)
    expect([attempts.length, server.tokens.length]).toEqual([sockets, requests])
  })
})

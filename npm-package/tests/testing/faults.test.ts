/** Every fault that can be scripted, told by what the real client makes of it. */
import type { TokenRequest } from '@moc/dashboard-sdk'
import { emptyView, type FakeServer, makeRecentMoc, makeView } from '@moc/dashboard-sdk/testing'
import { describe, expect, it, vi } from 'vitest'

import { exchanges, inVirtualTime, liveScene, scene } from './scene.js'

inVirtualTime()

const RECONNECTED = ['live', 'backoff', 'connecting', 'syncing', 'live']

describe('a server without faults', () => {
  it('is connected to and read once', async () => {
    const { server, client, record } = scene()
    const state = await server.until(client, 'live')
    expect(record.statuses).toEqual(['idle', 'connecting', 'syncing', 'live'])
    expect(state.view).toEqual(server.view)
    expect(exchanges(server)).toEqual(['null 200'])
    expect(server.connections).toMatchObject({ open: 1, attempts: [{ outcome: 'accepted' }] })
  })

  it('keeps the connection alive by its heartbeat for hours', async () => {
    const { server, record } = await liveScene()
    await server.advance(3 * 3_600_000)
    expect(record.statuses).toEqual(['live'])
    expect(server.connections.attempts).toHaveLength(1)
    // The client makes sure every five minutes.
    expect(server.snapshots.requests.length).toBeGreaterThan(30)
    expect(new Set(exchanges(server).slice(1))).toEqual(new Set(['epoch1-1 unchanged']))
  })

  it('tells changes, of the changed sections only', async () => {
    const { server, client } = await liveScene()
    const before = client.getState().view
    server.update(({ summary }) => ({ summary: { ...summary, totalMocs: 4 } }))
    await server.advance()
    const { view, freshness } = client.getState()
    expect(view?.summary.totalMocs).toBe(4)
    expect(view?.recentMocs).toBe(before?.recentMocs)
    expect(freshness.revision).toBe(2)
    server.update({ summary: { ...server.view.summary } })
    expect(server.revision).toBe(2)
  })

  it('puts a new MOC at the head by a separate event', async () => {
    const { server, client } = await liveScene()
    const added = makeRecentMoc({ title: 'Brand new' })
    server.update(view => ({ recentMocs: [added, ...view.recentMocs] }))
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
    expect(client.getState().view?.recentMocs[0]).toEqual(added)
  })

  it('takes as long as its latency says, and keeps the order when that changes', async () => {
    const begun = Date.now()
    const { server, client } = scene({ latency: 200 })
    await server.until(client, 'live')
    // Open and handshake; CONNECT and its answer; the snapshot, there and back.
    expect(Date.now() - begun).toBe(5 * 200)
    server.update(({ summary }) => ({ summary: { ...summary, totalMocs: 8 } }))
    server.latency = 0
    server.update(({ summary }) => ({ summary: { ...summary, totalMocs: 9 } }))
    await server.advance(199)
    expect(client.getState().freshness.revision).toBe(1)
    await server.advance(1)
    expect(client.getState().view?.summary.totalMocs).toBe(9)
  })
})

describe('connections', () => {
  it('dropped: the client comes back and catches up', async () => {
    const { server, client, record } = await liveScene()
    server.connections.drop()
    server.update({ recentMocs: [] })
    await server.until(client, 'backoff')
    expect(client.getState().freshness).toMatchObject({
      source: 'stale',
      attempt: 1,
      reason: { code: 'SOCKET_CLOSED' },
    })
    await server.until(client, 'live')
    expect(record.statuses).toEqual(RECONNECTED)
    expect(client.getState().view).toEqual(server.view)
    expect(exchanges(server)).toEqual(['null 200', 'epoch1-1 200'])
  })

  it('refused for the next few times', async () => {
    const { server, client, record } = scene()
    server.connections.refuse({ times: 2 })
    await server.until(client, 'live')
    expect(record.statuses).toEqual([
      ...['idle', 'connecting', 'backoff', 'connecting', 'backoff'],
      ...['connecting', 'syncing', 'live'],
    ])
    const outcomes = server.connections.attempts.map(attempt => attempt.outcome)
    expect(outcomes).toEqual(['refused', 'refused', 'accepted'])
  })

  it('answered by a cache are asked for again, and never called live', async () => {
    const { server, client, record } = await liveScene()
    server.snapshots.cached()
    server.events.lose({ times: 1 })
    server.update({ recentMocs: [] })
    server.connections.drop()
    await server.until(client, ({ freshness }) => freshness.reason?.code === 'SNAPSHOT_STALE')
    await server.advance(60_000)
    expect(client.getState()).toMatchObject({ status: 'syncing', freshness: { source: 'stale' } })
    expect(record.states.filter(state => state.status === 'live')).toHaveLength(1)
    server.snapshots.serve()
    const state = await server.until(client, 'live', { within: 8_000 })
    expect(state.view?.recentMocs).toEqual([])
  })

  it('that hang are given up after ten seconds', async () => {
    const { server, client } = scene()
    server.connections.hang({ times: 1 })
    const begun = Date.now()
    const state = await server.until(client, 'backoff')
    expect(Date.now() - begun).toBe(10_000)
    expect(state.freshness.reason?.code).toBe('CONNECT_TIMEOUT')
    await server.until(client, 'live')
    const outcomes = server.connections.attempts.map(attempt => attempt.outcome)
    expect(outcomes).toEqual(['abandoned', 'accepted'])
  })

  it('denied: nothing is retried before the app says so (D-RES-2)', async () => {
    const onAuthRequired = vi.fn()
    const { server, client, record } = scene({}, { onAuthRequired })
    server.connections.deny({ times: 1 })
    await server.until(client, 'authRequired')
    await server.advance(3_600_000)
    expect(record.statuses).toEqual(['idle', 'connecting', 'authRequired'])
    expect(server.connections.attempts).toMatchObject([{ outcome: 'denied' }])
    expect(server.snapshots.requests).toHaveLength(0)
    expect(onAuthRequired).toHaveBeenCalledOnce()
    client.reauthenticate()
    await server.until(client, 'live')
  })

  it('scripted one after the other, above what is usual', async () => {
    const { server, client } = scene()
    server.connections.refuse()
    server.connections.hang({ times: 1 })
    server.connections.accept({ times: 1 })
    await server.until(client, 'live')
    server.connections.drop()
    await server.until(client, 'degraded')
    const outcomes = server.connections.attempts.map(attempt => attempt.outcome)
    expect(outcomes.slice(0, 3)).toEqual(['abandoned', 'closed', 'refused'])
    expect(new Set(outcomes.slice(2))).toEqual(new Set(['refused']))
  })

  it('want a sensible number of times', () => {
    const { server } = scene()
    for (const times of [0, -1, 1.5, Number.NaN]) {
      expect(() => server.connections.refuse({ times })).toThrow(/times must be a whole number/)
    }
  })
})

describe('snapshots', () => {
  it('that fail are asked for again, while the socket stays', async () => {
    const { server, client, codes } = scene()
    server.snapshots.fail(500, { times: 2 })
    const failed = await server.until(
      client,
      ({ freshness }) => freshness.reason?.code === 'SNAPSHOT_FAILED',
    )
    expect(failed).toMatchObject({ status: 'syncing', view: null, freshness: { attempt: 1 } })
    await server.until(client, 'live')
    expect(exchanges(server)).toEqual(['null 500', 'null 500', 'null 200'])
    expect(server.connections.attempts).toHaveLength(1)
    expect(codes()).toContain('SNAPSHOT_FAILED')
  })

  it('wait as long as Retry-After says', async () => {
    const { server, client } = scene()
    server.snapshots.fail(503, { retryAfter: 7, times: 1 })
    await server.until(client, 'live')
    const [first, second] = server.snapshots.requests.map(request => request.at)
    expect((second as number) - (first as number)).toBe(7_000)
  })

  it.each([
    ['a proxy’s page in place of an answer', { status: 502, body: '<h1>Bad gateway</h1>' }],
    ['a login page in place of a snapshot', { body: '<!doctype html><h1>Wi-Fi</h1>' }],
    ['a snapshot of another shape', { headers: { ETag: '"e-1"' }, body: '{"summary":{}}' }],
  ])('%s is never shown', async (_name, answer) => {
    const { server, client, record } = scene()
    server.snapshots.answer({ ...answer, times: 1 })
    await server.until(client, 'live')
    expect(record.states.filter(state => state.view !== null)).toHaveLength(1)
    expect(server.snapshots.requests).toHaveLength(2)
  })

  it('that hang are given up after ten seconds', async () => {
    const { server, client, codes } = scene()
    server.snapshots.hang({ times: 1 })
    await server.until(client, 'live')
    expect(codes()).toContain('SNAPSHOT_TIMEOUT')
    expect(exchanges(server)).toEqual(['null null', 'null 200'])
  })

  it('fail as without a network', async () => {
    const { server, client, codes } = scene()
    server.snapshots.networkError({ times: 1 })
    await server.until(client, 'live')
    expect(codes()).toContain('SNAPSHOT_FAILED')
    expect(exchanges(server)).toEqual(['null null', 'null 200'])
  })

  it.each([
    [401, 'UNAUTHORIZED', false],
    [403, 'FORBIDDEN', true],
  ])('refused with %i end the session', async (status, code, forgets) => {
    const { server, client } = await liveScene()
    server.snapshots.fail(status)
    client.refresh()
    const state = await server.until(client, 'authRequired')
    expect(state.freshness.reason?.code).toBe(code)
    expect(state.view === null).toBe(forgets)
    expect(server.connections.open).toBe(0)
  })

  /** The server's own, for another request. */
  const KEPT = JSON.stringify({
    success: false,
    error: { code: 'UNAUTHORIZED', message: 'Authentication required' },
    correlationId: 'c',
    timestamp: '2026-11-23T09:30:00Z',
    fresh: 'a1',
  })
  const PAGE = '<html><title>Access denied</title></html>'
  type Script = (snapshots: FakeServer['snapshots'], status: number) => void

  it.each<[string, number, Script]>([
    ['a page', 401, (snapshots, status) => snapshots.answer({ status, body: PAGE })],
    ['a page', 403, (snapshots, status) => snapshots.answer({ status, body: PAGE })],
    ['nothing', 403, (snapshots, status) => snapshots.answer({ status })],
    ['JSON of its own', 403, (snapshots, status) => snapshots.answer({ status, body: '{}' })],
    ['a page', 403, (snapshots, status) => snapshots.fail(status, { body: PAGE })],
    ['a kept refusal', 401, (snapshots, status) => snapshots.answer({ status, body: KEPT })],
  ])('answered by a firewall with %s and %i are retried', async (_, status, script) => {
    const onAuthRequired = vi.fn()
    const { server, client, record } = await liveScene({}, { onAuthRequired })
    const { view } = client.getState()
    script(server.snapshots, status)
    client.refresh()
    await server.advance(60_000)
    expect(server.snapshots.requests.filter(request => request.status === status).length).toBe(
      server.snapshots.requests.length - 1,
    )
    expect(server.snapshots.requests.length).toBeGreaterThan(2)
    expect(client.getState().view).toBe(view)
    expect(client.diagnostics()).toContainEqual(
      expect.objectContaining({
        code: 'SNAPSHOT_FAILED',
        level: 'warn',
        message:
          `something between the client and the server answered HTTP ${status} ` +
          "with a page that is not the server's answer to this request",
      }),
    )

    // The same without a live connection: it is polled, and the view gets older.
    server.connections.refuse()
    server.connections.drop()
    await server.until(client, 'degraded')
    await server.advance(120_000)
    expect(client.getState()).toMatchObject({ status: 'degraded', freshness: { source: 'stale' } })
    expect(client.getState().view).toEqual(view)

    server.heal()
    await server.until(client, 'live')
    expect(onAuthRequired).not.toHaveBeenCalled()
    expect(record.statuses).not.toContain('authRequired')
  })
})

describe('events', () => {
  const rename = (title: string) => (view: ReturnType<typeof makeView>) => ({
    recentMocs: view.recentMocs.map((moc, at) => (at === 0 ? { ...moc, title } : moc)),
  })

  it('lost are missed until the next snapshot', async () => {
    const { server, client } = await liveScene()
    const before = client.getState()
    server.events.lose({ times: 1 })
    server.update(rename('Lost'))
    await server.advance(1_000)
    expect(client.getState().view).toBe(before.view)
    client.refresh()
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
  })

  it('doubled are applied once', async () => {
    const { server, client, codes } = await liveScene()
    server.events.duplicate({ times: 1 })
    server.update(view => ({ recentMocs: [makeRecentMoc(), ...view.recentMocs] }))
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
    expect(codes()).toContain('EVENT_STALE')
  })

  it('in the wrong order show the newest', async () => {
    const { server, client } = await liveScene()
    server.events.reorder()
    server.update(rename('First'))
    await server.advance()
    expect(client.getState().freshness.revision).toBe(1)
    server.update(rename('Second'))
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
    expect(client.getState().view?.recentMocs[0]?.title).toBe('Second')
    server.update(rename('Third'))
    server.events.deliver()
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
  })

  it('cut in half are skipped, and made up for soon', async () => {
    const { server, client, record, codes } = await liveScene()
    server.events.corrupt({ times: 1 })
    server.update(rename('Cut'))
    await server.advance()
    expect(client.getState().view).not.toEqual(server.view)
    expect(codes()).toContain('EVENT_MALFORMED')
    await server.until(client, state => state.view?.recentMocs[0]?.title === 'Cut', {
      within: 8_000,
    })
    expect(record.statuses).toEqual(['live'])
  })

  it('older than what is shown are not applied', async () => {
    const { server, client } = await liveScene()
    server.update(rename('New'))
    server.emit('dashboard:summaryUpdated', makeView().summary, { revision: 1 })
    server.emit('dashboard:recentMocsUpdated', [], { revision: 1 })
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
  })

  it('of a server that has no data now make the view doubtful', async () => {
    const { server, client, record } = await liveScene()
    server.emit('dashboard:error', { code: 'SNAPSHOT_UNAVAILABLE', message: 'No database' })
    await server.until(client, 'syncing')
    await server.until(client, 'live')
    expect(record.statuses).toEqual(['live', 'syncing', 'live'])
  })

  it.each([
    ['another language', 'hello?', 'FRAME_MALFORMED'],
    ['a binary packet', '451-["dashboard:summaryUpdated",{}]', 'FRAME_MALFORMED'],
    ['an unknown type', '42/dashboard,["dashboard:weather",{"sun":true}]', 'EVENT_UNKNOWN'],
  ])('in %s leave the client live', async (_name, frame, code) => {
    const { server, client, codes } = await liveScene()
    server.send(frame)
    await server.advance()
    expect(client.getState()).toMatchObject({ status: 'live', view: server.view })
    expect(codes()).toContain(code)
  })
})

describe('sessions', () => {
  it('with an expired token go on with a fresh one, at once', async () => {
    let token = 1
    const { server, client, record } = await liveScene({}, { getToken: () => `token ${token}` })
    token = 2
    server.expireTokens()
    const begun = Date.now()
    await server.until(client, 'connecting')
    await server.until(client, 'live')
    expect(Date.now() - begun).toBe(0)
    expect(record.statuses).toEqual(['live', 'connecting', 'syncing', 'live'])
    expect(server.tokens).toEqual(['token 1', 'token 1', 'token 2', 'token 2'])
  })

  it.each(['expireTokens', 'endSession'] as const)(
    'tell the app that its token was refused, after %s, and no more once another one was given',
    async end => {
      const asked: boolean[] = []
      let token = 1
      const getToken = ({ lastWasRefused }: TokenRequest) => {
        asked.push(lastWasRefused)
        if (lastWasRefused) token += 1
        return `token ${token}`
      }
      const { server, client } = await liveScene({}, { getToken })
      expect(asked).toEqual([false, false])
      server[end]()
      if (end === 'endSession') {
        await server.until(client, 'authRequired')
        server.heal()
        client.reauthenticate()
      }
      await server.until(client, 'connecting')
      await server.until(client, 'live')
      server.connections.drop()
      await server.until(client, 'backoff')
      await server.until(client, 'live')
      const renewed = end === 'endSession' ? [true, true, false] : [true, false]
      expect(asked.slice(2)).toEqual([...renewed, false, false])
    },
  )

  it('without a token and without cookies are none, even if the test accepts all', async () => {
    for (const options of [{}, { accepts: () => true }]) {
      const { server, client } = scene(options, { getToken: () => null })
      const { freshness, view } = await server.until(client, state => !/ing$/.test(state.status))
      expect(client.getState().status).toBe('authRequired')
      expect({ view, code: freshness.reason?.code }).toEqual({ view: null, code: 'UNAUTHORIZED' })
      server.uninstall()
    }
  })

  it('without a token, with cookies, are in the cookie', async () => {
    const { server, client } = scene({}, { getToken: () => null, cookies: true })
    await server.until(client, 'live')
    expect(server.tokens).toEqual([null, null])
  })

  it('that are not accepted are refused on the socket', async () => {
    const { server, client } = scene(
      { accepts: token => token !== null },
      { cookies: true, getToken: () => null },
    )
    const { freshness } = await server.until(client, 'authRequired')
    expect(freshness.reason?.code).toBe('AUTH_FAILED')
  })

  it('whose token ran out hear so once, also where sockets are blocked and only polls succeed', async () => {
    const asked: boolean[] = []
    let token = 1
    const getToken = ({ lastWasRefused }: TokenRequest) => {
      asked.push(lastWasRefused)
      if (lastWasRefused) token += 1
      return `token ${token}`
    }
    const { server, client } = await liveScene({}, { getToken })
    const before = asked.length
    server.expireTokens()
    server.connections.refuse()
    await server.until(client, 'degraded')
    await server.advance(300_000)
    expect(asked.length - before).toBeGreaterThan(8)
    expect(asked.slice(before)).toEqual([true, ...Array(asked.length - before - 1).fill(false)])
    expect(client.getState().freshness.source).toBe('polling')
  })

  it('whose token stays the expired one are refused', async () => {
    const { server, client } = await liveScene()
    server.expireTokens()
    await server.until(client, 'authRequired')
    expect(server.connections.attempts).toMatchObject([
      { outcome: 'closed' },
      { outcome: 'denied' },
    ])
  })

  it('ended need a login, also with a cookie', async () => {
    const { server, client, record } = await liveScene({}, { cookies: true, getToken: undefined })
    server.endSession()
    await server.until(client, 'authRequired')
    expect(record.statuses).toEqual(['live', 'connecting', 'authRequired'])
    server.heal()
    client.reauthenticate()
    await server.until(client, 'live')
    expect(new Set(server.tokens)).toEqual(new Set([null]))
  })

  it('are judged by the test where it wants to', async () => {
    const getToken = vi.fn(() => 'stale').mockReturnValueOnce('fresh')
    const { server, client } = scene({ accepts: token => token === 'fresh' }, { getToken })
    const state = await server.until(client, 'authRequired')
    expect(state.freshness.reason?.code).toBe('UNAUTHORIZED')
    expect(exchanges(server)).toEqual(['null 401'])
  })
})

describe('the whole', () => {
  it('drained: the client comes back when it was told to', async () => {
    const { server, client, record } = await liveScene()
    await server.advance(6_000)
    server.drain({ reconnectAfterMs: 2_750 })
    const begun = Date.now()
    const state = await server.until(client, 'backoff')
    expect(state.freshness).toMatchObject({ attempt: 0, reason: { code: 'SERVER_DRAINING' } })
    await server.until(client, 'live')
    expect(Date.now() - begun).toBe(2_750)
    expect(record.statuses).toEqual(RECONNECTED)
  })

  it('silent: the client notices by the heartbeat alone, and says so', async () => {
    const { server, client, record } = await liveScene()
    server.blackHole()
    server.update({ recentMocs: [] })
    const begun = Date.now()
    const state = await server.until(client, 'backoff')
    expect(state.freshness.reason?.code).toBe('HEARTBEAT_MISSED')
    expect(Date.now() - begun).toBeGreaterThan(10_000)
    expect(Date.now() - begun).toBeLessThanOrEqual(15_000)
    expect(state.freshness.asOf).toBe(begun)
    await server.until(client, 'degraded')
    server.heal()
    await server.until(client, 'live')
    expect(client.getState().view).toEqual(server.view)
    expect(record.statuses.at(-1)).toBe('live')
    await server.advance(60_000)
    expect(server.connections.open).toBe(1)
  })

  it('silent for a moment: what was sent arrives late', async () => {
    const { server, client, record } = await liveScene()
    server.blackHole()
    server.update({ recentMocs: [] })
    await server.advance(5_000)
    expect(client.getState().freshness.revision).toBe(1)
    server.heal()
    await server.advance()
    expect(client.getState().view).toEqual(server.view)
    expect(record.statuses).toEqual(['live'])
  })

  it('restored from a backup: the client takes what there is', async () => {
    const { server, client } = await liveScene()
    for (let n = 0; n < 3; n += 1) {
      server.update(view => ({ recentMocs: [makeRecentMoc(), ...view.recentMocs] }))
    }
    await server.advance()
    expect(client.getState().freshness.revision).toBe(4)
    server.restoreBackup(emptyView())
    client.refresh()
    await server.until(client, state => state.freshness.revision === 1)
    await server.until(client, 'live')
    expect(client.getState().view).toEqual(emptyView())
  })
})

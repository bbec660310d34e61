import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { createFakeServer } from '@moc/dashboard-sdk/testing'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const names = ['WebSocket', 'fetch'] as const
const originals = () => names.map(name => Object.getOwnPropertyDescriptor(globalThis, name))

class RealWebSocket {
  static readonly OPEN = 1
  constructor(readonly url: string) {}
}

describe.each([
  ['with a WebSocket', RealWebSocket],
  ['without a WebSocket, as in Node 20', undefined],
])('globals %s', (_name, webSocket) => {
  let before: ReturnType<typeof originals>

  beforeEach(() => {
    if (webSocket === undefined) Reflect.deleteProperty(globalThis, 'WebSocket')
    else vi.stubGlobal('WebSocket', webSocket)
    before = originals()
  })

  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('are back exactly after the server has gone', () => {
    const server = createFakeServer()
    const uninstall = server.install()
    server.install()
    expect(originals()).not.toEqual(before)
    uninstall()
    expect(originals()).toEqual(before)
    server.uninstall()
    expect(originals()).toEqual(before)
  })

  it('are back when the last of several servers has gone, in any order', () => {
    const [a, b] = [createFakeServer(), createFakeServer({ url: 'https://other.test' })]
    a.install()
    b.install()
    a.uninstall()
    expect(originals()).not.toEqual(before)
    b.uninstall()
    expect(originals()).toEqual(before)
  })

  it('are left alone after other code has wrapped them', async () => {
    const server = createFakeServer()
    server.install()
    const installed = globalThis.fetch
    const wrapper = vi.fn<typeof fetch>((...request) => installed(...request))
    vi.stubGlobal('fetch', wrapper)
    expect((await fetch(`${server.url}/api/dashboard`)).status).toBe(200)
    server.uninstall()
    expect(globalThis.fetch).toBe(wrapper)
  })

  it('go on serving what is not the server’s', () => {
    const server = createFakeServer()
    server.install()
    const elsewhere = () => new WebSocket('wss://elsewhere.test/socket.io/')
    const otherPath = () => new WebSocket('wss://dashboard.test/hot-reload')
    if (webSocket === undefined) {
      expect(elsewhere).toThrow(/wss:\/\/elsewhere\.test/)
      expect(otherPath).toThrow(/no WebSocket here but the fake server's/)
    } else {
      expect(elsewhere()).toBeInstanceOf(RealWebSocket)
      expect(otherPath().url).toBe('wss://dashboard.test/hot-reload')
    }
    expect(WebSocket.OPEN).toBe(1)
    server.uninstall()
  })
})

it('requests for other paths and origins pass on', async () => {
  const seen: string[] = []
  const real = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['x-mine']}`)
    response.end('real')
  })
  await new Promise<void>(resolve => real.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(real.address() as AddressInfo).port}`
  const server = createFakeServer({ url, basePath: '/v1/' })
  server.install()
  try {
    const answer = await fetch(`${url}/api/mocs`, { method: 'POST', headers: { 'x-mine': 'yes' } })
    expect(await answer.text()).toBe('real')
    expect(seen).toEqual(['POST /api/mocs yes'])
    expect((await fetch(new URL('/v1/dashboard', url))).headers.get('ETag')).toBe('"epoch1-1"')
    expect((await fetch(new Request(`${url}/v1/dashboard`))).status).toBe(200)
    expect(seen).toHaveLength(1)
  } finally {
    server.uninstall()
    real.close()
  }
})

it('a server that was uninstalled begins afresh', async () => {
  const server = createFakeServer({ latency: 0 })
  server.install()
  const view = server.view
  server.update({ recentMocs: [] })
  server.connections.refuse()
  server.snapshots.fail(500)
  server.blackHole()
  server.latency = 5
  await expect(
    fetch(`${server.url}/api/dashboard`, { signal: AbortSignal.timeout(20) }),
  ).rejects.toThrow()
  server.uninstall()
  server.install()
  expect(server).toMatchObject({ revision: 1, latency: 0, tokens: [] })
  expect(server.view.recentMocs).toHaveLength(view.recentMocs.length)
  expect((await fetch(`${server.url}/api/dashboard`)).status).toBe(200)
  server.uninstall()
})

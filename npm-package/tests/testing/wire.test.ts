/** The fake server speaks the contract: what it sends passes the same schemas as the real one's. */
import {
  createFakeServer,
  emptyView,
  type FakeServer,
  makePartialPartsMoc,
  makeRecentMoc,
  makeView,
} from '@moc/dashboard-sdk/testing'
import type { EventType } from '@moc/dashboard-sdk/types'
import { afterEach, beforeEach, expect, it } from 'vitest'

import { checkEvent, errorBody, payloads, view } from '../contract.js'

const server: FakeServer = createFakeServer()

beforeEach(server.install)
afterEach(server.uninstall)

/** What an accepted socket hears while `act` runs. */
async function heard(act: () => void): Promise<string[]> {
  const frames: string[] = []
  const address = server.url.replace(/^http/, 'ws')
  const socket = new WebSocket(`${address}/socket.io/?EIO=4&transport=websocket`)
  socket.onmessage = ({ data }) => void frames.push(data)
  socket.onopen = () => socket.send('40/dashboard,{"token":"token"}')
  await expect.poll(() => server.connections.open).toBe(1)
  await expect.poll(() => frames.length).toBe(2)
  act()
  await server.advance()
  return frames
}

async function snapshot(headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}/api/dashboard`, { headers })
}

it('introduces itself and accepts as the real server does', async () => {
  const [handshake, accepted] = await heard(() => {})
  expect(handshake?.[0]).toBe('0')
  expect(JSON.parse(handshake?.slice(1) ?? '')).toMatchObject({
    sid: expect.any(String),
    pingInterval: 10_000,
    pingTimeout: 5_000,
  })
  expect(accepted).toMatch(/^40\/dashboard,\{"sid":".+"\}$/)
})

it('refuses as the real server does, then closes', async () => {
  server.connections.deny()
  const socket = new WebSocket(`${server.url.replace(/^http/, 'ws')}/socket.io/`)
  const frames: string[] = []
  socket.onmessage = ({ data }) => void frames.push(data)
  socket.onopen = () => socket.send('40/dashboard,')
  await new Promise(closed => {
    socket.onclose = closed
  })
  expect(frames[1]).toBe('44/dashboard,{"message":"AUTH_FAILED"}')
  expect(server.tokens).toEqual([null])
})

it('sends events of every type that are of the contract', async () => {
  const frames = await heard(() => {
    server.update({ recentMocs: [makeRecentMoc(), ...server.view.recentMocs] })
    server.update({ ...emptyView() })
    server.drain({ reconnectAfterMs: 2_750 })
  })
  const events = frames.filter(frame => frame.startsWith('42/dashboard,'))
  const seen = events.map(frame => {
    const [name, envelope] = JSON.parse(frame.slice('42/dashboard,'.length))
    checkEvent(envelope)
    expect(envelope.type).toBe(name)
    return name as EventType
  })
  expect(new Set(seen)).toEqual(new Set(Object.keys(payloads)))
})

it('sends one addition as such, and any other change as the whole list', async () => {
  const ten = Array.from({ length: 10 }, () => makeRecentMoc())
  server.update({ recentMocs: ten })
  const frames = await heard(() => {
    server.update({ recentMocs: [makeRecentMoc(), ...ten].slice(0, 10) })
    server.update({ recentMocs: [makeRecentMoc(), makeRecentMoc(), ...ten].slice(0, 10) })
    server.update({ recentMocs: server.view.recentMocs.slice(1) })
  })
  const names = frames.slice(2).map(frame => frame.split('"')[1])
  expect(names).toEqual([
    'dashboard:recentMocAdded',
    'dashboard:recentMocsUpdated',
    'dashboard:recentMocsUpdated',
  ])
})

it('answers with snapshots, tags and 304', async () => {
  const first = await snapshot()
  const tag = first.headers.get('ETag') as string
  expect(first.headers.get('Cache-Control')).toBe('private, no-cache')
  expect(() => view.parse(server.view)).not.toThrow()
  expect(await first.json()).toEqual(server.view)
  const second = await snapshot({ 'If-None-Match': tag })
  expect(second.status).toBe(304)
  expect(second.headers.get('ETag')).toBe(tag)
  server.update({ recentMocs: [] })
  const third = await snapshot({ 'If-None-Match': tag })
  expect(third.status).toBe(200)
  expect(third.headers.get('ETag')).not.toBe(tag)
})

it('repeats the name of a request that has one', async () => {
  const ask = (query: string) => fetch(`${server.url}/api/dashboard?${query}`)
  const first = await ask('fresh=a1')
  expect(first.headers.get('Cache-Control')).toBe('no-store')
  const tag = 'epoch1-1'
  expect(await first.json()).toEqual({ fresh: 'a1', tag, view: server.view })
  expect(await (await ask(`fresh=a2&have=${tag}`)).json()).toEqual({ fresh: 'a2', tag, view: null })
  server.snapshots.cached({ times: 1 })
  expect(await (await ask('fresh=a3')).json()).toEqual({ fresh: 'a1', tag, view: server.view })
})

it.each([400, 401, 403, 404, 429, 500, 503])('answers %i with the standard body', async status => {
  server.snapshots.fail(status, { retryAfter: 3 })
  const response = await snapshot({ Authorization: 'Bearer token' })
  expect(response.status).toBe(status)
  expect(response.headers.get('Retry-After')).toBe('3')
  const body = errorBody.parse(await response.json())
  expect(response.headers.get('X-Correlation-Id')).toBe(body.correlationId)
  expect(server.tokens).toEqual(['token'])
})

it('builds data that is of the contract, with ids of their own', () => {
  const views = [makeView(), makeView({ summary: { totalMocs: 12 } }), emptyView()]
  for (const each of views) expect(() => view.parse(each)).not.toThrow()
  expect(views[1]?.summary).toMatchObject({ totalMocs: 12, totalWishlistItems: 2 })
  const made = [makeRecentMoc(), makeRecentMoc(), makePartialPartsMoc()]
  expect(new Set(made.map(moc => moc.id)).size).toBe(3)
  expect(makeRecentMoc({ title: 'Castle' }).title).toBe('Castle')
  expect(makePartialPartsMoc({ coveragePercentage: 7 }).coveragePercentage).toBe(7)
})

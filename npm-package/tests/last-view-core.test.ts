/** The last view from one visit to the next: the built package with its real core. */
import { createDashboardClient, type DashboardClient, type LastViewStore } from '@moc/dashboard-sdk'
import { IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { indexedDbStore } from '../src/indexed-db.js'
import { VIEW } from './double.js'
import { settle } from './support.js'

const SERVER = 'https://moc.example.org'

let user: string | null
/** What the server does with a new connection. */
let door: 'open' | 'refused' | 'silent'
let clients: DashboardClient[]

/** As much of a server as a client needs to become live, or to be refused. */
class Socket {
  onopen?: () => void
  onmessage?: (message: { data: string }) => void
  readonly binaryType = ''

  constructor() {
    if (door === 'silent') return
    queueMicrotask(() => {
      this.onopen?.()
      this.#say('0{"sid":"s","upgrades":[],"pingInterval":10000,"pingTimeout":5000,"maxPayload":9}')
    })
  }

  send(text: string): void {
    if (!text.startsWith('40')) return
    const answer = door === 'open' ? '40/dashboard,{"sid":"x"}' : REFUSED
    queueMicrotask(() => this.#say(answer))
  }

  close(): void {}

  #say(data: string): void {
    this.onmessage?.({ data })
  }
}
const REFUSED = '44/dashboard,{"message":"AUTH_FAILED"}'

beforeEach(() => {
  user = 'ann'
  door = 'open'
  clients = []
  vi.stubGlobal('indexedDB', new IDBFactory())
  vi.stubGlobal('WebSocket', Socket)
  vi.stubGlobal('fetch', async (url: string) => {
    const fresh = new URL(url).searchParams.get('fresh')
    return Response.json({ fresh, tag: 'e-7', view: VIEW })
  })
})

afterEach(async () => {
  for (const client of clients) client.stop()
  await settle()
  vi.unstubAllGlobals()
})

/** A page that is opened; it is left without a word, as pages are. */
function visit(store?: LastViewStore): DashboardClient {
  const client = createDashboardClient({
    url: SERVER,
    cookies: true,
    logger: null,
    lastView: { userId: () => user, store },
  })
  clients.push(client)
  client.start()
  return client
}

function kept() {
  return indexedDbStore(SERVER)?.load()
}

async function afterOneVisit(): Promise<void> {
  const client = visit()
  await vi.waitFor(async () => expect(await kept()).toMatchObject({ userId: 'ann' }))
  expect(client.getState().status).toBe('live')
}

describe('the last view', () => {
  it('is shown as stale, with its age, until the first snapshot', async () => {
    const before = Date.now()
    await afterOneVisit()
    door = 'silent'
    const client = visit()
    await vi.waitFor(() => expect(client.getState().view).toEqual(VIEW))
    const { status, freshness } = client.getState()
    expect(status).toBe('connecting')
    expect(freshness).toMatchObject({ source: 'stale', revision: 7 })
    expect(freshness.asOf).toBeGreaterThanOrEqual(before)
    expect(freshness.asOf).toBeLessThanOrEqual(Date.now())

    door = 'open'
    client.reauthenticate()
    expect(client.getState().view).toEqual(VIEW)
    expect(client.getState().freshness.source).toBe('stale')
    await vi.waitFor(() => expect(client.getState().freshness.source).toBe('live'))
  })

  it('stays for the next session of the same user, and for no other', async () => {
    const client = visit()
    await vi.waitFor(() => expect(client.getState().status).toBe('live'))
    door = 'refused'
    client.reauthenticate()
    await vi.waitFor(() => expect(client.getState().status).toBe('authRequired'))
    door = 'silent'
    client.reauthenticate()
    expect(client.getState().status).toBe('connecting')
    expect(client.getState().view).toEqual(VIEW)
    user = 'bob'
    client.reauthenticate()
    expect(client.getState().view).toBeNull()
  })

  it('of another user is neither shown nor kept', async () => {
    await afterOneVisit()
    user = 'bob'
    door = 'silent'
    const client = visit()
    const shown = vi.fn()
    client.subscribe(({ view }) => shown(view))
    await vi.waitFor(async () => expect(await kept()).toBeNull())
    expect(shown.mock.calls.every(([view]) => view === null)).toBe(true)
    expect(client.getState().view).toBeNull()
  })

  it.each([
    ['stop', (client: DashboardClient) => client.stop()],
    [
      "another user's reauthenticate",
      (client: DashboardClient) => {
        user = 'bob'
        client.reauthenticate()
      },
    ],
  ])('is gone after %s', async (_name, act) => {
    await afterOneVisit()
    door = 'silent'
    act(visit())
    await vi.waitFor(async () => expect(await kept()).toBeNull())
  })

  it('is gone once the session is refused', async () => {
    await afterOneVisit()
    door = 'refused'
    const client = visit()
    await vi.waitFor(() => expect(client.getState().status).toBe('authRequired'))
    await vi.waitFor(async () => expect(await kept()).toBeNull())
  })

  it('holds nothing up where the store never answers', async () => {
    const never = () => new Promise<never>(() => {})
    const store = { load: never, save: never, drop: never }
    const client = visit(store)
    await vi.waitFor(() => expect(client.getState().status).toBe('live'))
    client.stop()
    client.start()
    await vi.waitFor(() => expect(client.getState().status).toBe('live'))
  })

  it('that the core did not write is reported and not shown', async () => {
    await indexedDbStore(SERVER)?.save({ userId: 'ann', record: 'no record' })
    const client = visit()
    await vi.waitFor(() => expect(client.getState().status).toBe('live'))
    const failures = client.diagnostics().filter(({ code }) => code === 'LAST_VIEW_FAILED')
    expect(failures).toHaveLength(1)
  })
})

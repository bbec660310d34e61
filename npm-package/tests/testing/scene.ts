import { createDashboardClient, type DashboardClientOptions } from '@moc/dashboard-sdk'
import {
  createFakeServer,
  type FakeServer,
  type FakeServerOptions,
  recordStates,
} from '@moc/dashboard-sdk/testing'
import type { Diagnostic } from '@moc/dashboard-sdk/types'
import { afterEach, beforeEach, vi } from 'vitest'

const endings: (() => void)[] = []

/** Fake timers around each test, and an end to all that it began. */
export function inVirtualTime(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_800_000_000_000 })
  })
  afterEach(() => {
    for (const end of endings.splice(0).reverse()) end()
    vi.useRealTimers()
  })
}

/** A server and a real client that was started, with the record of what both said. */
export function scene(
  options: FakeServerOptions = {},
  clientOptions: Partial<DashboardClientOptions> = {},
) {
  const server = createFakeServer({ time: vi, ...options })
  const entries: Diagnostic[] = []
  const keep = (_message: string, entry: Diagnostic) => void entries.push(entry)
  const client = createDashboardClient({
    url: server.url,
    getToken: () => 'token',
    logger: { debug: keep, info: keep, warn: keep, error: keep },
    ...clientOptions,
  })
  const record = recordStates(client)
  endings.push(server.install(), client.stop)
  client.start()
  return { server, client, record, codes: () => entries.map(entry => entry.code) }
}

/** The same, once it is live. */
export async function liveScene(...options: Parameters<typeof scene>) {
  const made = scene(...options)
  await made.server.until(made.client, 'live')
  return { ...made, record: recordStates(made.client) }
}

/** What the server was asked and what it answered, in short. */
export function exchanges(server: FakeServer): string[] {
  return server.snapshots.requests.map(
    ({ have, unchanged, status }) => `${have} ${unchanged ? 'unchanged' : status}`,
  )
}

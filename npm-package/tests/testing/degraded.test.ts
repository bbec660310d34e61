import { recordStates } from '@moc/dashboard-sdk/testing'
import { expect, it } from 'vitest'

import { exchanges, inVirtualTime, liveScene, scene } from './scene.js'

inVirtualTime()

it('D-RES-4: five failures lead to polling, which costs little where nothing is new, and a socket that holds leads out', async () => {
  const { server, client } = await liveScene()
  await server.advance(6_000)
  const { statuses } = recordStates(client)
  expect(statuses).toEqual(['live'])

  // A proxy that lets requests through, but no WebSockets.
  const record = recordStates(client)
  server.connections.refuse()
  server.connections.drop()
  const degraded = await server.until(client, 'degraded')
  const failed = ['backoff', 'connecting']
  expect(record.statuses).toEqual(['live', ...failed, ...failed, ...failed, ...failed, 'degraded'])
  expect(degraded.freshness).toMatchObject({ attempt: 5, reason: { code: 'SOCKET_FAILED' } })

  const asked = server.snapshots.requests.length
  await server.advance(600_000)
  const polls = server.snapshots.requests.slice(asked)
  expect(polls.length).toBeGreaterThanOrEqual(18)
  for (const [at, poll] of polls.entries()) {
    expect(poll).toMatchObject({ have: 'epoch1-1', unchanged: true })
    const previous = polls[at - 1]
    if (previous === undefined) continue
    expect(poll.at - previous.at).toBeGreaterThanOrEqual(27_000)
    expect(poll.at - previous.at).toBeLessThanOrEqual(33_000)
  }
  // Each poll confirms the view: the banner's "last updated" moves on.
  const { status, freshness } = client.getState()
  expect({ status, source: freshness.source }).toEqual({ status: 'degraded', source: 'polling' })
  expect(freshness.asOf).toBe(polls.at(-1)?.at)

  server.update({ recentMocs: [] })
  await server.until(client, state => state.view?.recentMocs.length === 0, { within: 33_000 })
  expect(client.getState().status).toBe('degraded')

  // A person does not wait for the next poll.
  const before = server.snapshots.requests.length
  client.refresh()
  await server.advance()
  expect(server.snapshots.requests).toHaveLength(before + 1)

  server.snapshots.fail(503)
  await server.until(client, state => state.freshness.source === 'stale', { within: 33_000 })

  server.heal()
  const back = recordStates(client)
  await server.until(client, 'live', { within: 60_000 })
  // The banner stays while it synchronises.
  expect(back.statuses).toEqual(['degraded', 'live'])
  expect(client.getState()).toMatchObject({
    view: server.view,
    freshness: { source: 'live', reason: null },
  })
  await server.advance(6_000)
  expect(client.getState().freshness.attempt).toBe(0)
})

it('D-RES-4: where nothing is shown yet, requests are made before the fifth failure', async () => {
  const { server, client } = scene()
  server.connections.refuse()
  const first = await server.until(client, state => state.view !== null)
  expect(first).toMatchObject({ status: 'backoff', view: server.view })
  expect(exchanges(server)).toEqual(['null 200'])
  await server.until(client, 'degraded')
  expect(server.connections.attempts).toHaveLength(5)
})

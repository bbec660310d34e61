import { screen } from '@testing-library/react'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { expectAccessible, show, showLive } from './support/show'

const FAILED = 'Failed to load dashboard. Please try again.'

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('first load', () => {
  it('shows the shapes of the cards to come', async () => {
    const { server, container } = show()
    server.connections.hang()
    expect(screen.getByTestId('dashboard-loading')).toBeTruthy()
    await server.advance(5_000)
    expect(screen.getByText('Loading your dashboard')).toBeTruthy()
    expect(screen.queryByText(FAILED)).toBeNull()
    await expectAccessible(container)
  })

  it('goes on loading while a slow snapshot is on its way', async () => {
    const { server, until } = show()
    server.latency = 1_500
    await server.advance(7_000)
    expect(screen.getByTestId('dashboard-loading')).toBeTruthy()
    await until('live')
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
  })

  it.each(['backoff', 'degraded'] as const)('tells of a failure in %s', async status => {
    const { server, until, user, container } = show()
    server.connections.refuse()
    server.snapshots.networkError()
    await until(status)
    expect(screen.getByText(FAILED)).toBeTruthy()
    const before = server.connections.attempts.length
    await user.click(screen.getByRole('button', { name: 'Try again' }))
    await server.advance()
    expect(server.connections.attempts).toHaveLength(before + 1)
    await expectAccessible(container)
  })

  it.each([
    ['that failed', { status: 500 }],
    ['that is a login page', { body: '<!doctype html><h1>Wi-Fi</h1>' }],
  ])('tells of a snapshot %s while the socket lives', async (_name, answer) => {
    const { server, until } = show()
    server.snapshots.answer(answer)
    await until(({ freshness }) => (freshness.reason?.code ?? '').startsWith('SNAPSHOT_'))
    expect(server.connections.open).toBe(1)
    expect(screen.getByText(FAILED)).toBeTruthy()
    server.snapshots.serve()
    await until('live')
    expect(screen.queryByText(FAILED)).toBeNull()
  })

  it('says what the browser lacks where nothing can be loaded, and offers no other try', async () => {
    vi.stubGlobal('WebAssembly', undefined)
    const { container } = show()
    expect(screen.getByText('This browser cannot show the dashboard.')).toBeTruthy()
    expect(screen.getByText(/WebAssembly is switched off/)).toBeTruthy()
    expect(screen.queryByRole('button', { name: 'Try again' })).toBeNull()
    await expectAccessible(container)
  })

  it('does not flicker between failure and loading while it retries', async () => {
    const { server, until } = show()
    server.connections.refuse({ times: 1 })
    server.connections.hang({ times: 1 })
    server.snapshots.networkError()
    await until('backoff')
    await until('connecting')
    await server.advance(5_000)
    expect(screen.getByText(FAILED)).toBeTruthy()
    server.snapshots.serve()
    await until('live')
    expect(screen.queryByText(FAILED)).toBeNull()
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
  })

  it('shows what requests bring where no socket gets through', async () => {
    const { server, until } = show()
    server.connections.refuse()
    const { status } = await until(({ view }) => view !== null)
    expect(status).toBe('backoff')
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
    expect(screen.queryByText(FAILED)).toBeNull()
  })

  it('keeps showing the view when the connection is lost', async () => {
    const { server } = await showLive()
    server.connections.refuse()
    server.snapshots.networkError()
    server.connections.drop()
    await server.advance(300_000)
    expect(screen.queryByText(FAILED)).toBeNull()
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
  })

  it('forgets the former view with the client', async () => {
    const { server, client } = await showLive()
    server.connections.hang()
    client.stop()
    client.start()
    await server.advance()
    expect(screen.queryByTestId('recent-mocs-card')).toBeNull()
    expect(screen.getByTestId('dashboard-loading')).toBeTruthy()
  })

  it('says that it was stopped where nothing is left, and begins anew on demand', async () => {
    const { client, server, until, user } = await showLive()
    client.stop()
    await server.advance()
    expect(screen.queryByTestId('dashboard-loading')).toBeNull()
    expect(screen.getByText('Updates are stopped.')).toBeTruthy()
    await user.click(screen.getByRole('button', { name: 'Load the dashboard' }))
    await until('live')
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('139')
  })
})

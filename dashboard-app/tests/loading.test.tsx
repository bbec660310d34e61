import { screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { describe, expect, it } from 'vitest'

import { view } from './support/fixtures'
import { expectAccessible, show, showLive } from './support/show'

const FAILED = 'Failed to load dashboard. Please try again.'

describe('first load', () => {
  it('shows the shapes of the cards to come', async () => {
    const { say, container } = show()
    expect(screen.getByTestId('dashboard-loading')).toBeTruthy()
    say({ status: 'connecting' })
    expect(screen.getByText('Loading your dashboard')).toBeTruthy()
    expect(screen.queryByText(FAILED)).toBeNull()
    await expectAccessible(container)
  })

  it('starts the client with the page, and stops it with the page', async () => {
    const { client, unmount } = show()
    await Promise.resolve()
    // StrictMode mounts twice, which must not stop what has just been started.
    expect(client.calls).toEqual(['start', 'start'])
    unmount()
    await Promise.resolve()
    expect(client.calls.at(-1)).toBe('stop')
  })

  it.each(['backoff', 'degraded'] as const)('tells of a failure in %s', async status => {
    const { say, container, client } = show()
    say({ status, freshness: { attempt: 1 } })
    expect(screen.getByText(FAILED)).toBeTruthy()
    await expectAccessible(container)
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }))
    expect(client.calls.slice(-2)).toEqual(['start', 'refresh'])
  })

  it('tells of a snapshot that failed while the socket lives', () => {
    const { say } = show()
    say({ status: 'syncing' })
    expect(screen.queryByText(FAILED)).toBeNull()
    const reason = { code: 'SNAPSHOT_FAILED', message: 'the server answered 500' } as const
    say({ status: 'syncing', freshness: { reason } })
    expect(screen.getByText(FAILED)).toBeTruthy()
  })

  it('does not flicker between failure and loading while it retries', () => {
    const { say } = show()
    say({ status: 'backoff' })
    say({ status: 'connecting' })
    expect(screen.getByText(FAILED)).toBeTruthy()
    say({ status: 'live', view: view() })
    expect(screen.queryByText(FAILED)).toBeNull()
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
  })

  it('keeps showing the view when the connection is lost', () => {
    const { say } = showLive()
    say({ status: 'backoff', freshness: { source: 'stale', attempt: 3 } })
    expect(screen.queryByText(FAILED)).toBeNull()
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
  })

  it('forgets the former view with the client', () => {
    const { say } = showLive()
    say({ status: 'connecting', view: null })
    expect(screen.queryByTestId('recent-mocs-card')).toBeNull()
    expect(screen.getByTestId('dashboard-loading')).toBeTruthy()
  })
})

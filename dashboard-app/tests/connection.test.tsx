import { act, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { partial, recent, view } from './support/fixtures'
import { expectAccessible, show, showLive } from './support/show'

const RECONNECTING = 'Reconnecting to real-time updates...'

/** Enough for a check that takes its time for each element. */
const FEW = { recentMocs: [recent(0)], partialPartsMocs: [partial(0)] }

function status(): [text: string | null, connected: string | null] {
  const element = screen.getByTestId('connection-status')
  return [element.textContent, element.getAttribute('data-connected')]
}

function banner(): HTMLElement | null {
  return screen.queryByTestId('degraded-mode-banner')
}

afterEach(() => {
  vi.useRealTimers()
})

describe('connection status', () => {
  it('D-FR-5: says that updates are live only while they are', () => {
    const { say, live } = show()
    for (const state of ['connecting', 'syncing', 'backoff', 'degraded'] as const) {
      say({ status: state, view: view() })
      expect(status()).toEqual([RECONNECTING, 'false'])
    }
    live()
    expect(status()).toEqual(['Real-time updates active', 'true'])
  })

  it('never claims to reconnect when nothing is being tried', () => {
    const { say } = showLive()
    say({ status: 'authRequired' })
    expect(status()).toEqual(['Real-time updates paused: session expired', 'false'])
    say({ status: 'closed' })
    expect(status()).toEqual(['Real-time updates stopped', 'false'])
  })

  it('says how old the view is while it is not live', () => {
    vi.useFakeTimers({ now: 1_800_000_000_000 })
    const { say } = showLive()
    expect(screen.queryByText(/^As of/)).toBeNull()
    say({ status: 'backoff', freshness: { source: 'stale' } })
    act(() => vi.advanceTimersByTime(42_000))
    expect(screen.getByText(/^As of/).textContent).toBe('As of 42 seconds ago')
  })
})

describe('degraded mode', () => {
  it('D-RES-4: shows a banner with the age of the data', () => {
    vi.useFakeTimers({ now: 1_800_000_000_000 })
    const { say } = showLive()
    expect(banner()).toBeNull()
    say({ status: 'degraded', freshness: { source: 'polling' } })
    const shown = within(banner() as HTMLElement)
    expect(shown.getByText('Limited connectivity')).toBeTruthy()
    shown.getByText('Real-time updates unavailable. Data refreshes every 30 seconds.')
    act(() => vi.advanceTimersByTime(90_000))
    expect(shown.getByText(/^Last updated:/).textContent).toBe('Last updated: 1 minute ago')
  })

  it('D-RES-4: refreshes when asked, once at a time', async () => {
    const { say, client } = showLive()
    say({ status: 'degraded', freshness: { source: 'polling' } })
    const button = screen.getByRole('button', { name: 'Refresh now' })
    await userEvent.click(button)
    await userEvent.click(button)
    expect(client.calls.filter(call => call === 'refresh')).toHaveLength(1)
    say({ freshness: { asOf: Date.now() + 1 } })
    await userEvent.click(button)
    expect(client.calls.filter(call => call === 'refresh')).toHaveLength(2)
  })

  it('D-RES-4: keeps the banner until live, then tells of the recovery', async () => {
    const { say, live } = showLive()
    say({ status: 'degraded' })
    for (const state of ['connecting', 'syncing'] as const) {
      say({ status: state })
      expect(banner()).not.toBeNull()
      expect(screen.queryByText('Connection restored')).toBeNull()
    }
    live()
    expect(banner()).toBeNull()
    expect(await screen.findByText('Connection restored')).toBeTruthy()
  })

  it('D-RES-3: makes no fuss about a short loss', () => {
    const { say, live } = showLive()
    say({ status: 'backoff' })
    say({ status: 'connecting' })
    live()
    expect(banner()).toBeNull()
    expect(screen.queryByText('Connection restored')).toBeNull()
  })

  it('has no accessibility faults', async () => {
    const { say, container } = showLive(FEW)
    say({ status: 'degraded', freshness: { source: 'polling' } })
    await expectAccessible(container)
  })
})

describe('expired session', () => {
  it('D-RES-2: asks for a login, and keeps asking', async () => {
    const { say, container, baseElement } = showLive(FEW)
    say({ status: 'authRequired' })
    expect(await screen.findByText('Session expired')).toBeTruthy()
    expect(screen.getByText('Please log in again to continue.')).toBeTruthy()
    expect(screen.getByRole('link', { name: 'Log in' }).getAttribute('href')).toBe('/login')
    await expectAccessible(container)
    expect(baseElement.textContent).not.toContain(RECONNECTING)
  })

  it('D-RES-2: leads to the login address of the install', async () => {
    const { say } = show('https://id.example.org/login')
    say({ status: 'authRequired', view: view() })
    const link = await screen.findByRole('link', { name: 'Log in' })
    expect(link.getAttribute('href')).toBe('https://id.example.org/login')
  })

  it('D-RES-2: can be dismissed, and comes back with the next refusal', async () => {
    const { say } = showLive()
    say({ status: 'authRequired' })
    await userEvent.click(await screen.findByRole('button', { name: 'Dismiss' }))
    await waitFor(() => expect(screen.queryByText('Session expired')).toBeNull())
    say({ status: 'connecting' })
    say({ status: 'authRequired' })
    expect(await screen.findByText('Session expired')).toBeTruthy()
  })

  it('D-RES-2: ends the degraded banner, as nothing is polled any more', () => {
    const { say } = showLive()
    say({ status: 'degraded' })
    say({ status: 'authRequired' })
    expect(banner()).toBeNull()
  })

  it('D-RES-2: goes away when the session is back', async () => {
    const { say, live } = showLive()
    say({ status: 'authRequired' })
    await screen.findByText('Session expired')
    live()
    await waitFor(() => expect(screen.queryByText('Session expired')).toBeNull())
  })

  it('fills the page where there is nothing to show', async () => {
    const { say, container } = show()
    say({ status: 'authRequired' })
    const panel = within(await screen.findByTestId('dashboard-login-needed'))
    expect(panel.getByRole('link', { name: 'Log in' }).getAttribute('href')).toBe('/login')
    await expectAccessible(container)
  })
})

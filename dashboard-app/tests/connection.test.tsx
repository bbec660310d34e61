import type { FakeServer } from '@moc/dashboard-sdk/testing'
import { act, screen, within } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { partial, recent, view } from '../gallery/fixtures'
import { expectAccessible, show, showLive } from './support/show'

const CONNECTING = 'Connecting to real-time updates...'
const RECONNECTING = 'Reconnecting to real-time updates...'

beforeEach(() => {
  document.title = 'Dashboard'
})

/** Enough for a check that takes its time for each element. */
const FEW = { recentMocs: [recent(0)], partialPartsMocs: [partial(0)] }

function status(): [text: string | null, connected: string | null] {
  const element = screen.getByTestId('connection-status')
  return [element.textContent, element.getAttribute('data-connected')]
}

function banner(): HTMLElement | null {
  return screen.queryByTestId('degraded-mode-banner')
}

/** The app behind a proxy that lets requests through, but no WebSockets any more. */
async function showDegraded(change: Parameters<typeof showLive>[0] = {}) {
  const shown = await showLive(change)
  // Live for long enough that nothing of the past counts.
  await shown.server.advance(6_000)
  shown.server.connections.refuse()
  shown.server.connections.drop()
  await shown.until('degraded')
  return shown
}

describe('connection status', () => {
  it('D-FR-5: says that updates are live only while they are', async () => {
    const { server, until } = show()
    expect(status()).toEqual([CONNECTING, 'false'])
    server.snapshots.hang({ times: 1 })
    await until('syncing')
    expect(status()).toEqual([CONNECTING, 'false'])
    await until('live')
    expect(status()).toEqual(['Real-time updates active', 'true'])
    server.connections.hang()
    server.connections.drop()
    for (const next of ['backoff', 'connecting', 'degraded'] as const) {
      await until(next)
      expect(status()).toEqual([RECONNECTING, 'false'])
    }
    server.heal()
    await until('live')
    expect(status()).toEqual(['Real-time updates active', 'true'])
  })

  it('does not claim to reconnect before there was anything to reconnect to', async () => {
    const { server, client, until } = show()
    server.connections.refuse()
    server.snapshots.networkError()
    for (const next of ['connecting', 'backoff', 'degraded'] as const) {
      await until(next)
      expect(status()).toEqual([CONNECTING, 'false'])
    }
    server.heal()
    await until('live')
    // A new beginning is one in words, too.
    server.connections.hang()
    client.stop()
    client.start()
    await until('connecting')
    expect(status()).toEqual([CONNECTING, 'false'])
  })

  it('never claims to reconnect when nothing is being tried', async () => {
    const { server, client, until } = await showLive()
    server.endSession()
    await until('authRequired')
    expect(status()).toEqual(['Real-time updates paused: session expired', 'false'])
    client.stop()
    await server.advance()
    expect(status()).toEqual(['Real-time updates stopped', 'false'])
  })

  it('says how old the view is while it is not live', async () => {
    const { server } = await showLive()
    expect(screen.queryByText(/^As of/)).toBeNull()
    server.connections.hang()
    server.connections.drop()
    await server.advance(30_000)
    expect(screen.getByText(/^As of/).textContent).toBe('As of 30 seconds ago')
  })

  it('notices a network that swallows everything', async () => {
    const { server, until } = await showLive()
    server.blackHole()
    await until('backoff')
    expect(status()).toEqual([RECONNECTING, 'false'])
    expect(screen.getByText(/^As of/).textContent).toMatch(/^As of 1\d seconds ago$/)
    expect(screen.getByTestId('recent-mocs-card')).toBeTruthy()
  })

  it('is not shaken by messages without sense', async () => {
    const { server, until, container } = await showLive()
    const before = container.innerHTML
    server.send('42/dashboard,["dashboard:weather",{"sun":true}]')
    server.send('<html>')
    server.events.corrupt({ times: 1 })
    server.update(({ summary }) => ({ summary: { ...summary, totalMocs: 140 } }))
    await server.advance()
    expect(container.innerHTML).toBe(before)
    expect(status()).toEqual(['Real-time updates active', 'true'])
    await until(({ view }) => view?.summary.totalMocs === 140)
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('140')
  })

  it('holds one connection, also under StrictMode', async () => {
    const { server, unmount } = await showLive()
    expect(server.connections.attempts).toHaveLength(1)
    unmount()
    await server.advance(60_000)
    expect(server.connections.open).toBe(0)
    expect(server.connections.attempts).toHaveLength(1)
  })
})

describe('the account', () => {
  it('is named, with a way out that takes what is shown along', async () => {
    const account = { userName: 'Ada', logoutUrl: '/logout' }
    const { user, until, client, container } = show(view(FEW), account)
    await until('live')
    expect(screen.getByText('Signed in as', { exact: false }).textContent).toBe('Signed in as Ada')
    const way = screen.getByRole('link', { name: 'Log out' })
    expect(way.getAttribute('href')).toBe('/logout')
    await expectAccessible(container)
    vi.useFakeTimers()
    way.addEventListener('click', event => event.preventDefault())
    await user.click(way)
    expect(client.getState().status).toBe('closed')
    expect(client.getState().view).toBeNull()
  })

  it('is not guessed', async () => {
    await showLive(FEW)
    expect(screen.queryByText(/Signed in/)).toBeNull()
    expect(screen.queryByRole('link', { name: 'Log out' })).toBeNull()
  })
})

describe('offline', () => {
  afterEach(() => vi.restoreAllMocks())

  it('is shown as such, with the time of the data, and is over with live', async () => {
    const { server, until } = await showLive()
    const onLine = vi.spyOn(navigator, 'onLine', 'get').mockReturnValue(false)
    server.connections.refuse()
    server.connections.drop()
    window.dispatchEvent(new Event('offline'))
    await until('backoff')
    await server.advance(1_000)
    expect(status()).toEqual(['Offline: waiting for the network', 'false'])
    expect(document.title).toBe('Offline · Dashboard')
    onLine.mockReturnValue(true)
    server.heal()
    window.dispatchEvent(new Event('online'))
    await until('live')
    expect(status()).toEqual(['Real-time updates active', 'true'])
    expect(document.title).toBe('Dashboard')
  })
})

describe('the bar', () => {
  const bar = () => screen.queryByTestId('freshness-bar')
  let scroll: (isInView: boolean) => void = () => {}

  beforeEach(() => {
    vi.stubGlobal(
      'IntersectionObserver',
      class {
        constructor(told: (entries: { isIntersecting: boolean }[]) => void) {
          scroll = isIntersecting => act(() => told([{ isIntersecting }]))
        }
        observe() {}
        disconnect() {}
      },
    )
  })
  afterEach(() => vi.unstubAllGlobals())

  it('is there while the status is scrolled away and the view is not live', async () => {
    const { server, until, client, container } = await showLive(FEW)
    scroll(false)
    expect(bar()).toBeNull()
    server.connections.refuse()
    server.connections.drop()
    await until('backoff')
    expect(bar()?.textContent).toMatch(/^Reconnecting\. Showing data from \d+:\d\d [AP]M\./)
    scroll(true)
    expect(bar()).toBeNull()
    scroll(false)
    server.snapshots.networkError()
    await until('degraded')
    await server.advance(60_000)
    expect(bar()?.textContent).toMatch(/^The server does not answer\. Showing data from /)
    server.snapshots.serve()
    await server.advance(60_000)
    expect(bar()?.textContent).toMatch(/^Limited connectivity\. Showing data from /)
    server.connections.accept()
    await until('live')
    expect(bar()).toBeNull()
    server.endSession()
    await until('authRequired')
    expect(within(bar() as HTMLElement).getByRole('link', { name: 'Log in' })).toBeTruthy()
    client.stop()
    await server.advance()
    expect(bar()).toBeNull()
    await expectAccessible(container)
  })
})

describe('degraded mode', () => {
  it('D-RES-4: shows a banner with the age of the data', async () => {
    const { server, client } = await showDegraded()
    const shown = within(banner() as HTMLElement)
    expect(shown.getByText('Limited connectivity')).toBeTruthy()
    shown.getByText('Real-time updates unavailable. Data refreshes every 30 seconds.')
    server.snapshots.fail(503)
    const { asOf } = client.getState().freshness
    await server.advance((asOf as number) + 90_000 - Date.now())
    expect(shown.getByText(/^Last updated:/).textContent).toBe('Last updated: 1 minute ago')
    server.snapshots.serve()
    await server.advance(33_000)
    expect(shown.getByText(/^Last updated:/).textContent).toMatch(/now$|seconds? ago$/)
  })

  it('D-RES-4: polls every 30 seconds, and shows what it finds', async () => {
    const { server, change } = await showDegraded()
    const before = server.snapshots.requests.length
    await change(({ summary }) => ({ summary: { ...summary, totalMocs: 140 } }))
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('139')
    await server.advance(34_000)
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('140')
    await server.advance(300_000)
    const polls = server.snapshots.requests.slice(before)
    expect(polls.filter(poll => !poll.unchanged)).toHaveLength(1)
    expect(polls.filter(poll => poll.unchanged).length).toBeGreaterThan(7)
    expect(banner()).not.toBeNull()
  })

  it('D-RES-4: refreshes when asked, once at a time', async () => {
    const { server, user } = await showDegraded()
    const requests = () => server.snapshots.requests.length
    const before = requests()
    const button = screen.getByRole('button', { name: 'Refresh now' })
    server.latency = 50
    await user.click(button)
    await user.click(button)
    expect(button.getAttribute('aria-disabled')).toBe('true')
    await server.advance(200)
    expect(requests()).toBe(before + 1)
    expect(button.getAttribute('aria-disabled')).toBe('false')
    await user.click(button)
    await server.advance(200)
    expect(requests()).toBe(before + 2)
  })

  it('D-RES-4: keeps the banner until live, then tells of the recovery', async () => {
    const { server, until } = await showDegraded()
    server.snapshots.hang()
    server.connections.accept()
    await until(() => server.connections.open === 1)
    await server.advance(5_000)
    expect(banner()).not.toBeNull()
    expect(screen.queryByText('Connection restored')).toBeNull()
    server.snapshots.serve()
    await until('live')
    expect(banner()).toBeNull()
    expect(screen.getByText('Connection restored')).toBeTruthy()
    await server.advance(10_000)
    expect(screen.queryByText('Connection restored')).toBeNull()
  })

  it('D-RES-3: makes no fuss about a short loss', async () => {
    const { server, until } = await showLive()
    server.connections.drop()
    await until('backoff')
    await until('live')
    expect(banner()).toBeNull()
    expect(screen.queryByText('Connection restored')).toBeNull()
  })

  it('D-RES-4: says that data are refreshed only while they are', async () => {
    const { server } = await showDegraded()
    vi.setSystemTime(Date.now())
    server.snapshots.networkError()
    await server.advance(60_000)
    const text = () => (banner() as HTMLElement).textContent
    expect(text()).toMatch(/The server does not answer\. Showing data from \d+:\d\d [AP]M\./)
    expect(text()).not.toContain('every 30 seconds')
    expect(document.title).toBe('No connection · Dashboard')
    server.snapshots.serve()
    await server.advance(60_000)
    expect(text()).toContain('Data refreshes every 30 seconds.')
    expect(document.title).toBe('Limited connectivity · Dashboard')
  })

  it('D-RES-4: says that the server does not answer only once a request has failed', async () => {
    const { server } = await showDegraded()
    server.snapshots.networkError()
    const before = server.snapshots.requests.length
    const text = () => (banner() as HTMLElement).textContent
    // The first poll may be half a minute away.
    while (server.snapshots.requests.length === before) {
      expect(text()).not.toContain('does not answer')
      await server.advance(1_000)
    }
    await server.advance(500)
    expect(text()).toContain('The server does not answer.')
    // The next failure changes nothing.
    await server.advance(60_000)
    expect(text()).toContain('The server does not answer.')
  })

  it('D-RES-4: does not tell of a recovery that is lost again', async () => {
    const { server, until } = await showDegraded()
    server.connections.accept()
    await until('live')
    expect(screen.getByText('Connection restored')).toBeTruthy()
    server.connections.refuse()
    server.connections.drop()
    await until(state => state.status !== 'live')
    await server.advance(500)
    expect(screen.queryByText('Connection restored')).toBeNull()
  })

  it('D-RES-4: counts down to the next try', async () => {
    const { server, until } = await showDegraded()
    server.snapshots.networkError()
    await server.advance(60_000)
    await until(state => (state.freshness.nextRetryAt ?? 0) > Date.now() + 5_000)
    const left = () => Number(/Next try in (\d+) s\./.exec(banner()?.textContent ?? '')?.[1])
    const before = left()
    expect(before).toBeGreaterThan(4)
    await server.advance(3_000)
    expect(left()).toBe(before - 3)
  })

  it.each([
    ['fails', (server: FakeServer) => server.snapshots.networkError()],
    ['is not answered', (server: FakeServer) => server.snapshots.hang()],
  ])('D-RES-4: says that a refresh %s', async (_name, fail) => {
    const { server, user } = await showDegraded()
    fail(server)
    await user.click(screen.getByRole('button', { name: 'Refresh now' }))
    expect(screen.getByRole('button', { name: 'Refreshing…' })).toBeTruthy()
    await server.advance(11_000)
    expect(banner()?.textContent).toContain('Refreshing failed: the server did not answer.')
    server.snapshots.serve()
    await user.click(screen.getByRole('button', { name: 'Refresh now' }))
    await server.advance(1_000)
    expect(banner()?.textContent).not.toContain('Refreshing failed')
  })

  it('D-RES-4: calls no refresh failed for what failed before it', async () => {
    const { server, user } = await showDegraded()
    server.snapshots.fail(503)
    await server.advance(60_000)
    server.snapshots.hang()
    await user.click(screen.getByRole('button', { name: 'Refresh now' }))
    // The attempt that goes with it changes the state, and the reason is still the old one.
    await server.advance(5_000)
    expect(screen.getByRole('button', { name: 'Refreshing…' })).toBeTruthy()
    expect(banner()?.textContent).not.toContain('Refreshing failed')
    await server.advance(6_000)
    expect(banner()?.textContent).toContain('Refreshing failed')
  })

  it('has no accessibility faults', async () => {
    const { container } = await showDegraded(FEW)
    await expectAccessible(container)
  })
})

function loginLinks() {
  return screen.getAllByRole('link', { name: 'Log in' }).map(link => link.getAttribute('href'))
}

describe('expired session', () => {
  it('D-RES-2: asks for a login, and keeps asking', async () => {
    const { server, until, container, baseElement } = await showLive(FEW)
    server.endSession()
    await until('authRequired')
    await server.advance(3_600_000)
    expect(screen.getByText('Session expired')).toBeTruthy()
    expect(screen.getByText('Please log in again to continue.')).toBeTruthy()
    expect(loginLinks()).toEqual(['/login', '/login'])
    expect(baseElement.textContent).not.toContain(RECONNECTING)
    await expectAccessible(container)
  })

  it('D-RES-2: leads to the login address of the install', async () => {
    const { server, until } = show(undefined, { loginUrl: 'https://id.example.org/login' })
    await until('live')
    server.endSession()
    await until('authRequired')
    const login = 'https://id.example.org/login'
    expect(loginLinks()).toEqual([login, login])
  })

  it('D-RES-2: can be dismissed, and comes back with the next refusal', async () => {
    const { server, client, until, user } = await showLive()
    server.endSession()
    await until('authRequired')
    await user.click(screen.getByRole('button', { name: 'Dismiss' }))
    await server.advance(1_000)
    expect(screen.queryByText('Session expired')).toBeNull()
    expect(loginLinks()).toEqual(['/login'])
    expect(document.title).toBe('Session expired · Dashboard')
    client.reauthenticate()
    await until('connecting')
    await until('authRequired')
    // The view is forgotten with the former session, so the page itself says it, and only once.
    expect(screen.getAllByText('Session expired')).toHaveLength(1)
    expect(screen.getByTestId('dashboard-login-needed')).toBeTruthy()
  })

  it('D-RES-2: ends the degraded banner, as nothing is polled any more', async () => {
    const { server, until } = await showDegraded()
    server.snapshots.fail(401)
    await until('authRequired')
    expect(banner()).toBeNull()
  })

  it('D-RES-2: goes away when the session is back', async () => {
    const { server, client, until } = await showLive()
    server.endSession()
    await until('authRequired')
    screen.getByText('Session expired')
    server.heal()
    client.reauthenticate()
    await until('live')
    await server.advance(1_000)
    expect(screen.queryByText('Session expired')).toBeNull()
  })

  it.each([
    ['the socket', (server: FakeServer) => server.connections.deny()],
    ['a request', (server: FakeServer) => server.snapshots.fail(401)],
  ])('asks once for a first login when %s is refused', async (_name, refuse) => {
    const { server, until, container, baseElement } = show()
    refuse(server)
    await until('authRequired')
    await server.advance(60_000)
    const panel = within(screen.getByTestId('dashboard-login-needed'))
    expect(panel.getByText('Sign in to see your dashboard')).toBeTruthy()
    expect(panel.getByRole('link', { name: 'Log in' }).getAttribute('href')).toBe('/login')
    expect(screen.getAllByRole('link', { name: 'Log in' })).toHaveLength(1)
    expect(baseElement.textContent).not.toMatch(/expired|again|Reconnecting/)
    expect(status()).toEqual(['Real-time updates paused: not signed in', 'false'])
    await expectAccessible(container)
  })
})

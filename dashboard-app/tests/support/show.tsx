import { createDashboardClient, type DashboardView } from '@moc/dashboard-sdk'
import { type Condition, createFakeServer } from '@moc/dashboard-sdk/testing'
import { act, render } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { StrictMode } from 'react'
import { expect, onTestFinished, vi } from 'vitest'
import { view } from '../../gallery/fixtures'
import { App } from '../../src/app'
import type { AccountLinks } from '../../src/dashboard/account'

/**
 * Renders the app as a page begins, with the real client and a scripted server, in virtual time.
 * Script the server at once: it is asked only when time passes.
 */
export function show(first: DashboardView = view(), account: Partial<AccountLinks> = {}) {
  vi.useFakeTimers()
  const server = createFakeServer({ view: first, time: vi, act })
  const client = createDashboardClient({ url: server.url, cookies: true, logger: null })
  const uninstall = server.install()
  onTestFinished(() => {
    client.stop()
    uninstall()
    vi.useRealTimers()
  })
  const rendered = render(
    <StrictMode>
      <App
        client={client}
        account={{ loginUrl: '/login', logoutUrl: null, userName: null, ...account }}
      />
    </StrictMode>,
  )
  return {
    ...rendered,
    server,
    client,
    user: userEvent.setup({ advanceTimers: vi.advanceTimersByTime.bind(vi) }),
    until: (condition: Condition) => server.until(client, condition),
    /** Changes the collection on the server; the page hears of it by events. */
    async change(change: Parameters<typeof server.update>[0]) {
      server.update(change)
      await server.advance()
    },
  }
}

/** The app, live, with a typical collection or the given changes to it. */
export async function showLive(change: Partial<DashboardView> = {}) {
  const shown = show(view(change))
  await shown.until('live')
  return shown
}

/** Checks WCAG 2.1 A and AA, as far as a page without layout can be checked. */
export async function expectAccessible(container: Element): Promise<void> {
  // It lets the page breathe now and then, in real time.
  vi.useRealTimers()
  const { violations } = await axe.run(container, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
    // Needs layout and colours: tests/contrast.test.ts computes it from the tokens.
    rules: { 'color-contrast': { enabled: false } },
  })
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([])
}

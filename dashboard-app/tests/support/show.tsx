import type { DashboardView } from '@moc/dashboard-sdk'
import { act, render } from '@testing-library/react'
import axe from 'axe-core'
import { StrictMode } from 'react'
import { expect } from 'vitest'

import { App } from '../../src/app'
import { view } from './fixtures'
import { ScriptedClient } from './scripted-client'

/** Renders the app with a scripted client, in the state in which a page begins. */
export function show(loginUrl = '/login') {
  const client = new ScriptedClient()
  const rendered = render(
    <StrictMode>
      <App client={client} loginUrl={loginUrl} />
    </StrictMode>,
  )
  return {
    ...rendered,
    client,
    say: (change: Parameters<ScriptedClient['say']>[0]) => act(() => client.say(change)),
    live: (next?: DashboardView) => act(() => client.live(next)),
  }
}

/** The app, live, with a typical collection or the given changes to it. */
export function showLive(change: Partial<DashboardView> = {}) {
  const shown = show()
  shown.live(view(change))
  return shown
}

/** Checks WCAG 2.1 A and AA, as far as a page without layout can be checked. */
export async function expectAccessible(container: Element): Promise<void> {
  const { violations } = await axe.run(container, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
    // Needs layout and colours: tests/contrast.test.ts computes it from the tokens.
    rules: { 'color-contrast': { enabled: false } },
  })
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([])
}

// @vitest-environment jsdom
import { act } from '@testing-library/react'
import { startTransition, useLayoutEffect, useState } from 'react'
import { createRoot, hydrateRoot, type Root } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { DashboardClient } from '../src/api.js'
import { clientFactory } from '../src/client.js'
import { DashboardProvider, useDashboard } from '../src/react.js'
import { CoreDouble, live, loadDouble } from './double.js'
import { OPTIONS, started } from './support.js'

const READERS = [...'abcdefghijkl']

let roots: Root[] = []

beforeEach(() => {
  CoreDouble.made = []
})

afterEach(async () => {
  await act(async () => {
    for (const root of roots) root.unmount()
  })
  roots = []
  vi.unstubAllGlobals()
})

describe('on a server', () => {
  function Status() {
    return <p>{useDashboard(state => state.status)}</p>
  }

  it('the idle state is rendered, and nothing is started', () => {
    const client = clientFactory(loadDouble)(OPTIONS)
    expect(renderToString(pageOf(client))).toBe('<p>idle</p>')
    expect(client.getState().status).toBe('idle')
    expect(CoreDouble.made).toHaveLength(0)
  })

  it('what was rendered is taken over by the browser without a mismatch', async () => {
    const complaints = vi.spyOn(console, 'error').mockImplementation(() => {})
    const container = document.createElement('div')
    container.innerHTML = renderToString(pageOf(clientFactory(loadDouble)(OPTIONS)))
    const paragraph = container.firstChild

    // Live already, as a client is that was started before React had its turn.
    const { client, core } = await started()
    core.say(live())
    const onRecoverableError = vi.fn()
    await act(async () => {
      roots.push(hydrateRoot(container, pageOf(client), { onRecoverableError }))
    })
    expect(container.innerHTML).toBe('<p>live</p>')
    expect(container.firstChild).toBe(paragraph)
    expect(onRecoverableError).not.toHaveBeenCalled()
    expect(complaints).not.toHaveBeenCalled()
  })

  function pageOf(client: DashboardClient) {
    return (
      <DashboardProvider client={client}>
        <Status />
      </DashboardProvider>
    )
  }
})

describe('while React renders in slices', () => {
  it('a page never shows two states at once', async () => {
    const commits = await commitsOf(() => useDashboard(state => state.freshness.revision))
    expect(commits.every(isWhole)).toBe(true)
    expect(commits.at(-1)?.every(shown => shown === '2')).toBe(true)
  })

  it('a component that reads the client while rendering does show two: the scene can tell', async () => {
    const commits = await commitsOf(client => client.getState().freshness.revision)
    expect(commits.every(isWhole)).toBe(false)
  })

  /**
   * Mounts a page of slow readers in a transition, lets the state change when some have been
   * rendered and some have not, and returns what they show after each commit.
   */
  async function commitsOf(useRevision: (client: DashboardClient) => number | null) {
    const { client, core } = await started()
    core.say(live(undefined, 1))
    const container = document.createElement('div')
    const commits: string[][] = []
    let rendered = 0
    let show: () => void = () => {}

    function look() {
      const shown = [...container.querySelectorAll('i')].map(reader => reader.textContent)
      if (shown.length > 0) commits.push(shown)
    }
    function Reader() {
      const revision = useRevision(client)
      rendered += 1
      // Longer than the slice of time that React takes before it lets others have a turn.
      const end = performance.now() + 6
      while (performance.now() < end);
      return <i>{revision}</i>
    }
    function Page() {
      const [isShown, setShown] = useState(false)
      show = () => startTransition(() => setShown(true))
      useLayoutEffect(look)
      return isShown && READERS.map(name => <Reader key={name} />)
    }

    const root = createRoot(container)
    roots.push(root)
    await act(async () => {
      root.render(
        <DashboardProvider client={client}>
          <Page />
        </DashboardProvider>,
      )
    })

    // Without `act`, which would render everything in one go.
    vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', false)
    const observer = new MutationObserver(look)
    observer.observe(container, { childList: true, characterData: true, subtree: true })
    show()
    await turns(() => rendered > 0)
    expect(rendered).toBeLessThan(READERS.length)
    core.say(live(undefined, 2))
    await turns(() => commits.at(-1)?.at(-1) === '2')
    observer.disconnect()
    vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true)
    return commits
  }

  async function turns(until: () => boolean): Promise<void> {
    while (!until()) await new Promise(resolve => setImmediate(resolve))
  }

  function isWhole(commit: string[]): boolean {
    return new Set(commit).size === 1
  }
})

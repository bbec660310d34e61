// @vitest-environment jsdom
import { act, cleanup, render, renderHook } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { DashboardClient } from '../src/api.js'
import { clientFactory } from '../src/client.js'
import { DashboardProvider, useDashboard, useDashboardClient } from '../src/react.js'
import type { DashboardState } from '../src/types.js'
import { CoreDouble, live, loadDouble, VIEW } from './double.js'

function create(): DashboardClient {
  return clientFactory(loadDouble)({ url: 'https://moc.example.org', cookies: true })
}

function core(): CoreDouble {
  return CoreDouble.made.at(-1) as CoreDouble
}

async function mounted<T>(hook: () => T, strict = false) {
  const client = create()
  const Strict = strict ? StrictMode : ({ children }: { children?: ReactNode }) => children
  function Wrapper({ children }: { children: ReactNode }) {
    return (
      <Strict>
        <DashboardProvider client={client}>{children}</DashboardProvider>
      </Strict>
    )
  }
  const rendered = renderHook(hook, { wrapper: Wrapper })
  await vi.waitFor(() => expect(CoreDouble.made.length).toBeGreaterThan(0))
  return { client, ...rendered }
}

beforeEach(() => {
  CoreDouble.made = []
})

afterEach(cleanup)

describe('useDashboard', () => {
  it('starts with the provider, follows the state, stops with the provider', async () => {
    const { client, result, unmount } = await mounted(() => useDashboard())
    expect(result.current.status).toBe('connecting')
    act(() => core().say(live()))
    expect(result.current).toBe(client.getState())
    expect(result.current.view).toBe(VIEW)
    unmount()
    expect(client.getState().status).toBe('closed')
    await vi.waitFor(() => expect(core().calls).toEqual(['start', 'stop', 'free']))
  })

  it('ends with one running core under StrictMode', async () => {
    const { result } = await mounted(() => useDashboard(), true)
    act(() => core().say(live()))
    expect(result.current.status).toBe('live')
    const running = CoreDouble.made.filter(made => !made.calls.includes('stop'))
    expect(running).toHaveLength(1)
  })

  it('renders again only when the selection changes', async () => {
    const renders = vi.fn()
    const { result } = await mounted(() => {
      renders()
      return useDashboard(totalMocs)
    })
    act(() => core().say(live()))
    expect(result.current).toBe(3)
    const before = renders.mock.calls.length
    act(() => core().say(live(VIEW, 2)))
    expect(renders).toHaveBeenCalledTimes(before)
  })

  it('takes inline selectors that build new objects, with their own equality', async () => {
    const { result } = await mounted(() =>
      useDashboard(
        state => ({ status: state.status }),
        (a, b) => a.status === b.status,
      ),
    )
    act(() => core().say(live()))
    const first = result.current
    act(() => core().say(live(VIEW, 2)))
    expect(first).toEqual({ status: 'live' })
    expect(result.current).toBe(first)
  })

  it('never loops on a selector that builds a new object each time', async () => {
    const { result } = await mounted(() => useDashboard(state => ({ status: state.status })))
    act(() => core().say(live()))
    expect(result.current).toEqual({ status: 'live' })
  })

  it('shows one state in the whole tree', async () => {
    const seen: string[][] = []
    function Pair() {
      seen.push([useDashboard().status, useDashboard(state => state.status)])
      return null
    }
    const client = create()
    render(
      <DashboardProvider client={client}>
        <Pair />
      </DashboardProvider>,
    )
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    act(() => core().say(live()))
    expect(seen.every(([a, b]) => a === b)).toBe(true)
    expect(seen.at(-1)).toEqual(['live', 'live'])
  })

  it('renders on a server as idle, and starts nothing there', () => {
    const client = create()
    function Status() {
      return <p>{useDashboard(state => state.status)}</p>
    }
    const html = renderToString(
      <DashboardProvider client={client}>
        <Status />
      </DashboardProvider>,
    )
    expect(html).toBe('<p>idle</p>')
    expect(client.getState().status).toBe('idle')
    expect(CoreDouble.made).toHaveLength(0)
  })

  it('says what is missing outside of a provider', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    expect(() => renderHook(() => useDashboard())).toThrow(/inside <DashboardProvider/)
  })

  it('hands out the client', async () => {
    const { client, result } = await mounted(() => useDashboardClient())
    expect(result.current).toBe(client)
  })
})

function totalMocs(state: DashboardState): number | undefined {
  return state.view?.summary.totalMocs
}

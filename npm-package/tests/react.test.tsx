// @vitest-environment jsdom
import { act, cleanup, render, renderHook } from '@testing-library/react'
import { type ReactNode, StrictMode } from 'react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { DashboardClient, DashboardClientOptions } from '../src/api.js'
import { clientFactory } from '../src/client.js'
import { DashboardProvider, useDashboard, useDashboardClient } from '../src/react.js'
import type { DashboardState } from '../src/types.js'
import { CoreDouble, live, loadDouble, VIEW } from './double.js'

function create(options: Partial<DashboardClientOptions> = {}): DashboardClient {
  return clientFactory(loadDouble)({ url: 'https://moc.example.org', cookies: true, ...options })
}

function core(): CoreDouble {
  return CoreDouble.made.at(-1) as CoreDouble
}

async function mounted<T>(hook: () => T) {
  const client = create()
  function Wrapper({ children }: { children: ReactNode }) {
    return <DashboardProvider client={client}>{children}</DashboardProvider>
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
    await Promise.resolve()
    expect(client.getState().status).toBe('closed')
    await vi.waitFor(() => expect(core().calls).toEqual(['start', 'stop', 'free']))
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

  it('says what is missing outside of a provider', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    expect(() => renderHook(() => useDashboard())).toThrow(/inside <DashboardProvider/)
  })

  it('hands out the client', async () => {
    const { client, result } = await mounted(() => useDashboardClient())
    expect(result.current).toBe(client)
  })
})

describe('DashboardProvider', () => {
  /** Lets pass what a client does after the last provider is gone. */
  const later = () => act(async () => {})

  it('opens one connection under StrictMode, and never closes it in between', async () => {
    const client = create()
    const statuses: string[] = []
    client.subscribe(({ status }) => statuses.push(status))
    const { unmount } = render(
      <StrictMode>
        <DashboardProvider client={client} />
      </StrictMode>,
    )
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    await later()
    expect(CoreDouble.made).toHaveLength(1)
    expect(statuses).not.toContain('closed')
    expect(core().calls).toEqual(['start'])
    unmount()
    await later()
    expect(statuses.filter(status => status === 'closed')).toHaveLength(1)
    expect(client.getState().status).toBe('closed')
  })

  it('keeps the connection when it is replaced by another one in one go', async () => {
    const client = create()
    const { rerender } = render(<DashboardProvider key="a" client={client} />)
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    rerender(<DashboardProvider key="b" client={client} />)
    await later()
    expect(core().calls).toEqual(['start'])
    expect(CoreDouble.made).toHaveLength(1)
  })

  it('stops a client only with the last of its providers', async () => {
    const client = create()
    const first = render(<DashboardProvider client={client} />)
    const second = render(<DashboardProvider client={client} />)
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    first.unmount()
    await later()
    expect(core().calls).toEqual(['start'])
    second.unmount()
    await later()
    expect(core().calls).toContain('stop')
  })

  it('begins afresh when it is mounted again later', async () => {
    const client = create()
    render(<DashboardProvider client={client} />).unmount()
    await later()
    expect(client.getState().status).toBe('closed')
    render(<DashboardProvider client={client} />)
    expect(client.getState().status).toBe('connecting')
  })

  it('leaves the stored view when it is unmounted, until the app stops the client', async () => {
    const store = { load: vi.fn(async () => null), save: vi.fn(), drop: vi.fn(async () => {}) }
    const client = create({ lastView: { userId: () => 'ann', store } })
    const { unmount } = render(<DashboardProvider client={client} />)
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    const { lastView } = core().options
    unmount()
    await later()
    expect(client.getState().status).toBe('closed')
    // As the core does when it is stopped.
    lastView?.drop()
    await later()
    expect(store.drop).not.toHaveBeenCalled()
    client.stop()
    await later()
    expect(store.drop).toHaveBeenCalledOnce()
  })

  it('stops a client that another package has wrapped', async () => {
    const client = { ...create(), stop: vi.fn() }
    render(<DashboardProvider client={client} />).unmount()
    await later()
    expect(client.stop).toHaveBeenCalledOnce()
  })

  it.each([
    [undefined, 'not undefined'],
    [{ url: 'https://moc.example.org', cookies: true }, 'not another object'],
  ])('says what it expects where it is given %o for a client', (given, words) => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const message = `<DashboardProvider client={…}> expects the client that createDashboardClient({ … }) returned, ${words}.`
    expect(() => render(<DashboardProvider client={given as never} />)).toThrow(message)
  })

  it('goes over from one client to another', async () => {
    const [before, after] = [create(), create()]
    const { rerender } = render(<DashboardProvider client={before} />)
    rerender(<DashboardProvider client={after} />)
    await later()
    expect(before.getState().status).toBe('closed')
    expect(after.getState().status).toBe('connecting')
  })
})

function totalMocs(state: DashboardState): number | undefined {
  return state.view?.summary.totalMocs
}

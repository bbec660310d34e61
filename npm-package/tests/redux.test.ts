import { configureStore, type Middleware, type UnknownAction } from '@reduxjs/toolkit'
import { createApi, fakeBaseQuery } from '@reduxjs/toolkit/query'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { LastViewOptions } from '../src/api.js'
import { clientFactory } from '../src/client.js'
import type { CoreLoader } from '../src/core.js'
import { hold } from '../src/lease.js'
import { dashboardQuery } from '../src/redux.js'
import type { DashboardState } from '../src/types.js'
import { CoreDouble, live, loadDouble, VIEW } from './double.js'
import { latest, OPTIONS, settle } from './support.js'

beforeEach(() => {
  CoreDouble.made = []
  vi.stubGlobal('WebSocket', class {})
})

afterEach(() => {
  vi.unstubAllGlobals()
})

function setUp(load: CoreLoader = loadDouble, lastView?: LastViewOptions) {
  const client = clientFactory(load)({ ...OPTIONS, lastView })
  const api = createApi({
    baseQuery: fakeBaseQuery(),
    keepUnusedDataFor: 0,
    endpoints: build => ({
      dashboard: build.query<DashboardState, void>({ ...dashboardQuery(client) }),
    }),
  })
  const patches: unknown[] = []
  const record: Middleware = () => next => action => {
    if ((action as UnknownAction).type.endsWith('/queryResultPatched')) patches.push(action)
    return next(action)
  }
  // With the checks that Redux Toolkit makes by default: state is plain and is never mutated.
  const store = configureStore({
    reducer: { [api.reducerPath]: api.reducer },
    middleware: defaults => defaults().concat(api.middleware, record),
  })
  const cached = () => api.endpoints.dashboard.select()(store.getState())
  const subscribe = () => store.dispatch(api.endpoints.dashboard.initiate())
  return { client, api, store, cached, subscribe, patches }
}

async function following() {
  const scene = setUp()
  const subscription = scene.subscribe()
  await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
  await settle()
  return { ...scene, subscription, core: latest() }
}

describe('an endpoint of Redux Toolkit Query', () => {
  it('is not made for what is no client', () => {
    expect(() => dashboardQuery(undefined as never)).toThrow(
      'dashboardQuery expects the client that createDashboardClient({ … }) returned, not undefined.',
    )
  })

  it('starts nothing until it has a subscriber', async () => {
    const { client, cached } = setUp()
    await settle()
    expect(client.getState().status).toBe('idle')
    expect(cached().isUninitialized).toBe(true)
  })

  it('is a state at once, and follows the client', async () => {
    const { client, cached, core } = await following()
    expect(cached().data).toBe(client.getState())
    expect(cached().data?.status).toBe('connecting')
    core.say(live())
    expect(cached().data).toBe(client.getState())
    expect(cached().data?.view?.summary.totalMocs).toBe(3)
  })

  it('keeps the identity of sections that did not change', async () => {
    const { cached, core } = await following()
    core.say(live())
    const before = cached().data?.view
    core.say(live({ ...VIEW, summary: { ...VIEW.summary, totalMocs: 4 } }, 2))
    const after = cached().data?.view
    expect(after?.summary.totalMocs).toBe(4)
    expect(after?.summary).not.toBe(before?.summary)
    expect(after?.themeBreakdown).toBe(before?.themeBreakdown)
    expect(after?.recentMocs).toBe(before?.recentMocs)
    expect(after?.partialPartsMocs).toBe(before?.partialPartsMocs)
  })

  it('dispatches nothing where nothing changed', async () => {
    const { patches, core } = await following()
    core.say(live())
    const before = patches.length
    core.say(core.state)
    expect(patches).toHaveLength(before)
    core.say(live())
    expect(patches).toHaveLength(before + 1)
  })

  it('does not write again what the query has brought', async () => {
    const { client, subscribe, cached, patches } = setUp(() => new Promise(() => {}))
    await subscribe()
    await settle()
    expect(cached().data?.freshness.reason?.code).toBe('MODULE_LOADING')
    expect(patches).toEqual([])
    client.stop()
    expect(patches).toHaveLength(1)
  })

  it('listens no more once its cache entry is removed', async () => {
    const scene = setUp()
    const unsubscribe = vi.fn()
    vi.spyOn(scene.client, 'subscribe').mockReturnValue(unsubscribe)
    const subscription = scene.subscribe()
    await settle()
    expect(unsubscribe).not.toHaveBeenCalled()
    subscription.unsubscribe()
    await vi.waitFor(() => expect(unsubscribe).toHaveBeenCalledOnce())
  })

  it('passes the checks of Redux Toolkit: plain, and never mutated', async () => {
    const complaints = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { core, subscription } = await following()
    core.say(live())
    core.say(live(VIEW, 2))
    subscription.unsubscribe()
    await settle()
    expect(complaints).not.toHaveBeenCalled()
  })

  it('is one connection for many subscribers, closed with the cache entry', async () => {
    const { client, core, subscribe, subscription, cached } = await following()
    const second = subscribe()
    core.say(live())
    subscription.unsubscribe()
    await settle()
    expect(CoreDouble.made).toHaveLength(1)
    expect(core.calls).toEqual(['start'])
    second.unsubscribe()
    await vi.waitFor(() => expect(core.calls).toEqual(['start', 'stop', 'free']))
    expect(client.getState().status).toBe('closed')
    expect(cached().isUninitialized).toBe(true)
  })

  it('leaves the stored view when its cache entry is removed', async () => {
    const drop = vi.fn(async () => {})
    const store = { load: async () => null, save: async () => {}, drop }
    const { client, subscribe } = setUp(loadDouble, { userId: () => 'ann', store })
    const subscription = subscribe()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    subscription.unsubscribe()
    await vi.waitFor(() => expect(client.getState().status).toBe('closed'))
    latest().options.lastView?.drop()
    await settle()
    expect(drop).not.toHaveBeenCalled()
    client.stop()
    await settle()
    expect(drop).toHaveBeenCalledOnce()
  })

  it('begins afresh with the next subscriber', async () => {
    const { subscription, subscribe, cached } = await following()
    subscription.unsubscribe()
    await vi.waitFor(() => expect(latest().calls).toContain('stop'))
    subscribe()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(2))
    await settle()
    latest().say(live())
    expect(cached().data?.status).toBe('live')
  })

  it('leaves the client running for its other holders', async () => {
    const { client, subscription, core } = await following()
    const letGo = hold(client)
    subscription.unsubscribe()
    await settle()
    expect(core.calls).toEqual(['start'])
    letGo()
    await vi.waitFor(() => expect(core.calls).toContain('stop'))
  })

  it.each([0, 1, 2, 4, 8])('shows a stop that came %i turns after a refetch', async turns => {
    const { client, cached, core, subscription } = await following()
    core.say(live())
    void subscription.refetch()
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
    client.stop()
    await settle()
    expect(cached().data).toBe(client.getState())
  })

  it.each([...Array(12).keys()])('is forgotten in silence %i turns after it began', async turns => {
    const complaints = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const { client, api, store, subscribe } = setUp()
    subscribe()
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
    store.dispatch(api.util.resetApiState())
    await vi.waitFor(() => expect(client.getState().status).toBe('closed'))
    await settle()
    expect(complaints).not.toHaveBeenCalled()
  })

  it('asks the client to refresh on refetch, and keeps its data meanwhile', async () => {
    const { subscription, core, cached } = await following()
    core.say(live())
    const before = cached().data
    await subscription.refetch()
    expect(core.calls).toEqual(['start', 'refresh'])
    expect(cached().data).toBe(before)
  })
})

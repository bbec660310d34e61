// @vitest-environment jsdom
import { configureStore } from '@reduxjs/toolkit'
import { createApi, fakeBaseQuery } from '@reduxjs/toolkit/query/react'
import { act, cleanup, render } from '@testing-library/react'
import { Provider } from 'react-redux'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { clientFactory } from '../src/client.js'
import { dashboardOf, dashboardQuery } from '../src/redux.js'
import type { DashboardState } from '../src/types.js'
import { CoreDouble, live, loadDouble } from './double.js'
import { latest, OPTIONS } from './support.js'

const KEPT_S = 60
/** Longer than a frame of a page: Redux Toolkit tells components of changes in the next one. */
const FRAME_MS = 20

beforeEach(() => {
  CoreDouble.made = []
  vi.stubGlobal('WebSocket', class {})
  vi.useFakeTimers()
})

afterEach(() => {
  cleanup()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** Components that show the state by the hook. The test can make each of them skip. */
async function shown(names: string[]) {
  const client = clientFactory(loadDouble)(OPTIONS)
  const api = createApi({
    baseQuery: fakeBaseQuery(),
    keepUnusedDataFor: KEPT_S,
    endpoints: build => ({
      dashboard: build.query<DashboardState, void>({ ...dashboardQuery(client) }),
    }),
  })
  const store = configureStore({
    reducer: { [api.reducerPath]: api.reducer },
    middleware: defaults => defaults().concat(api.middleware),
  })
  function Shown({ name, skip }: { name: string; skip: boolean }) {
    const { status, view } = dashboardOf(api.useDashboardQuery(undefined, { skip }))
    return <p>{`${name}: ${status}, ${view?.summary.totalMocs ?? 'nothing'}`}</p>
  }
  const page = (skipping: string[]) => (
    <Provider store={store}>
      {names.map(name => (
        <Shown key={name} name={name} skip={skipping.includes(name)} />
      ))}
    </Provider>
  )
  const { container, rerender } = render(page([]))
  const pass = (ms = FRAME_MS) => act(() => vi.advanceTimersByTimeAsync(ms))
  await pass()
  latest().say(live())
  await pass()
  return {
    client,
    pass,
    async skip(...skipping: string[]) {
      rerender(page(skipping))
      await pass()
    },
    texts: () => [...container.querySelectorAll('p')].map(p => p.textContent),
  }
}

describe('a component that shows an endpoint of Redux Toolkit Query', () => {
  it('shows nothing as live while it skips, and the state again afterwards', async () => {
    const { client, pass, skip, texts } = await shown(['a'])
    expect(texts()).toEqual(['a: live, 3'])
    await skip('a')
    expect(texts()).toEqual(['a: idle, nothing'])
    await skip()
    expect(texts()).toEqual(['a: live, 3'])

    await skip('a')
    await pass(KEPT_S * 1_000)
    expect(client.getState().status).toBe('closed')
    expect(texts()).toEqual(['a: idle, nothing'])
    await skip()
    latest().say(live())
    await pass()
    expect(CoreDouble.made).toHaveLength(2)
    expect(texts()).toEqual(['a: live, 3'])
  })

  it('follows the client while another one skips', async () => {
    const { client, pass, skip, texts } = await shown(['a', 'b'])
    await skip('a')
    await pass(KEPT_S * 1_000)
    expect(texts()).toEqual(['a: idle, nothing', 'b: live, 3'])
    client.stop()
    await pass()
    expect(texts()).toEqual(['a: idle, nothing', 'b: closed, nothing'])
  })
})

// @vitest-environment jsdom
import { createDashboardClient, type DashboardState } from '@moc/dashboard-sdk'
import { dashboardOf, dashboardQuery } from '@moc/dashboard-sdk/redux'
import { createFakeServer, makeView } from '@moc/dashboard-sdk/testing'
import { configureStore } from '@reduxjs/toolkit'
import { createApi, fakeBaseQuery } from '@reduxjs/toolkit/query/react'
import { act, cleanup, render, screen } from '@testing-library/react'
import { Provider } from 'react-redux'
import { afterEach, beforeEach, it, vi } from 'vitest'

const server = createFakeServer({ view: makeView({ summary: { totalMocs: 3 } }), time: vi, act })

beforeEach(() => {
  vi.useFakeTimers()
  server.install()
})

afterEach(() => {
  cleanup()
  server.uninstall()
  vi.useRealTimers()
})

it('shows the total, and follows it', async () => {
  const client = createDashboardClient({ url: server.url, cookies: true, logger: null })
  const api = createApi({
    baseQuery: fakeBaseQuery(),
    endpoints: build => ({
      dashboard: build.query<DashboardState, void>({ ...dashboardQuery(client) }),
    }),
  })
  const store = configureStore({
    reducer: { [api.reducerPath]: api.reducer },
    middleware: defaults => defaults().concat(api.middleware),
  })
  function Total() {
    const { view, status } = dashboardOf(api.useDashboardQuery())
    return <p>{`${view?.summary.totalMocs ?? 'no'} MOCs, ${status}`}</p>
  }
  render(
    <Provider store={store}>
      <Total />
    </Provider>,
  )
  await server.until(client, 'live')
  await server.advance(20) // a frame: the store tells components in the next one
  screen.getByText('3 MOCs, live')

  server.update(({ summary }) => ({ summary: { ...summary, totalMocs: 4 } }))
  await server.advance(20)
  screen.getByText('4 MOCs, live')
})

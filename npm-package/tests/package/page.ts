/** The app that every bundler gets: it imports the client alone, and tells a backend how it fares. */
export const PLAIN = `
import { createDashboardClient } from '@moc/dashboard-sdk'

const address = new URL(location.href).searchParams
const backend = address.get('backend')

function report(facts) {
  const body = JSON.stringify(facts)
  fetch(backend + '/reports/' + address.get('name'), { method: 'POST', body, keepalive: true })
}
function modules() {
  const fetched = performance.getEntriesByType('resource').map(({ name }) => name)
  return fetched.filter(name => /\\.wasm$/.test(name))
}
addEventListener('error', event => report({ status: 'broken', message: event.message }))

const client = createDashboardClient({ url: backend, getToken: () => 'token', logger: null })
client.subscribe(({ status, freshness: { reason }, view }) => {
  const wishes = view?.summary.totalWishlistItems
  report({ status, reason: reason?.code, message: reason?.message, wishes, modules: modules() })
})
// As a person does: some time after the page has loaded.
addEventListener('load', () => setTimeout(() => {
  report({ status: 'made', modules: modules() })
  client.start()
}))
`

/** The same as a React app, in StrictMode; it tells only what its component shows. */
export const REACT = `
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import { createElement, StrictMode, useEffect } from 'react'
import { createRoot } from 'react-dom/client'

const address = new URL(location.href).searchParams
const backend = address.get('backend')
const client = createDashboardClient({ url: backend, getToken: () => 'token', logger: null })

function Wishes() {
  const status = useDashboard(state => state.status)
  const wishes = useDashboard(state => state.view?.summary.totalWishlistItems)
  useEffect(() => {
    const body = JSON.stringify({ status, wishes })
    fetch(backend + '/reports/' + address.get('name'), { method: 'POST', body })
  }, [status, wishes])
}
const app = createElement(DashboardProvider, { client }, createElement(Wishes))
createRoot(document.querySelector('main')).render(createElement(StrictMode, null, app))
`

/** What compilers make of the import that write CommonJS. */
export const REQUIRED = `
const { createDashboardClient } = require('@moc/dashboard-sdk')

createDashboardClient({ url: location.origin, cookies: true }).start()
`

/** The page that holds it, for tools that do not write one. */
export function html(script: string): string {
  return `<!doctype html><html><head><meta charset="utf-8"></head><body><main></main>${script}</body></html>\n`
}

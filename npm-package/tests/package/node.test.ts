/** The package in Node: rendered on a server, connected, and under Vitest. */
import path from 'node:path'
import { pathToFileURL } from 'node:url'

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'

import { Backend, WISHES } from './backend.js'
import { importable, manifest, Project } from './project.js'
import { tools } from './tool.js'

const project = new Project(inject('packed').project)
let backend: Backend

beforeAll(async () => {
  backend = await Backend.start()
})
afterAll(() => backend?.close())

it('imports every part of the package', async () => {
  const subpaths = importable(await manifest())
  expect(subpaths).toContain('@moc/dashboard-sdk')
  const imports = subpaths.map(subpath => `'${subpath}': Object.keys(await import('${subpath}'))`)
  await project.write('all.mjs', `console.log(JSON.stringify({ ${imports.join(',\n')} }))`)
  const names = JSON.parse(await project.exec('node', 'all.mjs'))
  expect(Object.keys(names)).toEqual(subpaths)
  expect(names).toMatchObject({
    '@moc/dashboard-sdk': ['createDashboardClient'],
    '@moc/dashboard-sdk/react': ['DashboardProvider', 'useDashboard', 'useDashboardClient'],
    '@moc/dashboard-sdk/types': [],
  })
})

it('is made and rendered by require as well', async () => {
  await project.write('required.cjs', REQUIRED)
  expect(JSON.parse(await project.exec('node', 'required.cjs'))).toEqual({
    html: '<p>idle</p>',
    status: 'closed',
  })
})

it('is made and rendered on a server, and says why it cannot connect', async () => {
  await project.write('server.mjs', SERVER)
  expect(JSON.parse(await project.exec('node', 'server.mjs'))).toEqual({
    html: '<p>idle</p>',
    status: 'closed',
    reason: 'WEBSOCKET_UNAVAILABLE',
  })
})

it('is live where Node has a WebSocket, with the module read from its file', async () => {
  await project.write('live.mjs', LIVE)
  // Node 22 has one without asking; its flag does no harm there.
  const flags = ['--experimental-websocket', '--no-warnings']
  const options = ['live.mjs', backend.origin, String(WISHES)]
  expect(await project.exec('node', ...flags, ...options)).toBe('live\n')
})

it('is live in Node 20 with the class of the package ws', async () => {
  const ws = pathToFileURL(tools.resolve('ws'))
  const given = `import WebSocket from '${ws}'\nglobalThis.WebSocket = WebSocket\n`
  await project.write('ws.mjs', `${given}${LIVE}`)
  const said = await project.exec('node', 'ws.mjs', backend.origin, String(WISHES))
  expect(said).toBe('live\n')
})

it('ends at once when stopped, also while a token is awaited', async () => {
  await project.write('stopped.mjs', STOPPED)
  const said = await project.exec(
    'node',
    '--experimental-websocket',
    '--no-warnings',
    'stopped.mjs',
  )
  expect(Number(said)).toBeLessThan(4_000)
})

describe('Node 22, whose WebSocket tells of a failure by an error alone', () => {
  const node = path.join(path.dirname(tools.resolve('node22/package.json')), 'bin/node')

  it('is live', async () => {
    await project.write('live.mjs', LIVE)
    expect(await project.exec(node, 'live.mjs', backend.origin, String(WISHES))).toBe('live\n')
  })

  it('hears at once that nothing listens, and tries again', async () => {
    await project.write('refused.mjs', REFUSED)
    const lost = 'backoff SOCKET_FAILED'
    const retried = 'connecting SOCKET_FAILED'
    const said = await project.exec(node, 'refused.mjs')
    expect(said.trim().split('\n').slice(-5)).toEqual([lost, retried, lost, retried, 'closed'])
  })
})

describe('Vitest', () => {
  it.each(['node', 'jsdom'])('runs it in the environment %s without configuration', async kind => {
    await project.write(`${kind}.test.js`, TEST)
    const options = ['--environment', kind, '--reporter', 'json', `${kind}.test.js`]
    const vitest = project.path('node_modules/vitest/vitest.mjs')
    const said = await project.exec('node', vitest, 'run', ...options)
    expect(JSON.parse(said)).toMatchObject({ numPassedTests: 2, numFailedTests: 0 })
  })
})

const REQUIRED = `
const { createDashboardClient } = require('@moc/dashboard-sdk')
const { DashboardProvider, useDashboard } = require('@moc/dashboard-sdk/react')
const { createElement } = require('react')
const { renderToString } = require('react-dom/server')

const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })
function Status() {
  return createElement('p', null, useDashboard(state => state.status))
}
const html = renderToString(createElement(DashboardProvider, { client }, createElement(Status)))
delete globalThis.WebSocket
client.start()
console.log(JSON.stringify({ html, status: client.getState().status }))
`

const SERVER = `
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'

const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })
function Status() {
  return createElement('p', null, useDashboard(state => state.status))
}
const html = renderToString(createElement(DashboardProvider, { client }, createElement(Status)))
delete globalThis.WebSocket
client.start()
const { status, freshness } = client.getState()
console.log(JSON.stringify({ html, status, reason: freshness.reason.code }))
`

const LIVE = `
import { createDashboardClient } from '@moc/dashboard-sdk'

const [url, expected] = process.argv.slice(2)
const client = createDashboardClient({ url, getToken: () => 'token' })
client.subscribe(({ status, view }) => {
  const wishes = view?.summary.totalWishlistItems
  if (status !== 'live' || wishes !== Number(expected)) return
  console.log('live')
  client.stop()
})
client.start()
`

// The client waits 8 s for a token. Any output on stderr fails the test.
const STOPPED = `
import { createDashboardClient } from '@moc/dashboard-sdk'

let asked = 0
const client = createDashboardClient({
  url: 'http://127.0.0.1:1',
  getToken: () => {
    asked = Date.now()
    setTimeout(client.stop, 100)
    return new Promise(() => {})
  },
})
client.start()
process.on('exit', () => console.log(Date.now() - asked))
`

// Port 1 is no one's. It ends itself once it tries for the third time.
const REFUSED = `
import { createDashboardClient } from '@moc/dashboard-sdk'

const client = createDashboardClient({
  url: 'http://127.0.0.1:1',
  getToken: () => 'token',
  logger: null,
})
client.subscribe(({ status, freshness }, previous) => {
  if (status === previous.status) return
  console.log([status, freshness.reason?.code].filter(Boolean).join(' '))
  if (freshness.attempt === 2 && status === 'connecting') client.stop()
})
client.start()
`

// The socket is the test's: Node 20 has none, and jsdom's fails under Vitest in every project.
const TEST = `
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'
import { expect, it, vi } from 'vitest'

const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })

it('renders', () => {
  function Status() {
    return createElement('p', null, useDashboard(state => state.status))
  }
  const page = createElement(DashboardProvider, { client }, createElement(Status))
  expect(renderToString(page)).toBe('<p>idle</p>')
})

it('loads the real module, which opens a socket and hears that it is lost', async () => {
  vi.stubGlobal('WebSocket', class {
    constructor() {
      queueMicrotask(() => this.onclose({ code: 1006, reason: '' }))
    }
    close() {}
  })
  client.start()
  await vi.waitFor(() => expect(client.getState().status).toBe('backoff'), 30_000)
  expect(client.getState().freshness.reason.code).toBe('SOCKET_CLOSED')
  client.stop()
})
`

// The page of the benchmark: the real package in a world whose socket and server are played here.
import { createDashboardClient } from '../dist/entry/browser.js'

const ROWS = 2000
const ROUNDS = 300
/** Rounds that let the browser compile what is hot; not counted. */
const WARM_UP = 50
const THEMES = ['Modular Buildings', 'Space', 'Castle', 'Technic', 'Château d’eau']
const STATUSES = ['ADDED', 'IN_PROGRESS', 'BUILT']

let socket
globalThis.WebSocket = class {
  constructor() {
    socket = this
  }
  send() {}
  close() {}
}
const { fetch } = globalThis
globalThis.fetch = async (url, init) =>
  init?.method === 'POST' || !String(url).endsWith('/dashboard')
    ? fetch(url, init)
    : new Response(JSON.stringify(view(1)), { status: 200, headers: { ETag: '"bench-1"' } })

async function measure() {
  const client = createDashboardClient({ url: location.origin, cookies: true })
  const until = condition =>
    new Promise(resolve => {
      const look = () => condition() && resolve()
      client.subscribe(look)
      look()
    })
  client.start()
  await until(() => socket !== undefined && client.getState().status === 'connecting')
  while (socket.onopen === undefined) await new Promise(resolve => setTimeout(resolve))
  socket.onopen({})
  socket.onmessage({ data: '0{"sid":"s","pingInterval":10000,"pingTimeout":5000}' })
  socket.onmessage({ data: '40/dashboard,{"sid":"s"}' })
  await until(() => client.getState().status === 'live')

  const results = []
  let revision = 1
  for (const [type, payload, section] of KINDS) {
    const applied = []
    const parsed = []
    let bytes = 0
    for (let round = 0; round < WARM_UP + ROUNDS; round += 1) {
      revision += 1
      const json = JSON.stringify([type, envelope(type, revision, payload(revision))])
      const data = `42/dashboard,${json}`
      bytes = data.length
      const before = client.getState().view
      const took = timed(client, data)
      checkView(before, client.getState().view, section)
      const begin = performance.now()
      JSON.parse(json)
      const parse = performance.now() - begin
      if (round >= WARM_UP) {
        applied.push(took)
        parsed.push(parse)
      }
      // The browser gets its turn, as between two real messages.
      await new Promise(resolve => setTimeout(resolve))
    }
    results.push({ type, bytes, applied, parsed })
  }
  client.stop()
  return results
}

/** From the entry of the socket's handler to the call of the app's listener. */
function timed(client, data) {
  let end
  const unsubscribe = client.subscribe(() => {
    end ??= performance.now()
  })
  const begin = performance.now()
  socket.onmessage({ data })
  unsubscribe()
  if (end === undefined) throw new Error(`Not applied: ${data.slice(0, 80)}`)
  return end - begin
}

/** A figure is worth nothing where the wrong thing was measured. */
function checkView(before, after, changed) {
  for (const name of Object.keys(after)) {
    if ((before[name] === after[name]) === (name === changed)) {
      throw new Error(`${name} ${name === changed ? 'did not change' : 'lost its identity'}`)
    }
  }
  if (after.partialPartsMocs.length !== ROWS) throw new Error('rows are missing')
}

const KINDS = [
  ['dashboard:summaryUpdated', summary, 'summary'],
  ['dashboard:recentMocAdded', recent, 'recentMocs'],
  ['dashboard:recentMocsUpdated', seed => list(10, n => recent(seed * 10 + n)), 'recentMocs'],
  ['dashboard:themeBreakdownUpdated', seed => list(40, n => theme(n, seed)), 'themeBreakdown'],
  ['dashboard:partialPartsUpdated', partial, 'partialPartsMocs'],
]

function view(seed) {
  return {
    summary: summary(seed),
    themeBreakdown: list(40, n => theme(n, seed)),
    recentMocs: list(10, recent),
    partialPartsMocs: partial(seed),
  }
}

function envelope(type, revision, payload) {
  return { eventId: id(revision), type, timestamp: '2026-11-23T09:30:00.123Z', revision, payload }
}

function summary(seed) {
  return {
    totalMocs: 5000 + seed,
    totalWishlistItems: 12,
    mocsByBuildStatus: { ADDED: 3000 + seed, IN_PROGRESS: 1000, BUILT: 1000 },
    mocsByCoverageStatus: { FULL_INVENTORY: 1000, PARTIAL_ORDERED: ROWS, NONE: 2000 + seed },
  }
}

function theme(n, seed) {
  return { theme: `Theme ${n}`, mocCount: seed + n, setCount: n }
}

function recent(n) {
  return {
    id: id(n),
    title: `Corner garage No. ${n}`,
    theme: THEMES[n % THEMES.length],
    buildStatus: STATUSES[n % STATUSES.length],
    coverImageUrl: n % 2 === 0 ? `https://cdn.example.org/mocs/${n}.jpg` : null,
    createdAt: '2026-11-23T09:30:00Z',
  }
}

function partial(seed) {
  return list(ROWS, n => ({
    id: id(n),
    title: `Corner garage No. ${n}${n % 50 === 0 ? ' “as built”' : ''}`,
    theme: THEMES[n % THEMES.length],
    buildStatus: STATUSES[n % STATUSES.length],
    coveragePercentage: (n + seed) % 101,
    lastUpdatedAt: '2026-11-23T09:30:00.123Z',
  }))
}

function list(length, of) {
  return Array.from({ length }, (_, n) => of(n))
}

function id(n) {
  return `0190f5a2-7c1e-7d3a-9b7e-${n.toString(16).padStart(12, '0')}`
}

function send(report) {
  return fetch('/report', { method: 'POST', body: JSON.stringify(report) })
}

try {
  await send({ rows: ROWS, results: await measure() })
} catch (error) {
  await send({ error: String(error?.stack ?? error) })
}

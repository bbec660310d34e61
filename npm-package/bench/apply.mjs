// Measures in Chromium what it costs to apply an event to a view with 2,000 partial rows: serves the
// built package and a page on loopback, opens the page, and prints what it reports.
import { spawn } from 'node:child_process'
import { createReadStream, existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
}
/** Cross-origin isolation, which the page's clock is fine-grained for: 5 µs instead of 100. */
const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const PATIENCE_MS = 300_000

const { promise: reported, resolve: report } = Promise.withResolvers?.() ?? withResolvers()
const server = createServer((request, response) => {
  if (request.method === 'POST') return receive(request, response)
  const file = path.join(ROOT, path.normalize(new URL(request.url, 'http://localhost').pathname))
  const type = TYPES[path.extname(file)]
  if (type === undefined || !existsSync(file)) return response.writeHead(404).end()
  response.writeHead(200, { 'content-type': type, ...ISOLATED })
  createReadStream(file).pipe(response)
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const profile = await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-bench-'))
const url = `http://127.0.0.1:${server.address().port}/bench/page.html`
const browser = spawn(chromium(), [...FLAGS, `--user-data-dir=${profile}`, url], {
  stdio: 'ignore',
})
const ended = new Promise(resolve => browser.once('exit', resolve))
const timer = setTimeout(() => report({ error: 'the page reported nothing in time' }), PATIENCE_MS)
const { error, rows, results } = await Promise.race([
  reported,
  ended.then(code => ({ error: `Chromium ended with code ${code}` })),
])
clearTimeout(timer)
browser.kill()
await ended
server.close()
await rm(profile, { recursive: true, force: true })

if (error !== undefined) {
  console.error(`error: ${error}`)
  process.exit(1)
}
print(rows, results)

function print(rows, results) {
  const line = cells =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(34) : cell.padStart(9))).join('')
  console.log(`From the message to the app's listener, in ms, with ${rows} partial rows:`)
  console.log(line(['event', 'count', 'bytes', 'min', 'median', 'p95', 'max', 'parse', 'ratio']))
  for (const { type, bytes, applied, parsed } of results) {
    const [median, parse] = [quantile(applied, 0.5), quantile(parsed, 0.5)]
    const figures = [
      Math.min(...applied),
      median,
      quantile(applied, 0.95),
      Math.max(...applied),
      parse,
    ]
    const counts = [String(applied.length), String(bytes)]
    const ratio = (median / parse).toFixed(1)
    console.log(line([type, ...counts, ...figures.map(ms => ms.toFixed(3)), ratio]))
  }
  console.log(
    'parse: the median of JSON.parse alone for the same frames; ratio: how many times that.',
  )
}

function quantile(figures, share) {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

async function receive(request, response) {
  const parts = []
  for await (const part of request) parts.push(part)
  response.writeHead(204).end()
  report(JSON.parse(Buffer.concat(parts).toString()))
}

function chromium() {
  const folders = (process.env.PATH ?? '').split(path.delimiter)
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const files = names.flatMap(name => folders.map(folder => path.join(folder, name)))
  const found = files.find(file => existsSync(file))
  if (found === undefined) throw new Error(`No browser is on PATH. Install one of: ${names}`)
  return found
}

// Node 20 has no Promise.withResolvers.
function withResolvers() {
  let resolve
  const promise = new Promise(given => {
    resolve = given
  })
  return { promise, resolve }
}

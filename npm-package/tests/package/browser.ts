import { execFile, execFileSync } from 'node:child_process'
import { createReadStream, existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
}

/** What the page may do: as `dashboard-server` says it, so no inline scripts and no `eval`. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"

/** Serves a folder on loopback under a strict Content-Security-Policy. */
export async function serve(folder: string): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const file = path.join(folder, pathname === '/' ? 'index.html' : path.normalize(pathname))
    const type = TYPES[path.extname(file)]
    if (type === undefined || !existsSync(file)) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, { 'content-type': type, 'content-security-policy': POLICY })
    createReadStream(file).pipe(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() }
}

/** Opens a page in headless Chromium and returns its DOM after some seconds of its own time. */
export async function domOf(url: string): Promise<string> {
  const profile = await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-browser-'))
  const flags =
    '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run ' +
    '--disable-background-networking --disable-component-update --disable-sync'
  try {
    const { stdout } = await promisify(execFile)(
      chromium(),
      [
        ...flags.split(' '),
        `--user-data-dir=${profile}`,
        '--virtual-time-budget=8000',
        '--timeout=60000',
        '--dump-dom',
        url,
      ],
      { timeout: 90_000 },
    )
    return stdout
  } finally {
    await rm(profile, { recursive: true, force: true })
  }
}

function chromium(): string {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const found = names.find(name => {
    try {
      execFileSync('which', [name], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
  if (found === undefined) throw new Error(`No browser is on PATH. Install one of: ${names}`)
  return found
}

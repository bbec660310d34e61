import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'

const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run ' +
  '--disable-background-networking --disable-component-update --disable-sync ' +
  '--remote-debugging-port=0 --enable-logging=stderr'

/** One headless Chromium in which pages are opened. */
export class Browser {
  /** What the browser and its pages printed: for the message of a test that fails. */
  readonly console: string[] = []
  readonly #process: ChildProcess
  readonly #profile: string
  readonly #debugger: Promise<string>

  private constructor(profile: string) {
    this.#profile = profile
    const flags = [...FLAGS.split(' '), `--user-data-dir=${profile}`, 'about:blank']
    this.#process = spawn(chromium(), flags, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#debugger = new Promise((resolve, reject) => {
      this.#process.once('exit', () => reject(new Error(`Chromium ended:\n${this.#said()}`)))
      const stderr = this.#process.stderr as NodeJS.ReadableStream
      createInterface({ input: stderr }).on('line', line => {
        this.console.push(line)
        const address = /DevTools listening on ws:\/\/([^/]+)/.exec(line)?.[1]
        if (address !== undefined) resolve(`http://${address}`)
      })
    })
    // The code that opens a page gets the error.
    this.#debugger.catch(() => {})
  }

  static async start(): Promise<Browser> {
    return new Browser(await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-browser-')))
  }

  /** Opens a page; how it fares is for the page to tell. */
  async open(url: string): Promise<void> {
    const address = `${await this.#debugger}/json/new?${encodeURIComponent(url)}`
    const response = await fetch(address, { method: 'PUT' })
    if (!response.ok) throw new Error(`Chromium opened no page: ${response.status}`)
  }

  /** What pages wrote to their consoles. */
  get messages(): string[] {
    return this.console.filter(line => line.includes(':CONSOLE'))
  }

  async close(): Promise<void> {
    if (this.#process.exitCode === null) {
      const gone = once(this.#process, 'exit')
      this.#process.kill()
      await gone
    }
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }

  #said(): string {
    return this.console.slice(-20).join('\n')
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

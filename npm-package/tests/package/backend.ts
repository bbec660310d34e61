/**
 * A server for the pages and programs that try the package: the official Socket.IO server, the
 * snapshot beside it, and a place where they report how they fare.
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { text } from 'node:stream/consumers'

import { tools } from './tool.js'

/** What a page says about itself after each change of state. */
export interface Report {
  status: string
  reason?: string
  /** What the reason says to people, or an error of the page. */
  message?: string
  /** Items on the wishlist that it shows. */
  wishes?: number
  /** Addresses of the WebAssembly files that the page has fetched so far. */
  modules?: string[]
}

const goldens = path.join(import.meta.dirname, '../../../shared-types/goldens')
const [view, event] = ['view', 'event-summary-updated'].map(name =>
  JSON.parse(readFileSync(path.join(goldens, `${name}.json`), 'utf8')),
)
// The event differs from the snapshot, so that a page can tell that both have come through.
event.payload.totalWishlistItems = view.summary.totalWishlistItems + 1

/** What a page shows after the snapshot and the event. */
export const WISHES: number = event.payload.totalWishlistItems

interface Socket {
  emit(name: string, ...args: unknown[]): void
}
interface SocketServer {
  of(namespace: string): { on(name: 'connection', listener: (socket: Socket) => void): void }
  close(): Promise<void>
}

/** A running server with what was reported to it. */
export class Backend {
  readonly #reports = new Map<string, Report[]>()
  readonly #waiting = new Set<() => void>()
  readonly #http: Server
  readonly #sockets: SocketServer

  private constructor() {
    const { Server: SocketIo } = tools('socket.io') as {
      Server: new (server: Server, options: object) => SocketServer
    }
    this.#http = createServer((request, response) => void this.#answer(request, response))
    this.#sockets = new SocketIo(this.#http, { cors: { origin: '*' } })
    this.#sockets.of('/dashboard').on('connection', socket => socket.emit(event.type, event))
  }

  /** Starts one on a free port of this machine. */
  static async start(): Promise<Backend> {
    const backend = new Backend()
    await new Promise<void>(resolve => backend.#http.listen(0, '127.0.0.1', resolve))
    return backend
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  /** Everything that was reported under that name. */
  reports(name: string): Report[] {
    return this.#reports.get(name) ?? []
  }

  /** The first report under that name that fits, as soon as there is one. */
  async until(name: string, fits: (report: Report) => boolean): Promise<Report> {
    for (;;) {
      const found = this.reports(name).find(report => report.status === 'broken' || fits(report))
      if (found?.status === 'broken') throw new Error(`The page broke: ${found.message}`)
      if (found !== undefined) return found
      await new Promise<void>(resolve => this.#waiting.add(resolve))
    }
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections()
    await this.#sockets.close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', '*, authorization, if-none-match')
    response.setHeader('access-control-expose-headers', 'etag')
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end()
    } else if (pathname.startsWith('/reports/')) {
      this.#note(decodeURIComponent(pathname.slice('/reports/'.length)), await text(request))
      response.writeHead(204).end()
    } else if (pathname === '/api/dashboard') {
      const tag = `epoch-${event.revision - 1}`
      const fresh = searchParams.get('fresh')
      response.writeHead(200, { 'content-type': 'application/json', etag: `"${tag}"` })
      response.end(JSON.stringify(fresh === null ? view : { fresh, tag, view }))
    } else {
      response.writeHead(404).end()
    }
  }

  #note(name: string, body: string): void {
    this.#reports.set(name, [...this.reports(name), JSON.parse(body) as Report])
    for (const resume of this.#waiting) resume()
    this.#waiting.clear()
  }
}

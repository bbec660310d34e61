/** Replaces the global `WebSocket` and `fetch` while a fake server is installed. */

/** A fake server, seen from the network. */
export interface Site {
  /** Whether the address is the site's. Other requests go where they went before. */
  owns(url: URL): boolean
  connect(url: URL): object
  fetch(url: URL, init: SiteRequest): Promise<Response>
}

/** The part of a request that is read. */
export interface SiteRequest {
  headers: Headers
  signal: AbortSignal | null
  /** As the caller has it; clients always say it. */
  credentials?: RequestCredentials | undefined
}

type Name = 'WebSocket' | 'fetch'

const sites = new Set<Site>()
const replaced = new Map<Name, { before: PropertyDescriptor | undefined; standIn: unknown }>()

/** Sends the site's requests to it, until the returned function is called. */
export function plugIn(site: Site): () => void {
  const taken = sites.size === 0
  sites.add(site)
  if (taken) {
    replace('WebSocket', webSocket(globalThis.WebSocket))
    replace('fetch', fetchFunction(globalThis.fetch))
  }
  return function unplug() {
    if (!sites.delete(site) || sites.size > 0) return
    restore('WebSocket')
    restore('fetch')
  }
}

function replace(name: Name, standIn: unknown): void {
  replaced.set(name, { before: Object.getOwnPropertyDescriptor(globalThis, name), standIn })
  const value = { value: standIn, configurable: true, enumerable: true, writable: true }
  Object.defineProperty(globalThis, name, value)
}

function restore(name: Name): void {
  const { before, standIn } = replaced.get(name) ?? {}
  replaced.delete(name)
  // If another tool has wrapped the stand-in, the stand-in stays: it passes everything on.
  if (globalThis[name] !== standIn) return
  if (before === undefined) Reflect.deleteProperty(globalThis, name)
  else Object.defineProperty(globalThis, name, before)
}

function siteOf(address: unknown): { site: Site; url: URL } | null {
  const url = parsed(String(address))
  const site = url === null ? undefined : [...sites].find(site => site.owns(url))
  return url === null || site === undefined ? null : { site, url }
}

/** Not `URL.canParse`, which jsdom has not had for long. */
function parsed(address: string): URL | null {
  const base = (globalThis as { location?: { href?: string } }).location?.href
  try {
    return new URL(address, base)
  } catch {
    return null
  }
}

class NoWebSocket {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSING = 2
  static readonly CLOSED = 3

  constructor(url: unknown) {
    throw new Error(`There is no WebSocket here but the fake server's, and ${url} is not its.`)
  }
}

function webSocket(before: typeof WebSocket | undefined): unknown {
  return new Proxy<new (...args: never[]) => object>(before ?? NoWebSocket, {
    construct(target, args: unknown[]) {
      const found = siteOf(args[0])
      return found === null
        ? Reflect.construct(target, args)
        : (found.site.connect(found.url) as object)
    },
  })
}

function fetchFunction(before: typeof fetch | undefined): typeof fetch {
  return function fetch(input, init) {
    const request = input as { url?: string; headers?: Headers; signal?: AbortSignal }
    const found = siteOf(request.url ?? input)
    if (found !== null) {
      const headers = new Headers(init?.headers ?? request.headers)
      return found.site.fetch(found.url, {
        headers,
        signal: init?.signal ?? request.signal ?? null,
        credentials: init?.credentials,
      })
    }
    if (before !== undefined) return before.call(globalThis, input, init)
    return Promise.reject(new TypeError(`There is no fetch here but the fake server's.`))
  }
}

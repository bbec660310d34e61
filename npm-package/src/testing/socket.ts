type Listener = (event: object) => void
type EventName = 'open' | 'message' | 'error' | 'close'

/**
 * The client's end of a fake connection: the visible part of a `WebSocket`.
 *
 * It is no `EventTarget`, because that is another class in jsdom than in Node.
 */
export class FakeSocket {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSING = 2
  static readonly CLOSED = 3

  readonly url: string
  readonly protocol = ''
  readonly extensions = ''
  readonly bufferedAmount = 0
  binaryType = 'blob'
  readyState: number = FakeSocket.CONNECTING
  onopen: Listener | null = null
  onmessage: Listener | null = null
  onerror: Listener | null = null
  onclose: Listener | null = null
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #server: { receive(text: string): void; closed(): void }

  constructor(url: string, server: { receive(text: string): void; closed(): void }) {
    this.url = url
    this.#server = server
  }

  send(text: string): void {
    if (this.readyState === FakeSocket.CONNECTING) throw new Error('The socket is not open yet.')
    if (this.readyState === FakeSocket.OPEN) this.#server.receive(text)
  }

  close(): void {
    if (this.readyState >= FakeSocket.CLOSING) return
    this.readyState = FakeSocket.CLOSING
    this.#server.closed()
    void Promise.resolve().then(() => this.end(1005))
  }

  addEventListener(name: string, listener: Listener): void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener))
  }

  removeEventListener(name: string, listener: Listener): void {
    this.#listeners.get(name)?.delete(listener)
  }

  // What the server's end does.

  open(): void {
    if (this.readyState !== FakeSocket.CONNECTING) return
    this.readyState = FakeSocket.OPEN
    this.#fire('open', {})
  }

  hear(text: string): void {
    if (this.readyState === FakeSocket.OPEN) this.#fire('message', { data: text })
  }

  end(code: number): void {
    if (this.readyState === FakeSocket.CLOSED) return
    this.readyState = FakeSocket.CLOSED
    if (code === 1006) this.#fire('error', {})
    this.#fire('close', { code, reason: '', wasClean: code !== 1006 })
  }

  #fire(type: EventName, details: object): void {
    const event = { type, target: this, currentTarget: this, ...details }
    this[`on${type}`]?.(event)
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener(event)
  }
}

import { checkWithin } from './check.js'
import { Script, type Times, timesOf } from './script.js'
import type { Sessions, Token } from './sessions.js'
import type { Source } from './snapshots.js'
import { FakeSocket } from './socket.js'
import type { Network, Wire } from './wire.js'

/** The server's heartbeat, as the handshake announces it. */
const PING = { interval: 10_000, timeout: 5_000 }

/** How long the server waits for an answer. */
const PATIENCE = 4 * PING.timeout

/** What a socket may be closed with. */
const CLOSE_CODES: [number, number] = [1000, 4999]

/** How a new connection is met. */
type Welcome = { kind: 'accept' | 'hang' | 'deny' } | { kind: 'refuse'; code: number }

/** A socket that a client opened, or tried to. */
export interface ConnectionAttempt {
  /** When, in ms since 1970. */
  readonly at: number
  /** The token that it bore; null for a cookie, undefined where it did not get as far as that. */
  readonly token: Token | undefined
  /** How far it came. `denied` is `AUTH_FAILED`; `closed` was accepted once. */
  readonly outcome: 'opening' | 'refused' | 'denied' | 'accepted' | 'closed' | 'abandoned'
}

/** What happens to sockets, and what happened to them. */
export class Connections {
  readonly #script = new Script<Welcome>({ kind: 'accept' })
  readonly #network: Network
  readonly #sessions: Sessions
  readonly #source: Source
  #attempts: Connection[] = []

  /** @internal */
  constructor(network: Network, sessions: Sessions, source: Source) {
    this.#network = network
    this.#sessions = sessions
    this.#source = source
  }

  /** Accepts the session of each new socket. This is what happens unless scripted otherwise. */
  accept(options: Times = {}): void {
    this.#script.set({ kind: 'accept' }, timesOf('connections.accept', options))
  }

  /** New sockets fail to open, as where no server listens or a proxy forbids WebSockets. */
  refuse(options: Times & { code?: number } = {}): void {
    const times = timesOf('connections.refuse', options, ['code'])
    const { code = 1006 } = options
    checkWithin('code of connections.refuse', code, CLOSE_CODES)
    this.#script.set({ kind: 'refuse', code }, times)
  }

  /** New sockets are never answered, as behind a firewall that swallows packets. */
  hang(options: Times = {}): void {
    this.#script.set({ kind: 'hang' }, timesOf('connections.hang', options))
  }

  /** New sockets open, and receive `AUTH_FAILED`. The client then retries no more (D-RES-2). */
  deny(options: Times = {}): void {
    this.#script.set({ kind: 'deny' }, timesOf('connections.deny', options))
  }

  /** Closes the accepted sockets; they may connect again. The code is 1006: no close frame. */
  drop(code = 1006): void {
    checkWithin('connections.drop', code, CLOSE_CODES)
    for (const connection of this.#accepted()) connection.end(code)
  }

  /** How many are accepted now. */
  get open(): number {
    return this.#accepted().length
  }

  /** All attempts, oldest first. */
  get attempts(): readonly ConnectionAttempt[] {
    return this.#attempts
  }

  /** @internal */
  connect(url: string): FakeSocket {
    const welcome = this.#script.take()
    const connection = new Connection(url, this.#network, welcome, this.#sessions, this.#source)
    this.#attempts.push(connection)
    return connection.socket
  }

  /** Sends a text to every accepted socket. @internal */
  send(text: string): void {
    for (const connection of this.#accepted()) connection.send(text)
  }

  /** @internal */
  heal(): void {
    this.#script.reset()
  }

  /** Ends all without a word, and forgets them. @internal */
  reset(): void {
    this.heal()
    for (const connection of this.#attempts) connection.vanish()
    this.#attempts = []
  }

  #accepted(): Connection[] {
    return this.#attempts.filter(connection => connection.outcome === 'accepted')
  }
}

/** One socket, from the server's side: Engine.IO 4 and Socket.IO 5 as far as the dashboard speaks. */
class Connection implements ConnectionAttempt {
  readonly at = Date.now()
  readonly socket: FakeSocket
  token: Token | undefined
  outcome: ConnectionAttempt['outcome'] = 'opening'
  readonly #welcome: Welcome
  readonly #sessions: Sessions
  readonly #source: Source
  readonly #toClient: Wire
  readonly #toServer: Wire
  #ping: ReturnType<typeof setInterval> | undefined
  #patience: ReturnType<typeof setTimeout> | undefined

  constructor(url: string, network: Network, welcome: Welcome, sessions: Sessions, source: Source) {
    this.#welcome = welcome
    this.#sessions = sessions
    this.#source = source
    this.#toClient = network.wire()
    this.#toServer = network.wire()
    this.socket = new FakeSocket(url, {
      receive: text => this.#toServer.push(() => this.#hear(text)),
      closed: () => this.#toServer.push(() => this.#over('abandoned')),
    })
    if (welcome.kind === 'refuse') this.#refuse(welcome.code)
    else if (welcome.kind !== 'hang') this.#open()
  }

  send(text: string): void {
    this.#toClient.push(() => this.socket.hear(text))
  }

  end(code: number): void {
    this.#over('closed')
    this.#toClient.push(() => {
      this.socket.end(code)
      this.#toClient.cut()
    })
  }

  vanish(): void {
    this.#over('abandoned')
    this.#toClient.cut()
  }

  #refuse(code: number): void {
    this.outcome = 'refused'
    this.#toClient.push(() => this.socket.end(code))
  }

  #open(): void {
    this.#toClient.push(() => this.socket.open())
    const handshake = { sid: 'engine', upgrades: [], maxPayload: 100_000 }
    const heartbeat = { pingInterval: PING.interval, pingTimeout: PING.timeout }
    this.send(`0${JSON.stringify({ ...handshake, ...heartbeat })}`)
  }

  #hear(text: string): void {
    const connect = /^40\/dashboard,(.*)$/s.exec(text)
    if (connect !== null && this.outcome === 'opening') this.#admit(connect[1] as string)
    else if (text === '3') this.#answered()
  }

  #admit(auth: string): void {
    this.token = auth === '' ? null : (JSON.parse(auth) as { token: string }).token
    this.#sessions.note(this.token)
    if (this.#welcome.kind === 'deny' || !this.#sessions.accepts(this.token)) {
      this.send('44/dashboard,{"message":"AUTH_FAILED"}')
      this.end(1000)
      this.outcome = 'denied'
      return
    }
    this.outcome = 'accepted'
    this.send(`40/dashboard,${JSON.stringify({ sid: 'session', tag: this.#source.tag })}`)
    this.#ping = setInterval(() => {
      this.send('2')
      this.#patience ??= setTimeout(() => this.end(1006), PATIENCE)
    }, PING.interval)
  }

  #answered(): void {
    clearTimeout(this.#patience)
    this.#patience = undefined
  }

  #over(outcome: ConnectionAttempt['outcome']): void {
    clearInterval(this.#ping)
    this.#answered()
    this.#toServer.cut()
    if (this.outcome === 'accepted') this.outcome = 'closed'
    else if (this.outcome === 'opening') this.outcome = outcome
  }
}

import { checkBasePath, checkUrl } from '../options.js'
import type { DashboardState, DashboardView, EventPayloads, EventType } from '../types.js'
import { makeView } from './builders.js'
import { checkFunction, checkMembers, checkMilliseconds } from './check.js'
import { Connections } from './connections.js'
import { Events, eventsOf, frameOf, type Told } from './events.js'
import { plugIn } from './globals.js'
import { Sessions, type Token } from './sessions.js'
import { Snapshots } from './snapshots.js'
import {
  type Act,
  type Condition,
  isTime,
  Passage,
  type VirtualTime,
  type WatchedClient,
} from './time.js'
import { Network } from './wire.js'

const DEFAULT_URL = 'https://dashboard.test'

/** The options of a fake server. All are optional. */
export interface FakeServerOptions {
  /** Origin, as the client has it in `url`. Default: `https://dashboard.test`. */
  url?: string | URL
  /** As the client has it. Default: `/api`. */
  basePath?: string
  /** The user's collection. Default: `makeView()`. */
  view?: DashboardView
  /** The fake timers in use: `vi` or `jest`. Without it, time is real. */
  time?: VirtualTime
  /** `act` of Testing Library or React, where components are tested. */
  act?: Act
  /** How long each message takes in one direction, in ms. Default: 0. */
  latency?: number
  /**
   * Which sessions are accepted; a token, or null for a cookie. Default: all. A client that gives no
   * token and sends no cookies (`cookies: true`) has no session, and is refused without asking this.
   */
  accepts?: (token: Token) => boolean
}

/** Makes a server that does nothing before `install()`. */
export function createFakeServer(options: FakeServerOptions = {}): FakeServer {
  check(options)
  try {
    return new FakeServer(options)
  } catch (error) {
    // An address is refused in the client's words.
    const { message } = error as Error
    throw new TypeError(message.replace('createDashboardClient', 'createFakeServer'))
  }
}

const KNOWN = ['url', 'basePath', 'view', 'time', 'act', 'latency', 'accepts']
const SECTIONS = ['summary', 'themeBreakdown', 'recentMocs', 'partialPartsMocs']

function check(options: FakeServerOptions): void {
  checkMembers('createFakeServer', options, KNOWN)
  const { view, time, act, latency, accepts } = options
  if (view !== undefined) checkView('view of createFakeServer', view)
  if (time !== undefined && !isTime(time)) {
    throw new TypeError(
      'time of createFakeServer expects the fake timers in use, with advanceTimersByTimeAsync and ' +
        'advanceTimersToNextTimerAsync. Pass vi of Vitest, or jest of Jest 29.5 or newer.',
    )
  }
  checkFunction('act of createFakeServer', act, "Pass act of '@testing-library/react'.")
  if (latency !== undefined) checkMilliseconds('latency of createFakeServer', latency)
  checkFunction('accepts of createFakeServer', accepts, "Pass token => token === 'valid', say.")
}

function checkView(name: string, view: DashboardView): void {
  checkMembers(name, view, SECTIONS)
  const missing = SECTIONS.find(section => !(section in view))
  if (missing === undefined) return
  throw new TypeError(`${name} has no ${missing}. Pass makeView({ … }), which is complete.`)
}

/**
 * A scripted server for the real client: it speaks the wire protocol where `WebSocket` and `fetch`
 * would reach it, and nothing leaves the process.
 */
export class FakeServer {
  /** Origin; hand it to the client. */
  readonly url: string
  /** What happens to sockets: accept, refuse, hang, deny, drop. */
  readonly connections: Connections
  /** What happens to requests for the snapshot: serve, fail, hang. */
  readonly snapshots: Snapshots
  /** What happens to events: deliver, lose, duplicate, corrupt, reorder. */
  readonly events: Events
  readonly #options: FakeServerOptions
  readonly #basePath: string
  readonly #network = new Network()
  readonly #passage: Passage
  readonly #sessions: Sessions
  #view: DashboardView
  #revision = 1
  #epochs = 1
  #unplug: (() => void) | null = null

  /** @internal */
  constructor(options: FakeServerOptions) {
    this.#options = options
    this.url = checkUrl(options.url ?? DEFAULT_URL)
    this.#basePath = checkBasePath(options.basePath ?? '/api')
    this.#view = options.view ?? makeView()
    this.#passage = new Passage(() => this.#seen(), options.time, options.act)
    this.#network.latency = options.latency ?? 0
    this.#sessions = new Sessions(options.accepts)
    const server = this
    const source = {
      get view() {
        return server.#view
      },
      get tag() {
        return `epoch${server.#epochs}-${server.#revision}`
      },
    }
    this.connections = new Connections(this.#network, this.#sessions, source)
    this.events = new Events(frame => this.connections.send(frame))
    this.snapshots = new Snapshots(this.#network, this.#sessions, source)
  }

  // Arrow properties, so that `beforeEach(server.install)` works as people expect.

  /**
   * Takes the place of `WebSocket` and `fetch` for this server's addresses; requests for others
   * pass on. Returns what undoes it. Install before the client starts.
   */
  install = (): (() => void) => {
    this.#unplug ??= plugIn({
      owns: url =>
        url.origin.replace(/^ws/, 'http') === this.url &&
        [`${this.#basePath}/dashboard`, '/socket.io/'].includes(url.pathname),
      connect: url => this.connections.connect(url.href),
      fetch: (url, init) => this.snapshots.fetch(url, init),
    })
    return this.uninstall
  }

  /** Puts back what was there, cuts every connection, and forgets script, records and changes. */
  uninstall = (): void => {
    this.#unplug?.()
    this.#unplug = null
    this.connections.reset()
    this.#network.cutAll()
    this.heal()
    this.snapshots.reset()
    this.events.reset()
    this.#sessions.reset()
    this.#network.latency = this.#options.latency ?? 0
    this.#view = this.#options.view ?? makeView()
    this.#revision = 1
    this.#epochs = 1
  }

  // The data.

  /** The collection as the server has it now. */
  get view(): DashboardView {
    return this.#view
  }

  /** How many changes it has seen. */
  get revision(): number {
    return this.#revision
  }

  /**
   * Changes sections of the view, and sends the events that the real server would: one for each
   * section that differs, `recentMocAdded` for each new MOC at the head.
   */
  update(change: Partial<DashboardView> | ((view: DashboardView) => Partial<DashboardView>)): void {
    const before = this.#view
    const changed = typeof change === 'function' ? change(before) : change
    checkMembers('update', changed, SECTIONS)
    const after = { ...before, ...changed }
    const told = eventsOf(before, after)
    if (told.length === 0) return
    this.#view = after
    this.#revision += 1
    for (const event of told) this.events.emit(this.#revision, event)
  }

  /** As after a restored backup: other data, counting starts again, and no event reports it. */
  restoreBackup(view: DashboardView): void {
    checkView('restoreBackup', view)
    this.#view = view
    this.#revision = 1
    this.#epochs += 1
  }

  /** Sends one event unchanged, independent of the view. */
  emit<Type extends EventType>(
    type: Type,
    payload: EventPayloads[Type],
    { revision = this.#revision }: { revision?: number } = {},
  ): void {
    this.events.emit(revision, [type, payload] as Told)
  }

  /** Sends a text as it stands to every accepted socket, for what no server should send. */
  send(frame: string): void {
    this.connections.send(frame)
  }

  // Faults of the whole.

  /** Nothing gets through in either direction, without a sign: the client has to notice. */
  blackHole(): void {
    this.#network.swallows = true
  }

  /** How long each message takes from now on, in ms. */
  set latency(ms: number) {
    checkMilliseconds('latency', ms)
    this.#network.latency = ms
  }

  get latency(): number {
    return this.#network.latency
  }

  /** Announces its end and closes the sockets, as for a deployment. */
  drain(options: { reconnectAfterMs?: number } = {}): void {
    checkMembers('drain', options, ['reconnectAfterMs'])
    const { reconnectAfterMs = 1_000 } = options
    checkMilliseconds('reconnectAfterMs of drain', reconnectAfterMs)
    const message = 'Server is restarting'
    this.#tell({ code: 'SERVER_DRAINING', message, reconnectAfterMs })
  }

  /**
   * The server accepts the tokens seen so far no more, and tells the sockets; it accepts a fresh
   * one. It cannot distinguish cookies: for those, see `endSession`.
   */
  expireTokens(): void {
    this.#sessions.expireSeen()
    this.#tell({ code: 'TOKEN_EXPIRED', message: 'The token has expired' })
  }

  /** Refuses every session, on sockets and in answers, until `heal()`: a login is needed. */
  endSession(): void {
    this.#sessions.ended = true
    this.#tell({ code: 'TOKEN_EXPIRED', message: 'The token has expired' })
  }

  /** Ends all faults: from now on everything works as it should. */
  heal(): void {
    this.#sessions.ended = false
    this.connections.heal()
    this.snapshots.heal()
    this.events.heal()
    this.#network.swallows = false
  }

  // What was seen.

  /** The tokens of all sockets and requests, in order; null for those with a cookie. */
  get tokens(): readonly Token[] {
    return this.#sessions.tokens
  }

  // Time.

  /**
   * Lets time pass, in virtual ms. With none, only what needs no time: messages on their way
   * arrive, promises settle.
   */
  async advance(ms = 0): Promise<void> {
    checkMilliseconds('advance', ms)
    await this.#passage.advance(ms)
  }

  /**
   * Lets time pass until the client is as wanted, and not longer. Resolves to the state that was.
   *
   * @param within how long to wait, in virtual ms; ten minutes unless told otherwise. Then it
   * fails, with what the client said on the way.
   */
  async until(
    client: WatchedClient,
    condition: Condition,
    options: { within?: number } = {},
  ): Promise<DashboardState> {
    checkMembers('the third argument of until', options, ['within'])
    const { within } = options
    if (within !== undefined) checkMilliseconds('within of until', within)
    return this.#passage.until(client, condition, within)
  }

  #seen(): string {
    const sockets = this.connections.attempts.map(attempt => attempt.outcome)
    const answers = this.snapshots.requests.map(({ status, unchanged }) =>
      unchanged ? `${status} unchanged` : (status ?? 'no answer'),
    )
    if (sockets.length + answers.length === 0) return `nothing. Is ${this.url} the client's url?`
    return `sockets ${sockets.slice(-20).join(', ')}; requests ${answers.slice(-20).join(', ')}`
  }

  /** Errors are not lost or reordered: they are about the connection, which then ends. */
  #tell(error: EventPayloads['dashboard:error']): void {
    this.connections.send(frameOf(this.#revision, ['dashboard:error', error]))
    this.connections.send('41/dashboard,')
    this.connections.drop(1000)
  }
}

/**
 * The typed client around the WebAssembly core.
 *
 * The core decides everything about connecting, retrying and applying events. This module does what
 * the core cannot do: it loads the core's module, checks what apps pass in, and keeps apps'
 * callbacks from harming the core or each other.
 */
import type { DashboardClient, DashboardClientOptions, DashboardListener } from './api.js'
import { silence } from './callbacks.js'
import type { Core, CoreConstructor, CoreLastView, CoreLoader } from './core.js'
import { indexedDbStore } from './indexed-db.js'
import { LastView } from './last-view.js'
import { REST } from './lease.js'
import { type CheckedOptions, checkOptions } from './options.js'
import { IDLE, LOADING, loadFailure, missing, STOPPED, withoutView } from './state.js'
import { textOf } from './text.js'
import type { DashboardState, Diagnostic, DiagnosticLevel, Reason, ReasonCode } from './types.js'

/** Waits between attempts to load the module: they double from the first to the last. */
const LOAD_RETRY_MS = { first: 1_000, last: 30_000 }

/** Where below the server's origin its Socket.IO endpoint is. */
const SOCKET_PATH = '/socket.io/?EIO=4&transport=websocket'

/** How long `getToken` may take: less than the ten seconds that the core gives an attempt. */
const TOKEN_TIMEOUT_MS = 8_000

/** What the core says when the server did not accept the token. */
const REFUSALS: ReasonCode[] = ['AUTH_FAILED', 'UNAUTHORIZED', 'TOKEN_EXPIRED']

/** How many diagnostics are kept: some hours of ordinary life, or the story of one outage. */
const DIAGNOSTICS_KEPT = 200

/** Returns `createDashboardClient` for one way of loading the module. */
export function clientFactory(load: CoreLoader) {
  return function createDashboardClient(options: DashboardClientOptions): DashboardClient {
    return new Client(checkOptions(options), load)
  }
}

class Client implements DashboardClient {
  readonly #options: CheckedOptions
  readonly #load: CoreLoader
  readonly #lastView: LastView | null
  readonly #listeners = new Set<(state: DashboardState) => unknown>()
  readonly #diagnostics: Diagnostic[] = []
  #state: DashboardState = IDLE
  /** The last token that the app gave, to be kept out of diagnostics. */
  #token: string | null = null
  /** Whether the server has refused the last one. */
  #lastWasRefused = false
  #core: Core | null = null
  /** Counts starts and stops: what was begun in an earlier life is dropped by its number. */
  #life = 0
  #started = false
  #loadRetry: ReturnType<typeof setTimeout> | undefined
  /** Tokens that are waited for: each is given up by its call. */
  readonly #awaited = new Set<(why: Error) => void>()

  constructor(options: CheckedOptions, load: CoreLoader) {
    this.#options = options
    this.#load = load
    this.#lastView = this.#keeper()
  }

  // Arrow properties, so that `const { start, stop } = client` works as people expect.
  start = (): void => {
    if (this.#started) return
    const reason = missing()
    if (reason !== null) {
      this.#turn('error', reason, withoutView('closed', reason))
      return
    }
    this.#started = true
    this.#life += 1
    this.#loadThenBegin(0)
  }

  stop = (): void => {
    // Also where nothing was started: an app that stops its client at logout means all of it.
    this.#lastView?.drop()
    this[REST]()
  }

  reauthenticate = (): void => {
    const isSameUser = this.#lastView?.goOn() ?? false
    // Without a core there is nothing to go on with, but what was kept is of the old session.
    if (this.#core !== null) this.#core.reauthenticate(isSameUser)
    else if (!isSameUser) this.#lastView?.drop()
  }

  refresh = (): void => {
    if (this.#core !== null) this.#core.refresh()
    else if (this.#started && this.#state.status === 'backoff') {
      clearTimeout(this.#loadRetry)
      this.#loadThenBegin(this.#state.freshness.attempt)
    }
  }

  subscribe = (listener: DashboardListener): (() => void) => {
    if (typeof listener !== 'function') {
      throw new TypeError('subscribe expects a function. It is called with each new state.')
    }
    // Wrapped, so that a function subscribed twice is two subscriptions, each with what it heard.
    let heard = this.#state
    const subscription = (state: DashboardState) => {
      const previous = heard
      heard = state
      return listener(state, previous)
    }
    this.#listeners.add(subscription)
    return () => {
      this.#listeners.delete(subscription)
    }
  }

  getState = (): DashboardState => this.#state

  diagnostics = (): Diagnostic[] => [...this.#diagnostics]

  #loadThenBegin(failedBefore: number): void {
    const life = this.#life
    this.#turn('info', LOADING, withoutView('connecting', LOADING, failedBefore))
    if (life !== this.#life) return
    this.#load().then(
      loaded => {
        if (life === this.#life) this.#begin(loaded, life)
      },
      (error: unknown) => {
        if (life === this.#life) this.#retryLater(error, failedBefore + 1)
      },
    )
  }

  /** As `stop`, but what is kept stays: the user has gone to another page, not away. */
  [REST](): void {
    if (!this.#started) return
    // Before the core hears of it, as it would drop what is kept.
    this.#started = false
    this.#life += 1
    clearTimeout(this.#loadRetry)
    for (const giveUp of this.#awaited) giveUp(new Error('the client was stopped'))
    const core = this.#core
    this.#core = null
    if (core === null) {
      this.#turn('info', STOPPED, withoutView('closed', null))
      return
    }
    core.stop()
    // Later, because `stop` may be called by a listener while the core is still on the stack.
    queueMicrotask(() => core.free())
    this.#publish(withoutView('closed', null))
  }

  #begin(DashboardCore: CoreConstructor, life: number): void {
    const { url, basePath, cookies, getToken } = this.#options
    try {
      this.#core = new DashboardCore({
        // `http` becomes `ws`, and `https` becomes `wss`.
        socketUrl: `ws${url.slice('http'.length)}${SOCKET_PATH}`,
        snapshotUrl: `${url}${basePath}/dashboard`,
        cookies,
        ...(getToken && { getToken: () => this.#ask(getToken, life) }),
        ...(this.#lastView && { lastView: this.#lastViewOf(this.#lastView, life) }),
        onState: state => {
          if (life !== this.#life) return
          this.#lastView?.watch()
          this.#publish(state)
        },
        onDiagnostic: entry => {
          this.#lastWasRefused ||= REFUSALS.includes(entry.code)
          this.#log(entry)
        },
      })
      this.#core.start()
    } catch (error) {
      // The core refuses nothing that passed the check, so this is a fault of the package.
      this.#core = null
      this.#started = false
      const message = `The client could not begin. (${textOf(error)})`
      const reason: Reason = { code: 'CORE_FAILED', message }
      this.#turn('error', reason, withoutView('closed', reason))
    }
  }

  #retryLater(error: unknown, attempt: number): void {
    const longest = Math.min(LOAD_RETRY_MS.first * 2 ** (attempt - 1), LOAD_RETRY_MS.last)
    const wait = longest * (0.5 + Math.random() / 2)
    const reason = loadFailure(error)
    const life = this.#life
    const nextRetryAt = Date.now() + Math.round(wait)
    this.#turn('error', reason, withoutView('backoff', reason, attempt, nextRetryAt))
    // A listener may have stopped the client, or asked for a retry at once.
    if (life !== this.#life || this.#state.status !== 'backoff') return
    this.#loadRetry = setTimeout(() => this.#loadThenBegin(attempt), wait)
  }

  /** Tells why, then changes the state: unless the logger has started or stopped the client. */
  #turn(level: DiagnosticLevel, why: Reason, state: DashboardState): void {
    const life = this.#life
    this.#report(level, why.code, why.message)
    if (life === this.#life) this.#publish(state)
  }

  #publish(state: DashboardState): void {
    if (state === this.#state) return
    const before = this.#state.status
    this.#state = state
    for (const listener of [...this.#listeners]) {
      // A listener may change the state or the list; the rest hear only of what still holds.
      if (this.#state !== state) return
      if (this.#listeners.has(listener)) this.#call('A listener of the client', listener, state)
    }
    if (this.#state !== state) return
    const { onAuthRequired } = this.#options
    if (state.status === 'authRequired' && before !== 'authRequired' && onAuthRequired !== null) {
      this.#call('onAuthRequired', onAuthRequired, state)
    }
  }

  /** An app's callback that fails is the app's fault, and must not cost others their state. */
  #call(name: string, callback: (state: DashboardState) => unknown, state: DashboardState): void {
    const fail = (error: unknown, how: string) =>
      this.#report('error', 'CALLBACK_THREW', `${name} ${how}: ${textOf(error)}`)
    try {
      // Only a rejected promise matters; other returned values are ignored.
      void Promise.resolve(callback(state)).catch((error: unknown) => fail(error, 'rejected'))
    } catch (error) {
      fail(error, 'threw')
    }
  }

  /** The core only learns that there is no token. The diagnostic tells the app's developers why. */
  async #ask(getToken: NonNullable<CheckedOptions['getToken']>, life: number) {
    const lastWasRefused = this.#lastWasRefused
    try {
      const token = await this.#inTime(getToken({ lastWasRefused }))
      // One that was asked for before the refusal may be the refused one again.
      if (lastWasRefused) this.#lastWasRefused = false
      // A shorter one is no secret, and would be cut out of words.
      this.#token = token !== null && token.length >= 16 ? token : null
      return token
    } catch (error) {
      const code = error instanceof TokenTimeout ? 'TOKEN_TIMEOUT' : 'TOKEN_UNAVAILABLE'
      // The outcome of an attempt is not reported once no one waits for it.
      if (life === this.#life) this.#report('warn', code, `getToken failed: ${textOf(error)}`)
      throw error
    }
  }

  /**
   * The token, unless it takes too long: then the attempt fails, with the right reason. On `stop`
   * the wait ends, so that the timer does not keep a program of Node from ending.
   */
  async #inTime(token: Promise<string | null>): Promise<string | null> {
    let giveUp: (why: Error) => void = () => {}
    const patience = new Promise<never>((_resolve, reject) => {
      const timer = setTimeout(() => giveUp(new TokenTimeout()), TOKEN_TIMEOUT_MS)
      giveUp = why => {
        clearTimeout(timer)
        reject(why)
      }
    })
    this.#awaited.add(giveUp)
    try {
      return await Promise.race([token, patience])
    } finally {
      this.#awaited.delete(giveUp)
      giveUp(new Error('it is there'))
    }
  }

  #keeper(): LastView | null {
    const { lastView, url } = this.#options
    const store = lastView && (lastView.store ?? indexedDbStore(url))
    if (lastView === null || store === null) return null
    const fail = (message: string) => this.#report('warn', 'LAST_VIEW_FAILED', message)
    return new LastView(lastView.userId, store, fail)
  }

  /** A stopped core has no effect any more, so that it does not save a view that was dropped. */
  #lastViewOf(keeper: LastView, life: number): CoreLastView {
    return {
      load: () => (life === this.#life ? keeper.load() : Promise.resolve(null)),
      save: record => {
        if (life === this.#life) keeper.save(record)
      },
      drop: () => {
        if (life === this.#life) keeper.drop()
      },
    }
  }

  #report(level: DiagnosticLevel, code: ReasonCode, message: string): void {
    this.#log({ at: Date.now(), level, code, message })
  }

  #log(told: Diagnostic): void {
    // Servers and wrappers of fetch may quote what they were given.
    const message = this.#token ? told.message.replaceAll(this.#token, '(token)') : told.message
    const entry = { ...told, message }
    if (this.#diagnostics.push(entry) > DIAGNOSTICS_KEPT) this.#diagnostics.shift()
    try {
      const { logger } = this.#options
      silence(logger[entry.level]?.(`[dashboard-sdk] ${entry.code}: ${entry.message}`, entry))
    } catch {
      // There is nowhere left to tell it.
    }
  }
}

class TokenTimeout extends Error {
  constructor() {
    super(`it gave no answer within ${TOKEN_TIMEOUT_MS / 1_000} s`)
  }
}

/** Lets virtual time pass, and reports the states of the client in that time. */
import type { DashboardClient } from '../api.js'
import { loadSettled } from '../core.js'
import { checkClient } from '../lease.js'
import { kindOf } from '../text.js'
import type { DashboardState, DashboardStatus, Diagnostic } from '../types.js'

/** How long `until` waits by default, in virtual ms. */
const PATIENCE_MS = 600_000
/** Longest piece of time that passes in one go, so that components render in between. */
const SLICE_MS = 1_000

/** Fake timers that are in use; `vi` of Vitest and `jest` fit. */
export interface VirtualTime {
  advanceTimersByTimeAsync(ms: number): Promise<unknown>
  advanceTimersToNextTimerAsync(): Promise<unknown>
}

/** Whether these timers can let time pass. */
export function isTime(time: unknown): boolean {
  const { advanceTimersByTimeAsync, advanceTimersToNextTimerAsync } = (time ?? {}) as {
    [Name in keyof VirtualTime]?: unknown
  }
  const isThere = (method: unknown) => typeof method === 'function'
  return isThere(advanceTimersByTimeAsync) && isThere(advanceTimersToNextTimerAsync)
}

/** React's `act`, so that components render within the time that passes. */
export type Act = (callback: () => Promise<void>) => PromiseLike<unknown>

/** As much of a client as can be watched. */
export type WatchedClient = Pick<DashboardClient, 'getState' | 'subscribe' | 'diagnostics'>

/** What `until` waits for: a status, or a condition on the state. */
export type Condition = DashboardStatus | ((state: DashboardState) => boolean)

/** What a client said, from when the recording began. */
export interface StateRecord {
  readonly states: readonly DashboardState[]
  /** The same in short: each status once as long as it holds. */
  readonly statuses: readonly DashboardStatus[]
  /** Ends the recording. */
  stop(): void
}

/** Records a client's states, the present one first. */
export function recordStates(client: WatchedClient): StateRecord {
  checkClient('recordStates', client)
  const states = [client.getState()]
  const stop = client.subscribe(state => void states.push(state))
  return {
    states,
    get statuses() {
      return statusesOf(states)
    },
    stop,
  }
}

export class Passage {
  readonly #time: VirtualTime
  readonly #act: Act
  readonly #seen: () => string

  /** @param seen what the server saw, in a line, for the error of a wait that fails. */
  constructor(
    seen: () => string,
    time: VirtualTime = REAL_TIME,
    act: Act = callback => callback(),
  ) {
    this.#seen = seen
    this.#time = time
    this.#act = act
  }

  async advance(ms: number): Promise<void> {
    await this.#settle()
    for (let left = ms; left > 0; left -= SLICE_MS) {
      const slice = Math.min(left, SLICE_MS)
      await this.#pass(() => this.#time.advanceTimersByTimeAsync(slice))
    }
  }

  async until(client: WatchedClient, condition: Condition, within = PATIENCE_MS) {
    checkClient('until', client)
    const holds = typeof condition === 'function' ? condition : hasStatus(condition)
    const begun = Date.now()
    const heard = [{ state: client.getState(), at: begun }]
    const unsubscribe = client.subscribe(state => void heard.push({ state, at: Date.now() }))
    let checked = 0
    try {
      await this.#settle()
      while (true) {
        // Also what held only for a moment between two steps; a step may lead past the end.
        for (; checked < heard.length; checked += 1) {
          const { state, at } = heard[checked] as (typeof heard)[number]
          if (at - begun <= within && holds(state)) return state
        }
        if (Date.now() - begun >= within) throw new Error(disappointment(this.#seen()))
        await this.#step()
      }
    } finally {
      unsubscribe()
    }

    function disappointment(seen: string): string {
      const wanted = typeof condition === 'function' ? `${condition}` : `status '${condition}'`
      return [
        `The client did not reach ${wanted} within ${within / 1_000} s.`,
        `It is: ${JSON.stringify({ ...client.getState(), view: undefined })}`,
        `States: ${statusesOf(heard.map(({ state }) => state)).join(' -> ')}`,
        `The server saw: ${seen}`,
        ...(client.getState().status === 'idle' ? ['It was never started.'] : []),
        ...client.diagnostics().slice(-20).map(line),
      ].join('\n')
    }

    function line({ at, level, code, message }: Diagnostic): string {
      return `${((at - begun) / 1_000).toFixed(1)} s ${level} ${code}: ${message}`
    }
  }

  /** Lets happen what needs no time: the module's loading, promises, messages without latency. */
  #settle(): Promise<void> {
    return this.#pass(async () => {
      await loadSettled()
      await this.#time.advanceTimersByTimeAsync(0)
    })
  }

  /** To the next timer, or a little further where there is none. */
  async #step(): Promise<void> {
    const before = Date.now()
    await this.#pass(() => this.#time.advanceTimersToNextTimerAsync())
    if (Date.now() === before) await this.#pass(() => this.#time.advanceTimersByTimeAsync(100))
  }

  async #pass(pass: () => Promise<unknown>): Promise<void> {
    await this.#act(async () => {
      await pass()
      // A client that started meanwhile loads its module: real time, of which this clock knows
      // nothing.
      await loadSettled()
    })
  }
}

function statusesOf(states: readonly DashboardState[]): DashboardStatus[] {
  const all = states.map(state => state.status)
  return all.filter((status, at) => status !== all[at - 1])
}

/** Compilers see to it that none is missing and none is too much. */
const STATUSES = {
  ...{ idle: true, connecting: true, syncing: true, live: true },
  ...{ backoff: true, degraded: true, authRequired: true, closed: true },
} satisfies Record<DashboardStatus, true>

function hasStatus(status: DashboardStatus) {
  if (!Object.keys(STATUSES).includes(status)) {
    const given = typeof status === 'string' ? `status '${status}'` : kindOf(status)
    throw new TypeError(
      `until waits for no ${given}. It waits for a status, which is one of ` +
        `${Object.keys(STATUSES).join(', ')}, or for a condition: state => state.view !== null, say.`,
    )
  }
  return (state: DashboardState) => state.status === status
}

/** For pages that people see, where time passes without calls. */
const REAL_TIME: VirtualTime = {
  advanceTimersByTimeAsync: passed,
  advanceTimersToNextTimerAsync: () => passed(10),
}

function passed(ms: number): Promise<void> {
  // Set by every implementation of fake timers that Vitest and Jest use.
  if ('clock' in setTimeout) {
    throw new Error(
      'Timers are fake, so time must be passed: createFakeServer({ time: vi }), or jest.',
    )
  }
  return new Promise(resolve => setTimeout(resolve, ms))
}

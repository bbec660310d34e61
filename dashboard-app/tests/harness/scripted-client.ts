import type { DashboardClient, DashboardListener, DashboardState } from '@moc/dashboard-sdk'

const IDLE: DashboardState = {
  view: null,
  status: 'idle',
  freshness: {
    source: 'none',
    revision: null,
    asOf: null,
    nextRetryAt: null,
    attempt: 0,
    reason: null,
  },
}

/** A client that says what the test wants, and records what it is asked. */
export class ScriptedClient implements DashboardClient {
  readonly calls: string[] = []
  readonly #listeners = new Set<DashboardListener>()
  #state: DashboardState = IDLE

  start = (): void => void this.calls.push('start')
  stop = (): void => void this.calls.push('stop')
  reauthenticate = (): void => void this.calls.push('reauthenticate')
  refresh = (): void => void this.calls.push('refresh')
  getState = (): DashboardState => this.#state
  diagnostics = (): [] => []

  subscribe = (listener: DashboardListener): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Moves to the next state; what is not given stays as it was. */
  say(change: {
    status?: DashboardState['status']
    view?: DashboardState['view']
    freshness?: Partial<DashboardState['freshness']>
  }): void {
    const { freshness, ...rest } = change
    const previous = this.#state
    this.#state = {
      ...previous,
      ...rest,
      freshness: { ...previous.freshness, ...freshness },
    }
    for (const listener of this.#listeners) listener(this.#state, previous)
  }

  /** Shows a view as live. */
  live(view = this.#state.view): void {
    this.say({
      status: 'live',
      view,
      freshness: { source: 'live', asOf: Date.now(), attempt: 0, reason: null, nextRetryAt: null },
    })
  }
}

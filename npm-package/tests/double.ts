import type { Core, CoreConstructor, CoreOptions } from '../src/core.js'
import { withoutView } from '../src/state.js'
import type { DashboardState, DashboardView } from '../src/types.js'

/** Replaces the WebAssembly core: records its calls, and says what the test wants. */
export class CoreDouble implements Core {
  static made: CoreDouble[] = []
  readonly calls: string[] = []
  state: DashboardState = withoutView('idle', null)

  constructor(readonly options: CoreOptions) {
    CoreDouble.made.push(this)
  }

  start(): void {
    this.calls.push('start')
    this.say(withoutView('connecting', null))
  }

  stop(): void {
    this.calls.push('stop')
    this.say(withoutView('closed', null))
  }

  reauthenticate(isSameUser: boolean): void {
    this.calls.push(isSameUser ? 'reauthenticate the same user' : 'reauthenticate')
  }

  refresh(): void {
    this.calls.push('refresh')
  }

  free(): void {
    this.calls.push('free')
  }

  getState(): DashboardState {
    return this.state
  }

  say(state: DashboardState): void {
    this.state = state
    this.options.onState(state)
  }
}

export const loadDouble = async (): Promise<CoreConstructor> => CoreDouble

export const VIEW: DashboardView = {
  summary: {
    totalMocs: 3,
    totalWishlistItems: 2,
    mocsByBuildStatus: { ADDED: 1, IN_PROGRESS: 1, BUILT: 1 },
    mocsByCoverageStatus: { FULL_INVENTORY: 1, PARTIAL_ORDERED: 1, NONE: 1 },
  },
  themeBreakdown: [{ theme: 'Castle', mocCount: 3, setCount: 0 }],
  recentMocs: [],
  partialPartsMocs: [],
}

export function live(view: DashboardView = VIEW, revision = 1): DashboardState {
  const freshness = {
    source: 'live' as const,
    revision,
    asOf: 1_000,
    nextRetryAt: null,
    attempt: 0,
    reason: null,
  }
  return { view, status: 'live', freshness }
}

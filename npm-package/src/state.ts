import { textOf } from './text.js'
import type { DashboardState, Reason } from './types.js'

/** Before anything has begun; also what a server renders. */
export const IDLE: DashboardState = withoutView('idle', null)

/** Why a client cannot connect here at all. */
export const NO_WEBSOCKET: Reason = {
  code: 'WEBSOCKET_UNAVAILABLE',
  message:
    'This JavaScript runtime has no WebSocket, so the client cannot connect. ' +
    'Start it in a browser, or in Node 22 or newer.',
}

/** Said while the WebAssembly module is on its way. */
export const LOADING: Reason = {
  code: 'MODULE_LOADING',
  message: 'The WebAssembly module is being loaded.',
}

/** Told, not shown: a client that was stopped needs no reason to be closed. */
export const STOPPED: Reason = {
  code: 'STOPPED',
  message: 'The app stopped the client before it had begun.',
}

/** A state of a client that has no core, hence no view. */
export function withoutView(
  status: DashboardState['status'],
  reason: Reason | null,
  attempt = 0,
  nextRetryAt: number | null = null,
): DashboardState {
  const freshness = { source: 'none', revision: null, asOf: null } as const
  return { view: null, status, freshness: { ...freshness, nextRetryAt, attempt, reason } }
}

/** What went wrong while the module was loaded, and what usually helps. */
export function loadFailure(error: unknown): Reason {
  const text = textOf(error)
  const blocked = /unsafe-eval|content security policy|embedder/i.test(text)
  const hint = blocked
    ? "The page's Content-Security-Policy needs 'wasm-unsafe-eval' in script-src."
    : 'Check that the .wasm file of @moc/dashboard-sdk is served beside the scripts.'
  return {
    code: 'MODULE_LOAD_FAILED',
    message: `The WebAssembly module could not be loaded. ${hint} (${text})`,
  }
}

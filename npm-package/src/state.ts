import { textOf } from './text.js'
import type { DashboardState, Reason } from './types.js'

/** The state before the start; also the state that a server renders. */
export const IDLE: DashboardState = withoutView('idle', null)

/** A module with a function that takes a reference to an object, as functions of ours do. */
const PROBE = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 1, 111, 0)

/** Why a client cannot work in this runtime at all; `null` where nothing is missing. */
export function missing(): Reason | null {
  if (typeof globalThis.WebSocket !== 'function') {
    return {
      code: 'WEBSOCKET_UNAVAILABLE',
      message:
        'This JavaScript runtime has no WebSocket, so the client cannot connect. ' +
        'Start it in a browser, in Node 22 or newer, or in Node 20 with --experimental-websocket.',
    }
  }
  if (typeof globalThis.fetch !== 'function') {
    return {
      code: 'FETCH_UNAVAILABLE',
      message:
        'This JavaScript runtime has no fetch, so the client cannot ask for a snapshot. ' +
        'Start it in a browser or in Node; in a test, install the fake server before.',
    }
  }
  if (typeof globalThis.WebAssembly !== 'object') {
    return {
      code: 'WEBASSEMBLY_UNAVAILABLE',
      message:
        'WebAssembly is switched off here, so the client cannot run. ' +
        'Lockdown Mode on Apple devices and settings of administrators do so.',
    }
  }
  // Of the features that the module needs, references came last: an engine with them has the rest.
  if (!WebAssembly.validate(PROBE)) {
    return {
      code: 'WEBASSEMBLY_UNAVAILABLE',
      message:
        'The WebAssembly of this browser is too old for the client. ' +
        'It needs Chrome 96, Firefox 79, Safari 15 or newer.',
    }
  }
  return null
}

/** The reason while the WebAssembly module is being loaded. */
export const LOADING: Reason = {
  code: 'MODULE_LOADING',
  message: 'The WebAssembly module is being loaded.',
}

/** Reported, not shown: a client that was stopped needs no reason to be closed. */
export const STOPPED: Reason = {
  code: 'STOPPED',
  message: 'The app stopped the client before it had begun.',
}

/** A state of a client that has no core, and so no view. */
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

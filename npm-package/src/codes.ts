import type { CoreCode, CoreTerminalCode } from './generated/state.js'

/** The codes that this package adds to the core's: for events before and around the core. */
export type PackageCode =
  /** The WebAssembly module is on its way. */
  | 'MODULE_LOADING'
  /** The WebAssembly module could not be loaded; it is tried again. */
  | 'MODULE_LOAD_FAILED'
  /** This runtime has no WebSocket, so the client stays closed. */
  | 'WEBSOCKET_UNAVAILABLE'
  /** This runtime has no WebAssembly, or one that is too old, so the client stays closed. */
  | 'WEBASSEMBLY_UNAVAILABLE'
  /** This runtime has no `fetch`, so the client stays closed. */
  | 'FETCH_UNAVAILABLE'
  /** The core could not begin: a fault of this package. */
  | 'CORE_FAILED'
  /** `getToken` did not answer in time; the attempt failed, and the next one asks again. */
  | 'TOKEN_TIMEOUT'
  /** A callback of the app threw, or the promise that it returned was rejected. */
  | 'CALLBACK_THREW'

/** Why a state is as it is, or what a diagnostic is about. */
export type ReasonCode = CoreCode | PackageCode

/** The codes after which nothing more happens until the app acts; all others are temporary. */
export type TerminalCode =
  | CoreTerminalCode
  | 'WEBSOCKET_UNAVAILABLE'
  | 'WEBASSEMBLY_UNAVAILABLE'
  | 'FETCH_UNAVAILABLE'
  | 'CORE_FAILED'

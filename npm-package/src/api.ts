/** The public interface of a client: its options, its methods and what it tells. */
import type { DashboardState, Diagnostic } from './types.js'

export type {
  CoreCode,
  CoreTerminalCode,
  DashboardState,
  DashboardStatus,
  DashboardView,
  Diagnostic,
  DiagnosticLevel,
  Freshness,
  FreshnessSource,
  PackageCode,
  Reason,
  ReasonCode,
  TerminalCode,
} from './types.js'

/** How a client finds its server and proves who is asking. Pass `getToken`, `cookies` or both. */
export interface DashboardClientOptions {
  /** Origin of the server, such as `https://moc.example.org`; in a page, often `location.origin`. */
  url: string | URL
  /** Path under which the server answers REST requests. Default: `/api`. */
  basePath?: string | undefined
  /**
   * Returns the access token, or `null` when there is none. Asked anew for every attempt, so a
   * refreshed token is used at once; give none that has run out. It is sent in a header, never in
   * an address. An answer that takes more than 8 s fails the attempt (`TOKEN_TIMEOUT`).
   */
  getToken?: ((request: TokenRequest) => string | null | Promise<string | null>) | undefined
  /** Sends the browser's cookies, for servers that read the session from one. Default: `false`. */
  cookies?: boolean | undefined
  /**
   * Called once each time the server refuses the session (D-RES-2). Then call `reauthenticate()`.
   * What it throws, or rejects with, becomes a diagnostic (`CALLBACK_THREW`).
   */
  onAuthRequired?: ((state: DashboardState) => unknown) | undefined
  /**
   * Where diagnostics go; `console` fits. Default: warnings and errors go to the console.
   * `null` silences them.
   */
  logger?: DashboardLogger | null | undefined
  /**
   * Keeps the last view on the device, so that the next visit shows it at once, as `stale` with
   * its age, while the connection is being made. Default: nothing is kept.
   */
  lastView?: LastViewOptions | undefined
}

/** Why a token is asked for. */
export interface TokenRequest {
  /**
   * Whether the server has refused the token that was given last: the token of a live connection ran
   * out, or the session was refused and the app has called `reauthenticate()`. Get a new one then,
   * rather than one that was put by. It is not told of a refusal before that: the first one when
   * connecting leads to `authRequired` at once (D-RES-2), so give none that has run out.
   */
  readonly lastWasRefused: boolean
}

/** Whose last view is kept, and where. */
export interface LastViewOptions {
  /**
   * The id of the user that is logged in; `null` while none is, or none is known yet. What was
   * kept for another user is dropped and never shown; without a user nothing is kept.
   */
  userId: () => string | null
  /** Default: one slot in IndexedDB for each server. */
  store?: LastViewStore | undefined
}

/** A place for one last view. What it throws becomes a diagnostic and harms nothing else. */
export interface LastViewStore {
  load(): Promise<LastViewEntry | null>
  save(entry: LastViewEntry): Promise<void>
  drop(): Promise<void>
}

/** A view that was kept. It is one user's data: keep it where only that user can read it. */
export interface LastViewEntry {
  userId: string
  /** Opaque text. */
  record: string
}

/** A place for log entries, shaped like `console`. A level that is absent is not logged. */
export interface DashboardLogger {
  debug?(message: string, entry: Diagnostic): void
  info?(message: string, entry: Diagnostic): void
  warn?(message: string, entry: Diagnostic): void
  error?(message: string, entry: Diagnostic): void
}

/**
 * Hears of a state, and of the one that it heard of before: at first, the one at `subscribe`. What
 * it throws, or rejects with, becomes a diagnostic (`CALLBACK_THREW`).
 */
export type DashboardListener = (state: DashboardState, previous: DashboardState) => unknown

/** Keeps one user's dashboard current. All methods return at once and may be called at any time. */
export interface DashboardClient {
  /** Begins. Does nothing when already begun. */
  start(): void
  /** Ends: closes the connection, forgets the view, drops the last view. `start()` begins afresh. */
  stop(): void
  /**
   * Leaves `authRequired`: connects anew with a fresh token or a fresh cookie. The view stays, as
   * stale, where `lastView.userId` names the same user as before; otherwise it is forgotten.
   */
  reauthenticate(): void
  /** Asks for the newest state now, or retries now instead of at the next due time. */
  refresh(): void
  /** Calls `listener` after each change of state, until the returned function is called. */
  subscribe(listener: DashboardListener): () => void
  /** The state now: the same object until something changes. */
  getState(): DashboardState
  /**
   * The last 200 diagnostics of every level, oldest first, also those that the logger does not
   * show. Plain data without tokens, to be pasted into a bug report.
   */
  diagnostics(): Diagnostic[]
}

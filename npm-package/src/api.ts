/** The public interface of a client: its options, its methods and what it tells. */
import type { DashboardState, Diagnostic } from './types.js'

export type {
  DashboardState,
  DashboardStatus,
  DashboardView,
  Diagnostic,
  DiagnosticLevel,
  Freshness,
  FreshnessSource,
  Reason,
} from './types.js'

/** How a client finds its server and proves who is asking. Pass `getToken`, `cookies` or both. */
export interface DashboardClientOptions {
  /** Origin of the server, such as `https://moc.example.org`; in a page, often `location.origin`. */
  url: string | URL
  /** Path under which the server answers REST requests. Default: `/api`. */
  basePath?: string | undefined
  /**
   * Returns the access token, or `null` when there is none. Asked anew for every attempt, so a
   * refreshed token is used at once. It is sent in a header, never in an address.
   */
  getToken?: (() => string | null | Promise<string | null>) | undefined
  /** Sends the browser's cookies, for servers that read the session from one. Default: `false`. */
  cookies?: boolean | undefined
  /** Called once each time the server refuses the session. Then call `reauthenticate()`. */
  onAuthRequired?: ((state: DashboardState) => void) | undefined
  /**
   * Where diagnostics go; `console` fits. Default: warnings and errors go to the console.
   * `null` silences them.
   */
  logger?: DashboardLogger | null | undefined
}

/** A place for log entries, shaped like `console`. A level that is absent is not logged. */
export interface DashboardLogger {
  debug?(message: string, entry: Diagnostic): void
  info?(message: string, entry: Diagnostic): void
  warn?(message: string, entry: Diagnostic): void
  error?(message: string, entry: Diagnostic): void
}

/** Keeps one user's dashboard current. All methods return at once and may be called at any time. */
export interface DashboardClient {
  /** Begins. Does nothing when already begun. */
  start(): void
  /** Ends: closes the connection and forgets the view. `start()` begins afresh. */
  stop(): void
  /** Leaves `authRequired`: tries again with a fresh token or a fresh cookie. */
  reauthenticate(): void
  /** Asks for the newest state now, or retries now instead of at the next due time. */
  refresh(): void
  /** Calls `listener` after each change of state, until the returned function is called. */
  subscribe(listener: (state: DashboardState) => void): () => void
  /** The state now: the same object until something changes. */
  getState(): DashboardState
}

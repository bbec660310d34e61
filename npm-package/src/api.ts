/** The public interface of a client: its options, its methods and its diagnostics. */
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
   * Returns the access token, or `null` when there is none. The client calls it anew for every
   * attempt, so it uses a refreshed token at once. Return no token that has run out. The client
   * sends the token in a header, never in an address. An answer that takes more than 8 s fails the
   * attempt (`TOKEN_TIMEOUT`).
   */
  getToken?: ((request: TokenRequest) => string | null | Promise<string | null>) | undefined
  /** Sends the browser's cookies, for servers that read the session from one. Default: `false`. */
  cookies?: boolean | undefined
  /**
   * Called once each time the server refuses the session (D-RES-2). Then call `reauthenticate()`.
   * An exception or a rejection becomes a diagnostic (`CALLBACK_THREW`).
   */
  onAuthRequired?: ((state: DashboardState) => unknown) | undefined
  /**
   * Where diagnostics go; `console` fits. Default: warnings and errors go to the console.
   * `null` silences them.
   */
  logger?: DashboardLogger | null | undefined
  /**
   * Keeps the last view on the device. The next visit then shows it at once, as `stale` with its
   * age, while the client connects. Default: nothing is kept.
   */
  lastView?: LastViewOptions | undefined
}

/** Why the client asks for a token. */
export interface TokenRequest {
  /**
   * Whether the server has refused the last token: the token of a live connection ran out, or the
   * session was refused and the app has called `reauthenticate()`. Then get a new token instead of
   * a stored one. It does not report earlier refusals: the first one while connecting leads to
   * `authRequired` at once (D-RES-2), so return no token that has run out.
   */
  readonly lastWasRefused: boolean
}

/** Whose last view is kept, and where. */
export interface LastViewOptions {
  /**
   * The id of the user that is logged in; `null` while no user is logged in or known. The client
   * drops the view of another user and never shows it. Without a user it keeps nothing.
   */
  userId: () => string | null
  /** Default: one slot in IndexedDB for each server. */
  store?: LastViewStore | undefined
}

/** A place for one last view. Its errors become diagnostics and harm nothing else. */
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
 * Receives a state, and the one that it received before: at first, the one at `subscribe`. An
 * exception or a rejection becomes a diagnostic (`CALLBACK_THREW`).
 */
export type DashboardListener = (state: DashboardState, previous: DashboardState) => unknown

/** Keeps one user's dashboard current. All methods return at once and may be called at any time. */
export interface DashboardClient {
  /** Starts the client. Does nothing when it is already started. */
  start(): void
  /** Stops: closes the connection, forgets the view, drops the last view. `start()` starts anew. */
  stop(): void
  /**
   * Leaves `authRequired`: connects again with a fresh token or a fresh cookie. The view stays, as
   * stale, if `lastView.userId` names the same user as before. Otherwise the client forgets it.
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

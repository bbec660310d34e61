import type { DashboardView, ErrorBody, ErrorCode } from '../types.js'
import { makeId } from './builders.js'
import { checkWithin } from './check.js'
import type { SiteRequest } from './globals.js'
import { Script, type Times, timesOf } from './script.js'
import type { Sessions, Token } from './sessions.js'
import type { Network } from './wire.js'

/** An answer that the server sends unchanged. */
export interface RawAnswer extends Times {
  /** HTTP status. Default: 200. */
  status?: number
  headers?: Record<string, string>
  /** The body; a text such as an HTML page is as good as any. */
  body?: string
}

/** How a failed answer looks. */
export interface FailedAnswer extends Times {
  /** Header `Retry-After`, in seconds. */
  retryAfter?: number
  /**
   * In place of the server's standard error body: a proxy's page in HTML, say. A 401 or a 403 with
   * it does not end the session, because it is not the server's.
   */
  body?: string
}

/** A request for the snapshot. */
export interface SnapshotRequest {
  /** When, in ms since 1970. */
  readonly at: number
  /** The token that it bore; null for a cookie. */
  readonly token: Token
  /** The tag of the snapshot that the client has, such as `epoch1-7`; null where it has none. */
  readonly have: string | null
  /** The answer was that the client has the newest already. */
  readonly unchanged: boolean
  /** The answer's status; null where there is none yet, or never was. */
  readonly status: number | null
}

type Request = { -readonly [Key in keyof SnapshotRequest]: SnapshotRequest[Key] }

type Step =
  | { kind: 'serve' | 'cached' | 'hang' | 'networkError' }
  | { kind: 'answer'; status: number; headers: Record<string, string>; body: string | null }
  | ({ kind: 'fail' } & Failure)

interface Failure {
  status: number
  headers?: Record<string, string>
  /** In place of the standard body. */
  body?: string | undefined
}

/** What the snapshots are read from. */
export interface Source {
  readonly view: DashboardView
  /** Epoch and revision, such as `epoch1-7`. */
  readonly tag: string
}

const CODES: Record<number, [ErrorCode, message: string]> = {
  400: ['VALIDATION_ERROR', 'The request is not valid'],
  401: ['UNAUTHORIZED', 'Authentication required'],
  403: ['FORBIDDEN', 'Access denied'],
  404: ['NOT_FOUND', 'Not found'],
  429: ['RATE_LIMITED', 'Too many requests'],
}

/** What happens to requests for the snapshot, and what happened to them. */
export class Snapshots {
  readonly #script = new Script<Step>({ kind: 'serve' })
  readonly #network: Network
  readonly #sessions: Sessions
  readonly #source: Source
  /** What a cache would have. */
  #kept: Extract<Step, { kind: 'answer' }> | null = null
  #requests: Request[] = []

  /** @internal */
  constructor(network: Network, sessions: Sessions, source: Source) {
    this.#network = network
    this.#sessions = sessions
    this.#source = source
  }

  /**
   * Answers with the view, or that nothing is newer than what the client has. This is what happens
   * unless scripted otherwise.
   */
  serve(options: Times = {}): void {
    this.#script.set({ kind: 'serve' }, timesOf('snapshots.serve', options))
  }

  /**
   * Answers with an error in the server's standard body: 401 and 403 refuse the session, all others
   * are retried. With a custom `body` every one of them is retried.
   */
  fail(status: number, options: FailedAnswer = {}): void {
    checkWithin('snapshots.fail', status, [400, 599])
    const times = timesOf('the second argument of snapshots.fail', options, ['retryAfter', 'body'])
    const { retryAfter, body } = options
    const headers: Record<string, string> =
      retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }
    this.#script.set({ kind: 'fail', status, headers, body }, times)
  }

  /**
   * Answers with anything: a page in HTML where a login is wanted, JSON without sense, a firewall's
   * 403. Only the server's own 401 and 403 end the session: for those, see `fail`.
   */
  answer(options: RawAnswer): void {
    const times = timesOf('snapshots.answer', options, ['status', 'headers', 'body'])
    const { status = 200, headers = {}, body = '' } = options
    checkWithin('status of snapshots.answer', status, [200, 599])
    this.#script.set({ kind: 'answer', status, headers, body }, times)
  }

  /** A cache answers in the server's place, with the last snapshot that the server gave. */
  cached(options: Times = {}): void {
    this.#script.set({ kind: 'cached' }, timesOf('snapshots.cached', options))
  }

  /** Never answers. The client gives up after ten seconds. */
  hang(options: Times = {}): void {
    this.#script.set({ kind: 'hang' }, timesOf('snapshots.hang', options))
  }

  /** Requests fail as they do without a network. */
  networkError(options: Times = {}): void {
    this.#script.set({ kind: 'networkError' }, timesOf('snapshots.networkError', options))
  }

  /** All requests, oldest first. */
  get requests(): readonly SnapshotRequest[] {
    return this.#requests
  }

  /** @internal */
  async fetch(url: URL, init: SiteRequest): Promise<Response> {
    const bearer = init.headers.get('Authorization')
    const token = bearer === null ? null : bearer.replace(/^Bearer /, '')
    const fresh = url.searchParams.get('fresh')
    const tag = init.headers.get('If-None-Match')?.replace(/^(W\/)?"(.*)"$/, '$2') ?? null
    const have = fresh === null ? tag : url.searchParams.get('have')
    const request: Request = { at: Date.now(), token, have, unchanged: false, status: null }
    this.#requests.push(request)
    this.#sessions.note(token)
    const step = this.#script.take()
    const response = await this.#answered(init.signal, step.kind === 'hang', () => {
      if (step.kind === 'networkError') throw new TypeError('Failed to fetch')
      if (step.kind === 'answer') return responseOf(step)
      if (step.kind === 'cached' && this.#kept !== null) return responseOf(this.#kept)
      if (step.kind === 'fail') return responseOf(failure(step, fresh))
      // A socket cannot tell: it sends cookies in any case. Here the client says it.
      const hasSession = token !== null || (init.credentials ?? 'include') === 'include'
      if (!hasSession || !this.#sessions.accepts(token))
        return responseOf(failure({ status: 401 }, fresh))
      request.unchanged = have === this.#source.tag
      return responseOf(this.#served(fresh, request.unchanged))
    })
    request.status = response.status
    return response
  }

  /** @internal */
  heal(): void {
    this.#script.reset()
  }

  /** @internal */
  reset(): void {
    this.heal()
    this.#requests = []
    this.#kept = null
  }

  /** The answer, made when the request has arrived and taken back over the same network. */
  #answered(signal: AbortSignal | null, hangs: boolean, make: () => Response): Promise<Response> {
    const wire = this.#network.wire()
    return new Promise<Response>((resolve, reject) => {
      const giveUp = () => reject(new DOMException('The request was aborted.', 'AbortError'))
      if (signal?.aborted) giveUp()
      signal?.addEventListener('abort', giveUp)
      if (hangs) return
      wire.push(() => {
        try {
          const response = make()
          wire.push(() => resolve(response))
        } catch (error) {
          reject(error)
        }
      })
    }).finally(() => wire.cut())
  }

  #served(fresh: string | null, unchanged: boolean): Extract<Step, { kind: 'answer' }> {
    const { view, tag } = this.#source
    const headers = {
      ETag: `"${tag}"`,
      'Cache-Control': fresh === null ? 'private, no-cache' : 'no-store',
    }
    if (fresh === null && unchanged) return { kind: 'answer', status: 304, headers, body: null }
    const answer = fresh === null ? view : { fresh, tag, view: unchanged ? null : view }
    const step = {
      kind: 'answer' as const,
      status: 200,
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify(answer),
    }
    if (!unchanged) this.#kept = step
    return step
  }
}

/** Of this request; one that is kept and given to another ends no session. */
function failure({ status, headers = {}, body }: Failure, fresh: string | null) {
  const correlationId = makeId()
  const [code, message] = CODES[status] ?? ['INTERNAL_ERROR', 'Unable to load dashboard']
  const standard: ErrorBody = {
    success: false,
    error: { code, message },
    correlationId,
    timestamp: new Date().toISOString(),
    ...(fresh === null ? {} : { fresh }),
  }
  const type = body === undefined ? 'application/json' : 'text/html'
  return {
    kind: 'answer' as const,
    status,
    headers: { 'Content-Type': type, 'X-Correlation-Id': correlationId, ...headers },
    body: body ?? JSON.stringify(standard),
  }
}

function responseOf({ status, headers, body }: Extract<Step, { kind: 'answer' }>): Response {
  if (typeof globalThis.Response === 'function') return new Response(body, { status, headers })
  // Jest's jsdom has no Response. This is what the client reads of one.
  const answer = { status, headers: new Headers(headers), text: async () => body ?? '' }
  return answer as unknown as Response
}

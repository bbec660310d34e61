import type {
  DashboardClientOptions,
  DashboardLogger,
  LastViewOptions,
  LastViewStore,
  TokenRequest,
} from './api.js'
import { kindOf } from './text.js'
import type { DiagnosticLevel } from './types.js'

/** Options after the check: complete and normalised. */
export interface CheckedOptions {
  /** The server's origin, as the browser's parser writes it. */
  url: string
  /** Empty, or with a slash before it and none behind. */
  basePath: string
  cookies: boolean
  getToken: ((request: TokenRequest) => Promise<string | null>) | null
  onAuthRequired: NonNullable<DashboardClientOptions['onAuthRequired']> | null
  logger: DashboardLogger
  lastView: LastViewOptions | null
}

const KNOWN = ['url', 'basePath', 'getToken', 'cookies', 'onAuthRequired', 'logger', 'lastView']
const KNOWN_OF_LAST_VIEW = ['userId', 'store']
const LEVELS = ['debug', 'info', 'warn', 'error'] satisfies DiagnosticLevel[]

/** Refuses what cannot work, with a message that says what to do. */
export function checkOptions(options: DashboardClientOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw problem(
      `expects an object of options, not ${kindOf(options)}. ` +
        'Pass at least { url, cookies: true } or { url, getToken }.',
    )
  }
  const unknown = Object.keys(options).find(key => !KNOWN.includes(key))
  if (unknown !== undefined) {
    throw problem(`has no option ${JSON.stringify(unknown)}. It has: ${KNOWN.join(', ')}.`)
  }
  const { getToken = null, cookies = false, onAuthRequired = null } = options
  if (getToken !== null && typeof getToken !== 'function') {
    throw problem(
      `expects getToken to be a function, not ${kindOf(getToken)}. ` +
        'Pass () => token, so that each attempt asks for a fresh one.',
    )
  }
  if (typeof cookies !== 'boolean') {
    throw problem(`expects cookies to be true or false, not ${kindOf(cookies)}.`)
  }
  if (onAuthRequired !== null && typeof onAuthRequired !== 'function') {
    throw problem(`expects onAuthRequired to be a function, not ${kindOf(onAuthRequired)}.`)
  }
  if (getToken === null && !cookies) {
    throw problem(
      'does not know how to log in. Pass getToken: () => token, ' +
        'or cookies: true where the session is in a cookie.',
    )
  }
  return {
    url: checkUrl(options.url),
    basePath: checkBasePath(options.basePath ?? '/api'),
    cookies,
    getToken: getToken && checkedToken(getToken),
    onAuthRequired,
    logger: checkLogger(options.logger),
    lastView: checkLastView(options.lastView ?? null),
  }
}

function problem(what: string): TypeError {
  return new TypeError(`createDashboardClient ${what}`)
}

/** The origin, as the browser's parser reads it; refuses what it would only guess at. */
export function checkUrl(value: unknown): string {
  const example = "Pass the server's origin, such as 'https://moc.example.org'."
  if (typeof value !== 'string' && !(value instanceof URL)) {
    throw problem(`expects url to be a string or a URL, not ${kindOf(value)}. ${example}`)
  }
  const text = String(value)
  if (isForgiven(text)) {
    throw problem(`expects url to be without blanks, control characters and '\\'. ${example}`)
  }
  const url = parsed(text)
  if (url !== null && url.protocol !== 'http:' && url.protocol !== 'https:') {
    const scheme = JSON.stringify(url.protocol)
    throw problem(`expects url to begin with http: or https:, not with ${scheme}. ${example}`)
  }
  if (!/^https?:\/\//i.test(text)) {
    throw problem(`expects url to be absolute. ${example}`)
  }
  // Ends at what ends it for every parser; the first of them need not be there.
  const [authority = ''] = text.replace(/^https?:\/\//i, '').split(/[/?#]/, 1)
  if (authority.includes('@')) {
    throw problem('refuses a url that holds a password. Pass getToken or cookies: true instead.')
  }
  // A port that was forgotten would be the scheme's own, and nothing listens at port 0.
  if (url === null || authority === '' || authority.endsWith(':') || url.port === '0') {
    throw problem(`expects url to have a host, and a port of 1 to 65535 or none. ${example}`)
  }
  if (!/^(\[[\d:.a-f]+\]|[\w.-]*[\da-z][\w.-]*)$/.test(url.hostname)) {
    throw problem(`expects url to have a host that can be connected to. ${example}`)
  }
  // As it was written: a parser resolves `/a/..` to nothing.
  if (!/^https?:\/\/[^/?#]+\/?$/i.test(text)) {
    throw problem(`expects url to end after the host. Put a path into basePath. ${example}`)
  }
  return url.origin
}

/** Blanks, control characters and `\`: parsers drop them, or take them for something else. */
function isForgiven(text: string): boolean {
  return [...text].some(each => each <= ' ' || each === '\x7f' || each === '\\')
}

function parsed(text: string): URL | null {
  try {
    return new URL(text)
  } catch {
    return null
  }
}

/** The path without a slash behind it. */
export function checkBasePath(value: unknown): string {
  if (typeof value !== 'string') {
    throw problem(`expects basePath to be a string, not ${kindOf(value)}. Default: '/api'.`)
  }
  const path = value.replace(/\/+$/, '')
  const isPlain = (path === '' || /^\/[^?#]*$/.test(path)) && !isForgiven(path)
  // Parsers resolve these, so that another path is asked for than the one that was written.
  const isOdd = (part: string) => part === '' || /^(\.|%2e){1,2}$/i.test(part)
  if (!isPlain || value.startsWith('//') || path.split('/').slice(1).some(isOdd)) {
    throw problem(
      `expects basePath to be a path that begins with '/', such as '/api', ` +
        "without blanks, '?', '#', '\\' and parts that are empty, '.' or '..'.",
    )
  }
  return path
}

function checkedToken(getToken: NonNullable<DashboardClientOptions['getToken']>) {
  return async function askForToken(request: TokenRequest): Promise<string | null> {
    const token: unknown = await getToken(request)
    if (token !== null && typeof token !== 'string') {
      throw new TypeError(`getToken must return a string or null, not ${kindOf(token)}.`)
    }
    if (token !== null && !/^[\x20-\x7e]*$/.test(token)) {
      throw new TypeError('getToken must return a token of printable ASCII, as headers have it.')
    }
    return token
  }
}

function checkLogger(logger: DashboardClientOptions['logger']): DashboardLogger {
  if (logger === null) return {}
  if (logger === undefined) {
    return {
      warn: (message, entry) => console.warn(message, entry),
      error: (message, entry) => console.error(message, entry),
    }
  }
  if (typeof logger !== 'object') {
    throw problem(`expects logger to be like console, not ${kindOf(logger)}.`)
  }
  const given = LEVELS.filter(level => (logger[level] ?? null) !== null)
  const wrong = given.find(level => typeof logger[level] !== 'function')
  if (wrong !== undefined) {
    throw problem(`expects logger.${wrong} to be a function, not ${kindOf(logger[wrong])}.`)
  }
  if (given.length === 0 && Object.keys(logger).length > 0) {
    throw problem(
      `expects logger to have one of the methods ${LEVELS.join(', ')}. Pass null for silence.`,
    )
  }
  return logger
}

function checkLastView(lastView: LastViewOptions | null): LastViewOptions | null {
  if (lastView === null) return null
  if (typeof lastView !== 'object') {
    throw problem(
      `expects lastView to be an object, not ${kindOf(lastView)}. ` +
        'Pass { userId: () => id }, so that nobody is shown the view of another user.',
    )
  }
  const unknown = Object.keys(lastView).find(key => !KNOWN_OF_LAST_VIEW.includes(key))
  if (unknown !== undefined) {
    const known = KNOWN_OF_LAST_VIEW.join(', ')
    throw problem(`has no option lastView.${unknown}. Of lastView there are: ${known}.`)
  }
  const { userId, store } = lastView
  if (typeof userId !== 'function') {
    throw problem(
      `expects lastView.userId to be a function, not ${kindOf(userId)}. ` +
        'Pass () => id, or () => null while nobody is logged in.',
    )
  }
  if (store === undefined) return { userId }
  for (const method of ['load', 'save', 'drop'] satisfies (keyof LastViewStore)[]) {
    if (typeof store?.[method] !== 'function') {
      throw problem(
        `expects lastView.store to have the methods load, save and drop; ${method} is missing. ` +
          'Leave the store out to use IndexedDB.',
      )
    }
  }
  return { userId, store }
}

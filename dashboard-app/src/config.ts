/** What an install may set without a new build: `<meta>` elements of the page. */
export interface Config {
  /** Where an expired session is renewed. */
  loginUrl: string
  /** Where the session is ended; null where the page offers no way to do that. */
  logoutUrl: string | null
  /** The user's name, where the host that makes the page knows it. */
  userName: string | null
  /** What the addresses of the host's pages begin with; empty where they are beside this page. */
  hostBase: string
  /** Path under which the server answers REST requests. */
  apiBase: string
}

/** Reads the page's `<meta>` elements; what is absent or unusable becomes the default. */
export function readConfig(page: Document): Config {
  return {
    loginUrl: webAddress(content(page, 'dashboard-login-url'), page.baseURI) ?? '/login',
    logoutUrl: webAddress(content(page, 'dashboard-logout-url'), page.baseURI),
    userName: content(page, 'dashboard-user-name'),
    hostBase: hostBase(page),
    apiBase: content(page, 'dashboard-api-base') ?? '/api',
  }
}

function hostBase(page: Document): string {
  const address = webAddress(content(page, 'dashboard-host-base'), page.baseURI) ?? ''
  return address.replace(/\/+$/, '')
}

function content(page: Document, name: string): string | null {
  const text = page.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content.trim()
  return text === undefined || text === '' ? null : text
}

/** The address as written, if it leads to a web page: a `javascript:` one must not become a link. */
function webAddress(text: string | null, base: string): string | null {
  if (text === null || !URL.canParse(text, base)) return null
  return /^https?:$/.test(new URL(text, base).protocol) ? text : null
}

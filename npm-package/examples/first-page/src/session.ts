/** Stands in for your app's session: an access token that is kept until the tab is closed. */
const KEY = 'accessToken'

export function accessToken(): string | null {
  return sessionStorage.getItem(KEY)
}

export function logIn(token: string): void {
  sessionStorage.setItem(KEY, token)
}

/** Whom the token names; `null` without a token. */
export function userId(): string | null {
  const claims = accessToken()?.split('.')[1]
  if (claims === undefined) return null
  try {
    const { sub } = JSON.parse(atob(claims.replaceAll('-', '+').replaceAll('_', '/')))
    return typeof sub === 'string' ? sub : null
  } catch {
    return null
  }
}

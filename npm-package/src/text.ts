/** JSON Web Tokens, which some libraries quote when they do not like one. */
const TOKEN = /eyJ[\w-]{8,}(\.[\w-]+)*/g

/** What was thrown, as text of bounded length and without tokens: anything may be thrown. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown).replace(TOKEN, '(token)').slice(0, 300)
  } catch {
    return `a value of type ${typeof thrown}`
  }
}

/** JSON Web Tokens, which some libraries quote in their errors. */
const TOKEN = /eyJ[\w-]{8,}(\.[\w-]+)*/g

/** What was thrown, as text of bounded length and without tokens: anything may be thrown. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown).replace(TOKEN, '(token)').slice(0, 300)
  } catch {
    return `a value of type ${typeof thrown}`
  }
}

/** Shows a value's kind in a message without its content, which may be a secret. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
}

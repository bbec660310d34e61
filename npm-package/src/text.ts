/** What was thrown, as text of bounded length: anything may be thrown, also what has no text. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown).slice(0, 300)
  } catch {
    return `a value of type ${typeof thrown}`
  }
}

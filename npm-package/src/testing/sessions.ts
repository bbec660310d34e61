/** A token, or null for a session in a cookie. */
export type Token = string | null

/** Who may come in, and who came. */
export class Sessions {
  readonly #accepts: (token: Token) => boolean
  readonly #expired = new Set<string>()
  #tokens: Token[] = []
  /** Whether every session is refused. */
  ended = false

  constructor(accepts: (token: Token) => boolean = () => true) {
    this.#accepts = accepts
  }

  get tokens(): readonly Token[] {
    return this.#tokens
  }

  note(token: Token): void {
    this.#tokens.push(token)
  }

  accepts(token: Token): boolean {
    if (this.ended || (token !== null && this.#expired.has(token))) return false
    return this.#accepts(token)
  }

  expireSeen(): void {
    for (const token of this.#tokens) if (token !== null) this.#expired.add(token)
  }

  reset(): void {
    this.ended = false
    this.#expired.clear()
    this.#tokens = []
  }
}

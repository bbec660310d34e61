// Follows the change log, and refreshes each user who is connected at most once in a window. The
// first change after a quiet window goes out at once.

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const INTERVAL_MS = 25
const WINDOW_MS = 50

// Rows are numbered in the order of their commits, so the greatest number seen is all to remember.
const POLL = `
  select max(id), user_id, bit_or(sections)
  from dashboard.changes where id > $1
  group by user_id`

export class Changes {
  #client
  #last
  #isConnected
  #refresh
  #pending = new Map()

  constructor(connectionString, { isConnected, refresh }) {
    this.#client = new pg.Client({ connectionString })
    this.#isConnected = isConnected
    this.#refresh = refresh
  }

  async start() {
    await this.#client.connect()
    await this.#client.query('set enable_seqscan = off; set jit = off')
    const { rows } = await this.#client.query('select max(id) as last from dashboard.changes')
    this.#last = Number(rows[0].last ?? 0)
    this.#follow()
  }

  async #follow() {
    for (;;) {
      await sleep(INTERVAL_MS)
      const query = { name: 'poll', text: POLL, values: [this.#last], rowMode: 'array' }
      const { rows } = await this.#client.query(query)
      for (const [id, user, sections] of rows) {
        this.#last = Math.max(this.#last, Number(id))
        if (this.#isConnected(user)) this.#note(user, sections)
      }
    }
  }

  #note(user, sections) {
    if (this.#pending.has(user)) {
      this.#pending.set(user, this.#pending.get(user) | sections)
      return
    }
    this.#pending.set(user, 0)
    this.#run(user, sections)
  }

  async #run(user, sections) {
    const started = performance.now()
    try {
      await this.#refresh(user, sections)
    } catch (error) {
      console.error('a refresh failed', error)
    }
    setTimeout(() => this.#next(user), Math.max(0, WINDOW_MS - (performance.now() - started)))
  }

  #next(user) {
    const sections = this.#pending.get(user)
    if (sections === 0) {
      this.#pending.delete(user)
      return
    }
    this.#pending.set(user, 0)
    this.#run(user, sections)
  }
}

// Follows the change log, and refreshes each user who is connected at most once in a window. The
// first change after a quiet window goes out at once.

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const INTERVAL_MS = 25
const WINDOW_MS = 50

const POLL = `
  with here as materialized (select pg_current_snapshot()::text as snapshot)
  select here.snapshot, fresh.user_id, fresh.sections
  from here
  left join (
    select user_id, bit_or(sections) as sections
    from (
      select user_id, sections from dashboard.changes where xid >= pg_snapshot_xmax($1::pg_snapshot)
      union all
      select user_id, sections from dashboard.changes
      where xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))
    ) as unseen
    group by user_id
  ) as fresh on true`

export class Changes {
  #client
  #cursor
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
    const { rows } = await this.#client.query('select pg_current_snapshot()::text as snapshot')
    this.#cursor = rows[0].snapshot
    this.#follow()
  }

  async #follow() {
    for (;;) {
      await sleep(INTERVAL_MS)
      const query = { name: 'poll', text: POLL, values: [this.#cursor], rowMode: 'array' }
      const { rows } = await this.#client.query(query)
      this.#cursor = rows[0][0]
      for (const [, user, sections] of rows) {
        if (user !== null && this.#isConnected(user)) this.#note(user, sections)
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

/**
 * Keeps the last view for the core: for one user, in the order of the calls, and with a report of
 * each failure.
 *
 * The core says when to load, save and drop, and knows no users. This module must show a stored
 * view only to the user for whom it was saved, and must leave nothing after a drop.
 */
import type { LastViewEntry, LastViewOptions, LastViewStore } from './api.js'
import { silence } from './callbacks.js'
import type { CoreLastView } from './core.js'
import { textOf } from './text.js'

export class LastView implements CoreLastView {
  readonly #userId: LastViewOptions['userId']
  readonly #store: LastViewStore
  readonly #fail: (message: string) => void
  /** The end of all that was asked of the store: one thing after another, so a drop is last. */
  #tail: Promise<unknown> = Promise.resolve()
  /** What is to be saved next: the newest only, where the store is slower than the core. */
  #next: LastViewEntry | null = null
  /** Whose views the core has shown since it began, as far as the app has told. */
  #owner: string | null = null
  /** Whether the app has named another user, or none: nothing is kept until the next session. */
  #isClosed = false
  /**
   * Whether it named another user since the session began, or no user at the beginning. It is then
   * unknown whose view is shown.
   */
  #isMixed = false
  #drops = 0
  #isFailing = false

  constructor(
    userId: LastViewOptions['userId'],
    store: LastViewStore,
    fail: (message: string) => void,
  ) {
    this.#userId = userId
    this.#store = store
    this.#fail = fail
  }

  load = async (): Promise<string | null> => {
    const user = this.#user()
    this.#begin(user)
    if (user === null) return null
    const drops = this.#drops
    const record = await this.#inTurn('read', async () => {
      const entry = await this.#store.load()
      if (entry === null) return null
      if (entry.userId === user) return entry.record
      // In this turn, as a view of the user that is logged in may wait for the next one.
      await this.#store.drop()
      return null
    })
    if (record === undefined || drops !== this.#drops) return null
    return this.watch() === user ? record : null
  }

  /** Looks who is logged in. Often, as one who came and went again may have been shown a view. */
  watch = (): string | null => {
    const user = this.#user()
    this.#owner ??= user
    if (user === this.#owner) return user
    this.#isMixed ||= user !== null
    if (!this.#isClosed) this.drop()
    this.#isClosed = true
    return user
  }

  save = (record: string): void => {
    const user = this.watch()
    if (user === null || this.#isClosed) return
    const isWaiting = this.#next !== null
    this.#next = { userId: user, record }
    if (isWaiting) return
    const drops = this.#drops
    void this.#inTurn('saved', async () => {
      // What waits after a drop is not this one's to save: its turn comes after the drop's.
      if (this.#next === null || drops !== this.#drops) return
      const entry = this.#next
      this.#next = null
      await this.#store.save(entry)
    })
  }

  /** A session takes the place of another one: whether the user is the same, whose view is shown. */
  goOn(): boolean {
    const user = this.#user()
    const isSame = user !== null && user === this.#owner && !this.#isMixed
    this.#begin(user)
    return isSame
  }

  drop = (): void => {
    this.#drops += 1
    this.#next = null
    void this.#inTurn('dropped', () => this.#store.drop())
  }

  #begin(user: string | null): void {
    this.#owner = user
    this.#isClosed = false
    this.#isMixed = user === null
  }

  #inTurn<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    const done = this.#tail.then(work).then(
      result => {
        this.#isFailing = false
        return result
      },
      (error: unknown) => {
        // A full disk would fail every two seconds: the first time says it all.
        if (!this.#isFailing) this.#fail(`The last view could not be ${what}: ${textOf(error)}`)
        this.#isFailing = true
        return undefined
      },
    )
    this.#tail = done
    return done
  }

  #user(): string | null {
    try {
      const user: unknown = this.#userId()
      if (user === null || (typeof user === 'string' && user !== '')) return user
      silence(user)
      throw new TypeError('it must return the id of the user, or null')
    } catch (error) {
      if (!this.#isFailing) this.#fail(`lastView.userId failed: ${textOf(error)}`)
      this.#isFailing = true
      return null
    }
  }
}

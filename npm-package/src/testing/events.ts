import type { DashboardView, EventPayloads, EventType } from '../types.js'
import { makeId } from './builders.js'
import { Script, type Times, timesOf } from './script.js'

/** How many MOCs the recent list holds (D-FR-9). */
const RECENT_MOCS = 10

type Delivery = 'deliver' | 'lose' | 'duplicate' | 'corrupt' | 'reorder'

/** An event with its payload, before it is put into its envelope. */
export type Told = { [Type in EventType]: [type: Type, payload: EventPayloads[Type]] }[EventType]

/** What happens to events on their way. */
export class Events {
  readonly #script = new Script<Delivery>('deliver')
  readonly #send: (frame: string) => void
  #heldBack: string | null = null

  /** @internal */
  constructor(send: (frame: string) => void) {
    this.#send = send
  }

  /** Delivers each once, in order. This is what happens unless scripted otherwise. */
  deliver(options: Times = {}): void {
    const times = timesOf('events.deliver', options)
    this.#script.set('deliver', times)
    if (times === undefined) this.#release()
  }

  /** Loses events, as a server does that cannot read its database. */
  lose(options: Times = {}): void {
    this.#script.set('lose', timesOf('events.lose', options))
  }

  /** Delivers events twice. */
  duplicate(options: Times = {}): void {
    this.#script.set('duplicate', timesOf('events.duplicate', options))
  }

  /** Cuts events in half, so that they are malformed. */
  corrupt(options: Times = {}): void {
    this.#script.set('corrupt', timesOf('events.corrupt', options))
  }

  /** Holds an event back until the next one has been delivered. */
  reorder(options: Times = {}): void {
    this.#script.set('reorder', timesOf('events.reorder', options))
  }

  /** @internal */
  emit(revision: number, told: Told): void {
    const frame = frameOf(revision, told)
    const delivery = this.#script.take()
    if (delivery === 'lose') return
    if (delivery === 'reorder' && this.#heldBack === null) {
      this.#heldBack = frame
      return
    }
    this.#send(delivery === 'corrupt' ? frame.slice(0, frame.length / 2) : frame)
    if (delivery === 'duplicate') this.#send(frame)
    this.#release()
  }

  /** @internal */
  heal(): void {
    this.#script.reset()
    this.#release()
  }

  /** @internal */
  reset(): void {
    this.#heldBack = null
    this.heal()
  }

  #release(): void {
    const frame = this.#heldBack
    this.#heldBack = null
    if (frame !== null) this.#send(frame)
  }
}

/** The event as it crosses the wire. */
export function frameOf(revision: number, [type, payload]: Told): string {
  const envelope = { eventId: makeId(), type, timestamp: new Date().toISOString() }
  return `42/dashboard,${JSON.stringify([type, { ...envelope, revision, payload }])}`
}

/** The events that the server sends for a change: one for each section that is another one now, and for each new MOC. */
export function eventsOf(before: DashboardView, after: DashboardView): Told[] {
  const told: Told[] = []
  if (!same(before.summary, after.summary)) told.push(['dashboard:summaryUpdated', after.summary])
  if (!same(before.themeBreakdown, after.themeBreakdown)) {
    told.push(['dashboard:themeBreakdownUpdated', after.themeBreakdown])
  }
  if (!same(before.recentMocs, after.recentMocs)) {
    const known = new Set(before.recentMocs.map(({ id }) => id))
    const added = after.recentMocs.filter(({ id }) => !known.has(id))
    const prepended = [...added, ...before.recentMocs].slice(0, RECENT_MOCS)
    if (added.length > 0 && same(prepended, after.recentMocs)) {
      for (const moc of [...added].reverse()) told.push(['dashboard:recentMocAdded', moc])
    } else {
      told.push(['dashboard:recentMocsUpdated', after.recentMocs])
    }
  }
  if (!same(before.partialPartsMocs, after.partialPartsMocs)) {
    told.push(['dashboard:partialPartsUpdated', after.partialPartsMocs])
  }
  return told
}

/** Compares as the wire does. */
function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

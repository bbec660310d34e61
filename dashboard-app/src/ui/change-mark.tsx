import { useEffect, useState } from 'react'

/** What happened to an item of a list since the list was first shown. */
export interface Change {
  kind: 'new' | 'changed'
  /** How many times, so that the mark can be shown again. */
  times: number
  /** When, by the page's clock, ms. */
  at: number
}

/** How long a change is pointed out. */
const FRESH_MS = 4_000

interface Seen<T> {
  items: readonly T[]
  scope: string
  changes: ReadonlyMap<string, Change>
}

/**
 * Tells which items of a list are new or differ from before.
 *
 * @param isSame whether both look alike.
 * @param scope what the list is of. Where it differs, the list is another, and nothing in it is new.
 */
export function useChanges<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  isSame: (a: T, b: T) => boolean,
  scope = '',
): ReadonlyMap<string, Change> {
  const [seen, setSeen] = useState<Seen<T>>({ items, scope, changes: new Map() })
  if (seen.scope === scope && isEqual(seen.items, items)) return seen.changes
  const changes = seen.scope === scope ? compare(seen, items, idOf, isSame) : new Map()
  setSeen({ items, scope, changes })
  return changes
}

function isEqual<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, at) => item === b[at])
}

function compare<T>(
  seen: Seen<T>,
  items: readonly T[],
  idOf: (item: T) => string,
  isSame: (a: T, b: T) => boolean,
): Map<string, Change> {
  const before = new Map(seen.items.map(item => [idOf(item), item]))
  const changes = new Map<string, Change>()
  for (const item of items) {
    const id = idOf(item)
    const old = before.get(id)
    const change = seen.changes.get(id)
    if (old !== undefined && isSame(old, item)) {
      if (change !== undefined) changes.set(id, change)
    } else {
      const kind = old === undefined ? 'new' : 'changed'
      changes.set(id, { kind, times: (change?.times ?? 0) + 1, at: performance.now() })
    }
  }
  return changes
}

/**
 * Whether a change is still pointed out. Afterwards no part of the mark may stay in the document:
 * an element that is moved, or comes into view, plays its animations again.
 */
export function useFresh(change: Pick<Change, 'times' | 'at'> | undefined): boolean {
  const [over, setOver] = useState(0)
  const { times, at } = change ?? { times: 0, at: 0 }
  useEffect(() => {
    if (times === 0) return
    const timer = setTimeout(() => setOver(times), Math.max(0, at + FRESH_MS - performance.now()))
    return () => clearTimeout(timer)
  }, [times, at])
  return times > over && performance.now() - at < FRESH_MS
}

/** Lies behind a row for a moment after it has changed. The row is `relative` and `isolate`. */
export function ChangeMark({ change }: { change: Change }) {
  // A new key restarts the animation.
  return (
    <span key={change.times} className="change-mark" aria-hidden="true" data-change={change.kind} />
  )
}

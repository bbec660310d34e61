import { RefreshCw } from 'lucide-react'
import {
  type PointerEvent,
  type ReactNode,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from 'react'

import { counted } from './format'

/** A list as it is shown. */
export interface Held<T> {
  rows: readonly Row<T>[]
  /** How many items come, go or change places once the list is let go. */
  waiting: number
  hold(): void
  /** Shows the list as it is now, and holds that. */
  update(): void
  release(): void
}

export interface Row<T> {
  id: string
  item: T
  /** The item is no longer in the list. */
  isGone: boolean
}

interface Hold<T> {
  scope: string
  items: readonly T[]
}

/**
 * Keeps the order of a list while it is read or aimed at. The items' values are always those of
 * now; only who is in the list, and where, waits.
 *
 * @param scope what the list is of. Where it differs, the list is another, and is shown at once.
 * @param limit how many of its items are shown.
 */
export function useHeld<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  scope = '',
  limit = Number.POSITIVE_INFINITY,
): Held<T> {
  const [hold, setHold] = useState<Hold<T> | null>(null)
  const held = hold?.scope === scope ? hold.items : null
  const take = () => setHold({ scope, items })
  if (hold !== null && held === null) take()
  const now = new Map(items.map(item => [idOf(item), item]))
  const rows = (held ?? items).map(item => {
    const id = idOf(item)
    return { id, item: now.get(id) ?? item, isGone: !now.has(id) }
  })
  return {
    rows,
    waiting:
      held === null
        ? 0
        : differences(held.slice(0, limit).map(idOf), items.slice(0, limit).map(idOf)),
    // What is held may be another than the last that was rendered.
    hold: () => setHold(last => (last?.scope === scope ? last : { scope, items })),
    update: take,
    release: () => setHold(null),
  }
}

/** How many ids come, go or must be moved for one list to become the other. */
export function differences(from: readonly string[], to: readonly string[]): number {
  const places = new Map(from.map((id, at) => [id, at]))
  const staying = to.flatMap(id => places.get(id) ?? [])
  const unmoved = longestRising(staying)
  return from.length - staying.length + (to.length - staying.length) + (staying.length - unmoved)
}

/** The length of the longest rising subsequence: what may stay where it is. */
function longestRising(numbers: readonly number[]): number {
  // At each place, the smallest number that ends a rising subsequence of that length.
  const ends: number[] = []
  for (const number of numbers) {
    let [low, high] = [0, ends.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ends[middle] as number) < number) low = middle + 1
      else high = middle
    }
    ends[low] = number
  }
  return ends.length
}

/** A click comes after the finger has left, and must still find its target. */
const CLICK_MS = 300

/** Holds a list while a pointer or the keyboard's focus is in it, and says how many changes wait. */
export function HeldRegion({
  list,
  className = '',
  children,
}: {
  list: Pick<Held<unknown>, 'waiting' | 'hold' | 'update' | 'release'>
  className?: string
  children: ReactNode
}) {
  const region = useRef<HTMLDivElement>(null)
  const inside = useRef({ pointer: false, focus: false })
  const releaseTimer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const isInside = () => inside.current.pointer || inside.current.focus

  function enter(what: 'pointer' | 'focus') {
    clearTimeout(releaseTimer.current)
    inside.current[what] = true
    list.hold()
  }

  function leave(what: 'pointer' | 'focus', after = 0) {
    inside.current[what] = false
    if (isInside()) return
    clearTimeout(releaseTimer.current)
    if (after === 0) list.release()
    else releaseTimer.current = setTimeout(list.release, after)
  }

  /** Where what had the focus goes away, the focus stays in the list. */
  function takeFocus() {
    region.current?.setAttribute('tabindex', '-1')
    region.current?.focus({ preventScroll: true })
  }

  // Browsers do not say that an element with the focus has been taken away.
  useLayoutEffect(() => {
    if (inside.current.focus && document.activeElement === document.body) takeFocus()
  })

  const { release } = list
  const latestRelease = useRef(release)
  useEffect(() => {
    latestRelease.current = release
  })
  // Nor does a pointer leave what is taken away under it.
  useEffect(
    () => () => {
      clearTimeout(releaseTimer.current)
      latestRelease.current()
    },
    [],
  )

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it takes no action, it only holds still.
    <div
      ref={region}
      className={`outline-none ${className}`}
      onPointerEnter={() => enter('pointer')}
      onPointerLeave={({ pointerType }: PointerEvent) =>
        leave('pointer', pointerType === 'mouse' ? 0 : CLICK_MS)
      }
      onFocus={({ target }) => {
        // A click leaves the focus behind when the pointer has long gone.
        if (target.matches(':focus-visible')) enter('focus')
      }}
      onBlur={({ relatedTarget }) => {
        if (region.current?.contains(relatedTarget)) return
        region.current?.removeAttribute('tabindex')
        leave('focus')
      }}
    >
      {list.waiting > 0 && (
        // Without a height, so that it moves nothing.
        <div className="sticky top-14 z-10 flex h-0 justify-center">
          <button
            type="button"
            data-testid="waiting-changes"
            className="-mt-3 flex h-11 cursor-pointer items-center gap-2 rounded-full border border-transparent bg-primary px-4 font-control font-medium text-primary-foreground text-sm shadow-md"
            onClick={({ detail }) => {
              if (detail === 0) takeFocus()
              if (isInside()) list.update()
              else list.release()
            }}
          >
            <RefreshCw className="size-3.5" aria-hidden="true" />
            <span>
              <span className="sr-only">Show </span>
              {counted(list.waiting, 'change')}
            </span>
          </button>
        </div>
      )}
      {children}
    </div>
  )
}

/** In the place of what no longer holds of an item that has left the list. */
export function Gone() {
  return (
    <span className="inline-flex whitespace-nowrap rounded-full border border-border border-dashed px-2 py-0.5 font-control text-muted-foreground text-xs">
      No longer listed
    </span>
  )
}

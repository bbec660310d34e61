import { Component, type ReactNode, type RefObject } from 'react'

/** Where elements belong in the page, without the offset of a running animation, px. */
type Places = Map<HTMLElement, Place>

interface Place {
  left: number
  top: number
  bottom: number
}

interface Move {
  element: HTMLElement
  from: Place
  to: Place
}

/** Added to moves that are still under way, so that nothing jumps when one move follows another. */
const GLIDE: KeyframeAnimationOptions = {
  duration: 500,
  easing: 'cubic-bezier(0.2, 0.7, 0.2, 1)',
  composite: 'add',
}
const STILL_MS = 4_000
/** More rows than this are not all measured. */
const MANY = 200

interface MovingRowsProps {
  /** The list whose children change places. */
  list: RefObject<HTMLElement | null>
  /** The children's ids as they stand. */
  order: readonly string[]
  children: ReactNode
}

/**
 * Lets the rows of a list glide to a new place, from the one that they had just before. Where the
 * reader is in the middle of the list, what comes above does not push away the rows that are being
 * read. A class, since React asks only classes right before it changes the document.
 */
export class MovingRows extends Component<MovingRowsProps> {
  override getSnapshotBeforeUpdate(before: MovingRowsProps): RowsBefore | null {
    const list = this.props.list.current
    const { order } = this.props
    const isMoved =
      before.order.length !== order.length || before.order.some((id, at) => id !== order[at])
    if (!isMoved || list?.animate === undefined) return null
    holdScroll()
    return { places: placesIn(list), origin: originOf(list) }
  }

  override componentDidUpdate(
    _props: MovingRowsProps,
    _state: unknown,
    before: RowsBefore | null,
  ): void {
    if (before !== null) releaseScroll(() => this.#move(before))
  }

  #move(before: RowsBefore) {
    const list = this.props.list.current
    if (list === null) return
    const moves = movesSince(before.places, list)
    const wasSeen = ({ from }: Move) => isSeen(from, before.origin)
    const scrolled = keepPlace(list, moves.filter(wasSeen))
    return () => {
      // Of thousands of rows, only those in the window count.
      const origin = originOf(list)
      for (const move of moves) {
        if (wasSeen(move) || isSeen(move.to, origin)) glide(move, scrolled)
      }
    }
  }

  override render(): ReactNode {
    return this.props.children
  }
}

interface RowsBefore {
  places: Places
  origin: number
}

interface MovingCardsProps {
  grid: RefObject<HTMLElement | null>
  children: ReactNode
}

/** Lets the cards below a list glide when it becomes longer or shorter, and keeps the card in sight where it is. */
export class MovingCards extends Component<MovingCardsProps> {
  override getSnapshotBeforeUpdate(): CardsBefore | null {
    const grid = this.props.grid.current
    if (grid?.animate === undefined) return null
    holdScroll()
    const cards = [...grid.children]
    const first = cards.findIndex(card => card.getBoundingClientRect().bottom > 0)
    return { places: placesIn(grid), first }
  }

  override componentDidUpdate(
    _props: MovingCardsProps,
    _state: unknown,
    before: CardsBefore | null,
  ): void {
    if (before !== null) releaseScroll(() => this.#move(before))
  }

  #move({ places, first }: CardsBefore) {
    const grid = this.props.grid.current
    if (grid === null) return
    const cards = movesSince(places, grid)
    const inSight = cards[first]
    // A list in it has kept its rows where they are already.
    if (inSight !== undefined && scrolling.from > 0) {
      scrollAlong(inSight.to.top - inSight.from.top)
    }
    return () => {
      if (isReduced()) return
      for (const card of cards.slice(first + 1)) glide(card, scrolling.to - scrolling.from)
    }
  }

  override render(): ReactNode {
    return this.props.children
  }
}

interface CardsBefore {
  places: Places
  /** Which card is the first in sight. */
  first: number
}

function placesIn(parent: HTMLElement): Places {
  return new Map(childrenNear(parent).map(child => [child, placeOf(child)]))
}

/** All children; of thousands, those not more than a window's height away from the window. */
function childrenNear(parent: HTMLElement): HTMLElement[] {
  const children = [...parent.children].filter(child => child instanceof HTMLElement)
  if (children.length <= MANY) return children
  const origin = originOf(parent)
  const firstBelow = (line: number) => {
    let [low, high] = [0, children.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (placeOf(children[middle] as HTMLElement).top + origin < line) low = middle + 1
      else high = middle
    }
    return low
  }
  return children.slice(Math.max(0, firstBelow(-innerHeight) - 1), firstBelow(2 * innerHeight))
}

function placeOf({ offsetLeft, offsetTop, offsetHeight }: HTMLElement): Place {
  return { left: offsetLeft, top: offsetTop, bottom: offsetTop + offsetHeight }
}

/** Those that were there before. */
function movesSince(before: Places, parent: HTMLElement): Move[] {
  return [...before].flatMap(([element, from]) =>
    element.parentElement === parent ? [{ element, from, to: placeOf(element) }] : [],
  )
}

/** What the places of its children are counted from, in the window, px. */
function originOf(parent: HTMLElement): number {
  const first = parent.firstElementChild
  if (!(first instanceof HTMLElement)) return 0
  return (first.offsetParent?.getBoundingClientRect().top ?? 0) - parent.scrollTop
}

function isSeen(place: Place, origin: number): boolean {
  return origin + place.bottom > 0 && origin + place.top < innerHeight
}

/**
 * Scrolls along where most rows in sight are pushed by as much: by what has come or gone above them.
 *
 * @returns by how much, px.
 */
function keepPlace(list: HTMLElement, rows: readonly Move[]): number {
  if (list.getBoundingClientRect().top >= 0) return 0
  const pushes = rows.map(({ from, to }) => to.top - from.top).sort((a, b) => a - b)
  const pushed = pushes[pushes.length >> 1] ?? 0
  const alike = pushes.filter(push => Math.abs(push - pushed) < 2)
  if (alike.length * 2 <= pushes.length) return 0
  scrollAlong(pushed)
  return pushed
}

/** The page's scrolling while a change is measured: how many measure, and where it is to end, px. */
const scrolling = { measuring: 0, from: 0, to: 0, afterwards: [] as (() => void)[] }

/**
 * Begins to measure a change. Until its end the browser is not to scroll: along with what grows above the
 * window (Safari never does so), or because the page has become shorter.
 */
function holdScroll(): void {
  const { style, scrollHeight } = document.documentElement
  if (scrolling.measuring === 0) Object.assign(scrolling, { from: scrollY, to: scrollY })
  scrolling.measuring += 1
  style.overflowAnchor = 'none'
  style.minHeight = `${scrollHeight}px`
}

/** Scrolls so much farther than has been asked for since the change. What the browser has scrolled does not count. */
function scrollAlong(by: number): void {
  scrolling.to += by
  if (scrollY !== scrolling.to) scrollTo({ top: scrolling.to, behavior: 'instant' })
}

/**
 * Undoes what the browser has scrolled, and lets `measure` scroll along. It returns what is to be
 * animated, which is done once all have scrolled.
 */
function releaseScroll(measure: () => (() => void) | undefined): void {
  try {
    scrollAlong(0)
    const animate = measure()
    if (animate !== undefined) scrolling.afterwards.push(animate)
  } finally {
    scrolling.measuring -= 1
    if (scrolling.measuring === 0) {
      const { style } = document.documentElement
      style.overflowAnchor = ''
      style.minHeight = ''
      for (const animate of scrolling.afterwards.splice(0)) animate()
    }
  }
}

/** Lets an element glide from where it was seen, or marks it where motion is unwanted. */
function glide({ element, from, to }: Move, scrolled: number): void {
  const [x, y] = [from.left - to.left, from.top - to.top + scrolled]
  // Places are whole pixels, and so not exact.
  if (Math.abs(x) < 2 && Math.abs(y) < 2) return
  if (isReduced()) element.animate([{ outline: '2px dashed var(--control)' }], STILL_MS)
  else element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: 'none' }], GLIDE)
}

function isReduced(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches
}

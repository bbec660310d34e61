import type { BuildStatus, PartialPartsMoc } from '@moc/dashboard-sdk/types'

/** In which order the table of parts is, and what is left out of it. */
export interface PartsChoice {
  order: keyof typeof ORDERS
  /** Only this theme. */
  theme: string | null
  /** Only MOCs of this build status. */
  status: BuildStatus | null
}

export const ORDERS = {
  least: 'Least covered first',
  nearly: 'Nearly complete first',
  recent: 'Recently updated first',
} as const

/** Least covered first, and all of them. */
export const EVERYTHING: PartsChoice = { order: 'least', theme: null, status: null }

const STATUSES: readonly unknown[] = ['ADDED', 'IN_PROGRESS', 'BUILT'] satisfies BuildStatus[]

/** What was stored, as far as it makes sense. */
export function readChoice(stored: unknown): PartsChoice {
  if (typeof stored !== 'object' || stored === null) return EVERYTHING
  const { order, theme, status } = stored as Partial<Record<keyof PartsChoice, unknown>>
  return {
    order:
      typeof order === 'string' && Object.hasOwn(ORDERS, order)
        ? (order as PartsChoice['order'])
        : 'least',
    theme: typeof theme === 'string' ? theme : null,
    status: STATUSES.includes(status) ? (status as BuildStatus) : null,
  }
}

/** What is left of the list, in the order that was chosen; equal ones stay as they came. */
export function arrange(mocs: readonly PartialPartsMoc[], choice: PartsChoice): PartialPartsMoc[] {
  const { order, theme, status } = choice
  return mocs
    .filter(moc => theme === null || moc.theme === theme)
    .filter(moc => status === null || moc.buildStatus === status)
    .toSorted((a, b) => {
      if (order === 'recent') return Date.parse(b.lastUpdatedAt) - Date.parse(a.lastUpdatedAt)
      const least = a.coveragePercentage - b.coveragePercentage
      return order === 'least' ? least : -least
    })
}

/** Every theme of the list by name, and the chosen one even where it is gone. */
export function themesOf(mocs: readonly PartialPartsMoc[], chosen: string | null): string[] {
  const themes = new Set(mocs.map(moc => moc.theme))
  if (chosen !== null) themes.add(chosen)
  return [...themes].sort((a, b) => a.localeCompare(b, 'en'))
}

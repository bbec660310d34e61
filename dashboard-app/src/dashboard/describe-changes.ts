import type { DashboardView } from '@moc/dashboard-sdk/types'

import { counted } from '../ui/format'

/**
 * What has changed between two views, as a sentence for those who do not see it:
 * `3 changes: 2 MOCs added, 1 MOC updated.`
 *
 * @returns `null` where nothing has that the page shows.
 */
export function describeChanges(before: DashboardView, after: DashboardView): string | null {
  if (before === after) return null
  const changes: [count: number, text: string][] = [
    ...added(after.summary.totalMocs - before.summary.totalMocs, 'MOC'),
    ...added(
      after.summary.totalWishlistItems - before.summary.totalWishlistItems,
      'wish',
      'wishes',
    ),
    ...added(sets(after) - sets(before), 'set'),
    ...updated(before, after),
  ]
  const total = changes.reduce((sum, [count]) => sum + count, 0)
  if (total > 0) {
    return `${counted(total, 'change')}: ${changes.map(([, text]) => text).join(', ')}.`
  }
  // One came and one went, say.
  return JSON.stringify(before) === JSON.stringify(after) ? null : 'The dashboard has changed.'
}

function added(difference: number, one: string, many?: string): [number, string][] {
  const count = Math.abs(difference)
  if (count === 0) return []
  return [[count, `${counted(count, one, many)} ${difference > 0 ? 'added' : 'removed'}`]]
}

function sets(view: DashboardView): number {
  return view.themeBreakdown.reduce((sum, theme) => sum + theme.setCount, 0)
}

/** MOCs that are in a list before and after, and look different. */
function updated(before: DashboardView, after: DashboardView): [number, string][] {
  const ids = new Set([
    ...different(before.recentMocs, after.recentMocs),
    ...different(before.partialPartsMocs, after.partialPartsMocs),
  ])
  return ids.size === 0 ? [] : [[ids.size, `${counted(ids.size, 'MOC')} updated`]]
}

function different<T extends { id: string }>(before: readonly T[], after: readonly T[]): string[] {
  const old = new Map(before.map(moc => [moc.id, moc]))
  return after
    .filter(moc => old.has(moc.id) && JSON.stringify(old.get(moc.id)) !== JSON.stringify(moc))
    .map(moc => moc.id)
}

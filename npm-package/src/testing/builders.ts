/** Makes valid data for tests: complete, plausible, and with a new id each time. */
import type { DashboardSummary, DashboardView, PartialPartsMoc, RecentMoc } from '../types.js'

let made = 0

/** A UUID of version 7, larger than all before it. */
export function makeId(): string {
  made += 1
  return `0190f5a2-7c1e-7d3a-9b7e-${made.toString(16).padStart(12, '0')}`
}

/** A row of the recent list, added just now. */
export function makeRecentMoc(change: Partial<RecentMoc> = {}): RecentMoc {
  const id = makeId()
  return {
    id,
    title: `MOC ${made}`,
    theme: 'Castle',
    buildStatus: 'ADDED',
    coverImageUrl: null,
    createdAt: new Date().toISOString(),
    ...change,
  }
}

/** A row of the table of MOCs with partly ordered parts, half of them there. */
export function makePartialPartsMoc(change: Partial<PartialPartsMoc> = {}): PartialPartsMoc {
  const id = makeId()
  return {
    id,
    title: `MOC ${made}`,
    theme: 'Castle',
    buildStatus: 'IN_PROGRESS',
    coveragePercentage: 50,
    lastUpdatedAt: new Date().toISOString(),
    ...change,
  }
}

/** A change of a view; of the summary also single counts. */
export type ViewChange = Partial<Omit<DashboardView, 'summary'>> & {
  summary?: Partial<DashboardSummary>
}

/** A small collection: three MOCs, one of them with parts on order. */
export function makeView({ summary, ...change }: ViewChange = {}): DashboardView {
  const ordered = makePartialPartsMoc()
  const row = { id: ordered.id, title: ordered.title, buildStatus: ordered.buildStatus }
  return {
    summary: {
      totalMocs: 3,
      totalWishlistItems: 2,
      mocsByBuildStatus: { ADDED: 1, IN_PROGRESS: 1, BUILT: 1 },
      mocsByCoverageStatus: { FULL_INVENTORY: 1, PARTIAL_ORDERED: 1, NONE: 1 },
      ...summary,
    },
    themeBreakdown: [
      { theme: 'Castle', mocCount: 2, setCount: 1 },
      { theme: 'Space', mocCount: 1, setCount: 0 },
    ],
    recentMocs: [
      makeRecentMoc(),
      makeRecentMoc(row),
      makeRecentMoc({ buildStatus: 'BUILT', theme: 'Space' }),
    ],
    partialPartsMocs: [ordered],
    ...change,
  }
}

/** What a user without data has. */
export function emptyView(): DashboardView {
  return {
    summary: {
      totalMocs: 0,
      totalWishlistItems: 0,
      mocsByBuildStatus: { ADDED: 0, IN_PROGRESS: 0, BUILT: 0 },
      mocsByCoverageStatus: { FULL_INVENTORY: 0, PARTIAL_ORDERED: 0, NONE: 0 },
    },
    themeBreakdown: [],
    recentMocs: [],
    partialPartsMocs: [],
  }
}

import type {
  BuildStatus,
  DashboardView,
  PartialPartsMoc,
  RecentMoc,
  ThemeStats,
} from '@moc/dashboard-sdk/types'

const MINUTE = 60_000
const STATUSES: BuildStatus[] = ['ADDED', 'IN_PROGRESS', 'BUILT']

const MOCS: [title: string, theme: string][] = [
  ['Night Train to Edinburgh', 'Trains'],
  ['The Lamplighter’s Bookshop', 'Modular Buildings'],
  ['Blacksmith at the River Gate', 'Castle'],
  ['Imperial Light Cruiser, Midi Scale', 'Star Wars'],
  ['Harbour Crane No. 4', 'Technic'],
  ['Observatory on the Hill', 'Icons'],
  ['Barracuda Bay Refit', 'Pirates'],
  ['Quiet Courtyard Garden', 'Creator'],
  ['Wolfpack Renegades Hideout', 'Castle'],
  ['Classic Space Survey Rover', 'Space'],
]

const THEMES: [theme: string, mocs: number, sets: number][] = [
  ['Star Wars', 34, 61],
  ['Castle', 27, 18],
  ['Technic', 19, 33],
  ['Modular Buildings', 14, 17],
  ['Trains', 12, 9],
  ['Pirates', 9, 11],
  ['Space', 8, 24],
  ['Creator', 6, 15],
  ['Icons', 4, 21],
  ['Ninjago', 3, 7],
  ['Harry Potter', 2, 12],
  ['Architecture', 1, 5],
]

export function id(n: number): string {
  return `0190f5a2-7c1e-7d3a-9b7e-${n.toString(16).padStart(12, '0')}`
}

export function ago(minutes: number): string {
  return new Date(Date.now() - minutes * MINUTE).toISOString()
}

export function recent(n: number, change: Partial<RecentMoc> = {}): RecentMoc {
  const [title, theme] = MOCS[n % MOCS.length] as [string, string]
  return {
    id: id(n),
    title,
    theme,
    buildStatus: STATUSES[n % 3] as BuildStatus,
    coverImageUrl: null,
    createdAt: ago(n ** 3 * 17 + n * 40),
    ...change,
  }
}

export function partial(n: number, change: Partial<PartialPartsMoc> = {}): PartialPartsMoc {
  const [title, theme] = MOCS[(n * 3 + 1) % MOCS.length] as [string, string]
  return {
    id: id(1_000 + n),
    title,
    theme,
    buildStatus: STATUSES[n % 2] as BuildStatus,
    coveragePercentage: Math.min(99, 7 + n * 13),
    lastUpdatedAt: ago(n * n * 60 + 3),
    ...change,
  }
}

export function themes(length = THEMES.length): ThemeStats[] {
  return Array.from({ length }, (_, at) => {
    const [theme, mocCount, setCount] = THEMES[at] ?? [`Theme ${at + 1}`, 1, 0]
    return { theme, mocCount, setCount }
  })
}

/** A typical collection. */
export function view(change: Partial<DashboardView> = {}): DashboardView {
  return {
    summary: {
      totalMocs: 139,
      totalWishlistItems: 42,
      mocsByBuildStatus: { ADDED: 58, IN_PROGRESS: 23, BUILT: 58 },
      mocsByCoverageStatus: { FULL_INVENTORY: 71, PARTIAL_ORDERED: 7, NONE: 61 },
    },
    themeBreakdown: themes(),
    recentMocs: Array.from({ length: 10 }, (_, n) => recent(n)),
    partialPartsMocs: Array.from({ length: 7 }, (_, n) => partial(n)),
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

/** Everything as long as the contract allows, and a great deal of it. */
export function crowdedView(rows = 2_000): DashboardView {
  const long = 'Supercalifragilistic '.repeat(12).slice(0, 100).trim()
  const unbroken = 'W'.repeat(200)
  return {
    summary: {
      totalMocs: 1_234_567,
      totalWishlistItems: 98_765,
      mocsByBuildStatus: { ADDED: 1_000_000, IN_PROGRESS: 234_000, BUILT: 567 },
      mocsByCoverageStatus: { FULL_INVENTORY: 1, PARTIAL_ORDERED: 2_000, NONE: 1_232_566 },
    },
    themeBreakdown: Array.from({ length: 60 }, (_, n) => ({
      theme: n === 0 ? unbroken : `${n} ${long}`,
      mocCount: 99_999 - n,
      setCount: 12_345,
    })),
    recentMocs: Array.from({ length: 10 }, (_, n) =>
      recent(n, { title: n % 2 ? unbroken : `${long} ${long}`.slice(0, 200), theme: unbroken }),
    ),
    partialPartsMocs: Array.from({ length: rows }, (_, n) =>
      partial(n, {
        title: n % 2 ? unbroken : `${long} ${n}`,
        theme: n % 3 ? long : unbroken,
        coveragePercentage: 1 + (n % 99),
      }),
    ),
  }
}

/** Every state and size of the page and of its cards, in the order in which the gallery lists them. */
import type { DashboardView, PartialPartsMoc, RecentMoc } from '@moc/dashboard-sdk/types'

import type { AccountLinks } from '../src/dashboard/account'
import { ago, crowdedView, emptyView, id, partial, recent, themes, view } from './fixtures'
import type { Stage } from './stage'

export interface Scene {
  /** In addresses, and in the names of pictures. */
  name: string
  group: 'The page' | 'The connection' | 'The cards'
  /** What is to be seen. */
  shows: string
  /** The collection; without it, a typical one. Called when the scene's time has hasLoaded. */
  view?: () => DashboardView
  account?: Partial<AccountLinks>
  /**
   * Brings the page there; without it, to live. What it does before it waits for the first time
   * meets the client's first attempt.
   */
  play?: (stage: Stage) => Promise<void>
  /** What a picture has: the whole page, what the window shows, or a card by its test id. */
  picture: 'page' | 'window' | `${string}-card` | 'partial-parts-table'
  /** How long ago the last change was, in ms, for what moves and fades. Left out, all is over. */
  moment?: number
  /** In which circumstances it is photographed, beyond the usual widths and colours. */
  also?: Circumstance[]
}

/** `narrow` is a window of 320 px, `large-text` text at 200 %. */
export type Circumstance = 'forced-colors' | 'reduced-motion' | 'large-text' | 'narrow'

/** In the middle of the mark at what has just changed. */
const JUST_CHANGED_MS = 450

const page: Scene[] = [
  {
    name: 'live',
    group: 'The page',
    shows: 'A typical collection, live.',
    picture: 'page',
    also: ['forced-colors', 'reduced-motion', 'large-text', 'narrow'],
  },
  {
    name: 'loading',
    group: 'The page',
    shows: 'The first load, while the first connection is made: the shapes of the cards.',
    picture: 'page',
    also: ['forced-colors', 'reduced-motion'],
    async play({ server }) {
      server.connections.hang()
      await server.advance(1_000)
    },
  },
  {
    name: 'empty',
    group: 'The page',
    shows: 'A user without any data: each card says how it begins.',
    view: emptyView,
    picture: 'page',
    also: ['forced-colors', 'narrow'],
  },
  {
    name: 'one-moc',
    group: 'The page',
    shows: 'A collection of one MOC, with parts on order.',
    view: oneMoc,
    picture: 'page',
  },
  {
    name: 'crowded',
    group: 'The page',
    shows:
      'Everything as long as it may be: titles of three lines, words that do not break, millions.',
    view: () => crowdedView(12),
    picture: 'page',
    also: ['narrow', 'large-text'],
  },
  {
    name: 'right-to-left',
    group: 'The page',
    shows: 'Titles and themes in Hebrew: each text runs its own way, and the page keeps its own.',
    view: hebrewView,
    account: { userName: 'עדה', logoutUrl: '#logout' },
    picture: 'page',
  },
  {
    name: 'just-changed',
    group: 'The page',
    shows: 'A MOC has just been added and a coverage has changed: what is new is marked.',
    picture: 'page',
    moment: JUST_CHANGED_MS,
    also: ['forced-colors', 'reduced-motion'],
    async play(stage) {
      await stage.live()
      stage.server.update(changed)
      await stage.server.advance()
    },
  },
  {
    name: 'signed-in',
    group: 'The page',
    shows: 'The host has told a name and a way to log out.',
    account: { userName: 'Ada Lovelace', logoutUrl: '#logout' },
    picture: 'window',
    also: ['narrow'],
  },
  {
    name: 'load-failed',
    group: 'The page',
    shows: 'The first load has failed; the client goes on trying.',
    picture: 'window',
    also: ['forced-colors'],
    async play(stage) {
      stage.server.connections.refuse()
      stage.server.snapshots.networkError()
      await stage.until('backoff')
    },
  },
  {
    name: 'login-needed',
    group: 'The page',
    shows: 'The first visit without a session.',
    picture: 'window',
    async play(stage) {
      stage.server.connections.deny()
      await stage.until('authRequired')
    },
  },
  {
    name: 'session-expired',
    group: 'The page',
    shows: 'The session has run out: the data stay, a notice asks for a login.',
    picture: 'window',
    also: ['forced-colors', 'narrow', 'large-text'],
    play: expire,
  },
  {
    name: 'session-expired-dismissed',
    group: 'The page',
    shows: 'The notice has been dismissed: "Log in" stays beside the status.',
    picture: 'window',
    also: ['narrow'],
    async play(stage) {
      await expire(stage)
      await stage.press('Dismiss')
    },
  },
  {
    name: 'session-expired-without-data',
    group: 'The page',
    shows: 'A further login has been refused, and the data of the former session are gone.',
    picture: 'window',
    async play(stage) {
      await expire(stage)
      stage.client.reauthenticate()
      await stage.until('connecting')
      await stage.until('authRequired')
    },
  },
  {
    name: 'unsupported',
    group: 'The page',
    shows: 'A browser that has WebAssembly switched off.',
    picture: 'window',
    async play({ server }) {
      Object.defineProperty(globalThis, 'WebAssembly', { value: undefined })
      await server.advance()
    },
  },
]

const connection: Scene[] = [
  {
    name: 'reconnecting',
    group: 'The connection',
    shows: 'The connection was lost half a minute ago.',
    picture: 'window',
    also: ['reduced-motion'],
    async play(stage) {
      await stage.live()
      stage.server.connections.hang()
      stage.server.connections.drop()
      await stage.server.advance(30_000)
    },
  },
  {
    name: 'offline',
    group: 'The connection',
    shows: 'The device has no network.',
    picture: 'window',
    async play(stage) {
      await stage.live()
      stage.goOffline()
      await stage.server.advance(20_000)
    },
  },
  {
    name: 'polling',
    group: 'The connection',
    shows: 'Without a connection for long; requests still get through.',
    picture: 'window',
    also: ['forced-colors', 'narrow', 'large-text'],
    play: stage => stage.degraded(),
  },
  {
    name: 'unreachable',
    group: 'The connection',
    shows:
      'Without a connection for long, and the server answers nothing: a countdown to the next try.',
    picture: 'window',
    also: ['narrow'],
    play: lose,
  },
  {
    name: 'offline-for-long',
    group: 'The connection',
    shows: 'The device has lost its network while the connection was limited already.',
    picture: 'window',
    async play(stage) {
      await stage.degraded()
      stage.goOffline()
      await stage.server.advance(60_000)
    },
  },
  {
    name: 'refreshing',
    group: 'The connection',
    shows: '"Refresh now" has been pressed, and the answer is on its way.',
    picture: 'window',
    also: ['reduced-motion'],
    async play(stage) {
      await stage.degraded()
      stage.server.snapshots.hang()
      await stage.press('Refresh now')
      await stage.server.advance(2_000)
    },
  },
  {
    name: 'refresh-failed',
    group: 'The connection',
    shows: '"Refresh now" has been pressed, and no answer has come.',
    picture: 'window',
    async play(stage) {
      await stage.degraded()
      stage.server.snapshots.hang()
      await stage.press('Refresh now')
      await stage.server.advance(11_000)
    },
  },
  {
    name: 'restored',
    group: 'The connection',
    shows: 'The connection is back after limited connectivity: a notice for five seconds.',
    picture: 'window',
    also: ['forced-colors'],
    async play(stage) {
      await stage.degraded()
      stage.server.heal()
      await stage.until('live')
      await stage.server.advance(1_000)
    },
  },
  {
    name: 'stopped',
    group: 'The connection',
    shows: 'The host has stopped the client; nothing is kept.',
    picture: 'window',
    async play(stage) {
      await stage.live()
      stage.client.stop()
      await stage.server.advance()
    },
  },
  {
    name: 'bar-reconnecting',
    group: 'The connection',
    shows: 'The page is scrolled down while the connection is lost: a bar above it says so.',
    picture: 'window',
    also: ['forced-colors'],
    async play(stage) {
      await stage.live()
      stage.server.connections.hang()
      stage.server.connections.drop()
      await stage.server.advance(30_000)
      await stage.scroll()
    },
  },
  {
    name: 'bar-unreachable',
    group: 'The connection',
    shows: 'The same bar at its longest.',
    picture: 'window',
    also: ['narrow', 'large-text'],
    async play(stage) {
      await lose(stage)
      await stage.scroll()
    },
  },
  {
    name: 'bar-expired',
    group: 'The connection',
    shows: 'The same bar where the session has run out, with the way to log in.',
    picture: 'window',
    also: ['narrow'],
    async play(stage) {
      await expire(stage)
      await stage.press('Dismiss')
      await stage.scroll()
    },
  },
]

const cards: Scene[] = [
  {
    name: 'summary-extremes',
    group: 'The cards',
    shows: 'All MOCs in one state: one bar is full, the others are empty.',
    view: () => ({
      ...view(),
      summary: {
        totalMocs: 58,
        totalWishlistItems: 0,
        mocsByBuildStatus: { ADDED: 0, IN_PROGRESS: 0, BUILT: 58 },
        mocsByCoverageStatus: { FULL_INVENTORY: 0, PARTIAL_ORDERED: 58, NONE: 0 },
      },
    }),
    picture: 'collection-summary-card',
    also: ['forced-colors'],
  },
  {
    name: 'themes-extremes',
    group: 'The cards',
    shows: 'One theme has nearly everything; others have sets only, or nothing.',
    view: () => ({
      ...view(),
      themeBreakdown: [
        { theme: 'Star Wars', mocCount: 9_999, setCount: 12_345 },
        { theme: 'Castle', mocCount: 1, setCount: 1 },
        { theme: 'Ninjago', mocCount: 0, setCount: 7 },
        { theme: 'Wish', mocCount: 0, setCount: 0 },
      ],
    }),
    picture: 'theme-breakdown-card',
    also: ['forced-colors'],
  },
  {
    name: 'themes-all',
    group: 'The cards',
    shows: '66 themes, after "Show more" has been pressed.',
    view: () => ({ ...view(), themeBreakdown: themes(66) }),
    picture: 'theme-breakdown-card',
    async play(stage) {
      await stage.live()
      await stage.press('Show more', 'theme-breakdown-card')
    },
  },
  {
    name: 'recent-pictures',
    group: 'The cards',
    shows:
      'MOCs with pictures; the fourth one does not load, and a bound book stands in its place.',
    view: () => ({ ...view(), recentMocs: withPictures() }),
    picture: 'recent-mocs-card',
    also: ['narrow', 'large-text'],
  },
  {
    name: 'recent-few',
    group: 'The cards',
    shows: 'Three MOCs on the shelf.',
    view: () => ({ ...view(), recentMocs: view().recentMocs.slice(0, 3) }),
    picture: 'recent-mocs-card',
  },
  {
    name: 'order-held',
    group: 'The cards',
    shows: 'A pointer is on the shelf: its order is held, and a button says what waits.',
    picture: 'recent-mocs-card',
    also: ['forced-colors'],
    async play(stage) {
      await stage.live()
      await stage.point('[data-testid="recent-moc"]')
      const [gone, ...others] = view().recentMocs as [RecentMoc, ...RecentMoc[]]
      stage.server.update({ recentMocs: [recent(20, { title: `After ${gone.title}` }), ...others] })
      await stage.server.advance(6_000)
    },
  },
  {
    name: 'parts-extremes',
    group: 'The cards',
    shows: 'Bars at 0, 1, 50, 99 and 100 %.',
    view: () => ({ ...view(), partialPartsMocs: [0, 1, 50, 99, 100].map(covered) }),
    picture: 'partial-parts-table',
    also: ['forced-colors', 'narrow', 'large-text'],
  },
  {
    name: 'parts-many',
    group: 'The cards',
    shows: '3,000 rows: the first of them, and the ways to more at the end.',
    view: manyRows,
    picture: 'partial-parts-table',
  },
  {
    name: 'parts-all',
    group: 'The cards',
    shows: 'The same after "Show all" has been pressed: the focus is on the first new row.',
    view: manyRows,
    picture: 'window',
    async play(stage) {
      await stage.live()
      await stage.press('Show all', 'partial-parts-table')
      await stage.shown(() => document.activeElement?.tagName === 'A')
    },
  },
  {
    name: 'parts-chosen',
    group: 'The cards',
    shows: 'Ordered and narrowed down to one theme.',
    picture: 'partial-parts-table',
    async play(stage) {
      await stage.live()
      await stage.choose('Order', 'Nearly complete first')
      await stage.choose('Theme', 'Technic')
    },
  },
  {
    name: 'parts-none-like-that',
    group: 'The cards',
    shows: 'Narrowed down to nothing.',
    picture: 'partial-parts-table',
    async play(stage) {
      await stage.live()
      await stage.choose('Build status', 'Built')
    },
  },
]

export const scenes: readonly Scene[] = [...page, ...connection, ...cards]

async function expire(stage: Stage): Promise<void> {
  await stage.live()
  stage.server.endSession()
  await stage.until('authRequired')
  await stage.server.advance(60_000)
}

/** Nothing gets through any more, and the next try is some seconds away. */
async function lose(stage: Stage): Promise<void> {
  await stage.degraded()
  stage.server.snapshots.networkError()
  await stage.server.advance(60_000)
  await stage.until(({ freshness }) => (freshness.nextRetryAt ?? 0) > Date.now() + 5_000)
  // The countdown begins with the next second.
  await stage.server.advance(1_000)
}

function oneMoc(): DashboardView {
  return {
    summary: {
      totalMocs: 1,
      totalWishlistItems: 1,
      mocsByBuildStatus: { ADDED: 0, IN_PROGRESS: 1, BUILT: 0 },
      mocsByCoverageStatus: { FULL_INVENTORY: 0, PARTIAL_ORDERED: 1, NONE: 0 },
    },
    themeBreakdown: [{ theme: 'Trains', mocCount: 1, setCount: 0 }],
    recentMocs: [recent(0, { buildStatus: 'IN_PROGRESS' })],
    partialPartsMocs: [partial(0, { id: id(0), title: recent(0).title, theme: 'Trains' })],
  }
}

function hebrewView(): DashboardView {
  const titles = ['רכבת הלילה לירושלים', 'חנות הספרים של מדליק הפנסים', 'Classic רכב חלל']
  const title = (n: number) => titles[n % titles.length] as string
  return {
    ...view(),
    themeBreakdown: [{ theme: 'רכבות', mocCount: 34, setCount: 61 }, ...themes(4)],
    recentMocs: view().recentMocs.map((moc, n) => ({ ...moc, title: title(n), theme: 'רכבות' })),
    partialPartsMocs: view().partialPartsMocs.map((moc, n) => ({
      ...moc,
      title: title(n),
      theme: 'בניינים',
    })),
  }
}

/** A MOC more, and the parts of one have arrived. */
function changed({ summary, themeBreakdown, recentMocs, partialPartsMocs }: DashboardView) {
  const [first, second, ...others] = partialPartsMocs as [PartialPartsMoc, PartialPartsMoc]
  const [theme, ...otherThemes] = themeBreakdown as [DashboardView['themeBreakdown'][0]]
  const added = recent(20, { title: 'Lighthouse at Cape Brick', theme: 'Icons', createdAt: ago(0) })
  const ordered = partial(20, { id: added.id, title: added.title, theme: added.theme })
  return {
    summary: {
      ...summary,
      totalMocs: summary.totalMocs + 1,
      mocsByBuildStatus: { ...summary.mocsByBuildStatus, ADDED: 59 },
    },
    themeBreakdown: [{ ...theme, mocCount: theme.mocCount + 1 }, ...otherThemes],
    recentMocs: [added, ...recentMocs].slice(0, 10),
    partialPartsMocs: [
      { ...ordered, coveragePercentage: 1, lastUpdatedAt: ago(0) },
      first,
      { ...second, coveragePercentage: 88, lastUpdatedAt: ago(0) },
      ...others,
    ],
  }
}

function withPictures(): RecentMoc[] {
  return view().recentMocs.map((moc, n) => {
    const file = n === 3 ? 'gone' : (n % 3) + 1
    return { ...moc, coverImageUrl: new URL(`covers/${file}.svg`, location.href).href }
  })
}

function covered(coveragePercentage: number, n: number): PartialPartsMoc {
  return partial(n, { coveragePercentage })
}

function manyRows(): DashboardView {
  const rows = Array.from({ length: 3_000 }, (_, n) =>
    partial(n, { coveragePercentage: 1 + (n % 99), lastUpdatedAt: ago(n) }),
  )
  return { ...view(), partialPartsMocs: rows }
}

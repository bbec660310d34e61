import { screen, within } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { ago, crowdedView, id, partial, view } from '../gallery/fixtures'
import { expectAccessible, showLive } from './support/show'

function card() {
  return within(screen.getByTestId('partial-parts-table'))
}

function rows(): HTMLElement[] {
  return card().queryAllByTestId('partial-parts-row')
}

function shares(): number[] {
  return card()
    .queryAllByRole('progressbar')
    .map(bar => Number(bar.getAttribute('aria-valuenow')))
}

/** Three MOCs of two themes, as a table may have them. */
const THREE = [
  partial(0, {
    theme: 'Castle',
    buildStatus: 'ADDED',
    coveragePercentage: 40,
    lastUpdatedAt: ago(9),
  }),
  partial(1, {
    theme: 'Space',
    buildStatus: 'BUILT',
    coveragePercentage: 95,
    lastUpdatedAt: ago(90),
  }),
  partial(2, {
    theme: 'Castle',
    buildStatus: 'BUILT',
    coveragePercentage: 5,
    lastUpdatedAt: ago(1),
  }),
]

/** A window that is as wide as a phone. */
function onAPhone() {
  vi.stubGlobal('matchMedia', (query: string) => ({
    matches: query === '(width < 48rem)',
    addEventListener() {},
    removeEventListener() {},
  }))
}

beforeEach(() => localStorage.clear())
afterEach(() => vi.unstubAllGlobals())

describe('the choice of partial parts', () => {
  it('orders the rows, and is remembered', async () => {
    const { user, unmount } = await showLive({ partialPartsMocs: THREE })
    expect(shares()).toEqual([5, 40, 95])
    await user.selectOptions(card().getByLabelText('Order'), 'Nearly complete first')
    expect(shares()).toEqual([95, 40, 5])
    expect(card().getByRole('table', { name: /Nearly complete first/ })).toBeTruthy()
    await user.selectOptions(card().getByLabelText('Order'), 'Recently updated first')
    expect(shares()).toEqual([5, 40, 95])
    await user.selectOptions(card().getByLabelText('Order'), 'Nearly complete first')
    unmount()
    vi.useRealTimers()
    await showLive({ partialPartsMocs: THREE })
    expect(shares()).toEqual([95, 40, 5])
  })

  it('leaves out other themes and statuses, and says how many', async () => {
    const { user, change } = await showLive({ partialPartsMocs: THREE })
    await user.selectOptions(card().getByLabelText('Theme'), 'Castle')
    expect(shares()).toEqual([5, 40])
    expect(card().getByText('2 of 3 MOCs')).toBeTruthy()
    await user.selectOptions(card().getByLabelText('Build status'), 'Built')
    expect(shares()).toEqual([5])
    await user.selectOptions(card().getByLabelText('Build status'), 'In progress')
    expect(card().queryByRole('table')).toBeNull()
    await user.click(card().getByRole('button', { name: 'Show all themes and statuses' }))
    expect(shares()).toEqual([5, 40, 95])
    // A theme that leaves stays chosen: nothing is shown that was not asked for.
    await user.selectOptions(card().getByLabelText('Theme'), 'Space')
    await change({ partialPartsMocs: THREE.slice(0, 1) })
    expect(card().getByText('0 of 1 MOC')).toBeTruthy()
    expect((card().getByLabelText('Theme') as HTMLSelectElement).value).toBe('Space')
  })

  it.each(['', '{', 'null', '[]', '{"order":"toString","theme":7,"status":"PARTED_OUT"}'])(
    'is the usual one where %j was stored',
    async stored => {
      localStorage.setItem('moc-dashboard.parts', stored)
      await showLive({ partialPartsMocs: THREE })
      expect(shares()).toEqual([5, 40, 95])
    },
  )

  it('holds without a place to remember it', async () => {
    vi.stubGlobal('localStorage', undefined)
    const { user } = await showLive({ partialPartsMocs: THREE })
    await user.selectOptions(card().getByLabelText('Order'), 'Nearly complete first')
    expect(shares()).toEqual([95, 40, 5])
  })

  it('has no accessibility faults', async () => {
    const { container } = await showLive({ partialPartsMocs: THREE })
    await expectAccessible(container)
  })
})

describe('on a phone', () => {
  beforeEach(onAPhone)

  it('the table comes after the summary, with a few rows', async () => {
    const { user } = await showLive({ partialPartsMocs: crowdedView(30).partialPartsMocs })
    const cards = [...document.querySelectorAll('section[data-testid]')]
    expect(cards.map(card => card.getAttribute('data-testid')).slice(0, 2)).toEqual([
      'collection-summary-card',
      'partial-parts-table',
    ])
    expect(rows()).toHaveLength(8)
    await user.click(card().getByText('Show all'))
    expect(rows()).toHaveLength(30)
    const focused = document.activeElement
    expect(rows()[8]?.contains(focused)).toBe(true)
  })
})

describe('MOCs with partial parts', () => {
  it('D-FR-14: shows every one, least covered first', async () => {
    const shares = [80, 5, 99, 42, 1]
    await showLive({
      partialPartsMocs: shares.map((coveragePercentage, n) => partial(n, { coveragePercentage })),
    })
    const shown = card()
      .getAllByRole('progressbar')
      .map(bar => Number(bar.getAttribute('aria-valuenow')))
    expect(shown).toEqual([1, 5, 42, 80, 99])
  })

  it('D-FR-14: shows a long list step by step, or all at once', async () => {
    const { user } = await showLive({ partialPartsMocs: crowdedView(400).partialPartsMocs })
    expect(rows()).toHaveLength(50)
    expect(card().getByText('Showing 50 of 400')).toBeTruthy()
    await user.click(card().getByText('Show more'))
    expect(rows()).toHaveLength(150)
    await user.click(card().getByText('Show all'))
    expect(rows()).toHaveLength(400)
    expect(card().queryByText('Show more')).toBeNull()
  })

  it('D-FR-15: shows title, theme, build status, coverage, last update and a link', async () => {
    const updated = ago(3 * 24 * 60 + 5)
    await showLive({
      partialPartsMocs: [partial(0, { coveragePercentage: 37, lastUpdatedAt: updated })],
    })
    const [row] = rows() as [HTMLElement]
    expect(within(row).getAllByRole('cell')).toHaveLength(5)
    expect(within(row).getByText('The Lamplighter’s Bookshop')).toBeTruthy()
    expect(within(row).getByText('Modular Buildings')).toBeTruthy()
    expect(within(row).getByText('Added')).toBeTruthy()
    expect(within(row).getByText('37%')).toBeTruthy()
    const bar = within(row).getByRole('progressbar')
    expect(bar.getAttribute('aria-valuenow')).toBe('37')
    expect((bar.firstElementChild as HTMLElement).style.transform).toBe('translateX(-63%)')
    const time = within(row).getByText('3 days ago')
    expect(time.getAttribute('datetime')).toBe(updated)
    const link = within(row).getByRole('link', { name: /^View parts of The Lamplighter/ })
    expect(link.textContent?.trim()).toBe('View parts')
    expect(link.getAttribute('href')).toBe(`/instructions/${id(1_000)}#parts`)
  })

  it('D-FR-16: takes its rows from the first view', async () => {
    await showLive()
    expect(rows()).toHaveLength(7)
    expect(rows().some(row => row.classList.contains('arrival'))).toBe(false)
  })

  it('D-FR-17: adds, updates and removes rows', async () => {
    const { change } = await showLive()
    const [, second, ...rest] = view().partialPartsMocs as [never, ReturnType<typeof partial>]
    const changed = { ...second, coveragePercentage: 98, title: 'Almost there' }
    const added = partial(500, { title: 'Just ordered', coveragePercentage: 3 })
    await change({ partialPartsMocs: [added, changed, ...rest] })
    expect(rows()).toHaveLength(7)
    const [top] = rows() as [HTMLElement]
    expect(within(top).getByText('Just ordered')).toBeTruthy()
    expect(top.classList).toContain('arrival')
    expect(within(rows().at(-1) as HTMLElement).getByText('Almost there')).toBeTruthy()
    expect(card().queryByText('7%')).toBeNull()
  })

  it('D-FR-17: says so when the last row has left', async () => {
    const { change } = await showLive()
    await change({ partialPartsMocs: [] })
    expect(card().getByText('No partial orders - all parts accounted for!')).toBeTruthy()
    expect(card().queryByRole('table')).toBeNull()
  })

  it('stays a table to assistive technology however it is laid out', async () => {
    const { container } = await showLive()
    expect(card().getByRole('table', { name: /MOCs with partial parts ordered/ })).toBeTruthy()
    expect(card().getAllByRole('columnheader')).toHaveLength(5)
    expect(card().getAllByRole('row')).toHaveLength(8)
    await expectAccessible(container)
  })
})

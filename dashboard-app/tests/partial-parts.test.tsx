import { screen, within } from '@testing-library/react'
import { describe, expect, it } from 'vitest'

import { ago, crowdedView, id, partial, view } from './support/fixtures'
import { expectAccessible, showLive } from './support/show'

function card() {
  return within(screen.getByTestId('partial-parts-table'))
}

function rows(): HTMLElement[] {
  return card().queryAllByTestId('partial-parts-row')
}

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
    expect((bar.firstElementChild as HTMLElement).style.width).toBe('37%')
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

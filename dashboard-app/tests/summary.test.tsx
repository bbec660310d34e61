import { screen, within } from '@testing-library/react'
import { describe, expect, it } from 'vitest'

import { emptyView, view } from '../gallery/fixtures'
import { expectAccessible, show, showLive } from './support/show'

function card() {
  return within(screen.getByTestId('collection-summary-card'))
}

/** The value beside a label. */
function shownFor(label: string): string | null | undefined {
  return card().getByText(label).parentElement?.querySelector('data')?.textContent
}

describe('collection summary', () => {
  it('D-FR-1: shows the number of MOCs and of wishlist items', async () => {
    await showLive({
      summary: { ...view().summary, totalMocs: 1_234, totalWishlistItems: 42 },
    })
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('1,234')
    expect(screen.getByTestId('total-mocs-count').getAttribute('value')).toBe('1234')
    expect(screen.getByTestId('wishlist-items-count').textContent).toBe('42')
    expect(shownFor('MOCs')).toBe('1,234')
    expect(shownFor('Wishlist items')).toBe('42')
  })

  it('D-FR-2: shows MOCs by build status', async () => {
    await showLive()
    expect(shownFor('Added')).toBe('58')
    expect(shownFor('In progress')).toBe('23')
    expect(shownFor('Built')).toBe('58')
  })

  it('D-FR-3: shows MOCs by parts coverage', async () => {
    await showLive()
    expect(shownFor('Full inventory')).toBe('71')
    expect(shownFor('Partly ordered')).toBe('7')
    expect(shownFor('None')).toBe('61')
  })

  it('D-FR-4: takes its first values from the first view', async () => {
    const { until } = show()
    expect(screen.queryByTestId('collection-summary-card')).toBeNull()
    await until('live')
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('139')
  })

  it('D-FR-5: follows a change, and points at the figure that changed', async () => {
    const { change } = await showLive()
    const { summary } = view()
    await change({ summary: { ...summary, totalMocs: 140 } })
    const total = screen.getByTestId('total-mocs-count')
    expect(total.textContent).toBe('140')
    expect(total.querySelector('.rolled')).not.toBeNull()
    expect(screen.getByTestId('wishlist-items-count').querySelector('.rolled')).toBeNull()
  })

  it('shows zeros to a user without data', async () => {
    const { container } = await showLive(emptyView())
    expect(screen.getByTestId('total-mocs-count').textContent).toBe('0')
    expect(shownFor('None')).toBe('0')
    await expectAccessible(container)
  })
})

import { screen, within } from '@testing-library/react'
import { describe, expect, it } from 'vitest'

import { themes } from '../gallery/fixtures'
import { showLive } from './support/show'

function card() {
  return within(screen.getByTestId('theme-breakdown-card'))
}

function rows(): string[] {
  return card()
    .getAllByRole('listitem')
    .map(row => row.textContent ?? '')
}

describe('theme breakdown', () => {
  it('D-FR-6: shows MOCs and sets of each theme', async () => {
    await showLive({
      themeBreakdown: [
        { theme: 'Castle', mocCount: 27, setCount: 1 },
        { theme: 'Space', mocCount: 1, setCount: 1_024 },
      ],
    })
    expect(rows()).toEqual(['Castle27 MOCs · 1 set', 'Space1 MOC · 1,024 sets'])
  })

  it('D-FR-6: puts most MOCs first', async () => {
    await showLive({
      themeBreakdown: [
        { theme: 'Trains', mocCount: 1, setCount: 90 },
        { theme: 'Zoo', mocCount: 5, setCount: 0 },
        { theme: 'Castle', mocCount: 5, setCount: 0 },
        { theme: 'Space', mocCount: 7, setCount: 0 },
      ],
    })
    expect(rows().map(row => row.match(/^\D+/)?.[0])).toEqual(['Space', 'Castle', 'Zoo', 'Trains'])
  })

  it('D-FR-6: shows ten themes, and the others when asked', async () => {
    const { user } = await showLive({ themeBreakdown: themes(23) })
    expect(rows()).toHaveLength(10)
    await user.click(card().getByRole('button', { name: 'Show more' }))
    expect(rows()).toHaveLength(23)
    await user.click(card().getByRole('button', { name: 'Show fewer' }))
    expect(rows()).toHaveLength(10)
  })

  it('D-FR-6: offers no more where there are no more', async () => {
    await showLive({ themeBreakdown: themes(10) })
    expect(card().queryByRole('button')).toBeNull()
  })

  it('D-FR-7: takes its rows from the first view', async () => {
    await showLive()
    expect(rows()[0]).toBe('Star Wars34 MOCs · 61 sets')
  })

  it('D-FR-8: follows a change of the themes', async () => {
    const { change } = await showLive()
    await change({ themeBreakdown: [{ theme: 'Fabuland', mocCount: 2, setCount: 3 }] })
    expect(rows()).toEqual(['Fabuland2 MOCs · 3 sets'])
  })

  it('says so when there is no theme', async () => {
    await showLive({ themeBreakdown: [] })
    expect(card().getByText('No themes yet')).toBeTruthy()
  })
})

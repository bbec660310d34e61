import { screen, within } from '@testing-library/react'
import { describe, expect, it } from 'vitest'

import { emptyView } from '../gallery/fixtures'
import { showLive } from './support/show'

describe('quick actions', () => {
  it('D-FR-12: lead to a new MOC, the gallery and the wishlist', async () => {
    await showLive()
    const links = within(screen.getByTestId('quick-actions-card')).getAllByRole('link')
    expect(links.map(link => [link.textContent?.trim(), link.getAttribute('href')])).toEqual([
      ['Add New MOC', '/instructions/new'],
      ['Browse Gallery', '/gallery'],
      ['View Wishlist', '/wishlist'],
    ])
  })

  it('D-FR-13: are the same without any data', async () => {
    await showLive(emptyView())
    expect(within(screen.getByTestId('quick-actions-card')).getAllByRole('link')).toHaveLength(3)
  })
})

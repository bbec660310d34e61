import { fireEvent, screen, within } from '@testing-library/react'
import { describe, expect, it } from 'vitest'

import { ago, id, recent, view } from '../gallery/fixtures'
import { showLive } from './support/show'

function card() {
  return within(screen.getByTestId('recent-mocs-card'))
}

function first(): HTMLElement {
  return card().getAllByTestId('recent-moc')[0] as HTMLElement
}

describe('recently added MOCs', () => {
  it('D-FR-9: shows title, theme, build status, cover and date', async () => {
    const url = 'https://pictures.example.org/a.jpg'
    await showLive({
      recentMocs: [recent(1, { coverImageUrl: url, createdAt: ago(125), buildStatus: 'BUILT' })],
    })
    const row = within(first())
    expect(row.getByText('The Lamplighter’s Bookshop')).toBeTruthy()
    expect(row.getByText('Modular Buildings')).toBeTruthy()
    expect(row.getByText('Built')).toBeTruthy()
    const cover = first().querySelector('img')
    expect(cover?.src).toBe(url)
    expect(cover?.getAttribute('loading')).toBe('lazy')
    const date = row.getByText('2 hours ago')
    expect(date.tagName).toBe('TIME')
    expect(Date.parse(date.getAttribute('datetime') ?? '')).toBeLessThan(Date.now())
    expect(date.title).toMatch(/\d{4}/)
    expect(row.getByRole('link').getAttribute('href')).toBe(`/instructions/${id(1)}`)
  })

  it('D-FR-9: shows the newest ten, newest first', async () => {
    const mocs = Array.from({ length: 12 }, (_, n) =>
      recent(n, { title: `MOC ${n}`, createdAt: ago(100 - n) }),
    )
    await showLive({ recentMocs: mocs })
    const titles = card()
      .getAllByText(/^MOC \d+$/)
      .map(title => title.textContent)
    expect(titles).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2].map(n => `MOC ${n}`))
  })

  it('D-FR-9: binds a book where there is no picture', async () => {
    await showLive({ recentMocs: [recent(0, { title: '“Ünder” the sea', coverImageUrl: null })] })
    expect(first().querySelector('img')).toBeNull()
    expect(within(first()).getByTestId('cover-fallback').textContent).toBe('Ü')
  })

  it('D-FR-9: binds a book where the picture does not load', async () => {
    await showLive({
      recentMocs: [recent(0, { coverImageUrl: 'https://pictures.example.org/gone' })],
    })
    fireEvent.error(first().querySelector('img') as HTMLImageElement)
    expect(first().querySelector('img')).toBeNull()
    expect(within(first()).getByTestId('cover-fallback').textContent).toBe('N')
  })

  it('D-FR-10: takes its rows from the first view', async () => {
    await showLive()
    expect(card().getAllByTestId('recent-moc')).toHaveLength(10)
    expect(first().classList).not.toContain('arrival')
  })

  it('D-FR-11: puts a new MOC first, points at it, and lets the last one go', async () => {
    const { change } = await showLive()
    const before = view().recentMocs
    const added = recent(77, { title: 'Brand new', createdAt: ago(0) })
    await change({ recentMocs: [added, ...before].slice(0, 10) })
    expect(within(first()).getByText('Brand new')).toBeTruthy()
    expect(within(first()).getByText('just now')).toBeTruthy()
    expect(first().classList).toContain('arrival')
    expect(card().getAllByTestId('recent-moc')).toHaveLength(10)
    expect(card().queryByText('Classic Space Survey Rover')).toBeNull()
  })

  it('says so when there is no MOC', async () => {
    await showLive({ recentMocs: [] })
    expect(card().getByText('No MOCs yet')).toBeTruthy()
    expect(card().getByText('Start building your collection!')).toBeTruthy()
  })
})

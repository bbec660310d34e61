import { act, fireEvent, screen, within } from '@testing-library/react'
import { describe, expect, it, vi } from 'vitest'
import { ago, partial, recent, view } from '../gallery/fixtures'
import { differences } from '../src/ui/held'
import { showLive } from './support/show'

function shelf() {
  return within(screen.getByTestId('recent-mocs-card'))
}

function titles(): (string | null)[] {
  return shelf()
    .queryAllByTestId('recent-moc')
    .map(book => book.querySelector('[title]')?.getAttribute('title') ?? null)
}

function books(...names: string[]) {
  return names.map((title, n) =>
    recent(title.charCodeAt(0), { title, createdAt: ago(10 * (n + 1)) }),
  )
}

function announced(): string {
  return screen.getByTestId('changes-announced').textContent
}

/** jsdom does not tell by what the focus came. */
function byKeyboard(): void {
  const { matches } = Element.prototype
  vi.spyOn(Element.prototype, 'matches').mockImplementation(function (this: Element, selector) {
    return matches.call(this, selector === ':focus-visible' ? ':focus' : selector)
  })
}

const pill = () => screen.queryByTestId('waiting-changes')

describe('how many changes wait', () => {
  it.each([
    ['nothing', 'abc', 'abc', 0],
    ['one that comes', 'abc', 'xabc', 1],
    ['one that goes', 'abc', 'ac', 1],
    ['one that moves past all others', 'abcd', 'bcda', 1],
    ['two that change places', 'abcd', 'badc', 2],
    ['all of another list', 'ab', 'xyz', 5],
    ['an empty list', 'abc', '', 3],
  ])('counts %s', (_, from, to, count) => {
    expect(differences([...from], [...to])).toBe(count)
  })
})

describe('a list that is being read', () => {
  it('D-FR-11: keeps its order while the pointer is in it, and its values are those of now', async () => {
    const { change, user } = await showLive({ recentMocs: books('A', 'B', 'C') })
    await user.hover(shelf().getAllByTestId('recent-moc')[1] as HTMLElement)
    await change({ recentMocs: [...books('N', 'A'), recent(67, { title: 'Renamed' })] })
    expect(titles()).toEqual(['A', 'B', 'Renamed'])
    expect(shelf().getByText('No longer listed')).toBeTruthy()
    expect(pill()?.textContent).toBe('Show 2 changes')

    await user.unhover(shelf().getAllByTestId('recent-moc')[1] as HTMLElement)
    expect(titles()).toEqual(['N', 'A', 'Renamed'])
    expect(pill()).toBeNull()
  })

  it('shows what waits on demand, and keeps the focus in the list', async () => {
    byKeyboard()
    const { change, user } = await showLive({ recentMocs: books('A', 'B') })
    act(() => shelf().getByRole('link', { name: /^A/ }).focus())
    await change({ recentMocs: books('N', 'A') })
    expect(titles()).toEqual(['A', 'B'])
    // As by keyboard: the focus goes from the list to the button, and the list is still held.
    await user.tab({ shift: true })
    expect(document.activeElement).toBe(pill())
    await user.keyboard('{Enter}')
    expect(titles()).toEqual(['N', 'A'])
    expect(document.activeElement?.contains(shelf().getAllByTestId('recent-moc')[0] as Node)).toBe(
      true,
    )
    // It is held as it is now.
    await change({ recentMocs: books('O', 'N') })
    expect(titles()).toEqual(['N', 'A'])
    act(() => (document.activeElement as HTMLElement).blur())
    expect(titles()).toEqual(['O', 'N'])
  })

  it('is let go when it is taken away under the pointer', async () => {
    const { change, user } = await showLive({ recentMocs: books('A') })
    await user.hover(shelf().getByTestId('recent-moc'))
    await change({ recentMocs: [] })
    expect(titles()).toEqual(['A'])
    await user.click(pill() as HTMLElement)
    expect(shelf().getByText('No MOCs yet')).toBeTruthy()
    await change({ recentMocs: books('N') })
    expect(titles()).toEqual(['N'])
  })

  it('is held no longer where the focused button goes away and the focus leaves', async () => {
    byKeyboard()
    const { change } = await showLive({ recentMocs: books('A', 'B') })
    act(() => shelf().getByRole('link', { name: /^A/ }).focus())
    await change({ recentMocs: books('N', 'A') })
    act(() => pill()?.focus())
    // The change is undone, and the button with it.
    await change({ recentMocs: books('A', 'B') })
    expect(pill()).toBeNull()
    expect(document.activeElement).not.toBe(document.body)
    await change({ recentMocs: books('N', 'A') })
    expect(titles()).toEqual(['A', 'B'])
    act(() => (document.activeElement as HTMLElement).blur())
    expect(titles()).toEqual(['N', 'A'])
  })

  it('says of a row that has left only that it has', async () => {
    const mocs = [partial(1), partial(2)]
    const { change, user } = await showLive({ partialPartsMocs: mocs })
    const table = within(screen.getByTestId('partial-parts-table'))
    await user.hover(table.getAllByTestId('partial-parts-row')[0] as HTMLElement)
    await change({ partialPartsMocs: [] })
    expect(table.getAllByText('No longer listed')).toHaveLength(2)
    expect(table.queryByRole('progressbar')).toBeNull()
  })

  it('shows another order at once, and holds that', async () => {
    const mocs = [1, 2, 3].map(n => partial(n, { title: `P${n}`, coveragePercentage: n * 10 }))
    const { change, user } = await showLive({ partialPartsMocs: mocs })
    const table = within(screen.getByTestId('partial-parts-table'))
    const rows = () =>
      table.getAllByTestId('partial-parts-row').map(row => row.textContent.slice(0, 2))
    await user.hover(table.getAllByTestId('partial-parts-row')[0] as HTMLElement)
    fireEvent.change(table.getByLabelText('Order'), { target: { value: 'nearly' } })
    expect(rows()).toEqual(['P3', 'P2', 'P1'])
    await change({
      partialPartsMocs: [partial(9, { title: 'P9', coveragePercentage: 99 }), ...mocs],
    })
    expect(rows()).toEqual(['P3', 'P2', 'P1'])
    expect(pill()?.textContent).toBe('Show 1 change')
  })
})

describe('a change', () => {
  it('D-FR-17: is marked where it happened, and nowhere else', async () => {
    const mocs = [partial(1), partial(2)]
    const { change } = await showLive({ partialPartsMocs: mocs })
    const marks = () => [...document.querySelectorAll<HTMLElement>('[data-change]')]
    expect(marks()).toEqual([])
    await change({ partialPartsMocs: [partial(1), partial(2, { coveragePercentage: 88 })] })
    expect(marks().map(mark => mark.dataset.change)).toEqual(['changed'])
    const first = marks()[0]
    expect(first?.closest('tr')?.textContent).toContain('88%')
    await change({ partialPartsMocs: [partial(1), partial(2, { coveragePercentage: 89 })] })
    // Another element, whose animation starts again.
    expect(marks()).toHaveLength(1)
    expect(marks()[0]).not.toBe(first)
  })

  it('leaves nothing in the document that could be animated again', async () => {
    const { change, server } = await showLive({ partialPartsMocs: [partial(1)] })
    const { summary } = view()
    await change({
      partialPartsMocs: [partial(1, { coveragePercentage: 88 }), partial(2)],
      summary: { ...summary, totalMocs: 140 },
    })
    const pointed = '[data-change], .arrival, .rolled, [data-before]'
    expect(document.querySelectorAll(pointed).length).toBeGreaterThan(3)
    await server.advance(4_000)
    expect(document.querySelectorAll(pointed)).toHaveLength(0)
  })

  it('of a figure shows the new value alone', async () => {
    const { change } = await showLive()
    const { summary } = view()
    await change({ summary: { ...summary, totalMocs: 1_140 } })
    const total = screen.getByTestId('total-mocs-count')
    expect(total.textContent).toBe('1,140')
    expect(total.querySelector('[data-before]')?.getAttribute('data-before')).toBe('139')
    expect(total.querySelector('.rolled-up')).not.toBeNull()
    await change({ summary: { ...summary, totalMocs: 1_139 } })
    expect(total.querySelector('.rolled-down')).not.toBeNull()
  })

  it('is announced with others in one sentence, and not again within ten seconds', async () => {
    const { change, server } = await showLive()
    const { summary } = view()
    const grow = (by: number) =>
      change({ summary: { ...summary, totalMocs: summary.totalMocs + by } })
    expect(announced()).toBe('')
    await grow(1)
    await grow(2)
    expect(announced()).toBe('')
    await server.advance(1_000)
    expect(announced()).toBe('2 changes: 2 MOCs added.')
    await grow(3)
    await server.advance(9_000)
    expect(announced()).toBe('2 changes: 2 MOCs added.')
    const spoken = screen.getByTestId('changes-announced').firstChild
    await grow(4)
    await server.advance(2_000)
    expect(announced()).toBe('2 changes: 2 MOCs added.')
    // The same words are another announcement.
    expect(screen.getByTestId('changes-announced').firstChild).not.toBe(spoken)
  })
})

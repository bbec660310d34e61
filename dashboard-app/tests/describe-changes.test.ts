import { describe, expect, it } from 'vitest'
import { partial, recent, view } from '../gallery/fixtures'
import { describeChanges } from '../src/dashboard/describe-changes'

const before = view()
const { summary } = before

describe('the sentence for screen readers', () => {
  it('counts what came and went', () => {
    const grown = { ...summary, totalMocs: summary.totalMocs + 2, totalWishlistItems: 41 }
    const after = { ...before, summary: grown }
    expect(describeChanges(before, after)).toBe('3 changes: 2 MOCs added, 1 wish removed.')
  })

  it('counts a MOC once that changed in two lists', () => {
    const both = { id: recent(0).id }
    const old = view({ recentMocs: [recent(0)], partialPartsMocs: [partial(0, both)] })
    const after = view({
      recentMocs: [recent(0, { title: 'Renamed' })],
      partialPartsMocs: [partial(0, { ...both, title: 'Renamed' })],
    })
    expect(describeChanges(old, after)).toBe('1 change: 1 MOC updated.')
  })

  it('counts sets over all themes', () => {
    const themeBreakdown = [
      { theme: 'Castle', mocCount: 1, setCount: 4 },
      { theme: 'Space', mocCount: 0, setCount: 2 },
    ]
    const old = view({ themeBreakdown: [{ theme: 'Castle', mocCount: 1, setCount: 1 }] })
    expect(describeChanges(old, view({ ...old, themeBreakdown }))).toBe('5 changes: 5 sets added.')
  })

  it('says at least that something has changed', () => {
    const mocsByBuildStatus = { ADDED: 57, IN_PROGRESS: 24, BUILT: 58 }
    const others = { ...before, summary: { ...summary, mocsByBuildStatus } }
    expect(describeChanges(before, others)).toBe('The dashboard has changed.')
    const oneForAnother = [recent(77), ...before.recentMocs.slice(1)]
    const after = { ...before, recentMocs: oneForAnother }
    expect(describeChanges(before, after)).toBe('The dashboard has changed.')
  })

  it('says nothing of what came and went again', () => {
    expect(describeChanges(before, { ...before, summary: { ...summary } })).toBeNull()
  })
})

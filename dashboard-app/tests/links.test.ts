import { describe, expect, it } from 'vitest'

import { links, linksFrom } from '../src/links'

describe('links to the host', () => {
  it('stay on this site unless the page says otherwise', () => {
    expect(links.addMoc).toBe('/instructions/new')
    expect(links.parts('a/b')).toBe('/instructions/a%2Fb#parts')
  })

  it('all lead to where the host is', () => {
    const { addMoc, gallery, wishlist, moc, parts } = linksFrom('https://host.example.org/app')
    for (const link of [addMoc, gallery, wishlist, moc('1'), parts('1')]) {
      expect(link).toMatch(/^https:\/\/host\.example\.org\/app\/(instructions|gallery|wishlist)/)
    }
  })
})

import { describe, expect, it } from 'vitest'

import { counted, relative } from '../src/ui/format'

const NOW = Date.UTC(2026, 10, 23, 12)
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('relative times', () => {
  it.each([
    [0, 'just now'],
    [59 * SECOND, 'just now'],
    [MINUTE, '1 minute ago'],
    [59 * MINUTE, '59 minutes ago'],
    [HOUR, '1 hour ago'],
    [23.9 * HOUR, '23 hours ago'],
    [DAY, 'yesterday'],
    [6.9 * DAY, '6 days ago'],
    [7 * DAY, 'last week'],
    [29 * DAY, '4 weeks ago'],
    [30 * DAY, 'last month'],
    [364 * DAY, '12 months ago'],
    [400 * DAY, 'last year'],
    [3 * 366 * DAY, '3 years ago'],
  ])('%d ms ago is %j', (age, words) => {
    expect(relative(NOW - age, NOW)).toBe(words)
  })

  it('count seconds where the age matters', () => {
    expect(relative(NOW - 4 * SECOND, NOW, true)).toBe('just now')
    expect(relative(NOW - 42 * SECOND, NOW, true)).toBe('42 seconds ago')
  })

  it('never speak of the future, as clocks differ', () => {
    expect(relative(NOW + HOUR, NOW)).toBe('just now')
  })
})

describe('counts', () => {
  it('agree with their noun', () => {
    expect([0, 1, 1_234].map(value => counted(value, 'MOC'))).toEqual([
      '0 MOCs',
      '1 MOC',
      '1,234 MOCs',
    ])
  })
})

import type { BuildStatus } from '@moc/dashboard-sdk/types'

const COUNT = new Intl.NumberFormat('en-US')
const RELATIVE = new Intl.RelativeTimeFormat('en-US', { numeric: 'auto' })
const CLOCK = new Intl.DateTimeFormat('en-US', { timeStyle: 'short' })
const ABSOLUTE = new Intl.DateTimeFormat('en-US', { dateStyle: 'medium', timeStyle: 'short' })

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Each unit holds until the next one's size is reached. */
const UNITS: [until: number, size: number, unit: Intl.RelativeTimeFormatUnit][] = [
  [HOUR, MINUTE, 'minute'],
  [DAY, HOUR, 'hour'],
  [7 * DAY, DAY, 'day'],
  [30 * DAY, 7 * DAY, 'week'],
  [365 * DAY, 30 * DAY, 'month'],
  [Number.POSITIVE_INFINITY, 365 * DAY, 'year'],
]

export const BUILD_STATUS_LABEL: Record<BuildStatus, string> = {
  ADDED: 'Added',
  IN_PROGRESS: 'In progress',
  BUILT: 'Built',
}

/** `1234` as `1,234`. */
export function count(value: number): string {
  return COUNT.format(value)
}

/** `1 MOC`, `2 MOCs`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/**
 * How long ago, in words. A time ahead of the clock is "just now": clocks of two machines differ.
 *
 * @param precise counts seconds too, for ages that matter.
 */
export function relative(then: number, now: number, precise = false): string {
  const age = Math.max(0, now - then)
  if (age < (precise ? 5_000 : MINUTE)) return 'just now'
  if (age < MINUTE) return RELATIVE.format(-Math.floor(age / 1_000), 'second')
  const [, size, unit] = UNITS.find(([until]) => age < until) ?? [0, 365 * DAY, 'year' as const]
  return RELATIVE.format(-Math.floor(age / size), unit)
}

/** The time of day in the reader's time zone, with the date where it is not today's. */
export function clockTime(then: number, now: number): string {
  const today = new Date(then).toDateString() === new Date(now).toDateString()
  return today ? CLOCK.format(then) : ABSOLUTE.format(then)
}

/** Date and time in the reader's time zone. */
export function absolute(then: number): string {
  return ABSOLUTE.format(then)
}

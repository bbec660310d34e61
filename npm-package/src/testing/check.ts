/** Refuses arguments that a test cannot have meant, with a message that says what to do. */
import { kindOf } from '../text.js'

/** Throws unless `given` is an object with none but these members. */
export function checkMembers(name: string, given: unknown, known: readonly string[]): void {
  const has = known.join(', ')
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`${name} expects an object with ${has}, not ${kindOf(given)}.`)
  }
  const unknown = Object.keys(given).find(key => !known.includes(key))
  if (unknown !== undefined) {
    throw new TypeError(`${name} has no option ${JSON.stringify(unknown)}. It has: ${has}.`)
  }
}

/** Throws unless `given` is a number of milliseconds. */
export function checkMilliseconds(name: string, given: unknown): void {
  if (typeof given !== 'number' || !Number.isFinite(given) || given < 0) {
    const told = typeof given === 'number' ? String(given) : kindOf(given)
    throw new TypeError(`${name} expects milliseconds, 0 or more, not ${told}.`)
  }
}

/** Throws unless `given` is a whole number of that range. */
export function checkWithin(name: string, given: unknown, [least, most]: [number, number]): void {
  const isWhole = typeof given === 'number' && Number.isInteger(given)
  if (!isWhole || given < least || given > most) {
    const told = typeof given === 'number' ? String(given) : kindOf(given)
    throw new RangeError(`${name} expects a whole number from ${least} to ${most}, not ${told}.`)
  }
}

/** Throws unless `given` is a function, or left out. */
export function checkFunction(name: string, given: unknown, example: string): void {
  if (given === undefined || typeof given === 'function') return
  throw new TypeError(`${name} expects a function, not ${kindOf(given)}. ${example}`)
}

import { useState } from 'react'

/**
 * A choice that this browser remembers. What is stored may be of another version, or anybody's:
 * `read` makes something useful of it, whatever it is. Where nothing can be stored, it lasts as long
 * as the page.
 */
export function useRemembered<T>(key: string, read: (stored: unknown) => T) {
  const [value, setValue] = useState(() => read(load(key)))
  return [
    value,
    (next: T) => {
      setValue(next)
      save(key, next)
    },
  ] as const
}

function load(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null')
  } catch {
    return null
  }
}

function save(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value))
  } catch {
    // Storage is full or forbidden.
  }
}

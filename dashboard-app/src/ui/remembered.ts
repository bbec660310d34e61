import { useState } from 'react'

/**
 * A choice that this browser remembers. The stored value may come from another version or another
 * program: `read` turns every value into a useful one. Where nothing can be stored, the choice
 * lasts as long as the page.
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

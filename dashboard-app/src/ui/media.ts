import { useSyncExternalStore } from 'react'

/** Whether the window is as the query says; `false` where that is unknown. */
export function useMedia(query: string): boolean {
  return useSyncExternalStore(
    listener => {
      const list = globalThis.matchMedia?.(query)
      list?.addEventListener('change', listener)
      return () => list?.removeEventListener('change', listener)
    },
    () => globalThis.matchMedia?.(query).matches ?? false,
    () => false,
  )
}

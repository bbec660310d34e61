import { useSyncExternalStore } from 'react'

/** A clock that all components share: one timer, and none while no component uses it. */
function ticker(period: number) {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setInterval> | undefined
  let now = Date.now()

  function tick() {
    now = Date.now()
    for (const listener of listeners) listener()
  }

  return {
    subscribe(listener: () => void) {
      if (listeners.size === 0) {
        now = Date.now()
        timer = setInterval(tick, period)
      }
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0) clearInterval(timer)
      }
    },
    read() {
      // Without a timer the stored time may be hours old.
      if (listeners.size === 0) now = Math.floor(Date.now() / period) * period
      return now
    },
  }
}

const seconds = ticker(1_000)
const quarters = ticker(15_000)

/** The time, as of the last tick; rendering again with each. */
export function useNow(precise: boolean): number {
  const clock = precise ? seconds : quarters
  return useSyncExternalStore(clock.subscribe, clock.read, clock.read)
}

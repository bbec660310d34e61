import { useState } from 'react'

/** Tells what was not there when the list was first shown, so that it can be pointed out. */
export function useArrivals(items: readonly { id: string }[]): (id: string) => boolean {
  const [known] = useState(() => new Set(items.map(item => item.id)))
  return id => !known.has(id)
}

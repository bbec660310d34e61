import { useState } from 'react'

import { count } from './format'

interface FigureProps {
  value: number
  className?: string
  'data-testid'?: string
}

/** A number that shows briefly when it has just changed. */
export function Figure({ value, className = '', ...rest }: FigureProps) {
  const [seen, setSeen] = useState({ value, changes: 0 })
  if (seen.value !== value) setSeen({ value, changes: seen.changes + 1 })
  return (
    <data value={value} className={`font-figure tabular-nums ${className}`} {...rest}>
      {/* A new key starts the animation anew. */}
      <span key={seen.changes} className={seen.changes > 0 ? 'fresh-ink' : undefined}>
        {count(value)}
      </span>
    </data>
  )
}

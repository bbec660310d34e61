import { Fragment, useState } from 'react'

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
        {count(value)
          .split(',')
          .map((group, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: groups of digits are told by place.
            <Fragment key={at}>
              {/* Every sign of a monospaced font is as wide as a digit: pull the comma in. */}
              {at > 0 && <span className="-mx-[0.14em]">,</span>}
              {group}
            </Fragment>
          ))}
      </span>
    </data>
  )
}

import { Fragment, useState } from 'react'

import { count } from './format'

interface FigureProps {
  value: number
  className?: string
  'data-testid'?: string
}

/**
 * A number that rolls to its new value: up when it grows, down when it falls. It never shows a value in
 * between, as that would be untrue.
 */
export function Figure({ value, className = '', ...rest }: FigureProps) {
  const [seen, setSeen] = useState({ value, before: value, changes: 0 })
  if (seen.value !== value) setSeen({ value, before: seen.value, changes: seen.changes + 1 })
  const { before, changes } = seen
  return (
    <data value={value} className={`font-figure tabular-nums ${className}`} {...rest}>
      {/* A new key starts the animation anew. */}
      <span
        key={changes}
        className={
          changes > 0 ? `rolled ${before < value ? 'rolled-up' : 'rolled-down'}` : undefined
        }
        data-before={changes > 0 ? count(before) : undefined}
      >
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

import { Fragment, useState } from 'react'

import { useFresh } from './change-mark'
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
  const [seen, setSeen] = useState({ value, before: value, times: 0, at: 0 })
  if (seen.value !== value) {
    setSeen({ value, before: seen.value, times: seen.times + 1, at: performance.now() })
  }
  const { before, times } = seen
  const isFresh = useFresh(seen)
  return (
    <data value={value} className={`font-figure tabular-nums ${className}`} {...rest}>
      {/* A new key restarts the animation. */}
      <span
        key={times}
        className={isFresh ? `rolled ${before < value ? 'rolled-up' : 'rolled-down'}` : undefined}
        data-before={isFresh ? count(before) : undefined}
      >
        {count(value)
          .split(',')
          .map((group, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: groups of digits go by place.
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

import type { ThemeStats } from '@moc/dashboard-sdk/types'
import { memo, useRef, useState } from 'react'

import { Bar } from '../ui/bar'
import { Button } from '../ui/button'
import { Card, Empty } from '../ui/card'
import { Figure } from '../ui/figure'
import { counted } from '../ui/format'
import { Gone, HeldRegion, useHeld } from '../ui/held'
import { MovingRows } from '../ui/moving'

/** How many themes are shown before someone asks for more. */
export const TOP_THEMES = 10

/** MOCs and sets per theme, most MOCs first (D-FR-6). */
export const ThemeBreakdown = memo(function ThemeBreakdown({ themes }: { themes: ThemeStats[] }) {
  const [all, setAll] = useState(false)
  const sorted = themes.toSorted(
    (a, b) =>
      b.mocCount - a.mocCount || b.setCount - a.setCount || a.theme.localeCompare(b.theme, 'en'),
  )
  const held = useHeld(sorted, idOf)
  const shown = all ? held.rows : held.rows.slice(0, TOP_THEMES)
  const longest = Math.max(1, ...sorted.map(theme => Math.max(theme.mocCount, theme.setCount)))
  const hidden = held.rows.length - TOP_THEMES
  const list = useRef<HTMLUListElement>(null)
  return (
    <Card
      title="Themes"
      area="themes"
      testId="theme-breakdown-card"
      aside={sorted.length > 0 ? counted(sorted.length, 'theme') : undefined}
    >
      {held.rows.length === 0 ? (
        <Empty title="No themes yet">
          <p className="text-muted-foreground text-sm">
            They appear with your first MOC or your first set.
          </p>
        </Empty>
      ) : (
        <>
          <Legend />
          <HeldRegion list={held} className="flex min-h-0 grow flex-col">
            <MovingRows list={list} order={shown.map(row => row.id)}>
              <ul
                ref={list}
                // All themes scroll in the place of the first ones, so that no card beside grows with them.
                className={`flex grow flex-col gap-3 ${all ? 'theme-scroller' : ''} ${shown.length < TOP_THEMES ? '' : 'justify-between'}`}
                // What scrolls is to scroll by keys too.
                tabIndex={all ? 0 : undefined}
              >
                {shown.map(({ id, item, isGone }) => (
                  <Row key={id} stats={item} isGone={isGone} longest={longest} />
                ))}
              </ul>
            </MovingRows>
          </HeldRegion>
          {hidden > 0 && (
            <Button
              look="quiet"
              className="mt-3 self-center"
              aria-expanded={all}
              onClick={() => setAll(!all)}
            >
              {all ? 'Show fewer' : 'Show more'}
            </Button>
          )}
        </>
      )}
    </Card>
  )
})

function Legend() {
  return (
    <p className="mb-3 flex gap-5 font-control text-muted-foreground text-xs" aria-hidden="true">
      <span className="flex items-center gap-1.5">
        <span className="swatch h-2 w-4 rounded-xs bg-chart-1" /> MOCs
      </span>
      <span className="flex items-center gap-1.5">
        <span className="swatch h-1 w-4 rounded-xs bg-chart-3" /> Sets
      </span>
    </p>
  )
}

function idOf(stats: ThemeStats): string {
  return stats.theme
}

interface RowProps {
  stats: ThemeStats
  isGone: boolean
  longest: number
}

function Row({ stats, isGone, longest }: RowProps) {
  const { theme, mocCount, setCount } = stats
  return (
    <li className="theme-row">
      <div className="flex items-baseline justify-between gap-3">
        <span dir="auto" className="min-w-0 truncate text-[0.9375rem]" title={theme}>
          {theme}
        </span>
        {isGone ? <Gone /> : <Counts stats={stats} />}
      </div>
      <div className={`mt-1 grid gap-0.5 ${isGone ? 'invisible' : ''}`} aria-hidden="true">
        <span className="h-2 overflow-hidden">
          <Bar share={mocCount / longest} className="rounded-xs bg-chart-1" />
        </span>
        <span className="h-1 overflow-hidden">
          <Bar share={setCount / longest} className="rounded-xs bg-chart-3" />
        </span>
      </div>
    </li>
  )
}

function Counts({ stats }: { stats: ThemeStats }) {
  const { mocCount, setCount } = stats
  return (
    <span className="shrink-0 whitespace-nowrap text-sm">
      <Figure value={mocCount} />
      <span className="font-control text-muted-foreground text-xs">
        {mocCount === 1 ? ' MOC' : ' MOCs'} ·{' '}
      </span>
      <Figure value={setCount} />
      <span className="font-control text-muted-foreground text-xs">
        {setCount === 1 ? ' set' : ' sets'}
      </span>
    </span>
  )
}

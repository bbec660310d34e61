import type { ThemeStats } from '@moc/dashboard-sdk/types'
import { memo, useState } from 'react'

import { Button } from '../ui/button'
import { Card, Empty } from '../ui/card'
import { Figure } from '../ui/figure'
import { counted } from '../ui/format'

/** How many themes are shown before someone asks for more. */
export const TOP_THEMES = 10

/** MOCs and sets per theme, most MOCs first (D-FR-6). */
export const ThemeBreakdown = memo(function ThemeBreakdown({ themes }: { themes: ThemeStats[] }) {
  const [all, setAll] = useState(false)
  const sorted = themes.toSorted(
    (a, b) =>
      b.mocCount - a.mocCount || b.setCount - a.setCount || a.theme.localeCompare(b.theme, 'en'),
  )
  const shown = all ? sorted : sorted.slice(0, TOP_THEMES)
  const longest = Math.max(1, ...sorted.map(theme => Math.max(theme.mocCount, theme.setCount)))
  const hidden = sorted.length - TOP_THEMES
  return (
    <Card
      title="Themes"
      area="themes"
      testId="theme-breakdown-card"
      aside={sorted.length > 0 ? counted(sorted.length, 'theme') : undefined}
    >
      {sorted.length === 0 ? (
        <Empty title="No themes yet">
          <p className="text-muted-foreground text-sm">
            They appear with your first MOC or your first set.
          </p>
        </Empty>
      ) : (
        <>
          <Legend />
          <ul className="flex grow flex-col justify-between gap-3">
            {shown.map(theme => (
              <Row key={theme.theme} stats={theme} longest={longest} />
            ))}
          </ul>
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
        <span className="h-2 w-4 rounded-xs bg-chart-1" /> MOCs
      </span>
      <span className="flex items-center gap-1.5">
        <span className="h-1 w-4 rounded-xs bg-chart-3" /> Sets
      </span>
    </p>
  )
}

function Row({ stats, longest }: { stats: ThemeStats; longest: number }) {
  const { theme, mocCount, setCount } = stats
  return (
    <li>
      <div className="flex items-baseline justify-between gap-3">
        <span dir="auto" className="min-w-0 truncate text-[0.9375rem]" title={theme}>
          {theme}
        </span>
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
      </div>
      <div className="mt-1 grid gap-0.5" aria-hidden="true">
        <Bar share={mocCount / longest} className="h-2 bg-chart-1" />
        <Bar share={setCount / longest} className="h-1 bg-chart-3" />
      </div>
    </li>
  )
}

function Bar({ share, className }: { share: number; className: string }) {
  return (
    <span
      className={`bar-fill block rounded-xs ${className}`}
      style={{ width: `${share * 100}%` }}
    />
  )
}

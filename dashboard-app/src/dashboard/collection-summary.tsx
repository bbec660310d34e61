import type { DashboardSummary } from '@moc/dashboard-sdk/types'

import { Bar } from '../ui/bar'
import { Card } from '../ui/card'
import { Figure } from '../ui/figure'

interface Part {
  label: string
  value: number
  /** Tailwind class of the bar and the swatch. */
  colour: string
}

/** Counts over the whole collection (D-FR-1 to D-FR-3). */
export function CollectionSummary({ summary }: { summary: DashboardSummary }) {
  const { mocsByBuildStatus: build, mocsByCoverageStatus: coverage } = summary
  return (
    <Card title="Collection summary" area="summary" testId="collection-summary-card">
      <div className="grid grow @xl:grid-cols-[auto_1fr] content-center gap-x-10 gap-y-6">
        <dl className="flex @xl:flex-col flex-wrap @xl:justify-center gap-x-12 gap-y-5 @xl:border-border @xl:border-r @xl:pr-10">
          <Total label="MOCs" value={summary.totalMocs} testId="total-mocs-count" />
          <Total
            label="Wishlist items"
            value={summary.totalWishlistItems}
            testId="wishlist-items-count"
          />
        </dl>
        <div className="grid @xl:grid-cols-2 content-center gap-x-10 gap-y-6">
          <Split
            title="Build status"
            parts={[
              { label: 'Added', value: build.ADDED, colour: 'bg-control' },
              { label: 'In progress', value: build.IN_PROGRESS, colour: 'bg-chart-3' },
              { label: 'Built', value: build.BUILT, colour: 'bg-chart-1' },
            ]}
          />
          <Split
            title="Parts coverage"
            parts={[
              { label: 'Full inventory', value: coverage.FULL_INVENTORY, colour: 'bg-chart-1' },
              { label: 'Partly ordered', value: coverage.PARTIAL_ORDERED, colour: 'bg-chart-3' },
              { label: 'None', value: coverage.NONE, colour: 'bg-control' },
            ]}
          />
        </div>
      </div>
    </Card>
  )
}

function Total({ label, value, testId }: { label: string; value: number; testId: string }) {
  return (
    <div className="flex flex-col">
      <dt className="order-2 font-control text-muted-foreground text-sm">{label}</dt>
      <dd className="text-[min(2.75rem,14cqw)] leading-none tracking-tight">
        <Figure value={value} data-testid={testId} />
      </dd>
    </div>
  )
}

/** How many there are of a part and of those before it. */
function reach(parts: Part[], last: Part): number {
  return parts.slice(0, parts.indexOf(last) + 1).reduce((sum, part) => sum + part.value, 0)
}

/** Shares of one whole: a bar to see, and a list for all readers. */
function Split({ title, parts }: { title: string; parts: Part[] }) {
  const total = parts.reduce((sum, part) => sum + part.value, 0)
  return (
    <div className="min-w-0">
      <h3 className="mb-2 font-body font-medium text-base">{title}</h3>
      <div
        className="bar-track relative mb-2.5 h-2.5 overflow-hidden rounded-full bg-muted"
        aria-hidden="true"
      >
        {/* Each reaches from the left to its end, and lies below those before it. */}
        {parts.toReversed().map(part => {
          const end = reach(parts, part)
          return (
            <span key={part.label} className="absolute inset-0">
              <Bar
                share={total === 0 ? 0 : end / total}
                className={`${part.colour} ${end === 0 ? '' : 'shadow-[2px_0_0_var(--card)]'}`}
              />
            </span>
          )
        })}
      </div>
      <dl>
        {parts.map(part => (
          <div key={part.label} className="flex items-center gap-2.5 py-1">
            <span className={`swatch size-2.5 rounded-xs ${part.colour}`} aria-hidden="true" />
            <dt className="grow font-control text-sm">{part.label}</dt>
            <dd className="text-sm">
              <Figure value={part.value} />
            </dd>
          </div>
        ))}
      </dl>
    </div>
  )
}

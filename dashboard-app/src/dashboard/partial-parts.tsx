import type { PartialPartsMoc } from '@moc/dashboard-sdk/types'
import { ArrowRight } from 'lucide-react'
import { memo, useState, useTransition } from 'react'

import { links } from '../links'
import { BuildStatusBadge } from '../ui/build-status'
import { Button, ButtonLink } from '../ui/button'
import { Card, Empty } from '../ui/card'
import { count, counted } from '../ui/format'
import { Progress } from '../ui/progress'
import { RelativeTime } from '../ui/relative-time'
import { useArrivals } from '../ui/use-arrivals'

/** How many rows are shown at first; a collection may hold thousands. */
export const FIRST_ROWS = 50
const MORE_ROWS = 100

/** Fixed, so that no column moves when a row comes or goes. */
const COLUMNS =
  'md:grid-cols-[minmax(0,4fr)_7rem_minmax(7.5rem,3fr)_7rem_7rem] md:gap-x-3 lg:gap-x-6'

/** MOCs whose parts are partly owned or ordered, least covered first (D-FR-14, D-FR-15). */
export const PartialParts = memo(function PartialParts({ mocs }: { mocs: PartialPartsMoc[] }) {
  const [limit, setLimit] = useState(FIRST_ROWS)
  const [pending, startTransition] = useTransition()
  const arrived = useArrivals(mocs)
  const sorted = mocs.toSorted((a, b) => a.coveragePercentage - b.coveragePercentage)
  const hidden = Math.max(0, sorted.length - limit)

  // A transition, so that the page stays responsive while two thousand rows are made.
  function show(rows: number) {
    startTransition(() => setLimit(rows))
  }

  return (
    <Card
      title="MOCs with partial parts ordered"
      area="partial"
      testId="partial-parts-table"
      aside={sorted.length > 0 ? counted(sorted.length, 'MOC') : undefined}
    >
      {sorted.length === 0 ? (
        <Empty title="No partial orders - all parts accounted for!" />
      ) : (
        <>
          {/* Roles are written out: rows are laid out as a grid, on a phone as cards, and browsers
              forget a table's roles when its display changes. */}
          <table role="table" className="block w-full text-left">
            <caption className="sr-only">
              MOCs with partial parts ordered, least covered first
            </caption>
            <thead role="rowgroup" className="sr-only md:not-sr-only md:block">
              <tr
                role="row"
                className={`grid ${COLUMNS} font-control text-muted-foreground text-xs`}
              >
                <Heading>MOC</Heading>
                <Heading>Build status</Heading>
                <Heading>Coverage</Heading>
                <Heading>Last updated</Heading>
                <Heading>
                  <span className="sr-only">Parts</span>
                </Heading>
              </tr>
            </thead>
            <tbody role="rowgroup" className={`block ${limit > FIRST_ROWS ? 'long-list' : ''}`}>
              {sorted.slice(0, limit).map(moc => (
                <Row key={moc.id} moc={moc} isNew={arrived(moc.id)} />
              ))}
            </tbody>
          </table>
          {hidden > 0 && (
            <div
              className="mt-4 flex flex-wrap items-center justify-center gap-3"
              aria-busy={pending}
            >
              <p className="font-control text-muted-foreground text-sm">
                Showing {count(limit)} of {count(sorted.length)}
              </p>
              <Button onClick={() => show(limit + MORE_ROWS)}>Show more</Button>
              <Button look="quiet" onClick={() => show(Number.POSITIVE_INFINITY)}>
                Show all
              </Button>
            </div>
          )}
        </>
      )}
    </Card>
  )
})

function Heading({ children }: { children: React.ReactNode }) {
  return (
    <th role="columnheader" scope="col" className="py-2 font-medium">
      {children}
    </th>
  )
}

// A live update replaces the whole list, mostly with equal rows: compare them by what they show.
const Row = memo(
  function Row({ moc, isNew }: { moc: PartialPartsMoc; isNew: boolean }) {
    return (
      <tr
        role="row"
        data-testid="partial-parts-row"
        className={`grid grid-cols-[minmax(0,1fr)_auto] ${COLUMNS} items-center gap-x-3 gap-y-2 border-border border-t py-3.5 first:border-t-0 md:py-2 md:first:border-t ${isNew ? 'arrival' : ''}`}
      >
        <td role="cell" className="min-w-0">
          <span
            className="line-clamp-2 font-medium leading-snug [overflow-wrap:anywhere]"
            title={moc.title}
          >
            {moc.title}
          </span>
          <span
            className="line-clamp-1 text-muted-foreground text-sm [overflow-wrap:anywhere]"
            title={moc.theme}
          >
            {moc.theme}
          </span>
        </td>
        <td role="cell" className="justify-self-end md:justify-self-start">
          <BuildStatusBadge status={moc.buildStatus} />
        </td>
        <td role="cell" className="col-span-2 md:col-span-1">
          <Progress percent={moc.coveragePercentage} label={`Parts covered of ${moc.title}`} />
        </td>
        <td role="cell" className="font-control text-muted-foreground text-sm md:whitespace-nowrap">
          <span className="md:hidden">Updated </span>
          <RelativeTime at={moc.lastUpdatedAt} />
        </td>
        <td role="cell" className="justify-self-end">
          <ButtonLink
            look="quiet"
            href={links.parts(moc.id)}
            className="-mr-3"
            aria-label={`View parts of ${moc.title}`}
          >
            View parts <ArrowRight className="size-4" aria-hidden="true" />
          </ButtonLink>
        </td>
      </tr>
    )
  },
  (a, b) =>
    a.isNew === b.isNew &&
    a.moc.id === b.moc.id &&
    a.moc.title === b.moc.title &&
    a.moc.theme === b.moc.theme &&
    a.moc.buildStatus === b.moc.buildStatus &&
    a.moc.coveragePercentage === b.moc.coveragePercentage &&
    a.moc.lastUpdatedAt === b.moc.lastUpdatedAt,
)

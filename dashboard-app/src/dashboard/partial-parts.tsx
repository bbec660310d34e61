import type { BuildStatus, PartialPartsMoc } from '@moc/dashboard-sdk/types'
import { ArrowRight } from 'lucide-react'
import { memo, useEffect, useRef, useState, useTransition } from 'react'

import { links } from '../links'
import { BuildStatusBadge } from '../ui/build-status'
import { Button, ButtonLink } from '../ui/button'
import { Card, Empty } from '../ui/card'
import { type Change, ChangeMark, useChanges, useFresh } from '../ui/change-mark'
import { BUILD_STATUS_LABEL, count, counted } from '../ui/format'
import { Gone, HeldRegion, useHeld } from '../ui/held'
import { useMedia } from '../ui/media'
import { MovingRows } from '../ui/moving'
import { Progress } from '../ui/progress'
import { RelativeTime } from '../ui/relative-time'
import { useRemembered } from '../ui/remembered'
import { Select } from '../ui/select'
import { arrange, EVERYTHING, ORDERS, type PartsChoice, readChoice, themesOf } from './parts-choice'

/** How many rows are shown at first; a collection may hold thousands. */
export const FIRST_ROWS = 50
/** The same on a phone, where other cards follow the table. */
export const FIRST_ROWS_ON_A_PHONE = 8
const MORE_ROWS = 100

/** Fixed, so that no column moves when a row comes or goes. */
const COLUMNS =
  'md:grid-cols-[minmax(0,4fr)_7rem_minmax(7.5rem,3fr)_7rem_7rem] md:gap-x-3 lg:gap-x-6'

/** MOCs whose parts are partly owned or ordered, for deciding what to order (D-FR-14, D-FR-15). */
export const PartialParts = memo(function PartialParts({ mocs }: { mocs: PartialPartsMoc[] }) {
  const [choice, setChoice] = useRemembered('moc-dashboard.parts', readChoice)
  const first = useMedia('(width < 48rem)') ? FIRST_ROWS_ON_A_PHONE : FIRST_ROWS
  const [more, setMore] = useState(0)
  const [pending, startTransition] = useTransition()
  const body = useRef<HTMLTableSectionElement>(null)
  const [focusOn, setFocusOn] = useState<number | null>(null)
  const arranged = arrange(mocs, choice)
  const scope = JSON.stringify(choice)
  const limit = first + more
  const held = useHeld(arranged, idOf, scope, limit)
  const rows = held.rows.slice(0, limit)
  const changes = useChanges(
    rows.map(row => row.item),
    idOf,
    looksSame,
    `${scope} ${limit}`,
  )
  const hidden = Math.max(0, held.rows.length - limit)
  const isWhole = choice.theme === null && choice.status === null

  // A transition, so that the page stays responsive while two thousand rows are made.
  function show(rows: number) {
    startTransition(() => {
      setMore(rows)
      setFocusOn(limit)
    })
  }

  // The button that was pressed may be gone: the focus goes to the first new row.
  useEffect(() => {
    if (focusOn === null || pending) return
    body.current?.rows[focusOn]?.querySelector('a')?.focus()
    setFocusOn(null)
  }, [focusOn, pending])

  return (
    <Card
      title="MOCs with partial parts ordered"
      area="partial"
      testId="partial-parts-table"
      aside={
        mocs.length === 0
          ? undefined
          : `${isWhole ? '' : `${count(arranged.length)} of `}${counted(mocs.length, 'MOC')}`
      }
    >
      {mocs.length === 0 && held.rows.length === 0 ? (
        <Empty title="No partial orders - all parts accounted for!" />
      ) : (
        <>
          <Choice mocs={mocs} choice={choice} onChoose={setChoice} />
          {held.rows.length === 0 && (
            <Empty title="No MOC is like that">
              <Button onClick={() => setChoice({ ...EVERYTHING, order: choice.order })}>
                Show all themes and statuses
              </Button>
            </Empty>
          )}
          {held.rows.length > 0 && (
            <HeldRegion list={held}>
              {/* Roles are written out: rows are laid out as a grid, on a phone as cards, and browsers
                  forget a table's roles when its display changes. */}
              <table role="table" className="block w-full text-left">
                <caption className="sr-only">
                  MOCs with partial parts ordered. {ORDERS[choice.order]}.
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
                <MovingRows list={body} order={rows.map(row => row.id)}>
                  <tbody
                    ref={body}
                    role="rowgroup"
                    className={`block ${more > 0 ? 'long-list' : ''}`}
                  >
                    {rows.map(({ id, item, isGone }) => (
                      <Row key={id} moc={item} isGone={isGone} change={changes.get(id)} />
                    ))}
                  </tbody>
                </MovingRows>
              </table>
            </HeldRegion>
          )}
          {hidden > 0 && (
            <div
              className="mt-4 flex flex-wrap items-center justify-center gap-3"
              aria-busy={pending}
            >
              <p className="font-control text-muted-foreground text-sm">
                Showing {count(limit)} of {count(held.rows.length)}
              </p>
              {hidden > MORE_ROWS && (
                <Button onClick={() => show(more + MORE_ROWS)}>Show more</Button>
              )}
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

interface ChoiceProps {
  mocs: PartialPartsMoc[]
  choice: PartsChoice
  onChoose: (choice: PartsChoice) => void
}

const ANY = ''

function Choice({ mocs, choice, onChoose }: ChoiceProps) {
  const themes = themesOf(mocs, choice.theme)
  const statuses = Object.entries(BUILD_STATUS_LABEL) as [BuildStatus, string][]
  return (
    <fieldset className="mb-3 grid grid-cols-[repeat(auto-fit,minmax(min(8.5rem,100%),1fr))] gap-x-3 gap-y-2 sm:flex sm:flex-wrap">
      <legend className="sr-only">Order and selection of the table</legend>
      <Select
        label="Order"
        className="col-span-full sm:basis-60"
        value={choice.order}
        options={Object.entries(ORDERS) as [PartsChoice['order'], string][]}
        onChoose={order => onChoose({ ...choice, order })}
      />
      <Select
        label="Theme"
        className="sm:basis-52"
        // A theme's name may be anything, an empty text excepted.
        value={choice.theme ?? ANY}
        options={[[ANY, 'All themes'], ...themes.map(theme => [theme, theme] as const)]}
        onChoose={theme => onChoose({ ...choice, theme: theme === ANY ? null : theme })}
      />
      <Select
        label="Build status"
        className="sm:basis-44"
        value={choice.status ?? ANY}
        options={[[ANY, 'All statuses'], ...statuses]}
        onChoose={status => onChoose({ ...choice, status: status === ANY ? null : status })}
      />
    </fieldset>
  )
}

function Heading({ children }: { children: React.ReactNode }) {
  return (
    <th role="columnheader" scope="col" className="py-2 font-medium">
      {children}
    </th>
  )
}

function idOf(moc: PartialPartsMoc): string {
  return moc.id
}

function looksSame(a: PartialPartsMoc, b: PartialPartsMoc): boolean {
  return (
    a.title === b.title &&
    a.theme === b.theme &&
    a.buildStatus === b.buildStatus &&
    a.coveragePercentage === b.coveragePercentage
  )
}

interface RowProps {
  moc: PartialPartsMoc
  isGone: boolean
  change: Change | undefined
}

// A live update replaces the whole list, mostly with equal rows: compare them by what they show.
const Row = memo(
  function Row({ moc, isGone, change }: RowProps) {
    const isFresh = useFresh(change)
    return (
      <tr
        role="row"
        data-testid="partial-parts-row"
        className={`relative isolate grid grid-cols-[minmax(0,1fr)_auto] ${COLUMNS} items-center gap-x-3 gap-y-1 border-border border-t py-2 first:border-t-0 md:gap-y-2 md:first:border-t ${isFresh && change?.kind === 'new' ? 'arrival' : ''}`}
      >
        <td role="cell" className="col-span-2 min-w-0 @2xs:col-span-1">
          {isFresh && change !== undefined && <ChangeMark change={change} />}
          <span
            dir="auto"
            // Whole on a phone, where no pointer rests on it to read the rest.
            className="block font-medium leading-snug [overflow-wrap:anywhere] md:line-clamp-2"
            title={moc.title}
          >
            {moc.title}
          </span>
          <span
            dir="auto"
            className="line-clamp-2 text-muted-foreground text-sm leading-snug [overflow-wrap:anywhere] md:line-clamp-1"
            title={moc.theme}
          >
            {moc.theme}
          </span>
        </td>
        <td role="cell" className="col-span-2 @2xs:max-md:justify-self-end @2xs:col-span-1">
          {isGone ? <Gone /> : <BuildStatusBadge status={moc.buildStatus} />}
        </td>
        <td role="cell" className="col-span-2 md:col-span-1">
          {!isGone && (
            <Progress percent={moc.coveragePercentage} label={`Parts covered of ${moc.title}`} />
          )}
        </td>
        <td
          role="cell"
          className="col-span-2 font-control text-muted-foreground text-xs @2xs:col-span-1 md:whitespace-nowrap md:text-sm"
        >
          {!isGone && (
            <>
              <span className="md:hidden">Updated </span>
              <RelativeTime at={moc.lastUpdatedAt} />
            </>
          )}
        </td>
        <td role="cell" className="col-span-2 @2xs:col-span-1 justify-self-end">
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
    a.isGone === b.isGone &&
    a.change === b.change &&
    a.moc.id === b.moc.id &&
    a.moc.lastUpdatedAt === b.moc.lastUpdatedAt &&
    looksSame(a.moc, b.moc),
)

import type { RecentMoc } from '@moc/dashboard-sdk/types'
import { memo, useRef } from 'react'

import { links } from '../links'
import { BuildStatusBadge } from '../ui/build-status'
import { ButtonLink } from '../ui/button'
import { Card, Empty } from '../ui/card'
import { type Change, ChangeMark, useChanges, useFresh } from '../ui/change-mark'
import { Cover } from '../ui/cover'
import { Gone, HeldRegion, useHeld } from '../ui/held'
import { MovingRows } from '../ui/moving'
import { RelativeTime } from '../ui/relative-time'

/** How many are shown at most (D-FR-9 allows 5 to 10). */
export const RECENT_LIMIT = 10

/** The newest MOCs: books on a shelf where there is room, a list where there is not (D-FR-9). */
export const RecentMocs = memo(function RecentMocs({ mocs }: { mocs: RecentMoc[] }) {
  const newest = mocs
    .toSorted((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt))
    .slice(0, RECENT_LIMIT)
  const held = useHeld(newest, idOf)
  const changes = useChanges(
    held.rows.map(row => row.item),
    idOf,
    isSame,
  )
  const shelf = useRef<HTMLUListElement>(null)
  return (
    <Card title="Recently added" area="recent" testId="recent-mocs-card">
      {held.rows.length === 0 ? (
        <Empty title="No MOCs yet">
          <p className="text-muted-foreground">Start building your collection!</p>
          <ButtonLink look="primary" href={links.addMoc}>
            Add your first MOC
          </ButtonLink>
        </Empty>
      ) : (
        <HeldRegion list={held} className="flex grow flex-col">
          <MovingRows list={shelf} order={held.rows.map(row => row.id)}>
            <ul
              ref={shelf}
              className="grid @xl:grow @xl:grid-cols-5 @xl:content-between @xl:gap-y-7"
            >
              {held.rows.map(({ id, item, isGone }) => (
                <Book key={id} moc={item} isGone={isGone} change={changes.get(id)} />
              ))}
            </ul>
          </MovingRows>
        </HeldRegion>
      )}
    </Card>
  )
})

function idOf(moc: RecentMoc): string {
  return moc.id
}

function isSame(a: RecentMoc, b: RecentMoc): boolean {
  return (
    a.title === b.title &&
    a.theme === b.theme &&
    a.buildStatus === b.buildStatus &&
    a.coverImageUrl === b.coverImageUrl
  )
}

interface BookProps {
  moc: RecentMoc
  isGone: boolean
  change: Change | undefined
}

function Book({ moc, isGone, change }: BookProps) {
  const isFresh = useFresh(change)
  return (
    <li
      data-testid="recent-moc"
      className={`relative isolate min-w-0 @xl:border-0 border-border border-b last:border-0 ${isFresh && change?.kind === 'new' ? 'arrival' : ''}`}
    >
      {isFresh && change !== undefined && <ChangeMark change={change} />}
      <a
        href={links.moc(moc.id)}
        className="group flex h-full @xl:flex-col items-center @xl:items-stretch gap-4 @xl:gap-2.5 rounded-md py-3 @xl:py-0"
      >
        <span className="@xl:shelf-cover w-[min(3.5rem,16cqw)] shrink-0 @xl:w-auto">
          <span className="@xl:mx-auto block @xl:w-[82%] transition-transform duration-300 @xl:group-hover:-translate-y-1">
            <Cover title={moc.title} theme={moc.theme} url={moc.coverImageUrl} />
          </span>
        </span>
        <span className="flex min-w-0 grow flex-col @xl:px-2">
          {/* On the shelf, as high as a title of three lines: a longer one moves nothing. */}
          <span className="flex flex-col @xl:min-h-[calc(3*1.375em+1.55*0.875em)]">
            <span
              dir="auto"
              className="@xl:line-clamp-3 font-medium leading-snug [overflow-wrap:anywhere] group-hover:underline"
              title={moc.title}
            >
              {moc.title}
            </span>
            <span
              dir="auto"
              className="text-muted-foreground text-sm @xl:truncate [overflow-wrap:anywhere]"
            >
              {moc.theme}
            </span>
          </span>
          <span className="mt-1.5 flex @xl:flex-col flex-wrap items-center @xl:items-start gap-x-2.5 gap-y-1">
            {isGone ? <Gone /> : <BuildStatusBadge status={moc.buildStatus} />}
            <span className="font-control text-muted-foreground text-xs">
              <RelativeTime at={moc.createdAt} />
            </span>
          </span>
        </span>
      </a>
    </li>
  )
}

import type { RecentMoc } from '@moc/dashboard-sdk/types'
import { memo } from 'react'

import { links } from '../links'
import { BuildStatusBadge } from '../ui/build-status'
import { ButtonLink } from '../ui/button'
import { Card, Empty } from '../ui/card'
import { Cover } from '../ui/cover'
import { RelativeTime } from '../ui/relative-time'
import { useArrivals } from '../ui/use-arrivals'

/** How many are shown at most (D-FR-9 allows 5 to 10). */
export const RECENT_LIMIT = 10

/** The newest MOCs: books on a shelf where there is room, a list where there is not (D-FR-9). */
export const RecentMocs = memo(function RecentMocs({ mocs }: { mocs: RecentMoc[] }) {
  const arrived = useArrivals(mocs)
  const newest = mocs
    .toSorted((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt))
    .slice(0, RECENT_LIMIT)
  return (
    <Card title="Recently added" area="recent" testId="recent-mocs-card">
      {newest.length === 0 ? (
        <Empty title="No MOCs yet">
          <p className="text-muted-foreground">Start building your collection!</p>
          <ButtonLink look="primary" href={links.addMoc}>
            Add your first MOC
          </ButtonLink>
        </Empty>
      ) : (
        <ul className="grid @xl:grow @xl:grid-cols-5 @xl:content-between @xl:gap-y-7">
          {newest.map(moc => (
            <Book key={moc.id} moc={moc} isNew={arrived(moc.id)} />
          ))}
        </ul>
      )}
    </Card>
  )
})

function Book({ moc, isNew }: { moc: RecentMoc; isNew: boolean }) {
  return (
    <li
      data-testid="recent-moc"
      className={`min-w-0 @xl:border-0 border-border border-b last:border-0 ${isNew ? 'arrival' : ''}`}
    >
      <a
        href={links.moc(moc.id)}
        className="group flex h-full @xl:flex-col items-center @xl:items-stretch gap-4 @xl:gap-2.5 rounded-md py-3 @xl:py-0"
      >
        <span className="@xl:shelf-cover w-14 shrink-0 @xl:w-auto">
          <span className="@xl:mx-auto block @xl:w-[82%] transition-transform duration-300 @xl:group-hover:-translate-y-1">
            <Cover title={moc.title} theme={moc.theme} url={moc.coverImageUrl} />
          </span>
        </span>
        <span className="flex min-w-0 grow flex-col @xl:px-2">
          <span
            dir="auto"
            className="@xl:line-clamp-3 @xl:min-h-[2lh] font-medium leading-snug [overflow-wrap:anywhere] group-hover:underline"
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
          <span className="mt-1.5 flex @xl:flex-col flex-wrap items-center @xl:items-start gap-x-2.5 gap-y-1">
            <BuildStatusBadge status={moc.buildStatus} />
            <span className="font-control text-muted-foreground text-xs">
              <RelativeTime at={moc.createdAt} />
            </span>
          </span>
        </span>
      </a>
    </li>
  )
}

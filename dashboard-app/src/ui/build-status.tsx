import type { BuildStatus } from '@moc/dashboard-sdk/types'

import { BUILD_STATUS_LABEL } from './format'

/** The mark beside the words differs in shape too, so that its colour is not needed. */
const MARK: Record<BuildStatus, string> = {
  ADDED: 'border-[1.5px] border-control',
  IN_PROGRESS:
    'border-[1.5px] border-chart-3 bg-linear-to-r from-chart-3 from-50% to-transparent to-50%',
  BUILT: 'bg-chart-1',
}

export function BuildStatusBadge({ status }: { status: BuildStatus }) {
  return (
    <span
      data-build-status={status}
      className="inline-flex items-center gap-1.5 whitespace-nowrap rounded-full border border-border bg-background px-2 py-0.5 font-control text-foreground text-xs"
    >
      <span className={`swatch size-2 rounded-full ${MARK[status]}`} aria-hidden="true" />
      {BUILD_STATUS_LABEL[status]}
    </span>
  )
}

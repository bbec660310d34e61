import { useDashboardClient } from '@moc/dashboard-sdk/react'

import type { Config } from '../config'
import { ButtonLink } from '../ui/button'

/** As whom one is signed in, as far as the host has told, and where that begins and ends. */
export type AccountLinks = Pick<Config, 'loginUrl' | 'logoutUrl' | 'userName'>

/** Nothing where the host tells neither a name nor a way out. */
export function Account({ userName, logoutUrl }: AccountLinks) {
  const client = useDashboardClient()
  if (userName === null && logoutUrl === null) return null
  return (
    <p className="flex items-center gap-x-3 font-control text-muted-foreground text-sm">
      {userName !== null && (
        <span>
          Signed in as{' '}
          <span dir="auto" className="font-medium text-foreground [overflow-wrap:anywhere]">
            {userName}
          </span>
        </span>
      )}
      {logoutUrl !== null && (
        // The content of this page goes at once, and not only when the next one has loaded.
        <ButtonLink
          look="quiet"
          className="-ml-3 sm:-mr-3"
          href={logoutUrl}
          onClick={() => client.stop()}
        >
          Log out
        </ButtonLink>
      )}
    </p>
  )
}

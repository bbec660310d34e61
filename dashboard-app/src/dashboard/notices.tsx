import { useDashboard } from '@moc/dashboard-sdk/react'
import * as Toast from '@radix-ui/react-toast'
import { CircleCheck, KeyRound, X } from 'lucide-react'
import { type ReactNode, useState } from 'react'

import { ButtonLink } from '../ui/button'
import type { ConnectionHistory } from './connection-history'

const RESTORED_MS = 5_000

/** Messages that appear once, wherever the reader has scrolled to (D-RES-2, D-RES-4). */
export function Notices({ history, loginUrl }: { history: ConnectionHistory; loginUrl: string }) {
  const restored = useOnceEach(history.recoveries)
  const expired = useOnceEach(history.refusals)
  const hasView = useDashboard(state => state.view !== null)
  const isLive = useDashboard(state => state.status === 'live')
  return (
    <Toast.Provider label="Notice" swipeDirection="right">
      <Notice
        key={`restored-${history.recoveries}`}
        open={restored.open && isLive}
        onClose={restored.close}
        icon={<CircleCheck className="size-5 text-success" aria-hidden="true" />}
        title="Connection restored"
        duration={RESTORED_MS}
      />
      <Notice
        key={`expired-${history.refusals}`}
        // Where there is nothing to show, the page itself asks for the login.
        open={expired.open && history.expired && hasView}
        onClose={expired.close}
        icon={<KeyRound className="size-5 text-destructive" aria-hidden="true" />}
        title="Session expired"
        description="Please log in again to continue."
        duration={Number.POSITIVE_INFINITY}
        action={
          <Toast.Action asChild altText="Go to the login page">
            <ButtonLink look="primary" href={loginUrl}>
              Log in
            </ButtonLink>
          </Toast.Action>
        }
      />
      <Toast.Viewport
        label="Notices ({hotkey})"
        className="fixed right-0 bottom-0 z-50 flex w-full max-w-md flex-col gap-3 p-4 outline-none sm:p-6"
      />
    </Toast.Provider>
  )
}

/** Open after each increase of `times`, until closed. */
function useOnceEach(times: number) {
  const [closed, setClosed] = useState(0)
  return { open: times > closed, close: () => setClosed(times) }
}

interface NoticeProps {
  open: boolean
  onClose: () => void
  icon: ReactNode
  title: string
  description?: string
  duration: number
  action?: ReactNode
}

function Notice({ open, onClose, icon, title, description, duration, action }: NoticeProps) {
  return (
    <Toast.Root
      open={open}
      onOpenChange={next => {
        if (!next) onClose()
      }}
      duration={duration}
      className="toast plate flex flex-wrap items-center gap-3 py-3 pr-3 pl-4"
    >
      {icon}
      <div className="min-w-0 grow basis-28">
        <Toast.Title className="font-control font-medium text-sm">{title}</Toast.Title>
        {description !== undefined && (
          <Toast.Description className="font-control text-muted-foreground text-sm">
            {description}
          </Toast.Description>
        )}
      </div>
      <div className="ml-auto flex items-center gap-1">
        {action}
        <Toast.Close
          aria-label="Dismiss"
          className="grid size-11 shrink-0 cursor-pointer place-items-center rounded-md text-muted-foreground hover:bg-muted hover:text-foreground"
        >
          <X className="size-4" aria-hidden="true" />
        </Toast.Close>
      </div>
    </Toast.Root>
  )
}

import type { ReactNode } from 'react'

interface FrameProps {
  /** What stands beside the title. */
  aside?: ReactNode
  children: ReactNode
}

/** The page's title, and what is below it. */
export function Frame({ aside, children }: FrameProps) {
  return (
    <div className="mx-auto max-w-[82rem] px-[min(1rem,4vw)] pt-6 pb-16 sm:px-6 lg:px-8">
      <header className="mb-7 flex flex-wrap items-end justify-between gap-x-6 gap-y-3">
        <div className="flex min-w-0 items-center gap-3.5">
          <Mark />
          <div>
            <p className="font-heading text-lg text-muted-foreground italic leading-tight">
              The MOC library
            </p>
            <h1 className="font-heading font-semibold text-[min(2.25rem,13vw)] leading-none sm:text-[2.75rem]">
              Dashboard
            </h1>
          </div>
        </div>
        {aside}
      </header>
      <main>{children}</main>
    </div>
  )
}

/** An open book with two studs: what the place is about. */
function Mark() {
  return (
    <svg
      viewBox="0 0 48 48"
      className="size-[min(3rem,14vw)] shrink-0 text-link sm:size-14"
      aria-hidden="true"
    >
      <g fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinejoin="round">
        <path d="M24 19c-4-3-10-4-18-4v22c8 0 14 1 18 4 4-3 10-4 18-4V15c-8 0-14 1-18 4zm0 0v22" />
        <path d="M10 15V8.5h8.5v7.3M29.5 15.8V8.5H38V15" />
        <path
          d="M11 22c3.5.2 6.5.8 9 1.8M11 28c3.5.2 6.5.8 9 1.8M37 22c-3.5.2-6.5.8-9 1.8M37 28c-3.5.2-6.5.8-9 1.8"
          opacity="0.55"
          strokeWidth="1.3"
        />
      </g>
    </svg>
  )
}

import { type ReactNode, useId } from 'react'

export type Area = 'summary' | 'quick' | 'recent' | 'themes' | 'partial'

/** Tailwind classes. The page as it is built must have no style attributes: its policy forbids them. */
export const AREA: Record<Area, string> = {
  summary: '[grid-area:summary]',
  quick: '[grid-area:quick]',
  recent: '[grid-area:recent]',
  themes: '[grid-area:themes]',
  partial: '[grid-area:partial]',
}

interface CardProps {
  title: string
  /** Where the card stands in the grid. */
  area: Area
  testId: string
  /** A short line beside the title. */
  aside?: ReactNode
  children: ReactNode
}

/** One section of the dashboard, named by its heading. */
export function Card({ title, area, testId, aside, children }: CardProps) {
  const heading = useId()
  return (
    <section
      aria-labelledby={heading}
      data-testid={testId}
      className={`plate @container flex min-w-0 flex-col px-[min(1.25rem,5vw)] pt-4 pb-5 sm:px-6 ${AREA[area]}`}
    >
      <header className="mb-4 flex flex-wrap items-baseline justify-between gap-x-4 border-border border-b pb-2">
        <h2
          id={heading}
          className="font-heading font-semibold text-[min(1.625rem,9vw)] leading-tight"
        >
          {title}
        </h2>
        {aside !== undefined && (
          <p className="font-control text-muted-foreground text-sm">{aside}</p>
        )}
      </header>
      {children}
    </section>
  )
}

/** What a card shows when there is nothing to show. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="flex grow flex-col items-center justify-center gap-3 px-2 py-8 text-center">
      <Ornament />
      <p className="font-heading font-medium text-xl">{title}</p>
      {children}
    </div>
  )
}

/** Three studs between two rules: a printer's flower in brick. */
export function Ornament() {
  return (
    <svg viewBox="0 0 160 14" className="h-3.5 w-40 text-control" aria-hidden="true">
      <g fill="none" stroke="currentColor">
        <path d="M0 7h52M108 7h52" />
        <circle cx="64" cy="7" r="4" />
        <circle cx="80" cy="7" r="5.5" />
        <circle cx="80" cy="7" r="2.5" fill="currentColor" />
        <circle cx="96" cy="7" r="4" />
      </g>
    </svg>
  )
}

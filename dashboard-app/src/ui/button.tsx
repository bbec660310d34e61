import type { AnchorHTMLAttributes, ButtonHTMLAttributes } from 'react'

type Look = 'primary' | 'outline' | 'quiet'

// Colours glide only under the pointer: when the system turns dark, all must turn at once.
const BASE =
  'inline-flex min-h-11 shrink-0 cursor-pointer items-center justify-center gap-2 rounded-md whitespace-nowrap px-4 py-2 ' +
  'font-control text-sm font-medium no-underline hover:transition-colors aria-disabled:cursor-default'

const LOOKS: Record<Look, string> = {
  // Its border shows where the system forces colours.
  primary: 'border border-transparent bg-primary text-primary-foreground hover:bg-primary/88',
  outline: 'border border-control bg-card text-card-foreground hover:bg-muted',
  quiet: 'text-link underline-offset-4 hover:bg-muted hover:underline',
}

export function Button({
  look = 'outline',
  className = '',
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { look?: Look }) {
  return <button type="button" className={`${BASE} ${LOOKS[look]} ${className}`} {...rest} />
}

export function ButtonLink({
  look = 'outline',
  className = '',
  children,
  ...rest
}: AnchorHTMLAttributes<HTMLAnchorElement> & { look?: Look }) {
  return (
    <a className={`${BASE} ${LOOKS[look]} ${className}`} {...rest}>
      {children}
    </a>
  )
}

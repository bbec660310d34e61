interface BarProps {
  /** How much of the bar is filled, from 0 to 1; more is all of it. */
  share: number
  /** Tailwind classes of the filled part: its colour and its shape. */
  className: string
}

/**
 * The filled part of a bar, in an element that cuts off what sticks out. It is moved and not resized, so
 * that a change is animated without a new layout.
 */
export function Bar({ share, className }: BarProps) {
  return (
    <span
      className={`bar-fill block h-full w-full ${className}`}
      style={{ transform: `translateX(${(Math.min(Math.max(share, 0), 1) - 1) * 100}%)` }}
    />
  )
}

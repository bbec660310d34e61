import { Bar } from './bar'

/** How far, as a bar and as a figure. */
export function Progress({ percent, label }: { percent: number; label: string }) {
  return (
    <div className="flex items-center gap-3">
      <div
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        className="h-2.5 min-w-16 grow overflow-hidden rounded-full border border-control bg-background"
      >
        <Bar share={percent / 100} className="rounded-r-full bg-chart-1" />
      </div>
      <span className="w-11 shrink-0 text-right font-figure text-sm tabular-nums">{percent}%</span>
    </div>
  )
}

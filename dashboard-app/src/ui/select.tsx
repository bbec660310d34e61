import { ChevronDown } from 'lucide-react'
import { useId } from 'react'

interface SelectProps<Value extends string> {
  label: string
  value: Value
  options: readonly (readonly [value: Value, text: string])[]
  onChoose: (value: Value) => void
  className?: string
}

/** One of several, by the platform's own list: it knows phones, keyboards and screen readers. */
export function Select<Value extends string>(props: SelectProps<Value>) {
  const { label, value, options, onChoose, className = '' } = props
  const id = useId()
  return (
    <span className={`relative flex min-w-0 flex-col gap-0.5 ${className}`}>
      <label htmlFor={id} className="font-control text-muted-foreground text-xs">
        {label}
      </label>
      <select
        id={id}
        value={value}
        onChange={event => onChoose(event.target.value as Value)}
        className="min-h-11 w-full cursor-pointer appearance-none truncate rounded-md border border-control bg-card py-2 pr-9 pl-3 font-control text-card-foreground text-sm hover:bg-muted"
      >
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      <ChevronDown
        className="pointer-events-none absolute right-3 bottom-3.5 size-4 text-muted-foreground"
        aria-hidden="true"
      />
    </span>
  )
}

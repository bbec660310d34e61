import { checkMembers } from './check.js'

/** How long a scripted behaviour lasts. */
export interface Times {
  /**
   * How many times; then what held before holds again. Without it, from now on. Several such calls
   * queue up: `refuse({ times: 2 }); hang({ times: 1 })` refuses two and leaves the third hanging.
   */
  times?: number | undefined
}

/** The `times` of the options of `name`, which may hold `others` besides. */
export function timesOf(name: string, options: Times, others: string[] = []): number | undefined {
  checkMembers(name, options, ['times', ...others])
  return options.times
}

/** What to do the next few times, and what to do otherwise. */
export class Script<Step> {
  readonly #usual: Step
  #standing: Step
  #next: Step[] = []

  constructor(usual: Step) {
    this.#usual = usual
    this.#standing = usual
  }

  /** Without `times` it replaces everything that was scripted before. */
  set(step: Step, times?: number): void {
    if (times === undefined) {
      this.#standing = step
      this.#next = []
    } else if (Number.isInteger(times) && times > 0) {
      this.#next.push(...Array<Step>(times).fill(step))
    } else {
      throw new RangeError(`times must be a whole number above 0, not ${times}.`)
    }
  }

  take(): Step {
    return this.#next.shift() ?? this.#standing
  }

  reset(): void {
    this.set(this.#usual)
  }
}

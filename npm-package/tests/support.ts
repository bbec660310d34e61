import { expect, vi } from 'vitest'

import type { DashboardClientOptions, DashboardLogger } from '../src/api.js'
import { clientFactory } from '../src/client.js'
import type { Diagnostic } from '../src/types.js'
import { CoreDouble, loadDouble } from './double.js'

export const OPTIONS = { url: 'https://moc.example.org', cookies: true }

/** A logger that keeps what people are warned of. */
export function recorder() {
  const entries: Diagnostic[] = []
  const keep = (_message: string, entry: Diagnostic) => void entries.push(entry)
  const logger: DashboardLogger = { warn: keep, error: keep }
  return { entries, logger }
}

export function latest(): CoreDouble {
  const core = CoreDouble.made.at(-1)
  if (core === undefined) throw new Error('no core was made')
  return core
}

/** A client whose core has begun. */
export async function started(options: Partial<DashboardClientOptions> = {}) {
  const client = clientFactory(loadDouble)({ ...OPTIONS, ...options })
  const before = CoreDouble.made.length
  client.start()
  await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(before + 1))
  return { client, core: latest() }
}

/** A promise, and the means to settle it when the test says so. */
export function deferred<T = void>() {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

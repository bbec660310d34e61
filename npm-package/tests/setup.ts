import { vi } from 'vitest'

/** As long as a busy machine may take; vitest waits for a second by default. */
const PATIENCE_MS = 30_000

const waitFor = vi.waitFor
vi.waitFor = (condition, options = PATIENCE_MS) => waitFor(condition, options)

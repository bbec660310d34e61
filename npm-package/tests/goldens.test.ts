/**
 * The contract as the host application checks it, with Zod: the examples that the Rust tests read are
 * accepted and refused here just the same, and the generated types are what the schemas infer.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

import { expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

import type { DashboardView, ErrorBody, EventPayloads } from '../src/types.js'

const count = z.int().min(0).max(4_294_967_295)
const title = z.string().min(1).max(200)
const theme = z.string().min(1)
const buildStatus = z.enum(['ADDED', 'IN_PROGRESS', 'BUILT'])
const coverageStatus = z.enum(['FULL_INVENTORY', 'PARTIAL_ORDERED', 'NONE'])
const timestamp = z.iso.datetime({ offset: false })

const summary = z.strictObject({
  totalMocs: count,
  totalWishlistItems: count,
  mocsByBuildStatus: z.record(buildStatus, count),
  mocsByCoverageStatus: z.record(coverageStatus, count),
})
const themeStats = z.strictObject({ theme, mocCount: count, setCount: count })
const recentMoc = z.strictObject({
  id: z.uuid(),
  title,
  theme,
  buildStatus,
  coverImageUrl: z.url({ protocol: /^https?$/ }).nullable(),
  createdAt: timestamp,
})
const partialPartsMoc = z.strictObject({
  id: z.uuid(),
  title,
  theme,
  buildStatus,
  coveragePercentage: z.number().min(0).max(100),
  lastUpdatedAt: timestamp,
})
const view = z.strictObject({
  summary,
  themeBreakdown: z.array(themeStats),
  recentMocs: z.array(recentMoc),
  partialPartsMocs: z.array(partialPartsMoc),
})
const payloads = {
  'dashboard:summaryUpdated': summary,
  'dashboard:recentMocAdded': recentMoc,
  'dashboard:recentMocsUpdated': z.array(recentMoc),
  'dashboard:partialPartsUpdated': z.array(partialPartsMoc),
  'dashboard:themeBreakdownUpdated': z.array(themeStats),
  'dashboard:error': z.strictObject({
    code: z.enum(['TOKEN_EXPIRED', 'SNAPSHOT_UNAVAILABLE', 'SERVER_DRAINING']),
    message: z.string(),
    reconnectAfterMs: count.optional(),
  }),
} satisfies { [Type in keyof EventPayloads]: z.ZodType }
const envelope = z.strictObject({
  eventId: z.uuid(),
  type: z.enum(Object.keys(payloads) as (keyof typeof payloads)[]),
  timestamp,
  revision: z.int().min(0),
  payload: z.unknown(),
})
const errorBody = z.strictObject({
  success: z.literal(false),
  error: z.strictObject({
    code: z.enum([
      'UNAUTHORIZED',
      'FORBIDDEN',
      'NOT_FOUND',
      'VALIDATION_ERROR',
      'RATE_LIMITED',
      'INTERNAL_ERROR',
    ]),
    message: z.string(),
  }),
  correlationId: z.string(),
  timestamp,
})

it.each(examples('.'))('the example %s is accepted', (name, value) => {
  expect(() => check(name, value)).not.toThrow()
})

it.each(examples('rejected'))('the example rejected/%s is refused', (name, value) => {
  expect(() => check(name, value)).toThrow(z.ZodError)
})

it('the generated types are what the schemas infer', () => {
  type Payloads = { [Type in keyof typeof payloads]: z.infer<(typeof payloads)[Type]> }
  expectTypeOf<z.infer<typeof view>>().toEqualTypeOf<DashboardView>()
  expectTypeOf<EventPayloads>().toExtend<Payloads>()
  expectTypeOf<z.infer<typeof errorBody>>().toExtend<ErrorBody>()
})

function check(name: string, value: unknown): void {
  if (name.startsWith('error-body')) {
    errorBody.parse(value)
  } else if (name.includes('view')) {
    view.parse(value)
  } else {
    payloads[envelope.parse(value).type].parse((value as { payload?: unknown }).payload)
  }
}

function examples(folder: string): [string, unknown][] {
  const url = new URL(`../../shared-types/goldens/${folder}/`, import.meta.url)
  const names = readdirSync(url).filter(name => name.endsWith('.json') && name !== 'reasons.json')
  expect(names.length).toBeGreaterThan(10)
  return names.map(name => [basename(name), JSON.parse(readFileSync(new URL(name, url), 'utf8'))])
}

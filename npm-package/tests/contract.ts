/** The contract as the host application checks it, with Zod. */
import { z } from 'zod'

import type { EventPayloads } from '../src/types.js'

const count = z.int().min(0).max(4_294_967_295)
// In UTF-16 units, as JavaScript counts and Zod once did; newer versions of it count code points, which are never more.
const title = z
  .string()
  .min(1)
  .refine(text => text.length <= 200)
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
export const view = z.strictObject({
  summary,
  themeBreakdown: z.array(themeStats),
  recentMocs: z.array(recentMoc),
  partialPartsMocs: z.array(partialPartsMoc),
})
export const payloads = {
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
export const envelope = z.strictObject({
  eventId: z.uuid(),
  type: z.enum(Object.keys(payloads) as (keyof typeof payloads)[]),
  timestamp,
  revision: z.int().min(0),
  payload: z.unknown(),
})
export const errorBody = z.strictObject({
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
  fresh: z.string().exactOptional(),
})

/** Fails where an event is not of the contract; the payload by the event's type. */
export function checkEvent(value: unknown): void {
  payloads[envelope.parse(value).type].parse((value as { payload?: unknown }).payload)
}

/**
 * The test kit: a scripted server for the real client, without a network and in virtual time.
 *
 * It is for tests only. No other module of the package imports it, so it is in no app's bundle.
 */

export type { ViewChange } from './testing/builders.js'
export { emptyView, makePartialPartsMoc, makeRecentMoc, makeView } from './testing/builders.js'
export type { ConnectionAttempt, Connections } from './testing/connections.js'
export type { Events } from './testing/events.js'
export type { Times } from './testing/script.js'
export type { FakeServer, FakeServerOptions } from './testing/server.js'
export { createFakeServer } from './testing/server.js'
export type { FailedAnswer, RawAnswer, SnapshotRequest, Snapshots } from './testing/snapshots.js'
export type { Act, Condition, StateRecord, VirtualTime, WatchedClient } from './testing/time.js'
export { recordStates } from './testing/time.js'

/**
 * The types of the dashboard: what the server sends, and what the client passes to an app.
 *
 * All of them are generated from the Rust types of the server and the client, so they match exactly
 * what crosses the network. Only this module and `codes.ts` import the generated files.
 */

export type { PackageCode, ReasonCode, TerminalCode } from './codes.js'
export type {
  CoreCode,
  CoreTerminalCode,
  DashboardState,
  DashboardStatus,
  Diagnostic,
  DiagnosticLevel,
  Freshness,
  FreshnessSource,
  StateReason as Reason,
} from './generated/state.js'
export type {
  BuildStatus,
  CoverageStatus,
  DashboardEvent,
  DashboardSummary,
  DashboardView,
  ErrorBody,
  ErrorCode,
  ErrorEvent,
  ErrorEventCode,
  EventPayloads,
  EventType,
  PartialPartsMoc,
  RecentMoc,
  ThemeStats,
} from './generated/wire.js'

/**
 * The types of the dashboard: what the server sends, and what the client tells an app.
 *
 * All of them are generated from the Rust types that server and client are built from, so they are
 * exactly what crosses the network. This is the one place that imports the generated files.
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

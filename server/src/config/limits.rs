//! What clients and strangers may take.

use std::time::Duration;

use clap::Args;

use super::values::whole;

/// Limits, each counted in `dashboard_limited_total{limit}` when it is crossed. The defaults leave
/// honest clients far below them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections open at the same time, sockets included; more are told to come back (503).
    #[arg(
        long, env = "DASHBOARD_MAX_CONNECTIONS", default_value_t = 20_000,
        value_parser = whole::<u32>(1..=10_000_000)
    )]
    pub max_connections: u32,

    /// The same for one address. Behind a proxy all come from one, so there it does not apply.
    #[arg(
        long, env = "DASHBOARD_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1_000,
        value_parser = whole::<u32>(1..=10_000_000)
    )]
    pub max_connections_per_address: u32,

    /// Sockets open at the same time; more are told to come back (503).
    #[arg(
        long, env = "DASHBOARD_MAX_SOCKETS", default_value_t = 10_000,
        value_parser = whole::<u32>(1..=10_000_000)
    )]
    pub max_sockets: u32,

    /// Sockets of one user at the same time; more are refused (too many sockets).
    #[arg(
        long, env = "DASHBOARD_MAX_SOCKETS_PER_USER", default_value_t = 20,
        value_parser = whole::<u32>(1..=100_000)
    )]
    pub max_sockets_per_user: u32,

    /// Sockets that may be between their opening and their user's snapshot at the same time; more wait
    /// for their turn, and are told to come back if that takes too long (503).
    #[arg(
        long, env = "DASHBOARD_MAX_ARRIVING_SOCKETS", default_value_t = 256,
        value_parser = whole::<u32>(1..=10_000_000)
    )]
    pub max_arriving_sockets: u32,

    /// How long a new socket may take to authenticate, in milliseconds.
    #[arg(
        long, env = "DASHBOARD_CONNECT_TIMEOUT_MS", default_value_t = 5_000,
        value_parser = whole::<u64>(100..=60_000)
    )]
    pub connect_timeout_ms: u64,

    /// Sessions that one address may present and that are not accepted; more are answered 429, or
    /// with the end of the connection. Those that are accepted are never affected.
    #[arg(
        long, env = "DASHBOARD_AUTH_FAILURES_PER_MINUTE", default_value_t = 120,
        value_parser = whole::<u32>(1..=1_000_000)
    )]
    pub auth_failures_per_minute: u32,

    /// The largest message that a client may send, in bytes, however many frames it comes in.
    #[arg(
        long, env = "DASHBOARD_MAX_MESSAGE_BYTES", default_value_t = 16_384,
        value_parser = whole::<u32>(1_024..=1_048_576)
    )]
    pub max_message_bytes: u32,

    /// Messages that one socket may send, after a burst. Clients have nothing to say but a token and pongs.
    #[arg(
        long, env = "DASHBOARD_MESSAGES_PER_S", default_value_t = 10,
        value_parser = whole::<u32>(1..=10_000)
    )]
    pub messages_per_s: u32,

    /// Requests from one address, after a burst ten times as large; more are answered 429.
    #[arg(
        long, env = "DASHBOARD_REQUESTS_PER_S", default_value_t = 100,
        value_parser = whole::<u32>(1..=1_000_000)
    )]
    pub requests_per_s: u32,

    /// Snapshots for one user, after a burst ten times as large; more are answered 429.
    #[arg(
        long, env = "DASHBOARD_REQUESTS_PER_S_PER_USER", default_value_t = 10,
        value_parser = whole::<u32>(1..=1_000_000)
    )]
    pub requests_per_s_per_user: u32,

    /// The largest head of a request, in bytes; more is answered 431.
    #[arg(
        long, env = "DASHBOARD_MAX_HEADER_BYTES", default_value_t = 32_768,
        value_parser = whole::<u32>(16_384..=1_048_576)
    )]
    pub max_header_bytes: u32,

    /// The largest body of a request, in bytes; more is answered 413. Only those of sockets that poll are read:
    /// they count as messages.
    #[arg(
        long, env = "DASHBOARD_MAX_BODY_BYTES", default_value_t = 1_024,
        value_parser = whole::<u32>(0..=1_048_576)
    )]
    pub max_body_bytes: u32,

    /// How long a connection may stay without a complete request, in milliseconds: one that has asked
    /// for nothing yet, or a head that comes slowly.
    #[arg(
        long, env = "DASHBOARD_IDLE_TIMEOUT_MS", default_value_t = 10_000,
        value_parser = whole::<u64>(100..=600_000)
    )]
    pub idle_timeout_ms: u64,

    /// How long a connection is kept for a next request, in milliseconds. Longer than a proxy in front
    /// keeps its own, which are 60 s as a rule: a request may else meet the end of its connection.
    #[arg(
        long, env = "DASHBOARD_KEEP_ALIVE_TIMEOUT_MS", default_value_t = 75_000,
        value_parser = whole::<u64>(100..=7_200_000)
    )]
    pub keep_alive_timeout_ms: u64,

    /// A client that takes nothing of what waits for it for so long is cut off, in milliseconds.
    #[arg(
        long, env = "DASHBOARD_WRITE_STALL_TIMEOUT_MS", default_value_t = 8_000,
        value_parser = whole::<u64>(100..=600_000)
    )]
    pub write_stall_timeout_ms: u64,

    /// Behind a proxy: which entry of X-Forwarded-For or Forwarded names the client, counted from the
    /// right. One for each proxy of yours; what stands further left is a stranger's word.
    #[arg(
        long, env = "DASHBOARD_PROXY_HOPS", default_value_t = 1,
        value_parser = whole::<u32>(1..=16)
    )]
    pub proxy_hops: u32,
}

impl Limits {
    /// See [`Limits::connect_timeout_ms`].
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// See [`Limits::idle_timeout_ms`].
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// See [`Limits::keep_alive_timeout_ms`].
    #[must_use]
    pub fn keep_alive_timeout(&self) -> Duration {
        Duration::from_millis(self.keep_alive_timeout_ms)
    }

    /// See [`Limits::write_stall_timeout_ms`].
    #[must_use]
    pub fn write_stall_timeout(&self) -> Duration {
        Duration::from_millis(self.write_stall_timeout_ms)
    }
}

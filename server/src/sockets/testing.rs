//! Holds what the tests of both transports share.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use futures_util::FutureExt as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::dashboard::tags::Tags;
use crate::limits::{Arrival, Limiter};
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::sockets::connection::{Connection, Opening, Transport};
use crate::sockets::context::{SocketConfig, SocketContext};
use crate::sockets::frames::FrameLimits;
use crate::sockets::packet::Heartbeat;
use crate::sockets::registry::Registry;
use crate::sockets::rooms::Rooms;

pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(super) const HEARTBEAT: Heartbeat =
    Heartbeat { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) };
pub(super) const MAX_MESSAGE: u32 = 1_000;
/// Far longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// The answer to a session that is not accepted, for any fault in it.
pub(super) const REFUSAL: &str =
    r#"44/dashboard,{"message":"AUTH_FAILED","data":{"code":"AUTH_FAILED"}}"#;

/// The tag of every user's snapshot.
pub(super) const TAG: &str = "e-17";

pub(super) async fn context() -> Arc<SocketContext> {
    context_with(100_000).await
}

pub(super) async fn context_with(messages_per_s: u32) -> Arc<SocketContext> {
    let tags = Tags::by(|users| {
        async move { users.iter().map(|_| Ok(TAG.parse().unwrap())).collect() }.boxed()
    });
    context_of(messages_per_s, tags).await
}

/// A context at which tags are read that way.
pub(super) async fn context_reading(tags: Arc<Tags>) -> Arc<SocketContext> {
    context_of(100_000, tags).await
}

async fn context_of(messages_per_s: u32, tags: Arc<Tags>) -> Arc<SocketContext> {
    let metrics = Arc::new(Metrics::new());
    let mut config = Config::parse_from(["dashboard-server"]);
    config.jwt_hs256_secret = Some(Secret::from(SECRET.to_owned()));
    let limits = FrameLimits { max_message_bytes: MAX_MESSAGE, messages_per_s };
    Arc::new(SocketContext {
        registry: Arc::new(Registry::new(Arc::clone(&metrics))),
        rooms: Arc::new(Rooms::new(Arc::clone(&metrics))),
        tags,
        authenticator: Arc::new(Authenticator::new(&config, &metrics).await.unwrap()),
        limiter: Arc::new(Limiter::new(config.limits, false, Arc::clone(&metrics))),
        metrics,
        config: SocketConfig { frames: limits, heartbeat: HEARTBEAT },
    })
}

/// What the server sends to a client that it accepts.
pub(super) fn acceptance(connection: &Connection) -> String {
    format!("40/dashboard,{{\"sid\":\"{}\",\"tag\":\"{TAG}\"}}", connection.id.simple())
}

pub(super) fn connection(transport: Transport) -> Arc<Connection> {
    Connection::new(Opening::local(transport), Arrival::unlimited())
}

pub(super) fn token() -> String {
    let claims = json!({
        "sub": "ada", "token_use": "access", "exp": crate::clock::now().unix_timestamp() + 600
    });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

pub(super) fn connect(token: &str) -> String {
    format!("40/dashboard,{}", json!({ "token": token }))
}

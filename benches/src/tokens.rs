//! Makes sessions that all contenders accept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// Good for this machine's loopback while the measurement runs, and for nothing else.
pub(crate) const SECRET: &str = "a-secret-of-the-benchmark-that-guards-nothing";
pub(crate) const ISSUER: &str = "https://issuer.bench.test/pool";
pub(crate) const CLIENT_ID: &str = "bench";

/// An access token that outlives any measurement.
pub(crate) fn access(user: &str) -> anyhow::Result<String> {
    Ok(access_for(user, Duration::from_hours(24))?.0)
}

/// An access token with this lifetime, and when it ends, since 1970.
pub(crate) fn access_for(user: &str, lifetime: Duration) -> anyhow::Result<(String, Duration)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let end = Duration::from_secs((now + lifetime).as_secs());
    let claims = json!({
        "sub": user, "token_use": "access", "client_id": CLIENT_ID, "iss": ISSUER,
        "iat": now.as_secs(), "exp": end.as_secs(),
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok((encode(&Header::new(Algorithm::HS256), &claims, &key)?, end))
}

//! Session tokens as the host application's provider makes them, signed with a shared secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What signs the tokens of a test; the server is configured with the same.
#[derive(Clone, Debug)]
pub struct Tokens {
    secret: String,
}

impl Tokens {
    /// The one client id that the server accepts.
    pub const CLIENT_ID: &str = "dashboard-tests";
    /// The issuer that the server demands.
    pub const ISSUER: &str = "https://issuer.test/pool";

    /// A secret that no other test knows.
    #[must_use]
    pub fn new() -> Self {
        Self { secret: format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4()) }
    }

    /// The shared secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// An access token, as `Authorization: Bearer` and the socket's handshake carry it; good for
    /// an hour.
    #[must_use]
    pub fn access(&self, user: &str) -> String {
        self.sign(&Self::access_claims(user))
    }

    /// An ID token, as the session cookie carries it; good for an hour.
    #[must_use]
    pub fn id(&self, user: &str) -> String {
        self.sign(&Self::id_claims(user))
    }

    /// An access token that is good for so long, in whole seconds.
    #[must_use]
    pub fn access_for(&self, user: &str, time: Duration) -> String {
        let mut claims = Self::access_claims(user);
        claims["exp"] = json!(times().0 + time.as_secs());
        self.sign(&claims)
    }

    /// The claims of [`access`](Self::access), for tests that break them.
    #[must_use]
    pub fn access_claims(user: &str) -> Value {
        let (issued, expires) = times();
        json!({
            "sub": user, "token_use": "access", "client_id": Self::CLIENT_ID,
            "iss": Self::ISSUER, "iat": issued, "exp": expires,
        })
    }

    /// The claims of [`id`](Self::id), for tests that break them.
    #[must_use]
    pub fn id_claims(user: &str) -> Value {
        let (issued, expires) = times();
        json!({
            "sub": user, "token_use": "id", "aud": Self::CLIENT_ID,
            "iss": Self::ISSUER, "iat": issued, "exp": expires,
        })
    }

    /// Signs whatever claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        encode(&Header::default(), claims, &key).expect("HS256 signs any claims")
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

/// Now, and in an hour, in seconds since 1970.
fn times() -> (u64, u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    (now, now + Duration::from_hours(1).as_secs())
}

//! Session tokens as the host application's provider makes them, signed with a shared secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What signs the tokens of a test; the server is configured with the same.
#[derive(Clone, Debug)]
pub struct Tokens {
    secret: String,
}

/// The last part of a forged token.
#[derive(Clone, Copy)]
pub enum Signature<'a> {
    /// Made with that key, independent of the header.
    Of(&'a EncodingKey, Algorithm),
    /// These bytes.
    Bytes(&'a [u8]),
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

    /// An access token that is good for that time, in whole seconds.
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

    /// Signs any claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        encode(&Header::default(), claims, &self.key()).expect("HS256 signs any claims")
    }

    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> EncodingKey {
        EncodingKey::from_secret(self.secret.as_bytes())
    }

    /// A token of which every part is as the forger likes it; header and claims are JSON, or pass
    /// for it.
    #[must_use]
    pub fn forge(header: &str, claims: &str, signature: Signature<'_>) -> String {
        let parts = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let message = parts.join(".");
        let signature = match signature {
            Signature::Of(key, algorithm) => {
                jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm)
                    .expect("the key is for the algorithm")
            }
            Signature::Bytes(bytes) => BASE64_URL_SAFE_NO_PAD.encode(bytes),
        };
        format!("{message}.{signature}")
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

//! Holds the keys that sessions are checked with: a shared secret, or published keys.
//!
//! A key's own type binds it to one algorithm, no matter what a token's header says. Published keys
//! are cached. The server reads them again at intervals. When a token names an unknown key, it reads
//! them once more, at a limited rate. A key address that stops answering costs nothing until its keys
//! change. The server asks an address that has never answered until it does, and no request waits
//! for that.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::auth::AuthError;
use crate::config::Config;
use crate::metrics::{Metrics, ResultLabel};

/// The server reads known keys again after this time, to notice those that were withdrawn.
const MAX_AGE: Duration = Duration::from_mins(15);
/// At most one request for keys in this time.
const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// The same while there are no keys at all.
const MIN_INTERVAL_EMPTY: Duration = Duration::from_secs(2);
/// How long the address may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;
/// What errors call the address: itself, it may hold a password.
const ADDRESS: &str = "DASHBOARD_JWT_JWKS_URL";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("DASHBOARD_JWT_JWKS_FILE {path:?} cannot be read: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No usable key.
    #[error("{0} holds no key for RS256 or ES256")]
    Empty(String),
    /// Not a key set.
    #[error("{origin} is not a JSON Web Key Set: {source}")]
    Malformed {
        /// The file or address.
        origin: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The address does not answer.
    #[error("{ADDRESS} does not answer: {0}")]
    Fetch(String),
    /// The address answers with something else, such as a redirect.
    #[error("{ADDRESS} answers with the status {0}")]
    Status(http::StatusCode),
    /// More than any honest key set.
    #[error("the key set is larger than {MAX_BYTES} bytes")]
    TooLarge,
}

/// Keys by their ids.
pub enum Keys {
    /// One secret, for HS256 only.
    Secret(DecodingKey),
    /// Public keys that do not change while the server runs.
    Fixed(HashMap<String, Key>),
    /// Public keys from an address.
    Published(Arc<Published>, AbortOnDropHandle<()>),
}

/// A public key, and the one algorithm that it is for.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Public keys from an address.
pub struct Published {
    url: String,
    client: reqwest::Client,
    known: RwLock<HashMap<String, Key>>,
    /// Held while the address is being asked.
    asked: Mutex<Option<Asked>>,
    fetches: Family<ResultLabel, Counter>,
}

/// When the address was last asked, and whether it answered.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    answered: bool,
}

impl Keys {
    /// Reads or fetches what is configured.
    ///
    /// # Errors
    /// See [`KeyError`]. An address that does not answer is no error here.
    pub async fn load(config: &Config, metrics: &Metrics) -> Result<Self, KeyError> {
        if let Some(secret) = &config.jwt_hs256_secret {
            return Ok(Self::Secret(DecodingKey::from_secret(secret.expose().as_bytes())));
        }
        if let Some(path) = &config.jwt_jwks_file {
            let failed = |source| KeyError::File { path: path.clone(), source };
            let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
            // Neither a pipe, which would be waited on, nor what has no end.
            if !metadata.is_file() {
                return Err(failed(std::io::Error::other("not a file")));
            }
            if metadata.len() > MAX_BYTES as u64 {
                return Err(KeyError::TooLarge);
            }
            let text = tokio::fs::read(path).await.map_err(failed)?;
            return Ok(Self::Fixed(parse(&text, &path.display().to_string())?));
        }
        let published = Arc::new(Published::new(config, metrics)?);
        published.renew().await;
        let keeping = tokio::spawn(Arc::clone(&published).keep());
        Ok(Self::Published(published, AbortOnDropHandle::new(keeping)))
    }

    /// Reads or fetches what is configured, and counts the keys that can be used.
    ///
    /// # Errors
    /// See [`KeyError`]. An address that does not answer is an error here.
    pub async fn count(config: &Config) -> Result<usize, KeyError> {
        if config.jwt_jwks_url.is_some() {
            return Ok(Published::new(config, &Metrics::new())?.fetch().await?.len());
        }
        Ok(match Self::load(config, &Metrics::new()).await? {
            Self::Fixed(keys) => keys.len(),
            Self::Secret(_) | Self::Published(..) => 1,
        })
    }

    /// Whether there is any key.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Fixed(keys) => !keys.is_empty(),
            Self::Published(published, _) => !published.is_empty(),
        }
    }

    /// The key that a token with this header must be signed with.
    ///
    /// # Errors
    /// If there is none, or it is for another algorithm.
    pub async fn find(&self, header: &Header) -> Result<DecodingKey, AuthError> {
        let key = match self {
            Self::Secret(key) if header.alg == Algorithm::HS256 => return Ok(key.clone()),
            Self::Secret(_) => return Err(AuthError::Algorithm),
            Self::Fixed(keys) => find(keys, header),
            Self::Published(published, _) => published.find(header).await?,
        };
        let key = key.ok_or(AuthError::UnknownKey)?;
        if key.algorithm == header.alg { Ok(key.key) } else { Err(AuthError::Algorithm) }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Keys::Secret(<secret>)",
            Self::Fixed(_) => "Keys::Fixed(..)",
            Self::Published(..) => "Keys::Published(..)",
        })
    }
}

impl Published {
    fn new(config: &Config, metrics: &Metrics) -> Result<Self, KeyError> {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(unanswered)?;
        Ok(Self {
            url: config.jwt_jwks_url.clone().unwrap_or_default(),
            client,
            known: RwLock::default(),
            asked: Mutex::default(),
            fetches: metrics.jwks_fetches.clone(),
        })
    }

    async fn find(self: &Arc<Self>, header: &Header) -> Result<Option<Key>, AuthError> {
        // A client that presents tokens without end must not make this server ask without end.
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(AuthError::Algorithm);
        }
        if self.is_empty() {
            // The keys are being fetched all the time, so no request has to wait for that.
            return Err(AuthError::KeysUnavailable);
        }
        if let Some(known) = self.known(header) {
            return Ok(Some(known));
        }
        // Runs to its end even if the request stops waiting. The next one would ask at once for the same keys.
        let this = Arc::clone(self);
        tokio::spawn(async move { this.renew().await }).await.ok();
        Ok(self.known(header))
    }

    fn known(&self, header: &Header) -> Option<Key> {
        find(&self.known.read().unwrap_or_else(PoisonError::into_inner), header)
    }

    fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Asks for the keys when they have become old, and soon again when there was no answer.
    async fn keep(self: Arc<Self>) {
        loop {
            let asked = *self.asked.lock().await;
            if let Some(asked) = asked {
                let pause = if asked.answered { MAX_AGE } else { self.min_interval() };
                sleep_until(asked.at + pause).await;
            }
            self.renew().await;
        }
    }

    /// Asks the address, unless it was asked a moment ago. Keeps what is known if it fails.
    async fn renew(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.at.elapsed() < self.min_interval()) {
            return;
        }
        let at = Instant::now();
        let fetched = self.fetch().await;
        let answered = fetched.is_ok();
        *asked = Some(Asked { at, answered });
        let result = if answered { "ok" } else { "error" };
        self.fetches.get_or_create(&ResultLabel { result }).inc();
        match fetched {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "fetched the keys of the token issuer");
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
            }
            Err(error) => tracing::warn!(%error, "keeping the keys of the token issuer as known"),
        }
    }

    fn min_interval(&self) -> Duration {
        if self.is_empty() { MIN_INTERVAL_EMPTY } else { MIN_INTERVAL }
    }

    async fn fetch(&self) -> Result<HashMap<String, Key>, KeyError> {
        let mut response = self.client.get(&self.url).send().await.map_err(unanswered)?;
        if !response.status().is_success() {
            return Err(KeyError::Status(response.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            text.extend_from_slice(&chunk);
            if text.len() > MAX_BYTES {
                return Err(KeyError::TooLarge);
            }
        }
        parse(&text, ADDRESS)
    }
}

/// The root cause, which is what operators can correct. Without the address.
fn unanswered(error: reqwest::Error) -> KeyError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    KeyError::Fetch(cause.to_string())
}

/// A token without a key id fits only where there is no choice.
fn find(keys: &HashMap<String, Key>, header: &Header) -> Option<Key> {
    match &header.kid {
        Some(kid) => keys.get(kid).cloned(),
        None if keys.len() == 1 => keys.values().next().cloned(),
        None => None,
    }
}

fn parse(text: &[u8], origin: &str) -> Result<HashMap<String, Key>, KeyError> {
    let malformed = |source| KeyError::Malformed { origin: origin.to_owned(), source };
    let set: serde_json::Value = serde_json::from_slice(text).map_err(malformed)?;
    let set: Vec<serde_json::Value> = match set.get("keys") {
        Some(serde_json::Value::Array(keys)) => keys.clone(),
        // One malformed answer with the library's own words for what is missing.
        _ => serde_json::from_slice::<JwkSet>(text).map(|_| Vec::new()).map_err(malformed)?,
    };
    // Providers also publish keys for other purposes: what cannot be used is passed over.
    let keys: HashMap<_, _> = set
        .into_iter()
        .filter_map(|jwk| serde_json::from_value::<Jwk>(jwk).ok())
        .filter_map(|jwk| Some((jwk.common.key_id.clone().unwrap_or_default(), usable(&jwk)?)))
        .collect();
    if keys.is_empty() { Err(KeyError::Empty(origin.to_owned())) } else { Ok(keys) }
}

/// The key, with the algorithm that its type stands for.
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        _ => return None,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let named =
        jwk.common.key_algorithm.is_none_or(|name| name.to_string() == format!("{algorithm:?}"));
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (signs && named).then_some(Key { algorithm, key })
}

#[cfg(test)]
mod tests;

//! Authenticates requests and sockets: checks the host's session tokens (D-API-1, D-WS-2).
//!
//! The server accepts two kinds of token of the same issuer, each only in its place:
//!
//! - an access token in `Authorization: Bearer` or in the socket's handshake
//! - an ID token in the session cookie
//!
//! It refuses a token in the wrong place. It accepts nothing by default: without keys it does not start.

mod keys;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use jsonwebtoken::{DecodingKey, Header, Validation, decode_header};
use serde::Deserialize;
use time::OffsetDateTime;

pub use self::keys::{KeyError, Keys};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::user::UserId;

/// Longer tokens are refused unread.
const TOKEN_MAX_BYTES: usize = 8 * 1024;
/// Longer user ids are refused.
const USER_MAX_BYTES: usize = 255;
/// How far the issuer's clock may be ahead of this one, in seconds.
const LEEWAY_S: u64 = 5;

/// A session that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user: the claim `sub`.
    pub user: UserId,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Where a token was found, which decides what kind it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `token_use` is `access`, the application's id is in `client_id`.
    Access,
    /// `token_use` is `id`, the application's id is in `aud`.
    Id,
}

/// Why a session was not accepted. For operators only: a client only learns that it was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Neither header nor cookie.
    #[error("no token")]
    Missing,
    /// Not a token, or one without the claims that are needed.
    #[error("malformed token")]
    Malformed,
    /// Longer than any honest token.
    #[error("oversized token")]
    Oversized,
    /// More than one header or cookie where one belongs.
    #[error("more than one token")]
    Ambiguous,
    /// A header that demands more of its reader than this server knows.
    #[error("critical header")]
    Critical,
    /// An algorithm that its key is not for, or none.
    #[error("wrong algorithm")]
    Algorithm,
    /// Signed with a key that is not known.
    #[error("unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("bad signature")]
    Signature,
    /// Past its `exp`.
    #[error("expired")]
    Expired,
    /// Before its `nbf`.
    #[error("not yet valid")]
    NotYetValid,
    /// Another `iss`.
    #[error("wrong issuer")]
    Issuer,
    /// Another application's.
    #[error("wrong audience")]
    Audience,
    /// An access token where an ID token belongs, or the other way round.
    #[error("wrong token use")]
    TokenUse,
    /// The cookie, sent by a page of another origin.
    #[error("foreign origin")]
    Origin,
    /// No keys could be fetched yet: not the client's fault.
    #[error("keys unavailable")]
    KeysUnavailable,
}

/// Checks tokens.
#[derive(Debug)]
pub struct Authenticator {
    keys: Keys,
    issuer: Option<String>,
    client_ids: Vec<String>,
    cookie: String,
}

impl Authenticator {
    /// Reads or fetches the keys that are configured.
    ///
    /// # Errors
    /// See [`KeyError`]. An address that does not answer is no error: it is asked again later.
    pub async fn new(config: &Config, metrics: &Metrics) -> Result<Self, KeyError> {
        Ok(Self {
            keys: Keys::load(config, metrics).await?,
            issuer: config.jwt_issuer.clone(),
            client_ids: config.jwt_client_ids.clone(),
            cookie: config.auth_cookie.clone(),
        })
    }

    /// Whether there are keys to check with.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.keys.is_ready()
    }

    /// Checks the session of a request: the header if there is one, else the cookie.
    ///
    /// Browsers send the cookie automatically, for any page that asks. `foreign` means that the asking
    /// page may not use the cookie.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn session(&self, headers: &HeaderMap, foreign: bool) -> Result<Session, AuthError> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        if let Some(header) = given.next() {
            // A proxy in front may have checked one of them and let the other pass.
            if given.next().is_some() {
                return Err(AuthError::Ambiguous);
            }
            let header = header.to_str().map_err(|_| AuthError::Malformed)?;
            let (scheme, token) = header.split_once(' ').ok_or(AuthError::Malformed)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(AuthError::Malformed);
            }
            return self.verify(token.trim(), TokenKind::Access).await;
        }
        match self.cookie_token(headers)? {
            None => Err(AuthError::Missing),
            Some(_) if foreign => Err(AuthError::Origin),
            Some(token) => self.verify(&token, TokenKind::Id).await,
        }
    }

    /// The token in the session cookie, unchecked.
    ///
    /// # Errors
    /// If there are two cookies of that name. A browser sends both when a sibling domain has set
    /// one beside ours, and nothing in the request tells which is which: to take either could show
    /// a visitor the dashboard of the attacker who planted it. Refused, the user signs in again.
    pub fn cookie_token(&self, headers: &HeaderMap) -> Result<Option<String>, AuthError> {
        let mut found = None;
        for header in headers.get_all(COOKIE) {
            // As bytes: other cookies may hold what is no text, and do not concern us.
            for pair in header.as_bytes().split(|byte| *byte == b';') {
                let pair = String::from_utf8_lossy(pair.trim_ascii());
                let value = pair.split_once('=').filter(|(name, _)| *name == self.cookie);
                let Some((_, value)) = value else { continue };
                if found.is_some() {
                    return Err(AuthError::Ambiguous);
                }
                found = Some(value.trim_matches('"').to_owned());
            }
        }
        Ok(found)
    }

    /// Checks a token.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn verify(&self, token: &str, kind: TokenKind) -> Result<Session, AuthError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(AuthError::Oversized);
        }
        let header = decode_header(token).map_err(|error| reason(&error))?;
        // Of a header only `alg` and `kid` are ever used. Keys that it brings along or points to
        // prove nothing. What it calls critical must be understood (RFC 7515), and nothing is.
        if header.crit.is_some() {
            return Err(AuthError::Critical);
        }
        let key = self.keys.find(&header).await?;
        let claims = self.claims(token, &header, &key)?;
        match (kind, claims.token_use.as_str()) {
            (TokenKind::Access, "access") | (TokenKind::Id, "id") => {}
            _ => return Err(AuthError::TokenUse),
        }
        if !self.client_ids.is_empty() {
            let ours = match kind {
                TokenKind::Access => claims.client_id.as_ref().is_some_and(|id| self.is_ours(id)),
                TokenKind::Id => claims.aud.iter().any(|id| self.is_ours(id)),
            };
            if !ours {
                return Err(AuthError::Audience);
            }
        }
        if claims.sub.is_empty() || claims.sub.len() > USER_MAX_BYTES || claims.sub.contains('\0') {
            return Err(AuthError::Malformed);
        }
        let expires_at =
            OffsetDateTime::from_unix_timestamp(claims.exp).map_err(|_| AuthError::Malformed)?;
        Ok(Session { user: UserId::from(claims.sub.as_str()), expires_at })
    }

    fn claims(&self, token: &str, header: &Header, key: &DecodingKey) -> Result<Claims, AuthError> {
        let mut validation = Validation::new(header.alg);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        // Leeway is for clocks that are behind. A session that has run out is over, and a socket that
        // was let in on it would end at once.
        validation.reject_tokens_expiring_in_less_than = LEEWAY_S;
        validation.validate_aud = false;
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        let data = jsonwebtoken::decode(token, key, &validation).map_err(|error| reason(&error))?;
        Ok(data.claims)
    }

    fn is_ours(&self, id: &str) -> bool {
        self.client_ids.iter().any(|ours| ours == id)
    }
}

impl AuthError {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Missing,
        Self::Malformed,
        Self::Oversized,
        Self::Ambiguous,
        Self::Critical,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Expired,
        Self::NotYetValid,
        Self::Issuer,
        Self::Audience,
        Self::TokenUse,
        Self::Origin,
        Self::KeysUnavailable,
    ];

    /// A label for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Ambiguous => "ambiguous",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::TokenUse => "token_use",
            Self::Origin => "origin",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(deserialize_with = "whole_seconds")]
    exp: i64,
    token_use: String,
    client_id: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    aud: Vec<String>,
}

/// A `NumericDate` may have a fraction.
fn whole_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.to_string();
    let whole = whole.split_once('.').map_or(whole.as_str(), |(whole, _)| whole);
    whole.parse().ok().ok_or_else(|| serde::de::Error::custom("not a date"))
}

/// `aud` is one name or a list.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

fn reason(error: &jsonwebtoken::errors::Error) -> AuthError {
    use jsonwebtoken::errors::ErrorKind;

    match error.kind() {
        ErrorKind::InvalidSignature => AuthError::Signature,
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotYetValid,
        ErrorKind::InvalidIssuer => AuthError::Issuer,
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::MissingAlgorithm => AuthError::Algorithm,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => AuthError::Issuer,
        _ => AuthError::Malformed,
    }
}

#[cfg(test)]
mod tests;

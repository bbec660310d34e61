//! Tests the matrix of tokens, faults and places, with one expected answer for each.

use clap::Parser;
use http::HeaderValue;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use serde_json::{Value, json};

use super::*;
use crate::secret::Secret;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://idp.example.org/pool";
const EC: &[u8] = include_bytes!("../../tests/keys/ec.pem");
const RSA: &[u8] = include_bytes!("../../tests/keys/rsa.pem");

fn now() -> i64 {
    crate::clock::now().unix_timestamp()
}

pub(super) fn access() -> Value {
    json!({
        "sub": "ada", "iss": ISSUER, "token_use": "access", "client_id": "app",
        "exp": now() + 600
    })
}

fn id() -> Value {
    json!({ "sub": "ada", "iss": ISSUER, "token_use": "id", "aud": "app", "exp": now() + 600 })
}

/// The claims with one changed. Null removes it.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

pub(super) fn signed(algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(ToOwned::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, &key(algorithm)).unwrap()
}

fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC).unwrap(),
        _ => EncodingKey::from_rsa_pem(RSA).unwrap(),
    }
}

/// The key set of the test keys under these ids.
pub(super) fn jwks(keys: &[(Algorithm, &str)]) -> String {
    let jwk = |(algorithm, kid): &(Algorithm, &str)| {
        let mut jwk = Jwk::from_encoding_key(&key(*algorithm), *algorithm).unwrap();
        jwk.common.key_id = Some((*kid).to_owned());
        jwk
    };
    json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

pub(super) fn config() -> Config {
    let mut config = Config::parse_from(["dashboard-server"]);
    config.jwt_hs256_secret = None;
    config.jwt_jwks_url = None;
    config.jwt_jwks_file = None;
    config.jwt_issuer = Some(ISSUER.to_owned());
    config.jwt_client_ids = vec!["other".to_owned(), "app".to_owned()];
    config.auth_cookie = "auth_token".to_owned();
    config
}

async fn shared_secret() -> Authenticator {
    let secret = Some(Secret::from(SECRET.to_owned()));
    let config = Config { jwt_hs256_secret: secret, ..config() };
    Authenticator::new(&config, &Metrics::new()).await.unwrap()
}

async fn published(set: &str) -> Result<Authenticator, KeyError> {
    let path = std::env::temp_dir().join(format!("jwks-{}.json", crate::clock::random_id()));
    std::fs::write(&path, set).unwrap();
    let file = Some(path.clone());
    let config = Config { jwt_jwks_file: file, ..config() };
    let authenticator = Authenticator::new(&config, &Metrics::new()).await;
    std::fs::remove_file(path).unwrap();
    authenticator
}

#[tokio::test]
async fn claims_decide() {
    use TokenKind::{Access, Id};

    let authenticator = shared_secret().await;
    let cases = [
        (access(), Access, Ok(())),
        (id(), Id, Ok(())),
        (access(), Id, Err(AuthError::TokenUse)),
        (id(), Access, Err(AuthError::TokenUse)),
        (with(access(), "token_use", json!("refresh")), Access, Err(AuthError::TokenUse)),
        (with(access(), "token_use", Value::Null), Access, Err(AuthError::Malformed)),
        (with(access(), "client_id", json!("stranger")), Access, Err(AuthError::Audience)),
        (with(access(), "client_id", Value::Null), Access, Err(AuthError::Audience)),
        (with(id(), "aud", json!("stranger")), Id, Err(AuthError::Audience)),
        (with(id(), "aud", json!(["stranger", "app"])), Id, Ok(())),
        (with(id(), "aud", Value::Null), Id, Err(AuthError::Audience)),
        // The other kind's claim does not count.
        (
            with(with(id(), "aud", Value::Null), "client_id", json!("app")),
            Id,
            Err(AuthError::Audience),
        ),
        (with(access(), "iss", json!("https://evil.example.org")), Access, Err(AuthError::Issuer)),
        (with(access(), "iss", Value::Null), Access, Err(AuthError::Issuer)),
        (with(access(), "exp", json!(now() - 1)), Access, Err(AuthError::Expired)),
        (with(access(), "exp", Value::Null), Access, Err(AuthError::Malformed)),
        (
            with(access(), "exp", serde_json::from_str(&format!("{}.5", now() + 600)).unwrap()),
            Access,
            Ok(()),
        ),
        (with(access(), "nbf", json!(now() + 60)), Access, Err(AuthError::NotYetValid)),
        (with(access(), "nbf", json!(now() + 2)), Access, Ok(())),
        (with(access(), "sub", json!("")), Access, Err(AuthError::Malformed)),
        (with(access(), "sub", Value::Null), Access, Err(AuthError::Malformed)),
        (with(access(), "sub", json!(7)), Access, Err(AuthError::Malformed)),
        (with(access(), "sub", json!("a\0b")), Access, Err(AuthError::Malformed)),
        (with(access(), "sub", json!("x".repeat(256))), Access, Err(AuthError::Malformed)),
        (with(access(), "sub", json!("ada lovelace/ä")), Access, Ok(())),
        (with(access(), "pad", json!("x".repeat(9000))), Access, Err(AuthError::Oversized)),
    ];
    for (claims, kind, expected) in cases {
        let got = authenticator.verify(&hs256(&claims), kind).await.map(|_| ());
        assert_eq!(got, expected, "{kind:?} {claims:.200}");
    }
}

#[tokio::test]
async fn sessions_end_when_the_token_says() {
    let exp = now() + 600;
    let token = hs256(&with(access(), "exp", json!(exp)));
    let session = shared_secret().await.verify(&token, TokenKind::Access).await.unwrap();
    assert_eq!(session.user, UserId::from("ada"));
    assert_eq!(session.expires_at.unix_timestamp(), exp);
}

#[tokio::test]
async fn signatures_decide() {
    let authenticator = shared_secret().await;
    let token = hs256(&access());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let other = EncodingKey::from_secret(b"another secret of at least 32 bytes");
    let forged = encode(&Header::new(Algorithm::HS256), &access(), &other).unwrap();
    let hs512 = encode(
        &Header::new(Algorithm::HS512),
        &access(),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    );
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", token.split('.').nth(1).unwrap());
    let cases = [
        (forged, AuthError::Signature),
        (format!("{head}.{}{signature}", &signature[..4]), AuthError::Signature),
        (format!("{head}."), AuthError::Signature),
        (hs512.unwrap(), AuthError::Algorithm),
        (none, AuthError::Malformed),
        (signed(Algorithm::RS256, None, &access()), AuthError::Algorithm),
        (String::new(), AuthError::Malformed),
        ("a.b.c".to_owned(), AuthError::Malformed),
        (head.to_owned(), AuthError::Malformed),
    ];
    for (token, expected) in cases {
        let got = authenticator.verify(&token, TokenKind::Access).await;
        assert_eq!(got, Err(expected), "{token}");
    }
}

#[tokio::test]
async fn published_keys_are_bound_to_their_algorithm() {
    let set = jwks(&[(Algorithm::RS256, "r"), (Algorithm::ES256, "e")]);
    let authenticator = published(&set).await.unwrap();
    let cases = [
        (signed(Algorithm::RS256, Some("r"), &access()), Ok(())),
        (signed(Algorithm::ES256, Some("e"), &access()), Ok(())),
        (signed(Algorithm::RS256, Some("e"), &access()), Err(AuthError::Algorithm)),
        (signed(Algorithm::ES256, Some("r"), &access()), Err(AuthError::Algorithm)),
        (signed(Algorithm::RS384, Some("r"), &access()), Err(AuthError::Algorithm)),
        (signed(Algorithm::RS256, Some("?"), &access()), Err(AuthError::UnknownKey)),
        (signed(Algorithm::RS256, Some("../r"), &access()), Err(AuthError::UnknownKey)),
        // With two keys there is a choice to make.
        (signed(Algorithm::RS256, None, &access()), Err(AuthError::UnknownKey)),
        // A public key must never serve as a shared secret.
        (
            encode(
                &Header { kid: Some("r".to_owned()), ..Header::new(Algorithm::HS256) },
                &access(),
                &EncodingKey::from_secret(set.as_bytes()),
            )
            .unwrap(),
            Err(AuthError::Algorithm),
        ),
    ];
    for (token, expected) in cases {
        let got = authenticator.verify(&token, TokenKind::Access).await.map(|_| ());
        assert_eq!(got, expected, "{token}");
    }
}

#[tokio::test]
async fn key_sets_without_a_usable_key_are_refused() {
    assert!(matches!(published("{\"keys\":[]}").await, Err(KeyError::Empty(_))));
    assert!(matches!(published("not json").await, Err(KeyError::Malformed { .. })));
    assert!(matches!(published("{}").await, Err(KeyError::Malformed { .. })));
    let symmetric = json!({ "keys": [{ "kty": "oct", "kid": "s", "k": "AAAA" }] });
    assert!(matches!(published(&symmetric.to_string()).await, Err(KeyError::Empty(_))));
    let mut encryption: Value = serde_json::from_str(&jwks(&[(Algorithm::RS256, "r")])).unwrap();
    encryption["keys"][0]["use"] = json!("enc");
    assert!(matches!(published(&encryption.to_string()).await, Err(KeyError::Empty(_))));
    let missing = Config { jwt_jwks_file: Some("/nonexistent".into()), ..config() };
    let missing = Authenticator::new(&missing, &Metrics::new()).await;
    assert!(matches!(missing, Err(KeyError::File { .. })));
}

#[tokio::test]
async fn of_a_header_only_algorithm_and_key_id_count() {
    let authenticator = published(&jwks(&[(Algorithm::ES256, "e")])).await.unwrap();
    let header = Header { kid: Some("e".to_owned()), ..Header::new(Algorithm::ES256) };
    let jwk = Jwk::from_encoding_key(&key(Algorithm::RS256), Algorithm::RS256).unwrap();
    let address = Some("https://evil.example.org/keys".to_owned());
    let critical = |names: &[&str]| {
        let names = Some(names.iter().map(ToString::to_string).collect());
        (Header { crit: names, ..header.clone() }, Algorithm::ES256, Err(AuthError::Critical))
    };
    // What it brings along is passed over, with the right key as with a wrong one.
    let harmless = |header: Header| (header, Algorithm::ES256, Ok(()));
    let cases = [
        harmless(header.clone()),
        harmless(Header { jwk: Some(jwk.clone()), ..header.clone() }),
        harmless(Header { jku: address.clone(), x5u: address, ..header.clone() }),
        (
            Header {
                jwk: Some(jwk),
                alg: Algorithm::RS256,
                kid: Some("own".to_owned()),
                ..header.clone()
            },
            Algorithm::RS256,
            Err(AuthError::UnknownKey),
        ),
        critical(&["exp"]),
        critical(&["b64"]),
        critical(&[]),
    ];
    for (header, algorithm, expected) in cases {
        let token = encode(&header, &access(), &key(algorithm)).unwrap();
        let got = authenticator.verify(&token, TokenKind::Access).await.map(|_| ());
        assert_eq!(got, expected, "{header:?}");
    }
}

#[tokio::test]
async fn the_header_goes_before_the_cookie() {
    let authenticator = shared_secret().await;
    let headers = |authorization: Option<String>, cookie: Option<String>| {
        let mut headers = HeaderMap::new();
        for (name, text) in [(AUTHORIZATION, authorization), (COOKIE, cookie)] {
            if let Some(text) = text {
                headers.insert(name, HeaderValue::from_str(&text).unwrap());
            }
        }
        headers
    };
    let bearer = |claims: &Value| Some(format!("Bearer {}", hs256(claims)));
    let cookie = |claims: &Value| Some(format!("a=b; auth_token={}; c=d", hs256(claims)));
    let cases = [
        (None, None, Err(AuthError::Missing)),
        (bearer(&access()), None, Ok(())),
        (None, cookie(&id()), Ok(())),
        (bearer(&id()), None, Err(AuthError::TokenUse)),
        (None, cookie(&access()), Err(AuthError::TokenUse)),
        // A good cookie does not make up for a bad header.
        (bearer(&id()), cookie(&id()), Err(AuthError::TokenUse)),
        (Some("Basic YTpi".to_owned()), cookie(&id()), Err(AuthError::Malformed)),
        (Some("Bearer".to_owned()), None, Err(AuthError::Malformed)),
        (Some("bearer  ".to_owned()), None, Err(AuthError::Malformed)),
        (None, Some("other=1".to_owned()), Err(AuthError::Missing)),
    ];
    for (authorization, cookie, expected) in cases {
        let headers = headers(authorization, cookie);
        let got = authenticator.session(&headers, false).await.map(|_| ());
        assert_eq!(got, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_second_token_beside_the_first_is_refused() {
    let authenticator = shared_secret().await;
    let bearer = format!("Bearer {}", hs256(&access()));
    let cookie = format!("auth_token={}", hs256(&id()));
    let both = format!("{cookie}; auth_token=planted");
    let cases = [
        (vec![(AUTHORIZATION, &bearer), (AUTHORIZATION, &bearer)], Err(AuthError::Ambiguous)),
        (vec![(COOKIE, &cookie), (COOKIE, &cookie)], Err(AuthError::Ambiguous)),
        (vec![(COOKIE, &both)], Err(AuthError::Ambiguous)),
        (vec![(COOKIE, &cookie)], Ok(())),
    ];
    for (given, expected) in cases {
        let mut headers = HeaderMap::new();
        for (name, text) in given {
            headers.append(name, HeaderValue::from_str(text).unwrap());
        }
        let got = authenticator.session(&headers, false).await.map(|_| ());
        assert_eq!(got, expected, "{}", headers.len());
    }
}

#[tokio::test]
async fn other_cookies_may_hold_anything() {
    let mut bytes = b"theme=\xe4\xff; auth_tokens=1;auth_token=".to_vec();
    bytes.extend_from_slice(hs256(&id()).as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_bytes(&bytes).unwrap());
    shared_secret().await.session(&headers, false).await.unwrap();
}

#[tokio::test]
async fn only_the_cookie_depends_on_the_page() {
    let authenticator = shared_secret().await;
    let mut headers = HeaderMap::new();
    let cookie = format!("auth_token={}", hs256(&id()));
    headers.insert(COOKIE, HeaderValue::from_str(&cookie).unwrap());
    assert_eq!(authenticator.session(&headers, true).await, Err(AuthError::Origin));
    let bearer = format!("Bearer {}", hs256(&access()));
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&bearer).unwrap());
    authenticator.session(&headers, true).await.unwrap();
}

#[test]
fn secrets_are_not_printed() {
    let keys = Keys::Secret(DecodingKey::from_secret(SECRET.as_bytes()));
    assert_eq!(format!("{keys:?}"), "Keys::Secret(<secret>)");
}

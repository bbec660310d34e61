//! Fuzzes the check of a session's token.
//!
//! The text is the token, or a recipe for one. In a recipe of several lines each line makes one of
//! the token's parts, which dots join:
//!
//! - `{…}`: that JSON, in base64url;
//! - `@a` to `@r`, with or without more behind it: the header, the claims or the signature of one of
//!   six tokens that were really signed (`@a`–`@c` the first's);
//! - `!hs`, `!rs`, `!es`: the signature over what stands before, really made with that key;
//!   `!pub`: the one that can be made by using the public key as a secret;
//! - anything else: itself.
//!
//! An accepted token must have been signed as it is with the key of that kind, and must claim what it
//! is accepted for.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use dashboard_server::auth::{Authenticator, Session, TokenKind};
use dashboard_server::metrics::Metrics;
use dashboard_server::{Config, Secret};
use futures_util::FutureExt as _;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://idp.example.org/pool";
const CLIENT: &str = "app";
/// The year 2100: what is in the corpus should stay valid.
const LATE: i64 = 4_102_444_800;
const EC: &[u8] = include_bytes!("../../../server/tests/keys/ec.pem");
const RSA: &[u8] = include_bytes!("../../../server/tests/keys/rsa.pem");

static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// Any text as a token, and as a recipe for one.
///
/// # Panics
/// Where something is accepted that was not signed, or not for that place.
pub fn token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (token, signed_with) = WORLD.follow(text);
    for (authenticator, algorithms) in [
        (&WORLD.secret, &[Algorithm::HS256][..]),
        (&WORLD.published, &[Algorithm::RS256, Algorithm::ES256]),
    ] {
        for kind in [TokenKind::Access, TokenKind::Id] {
            let verdict = authenticator.verify(&token, kind).now_or_never();
            // These keys are all known, so the check does not have to wait for them.
            let Ok(session) = verdict.expect("waits for nothing") else { continue };
            let made = signed_with.or_else(|| WORLD.made_with(&token));
            assert!(made.is_some_and(|made| algorithms.contains(&made)), "forged: {token}");
            check_claims(&token, kind, &session);
        }
    }
}

/// What was accepted, read once more without any of the product's code.
fn check_claims(token: &str, kind: TokenKind, session: &Session) {
    let claims = token.split('.').nth(1).expect("a token has claims");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("claims are base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("claims are JSON");
    assert_eq!(claims["sub"], session.user.as_str());
    assert!((1..=255).contains(&session.user.as_str().len()), "{claims}");
    assert_eq!(claims["iss"], ISSUER, "{claims}");
    let ends = claims["exp"].as_f64().expect("a number");
    let told = session.expires_at.unix_timestamp();
    assert!(told > 1_700_000_000, "long over: {claims}");
    #[expect(clippy::cast_precision_loss, reason = "dates are far below where that begins")]
    let told = told as f64;
    assert!((0.0..1.0).contains(&(ends - told)), "{claims}: ends at {told}");
    let is_named = |id: &Value| id == CLIENT;
    match kind {
        TokenKind::Access => {
            assert_eq!(claims["token_use"], "access");
            assert!(is_named(&claims["client_id"]), "{claims}");
        }
        TokenKind::Id => {
            assert_eq!(claims["token_use"], "id");
            let many = claims["aud"].as_array().is_some_and(|ids| ids.iter().any(is_named));
            assert!(many || is_named(&claims["aud"]), "{claims}");
        }
    }
}

struct World {
    secret: Authenticator,
    published: Authenticator,
    keys: Keys,
    /// Tokens of both kinds, for each key.
    tokens: Vec<(Algorithm, [String; 3])>,
}

impl World {
    fn new() -> Self {
        let keys = Keys {
            hs: EncodingKey::from_secret(SECRET.as_bytes()),
            rs: EncodingKey::from_rsa_pem(RSA).expect("a key for tests"),
            es: EncodingKey::from_ec_pem(EC).expect("a key for tests"),
            public: EncodingKey::from_secret(key_set().as_bytes()),
        };
        let kinds = [("access", "client_id"), ("id", "aud")];
        let tokens = [(Algorithm::HS256, "hs"), (Algorithm::RS256, "rs"), (Algorithm::ES256, "es")]
            .into_iter()
            .flat_map(|(algorithm, kid)| kinds.map(|(kind, app)| (algorithm, kid, kind, app)))
            .map(|(algorithm, kid, kind, app)| {
                let header = json!({ "alg": format!("{algorithm:?}"), "typ": "JWT", "kid": kid });
                let claims = json!({
                    "sub": format!("{kid}-{kind}"), "iss": ISSUER, "token_use": kind,
                    app: CLIENT, "exp": LATE, "nbf": 0,
                });
                let [header, claims] = [header, claims].map(|part| encoded(&part.to_string()));
                let signature = keys.sign(&format!("{header}.{claims}"), algorithm);
                (algorithm, [header, claims, signature])
            })
            .collect();
        let [secret, published] = authenticators();
        Self { secret, published, keys, tokens }
    }

    /// The token that the recipe makes, and the key that really signed all of it, if one did.
    fn follow(&self, recipe: &str) -> (String, Option<Algorithm>) {
        let (mut token, mut signed_with) = (String::new(), None);
        for (index, line) in recipe.lines().enumerate() {
            let before = token.clone();
            if index > 0 {
                token.push('.');
            }
            signed_with = None;
            if line.starts_with('{') {
                token.push_str(&encoded(line));
            } else if let Some((part, more)) = line.strip_prefix('@').and_then(|at| self.part(at)) {
                token.push_str(part);
                token.push_str(more);
            } else if line == "!pub" {
                token.push_str(&self.keys.confused(&before));
            } else if let Some(algorithm) = key_named(line) {
                token.push_str(&self.keys.sign(&before, algorithm));
                signed_with = Some(algorithm);
            } else {
                token.push_str(line);
            }
        }
        (token, signed_with)
    }

    /// The part that a letter stands for, and what follows the letter.
    fn part<'a>(&'a self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let letter = text.bytes().next()?;
        let index = usize::from(letter.checked_sub(b'a')?);
        let (_, parts) = self.tokens.get(index / 3)?;
        Some((&parts[index % 3], &text[1..]))
    }

    /// The key of the token that begins like this one, up to its signature.
    fn made_with(&self, token: &str) -> Option<Algorithm> {
        let (signed, _) = token.rsplit_once('.')?;
        let is_this = |[header, claims, _]: &[String; 3]| signed == format!("{header}.{claims}");
        self.tokens.iter().find(|(_, parts)| is_this(parts)).map(|(algorithm, _)| *algorithm)
    }
}

fn key_named(line: &str) -> Option<Algorithm> {
    match line {
        "!hs" => Some(Algorithm::HS256),
        "!rs" => Some(Algorithm::RS256),
        "!es" => Some(Algorithm::ES256),
        _ => None,
    }
}

struct Keys {
    hs: EncodingKey,
    rs: EncodingKey,
    es: EncodingKey,
    public: EncodingKey,
}

impl Keys {
    fn sign(&self, what: &str, algorithm: Algorithm) -> String {
        let key = match algorithm {
            Algorithm::HS256 => &self.hs,
            Algorithm::RS256 => &self.rs,
            _ => &self.es,
        };
        crypto::sign(what.as_bytes(), key, algorithm).expect("a key of its algorithm")
    }

    /// What a server would take for a signature that let tokens choose how keys are used.
    fn confused(&self, what: &str) -> String {
        crypto::sign(what.as_bytes(), &self.public, Algorithm::HS256).expect("any bytes will do")
    }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn key_set() -> String {
    let jwk = |key: EncodingKey, algorithm, kid: &str| {
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).expect("a key for tests");
        jwk.common.key_id = Some(kid.to_owned());
        jwk
    };
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key for tests");
    let ec = EncodingKey::from_ec_pem(EC).expect("a key for tests");
    json!({ "keys": [jwk(rsa, Algorithm::RS256, "rs"), jwk(ec, Algorithm::ES256, "es")] })
        .to_string()
}

/// One with the secret, one with the key set, as the server makes them.
fn authenticators() -> [Authenticator; 2] {
    let mut config = Config::parse_from(["dashboard-server"]);
    config.jwt_issuer = Some(ISSUER.to_owned());
    config.jwt_client_ids = vec![CLIENT.to_owned()];
    config.jwt_jwks_url = None;
    let path = std::env::temp_dir().join(format!("fuzz-jwks-{}.json", std::process::id()));
    std::fs::write(&path, key_set()).expect("a folder for temporary files");
    let secret = Config {
        jwt_hs256_secret: Some(Secret::from(SECRET.to_owned())),
        jwt_jwks_file: None,
        ..config.clone()
    };
    let published = Config { jwt_hs256_secret: None, jwt_jwks_file: Some(path.clone()), ..config };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let made = [&secret, &published].map(|config| {
        runtime.block_on(Authenticator::new(config, &Metrics::new())).expect("keys for tests")
    });
    std::fs::remove_file(path).expect("it was written a moment ago");
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a recipe's token is accepted: by the secret and by the key set, as either kind.
    fn accepted(recipe: &str) -> Vec<(bool, TokenKind)> {
        let (token, _) = WORLD.follow(recipe);
        let places = [(true, &WORLD.secret), (false, &WORLD.published)].map(|(secret, keys)| {
            [TokenKind::Access, TokenKind::Id].map(|kind| (secret, keys, kind))
        });
        let is_accepted = |(_, keys, kind): &(bool, &Authenticator, TokenKind)| {
            keys.verify(&token, *kind).now_or_never().unwrap().is_ok()
        };
        let accepted = places.into_iter().flatten().filter(is_accepted);
        accepted.map(|(secret, _, kind)| (secret, kind)).collect()
    }

    #[test]
    fn what_was_really_signed_is_accepted_in_its_place() {
        use TokenKind::{Access, Id};

        for (recipe, place) in [
            ("@a\n@b\n@c", (true, Access)),
            ("@d\n@e\n@f", (true, Id)),
            ("@g\n@h\n@i", (false, Access)),
            ("@m\n@n\n@o", (false, Access)),
            ("@p\n@q\n@r", (false, Id)),
            ("@a\n@e\n!hs", (true, Id)),
            ("@g\n@b\n!rs", (false, Access)),
        ] {
            assert_eq!(accepted(recipe), [place], "{recipe}");
        }
        for recipe in ["@a\n@e\n@c", "@g\n@h\n!pub", "@a\n@b", "@a\n@b\n@cA", "{}\n@b\n!hs"] {
            assert_eq!(accepted(recipe), [], "{recipe}");
        }
        let whole = WORLD.follow("@j\n@k\n@l").0;
        assert_eq!(accepted(&whole), [(false, Id)]);
        assert_eq!(WORLD.made_with(&whole), Some(Algorithm::RS256));
    }
}

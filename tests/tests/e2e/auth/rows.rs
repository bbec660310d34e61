//! The matrix: kinds of token, faults, and ways to bring them.

use e2e_tests::{Issuer, Signature, Tokens};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{ALLOWED, USER};

/// One way to ask for a session, and what must come of it on each transport.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) keys: Keys,
    pub(super) way: Way,
    /// None: the transport has no such way.
    pub(super) rest: Option<Verdict>,
    pub(super) socket: Option<Verdict>,
}

/// Which server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// The one that shares a secret with the issuer.
    Shared,
    /// The one that reads the issuer's published keys.
    Published,
}

/// What a request brings.
#[derive(Default)]
pub(super) struct Way {
    /// Of the request, or of the socket's upgrade.
    pub(super) headers: Vec<(&'static str, String)>,
    /// A token that goes into `Authorization` or into the socket's handshake.
    pub(super) token: Option<Value>,
    /// Appended to the address.
    pub(super) query: &'static str,
    /// Whether the server's own page opens the socket. Browsers send no `Origin` when a page reads
    /// from its own.
    pub(super) own_page: bool,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200; the socket enters.
    Accepted,
    /// 401 `UNAUTHORIZED`; `AUTH_FAILED`, and the connection ends. Counted under that reason.
    Refused(&'static str),
    /// 403 `FORBIDDEN`; on a socket as above, under `origin`.
    Foreign,
    /// 400 `VALIDATION_ERROR`; no socket is opened.
    Invalid,
}

use Keys::{Published, Shared};
use Verdict::{Accepted, Foreign, Invalid, Refused};

/// All of them, for servers that trust these.
pub(super) fn rows(tokens: &Tokens, strangers: &Issuer) -> Vec<Row> {
    [claims(tokens), signatures(tokens), published(tokens, strangers), places(tokens)]
        .into_iter()
        .flatten()
        .collect()
}

/// A token that goes into the header, or into the handshake.
fn bearer(name: &'static str, keys: Keys, token: impl Into<String>, verdict: Verdict) -> Row {
    let way = Way { token: Some(token.into().into()), ..Way::default() };
    Row { name, keys, way, rest: Some(verdict), socket: Some(verdict) }
}

/// A token that goes into the session cookie, sent by the server's own page.
fn cookie(name: &'static str, keys: Keys, token: &str, verdict: Verdict) -> Row {
    let headers = vec![("cookie", format!("auth_token={token}"))];
    let way = Way { headers, own_page: true, ..Way::default() };
    Row { name, keys, way, rest: Some(verdict), socket: Some(verdict) }
}

/// The claims with one changed; null removes it.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn now() -> u64 {
    Tokens::access_claims(USER)["iat"].as_u64().unwrap()
}

fn claims(tokens: &Tokens) -> Vec<Row> {
    let access =
        |name: &str, value: Value| tokens.sign(&with(Tokens::access_claims(USER), name, value));
    let id = |name: &str, value: Value| tokens.sign(&with(Tokens::id_claims(USER), name, value));
    let good = (tokens.access(USER), tokens.id(USER));
    let borrowed = with(with(Tokens::id_claims(USER), "aud", Value::Null), "client_id", json!("x"));
    let borrowed = tokens.sign(&with(borrowed, "client_id", json!(Tokens::CLIENT_ID)));
    let twice = Tokens::access_claims(USER).to_string().replacen('{', r#"{"sub":"another","#, 1);
    let hs256 = r#"{"alg":"HS256"}"#;
    let key = tokens.key();
    let twice = Tokens::forge(hs256, &twice, Signature::Of(&key, Algorithm::HS256));
    let array = Tokens::forge(hs256, "[1,2]", Signature::Of(&key, Algorithm::HS256));
    let long = "x".repeat(9_000);
    vec![
        bearer("access token", Shared, &good.0, Accepted),
        cookie("id token in the cookie", Shared, &good.1, Accepted),
        bearer("id token as a bearer", Shared, &good.1, Refused("token_use")),
        cookie("access token in the cookie", Shared, &good.0, Refused("token_use")),
        bearer(
            "refresh token",
            Shared,
            access("token_use", json!("refresh")),
            Refused("token_use"),
        ),
        bearer("no token_use", Shared, access("token_use", Value::Null), Refused("malformed")),
        bearer("another client", Shared, access("client_id", json!("other")), Refused("audience")),
        bearer("no client", Shared, access("client_id", Value::Null), Refused("audience")),
        bearer(
            "aud for client_id",
            Shared,
            tokens.sign(&with(
                with(Tokens::access_claims(USER), "client_id", Value::Null),
                "aud",
                json!(Tokens::CLIENT_ID),
            )),
            Refused("audience"),
        ),
        cookie("another audience", Shared, &id("aud", json!("other")), Refused("audience")),
        cookie("no audience", Shared, &id("aud", Value::Null), Refused("audience")),
        cookie("client_id for aud", Shared, &borrowed, Refused("audience")),
        cookie("several audiences", Shared, &id("aud", json!(["a", Tokens::CLIENT_ID])), Accepted),
        bearer(
            "another issuer",
            Shared,
            access("iss", json!("https://evil.test")),
            Refused("issuer"),
        ),
        bearer(
            "issuer's look-alike",
            Shared,
            access("iss", json!(format!("{}/", Tokens::ISSUER))),
            Refused("issuer"),
        ),
        bearer("no issuer", Shared, access("iss", Value::Null), Refused("issuer")),
        cookie(
            "another issuer, cookie",
            Shared,
            &id("iss", json!("https://evil.test")),
            Refused("issuer"),
        ),
        bearer("expired long ago", Shared, access("exp", json!(1_000_000_000)), Refused("expired")),
        bearer("expired just now", Shared, access("exp", json!(now() - 1)), Refused("expired")),
        cookie("expired, cookie", Shared, &id("exp", json!(now() - 1)), Refused("expired")),
        bearer("no expiry", Shared, access("exp", Value::Null), Refused("malformed")),
        bearer("expiry as text", Shared, access("exp", json!("tomorrow")), Refused("malformed")),
        bearer(
            "expiry after all time",
            Shared,
            access("exp", json!(u64::MAX)),
            Refused("malformed"),
        ),
        bearer("not yet valid", Shared, access("nbf", json!(now() + 60)), Refused("not_yet_valid")),
        bearer("valid by a clock ahead", Shared, access("nbf", json!(now() + 2)), Accepted),
        bearer("no user", Shared, access("sub", Value::Null), Refused("malformed")),
        bearer("empty user", Shared, access("sub", json!("")), Refused("malformed")),
        bearer("user is a number", Shared, access("sub", json!(7)), Refused("malformed")),
        bearer("user with a NUL", Shared, access("sub", json!("a\0b")), Refused("malformed")),
        bearer(
            "user without end",
            Shared,
            access("sub", json!("u".repeat(256))),
            Refused("malformed"),
        ),
        bearer("two users", Shared, twice, Refused("malformed")),
        bearer("claims are a list", Shared, array, Refused("malformed")),
        bearer("oversized", Shared, access("pad", json!(long)), Refused("oversized")),
        cookie("oversized, cookie", Shared, &id("pad", json!(long)), Refused("oversized")),
        bearer("oversized nonsense", Shared, long, Refused("oversized")),
    ]
}

fn signatures(tokens: &Tokens) -> Vec<Row> {
    let good = tokens.access(USER);
    let claims = Tokens::access_claims(USER).to_string();
    let others = Tokens::access_claims("another").to_string();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = message.split_once('.').unwrap();
    let swapped = Tokens::forge(r#"{"alg":"HS256"}"#, &others, Signature::Bytes(b""));
    let swapped = swapped.split('.').nth(1).unwrap();
    let key = tokens.key();
    let forged = |header: &str, algorithm: Algorithm| {
        Tokens::forge(header, &claims, Signature::Of(&key, algorithm))
    };
    let unsigned = |alg: &str| {
        Tokens::forge(&json!({ "alg": alg }).to_string(), &claims, Signature::Bytes(b""))
    };
    let critical = r#"{"alg":"HS256","crit":["exp"]}"#;
    let twice = r#"{"alg":"none","alg":"HS256"}"#;
    vec![
        bearer("another secret", Shared, Tokens::new().access(USER), Refused("signature")),
        cookie("another secret, cookie", Shared, &Tokens::new().id(USER), Refused("signature")),
        bearer(
            "signature cut short",
            Shared,
            format!("{message}.{}", &signature[..20]),
            Refused("signature"),
        ),
        bearer("no signature", Shared, format!("{message}."), Refused("signature")),
        bearer(
            "another's claims",
            Shared,
            format!("{header}.{swapped}.{signature}"),
            Refused("signature"),
        ),
        bearer("none", Shared, unsigned("none"), Refused("malformed")),
        bearer("nOnE", Shared, unsigned("nOnE"), Refused("malformed")),
        cookie("none, cookie", Shared, &unsigned("none"), Refused("malformed")),
        bearer(
            "none with a signature",
            Shared,
            forged(r#"{"alg":"none"}"#, Algorithm::HS256),
            Refused("malformed"),
        ),
        bearer("no algorithm", Shared, forged("{}", Algorithm::HS256), Refused("malformed")),
        bearer("two algorithms", Shared, forged(twice, Algorithm::HS256), Refused("malformed")),
        bearer(
            "HS384",
            Shared,
            forged(r#"{"alg":"HS384"}"#, Algorithm::HS384),
            Refused("algorithm"),
        ),
        bearer(
            "HS512",
            Shared,
            forged(r#"{"alg":"HS512"}"#, Algorithm::HS512),
            Refused("algorithm"),
        ),
        bearer(
            "RS256 where a secret is shared",
            Shared,
            Issuer::sign(Algorithm::RS256, &Tokens::access_claims(USER)),
            Refused("algorithm"),
        ),
        bearer("critical header", Shared, forged(critical, Algorithm::HS256), Refused("critical")),
        bearer("header is no JSON", Shared, forged("alg", Algorithm::HS256), Refused("malformed")),
        bearer("two parts", Shared, format!("{header}.{body}"), Refused("malformed")),
        bearer("five parts", Shared, format!("{good}.a.b"), Refused("malformed")),
        bearer("no token at all", Shared, "not.a.token", Refused("malformed")),
        bearer("nothing as a token", Shared, "", Refused("malformed")),
        bearer("text that is not ASCII", Shared, "\u{e9}.\u{e9}.\u{e9}", Refused("malformed")),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn published(tokens: &Tokens, strangers: &Issuer) -> Vec<Row> {
    let access = Tokens::access_claims(USER);
    let (es256, rs256) = (Algorithm::ES256, Algorithm::RS256);
    let changed = |name: &str, value: Value| {
        Issuer::sign(es256, &with(Tokens::access_claims(USER), name, value))
    };
    let sign = |header: &Header, key: &EncodingKey| encode(header, &access, key).unwrap();
    let named = |algorithm: Algorithm, kid: Option<&str>| {
        let header = Header { kid: kid.map(ToOwned::to_owned), ..Header::new(algorithm) };
        sign(&header, &Issuer::key(algorithm))
    };
    // Its own key beside the claims, or behind an address, is worth nothing.
    let (stranger, elsewhere) = (Issuer::strangers_key(), strangers.url().to_owned());
    let jwk = Some(Issuer::public(&stranger, es256));
    let known = Issuer::header(es256);
    let unknown = Header { kid: Some("mine".to_owned()), ..Header::new(es256) };
    let by_stranger = |header: Header| sign(&header, &stranger);
    // What is public, taken for a secret.
    let set = Issuer::key_set();
    let public = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = |kid: &str, secret: &[u8]| sign(&public(kid), &EncodingKey::from_secret(secret));
    let keys: Value = serde_json::from_str(&set).unwrap();
    let modulus = keys["keys"][0]["n"].as_str().unwrap().to_owned();
    let zeros = json!({ "alg": "ES256", "kid": Issuer::EC_KEY }).to_string();
    let zeros = Tokens::forge(&zeros, &access.to_string(), Signature::Bytes(&[0; 64]));
    let none = json!({ "alg": "none", "kid": Issuer::EC_KEY }).to_string();
    let none = Tokens::forge(&none, &access.to_string(), Signature::Bytes(b""));
    let b64 = Header { crit: Some(vec!["b64".to_owned()]), ..known.clone() };
    vec![
        bearer("RS256", Published, Issuer::sign(rs256, &access), Accepted),
        bearer("ES256", Published, Issuer::sign(es256, &access), Accepted),
        cookie(
            "RS256, cookie",
            Published,
            &Issuer::sign(rs256, &Tokens::id_claims(USER)),
            Accepted,
        ),
        cookie(
            "ES256, cookie",
            Published,
            &Issuer::sign(es256, &Tokens::id_claims(USER)),
            Accepted,
        ),
        bearer(
            "RS256 by the other's id",
            Published,
            named(rs256, Some(Issuer::EC_KEY)),
            Refused("algorithm"),
        ),
        bearer(
            "ES256 by the other's id",
            Published,
            named(es256, Some(Issuer::RSA_KEY)),
            Refused("algorithm"),
        ),
        bearer(
            "RS512",
            Published,
            sign(&Issuer::header(Algorithm::RS512), &Issuer::key(Algorithm::RS512)),
            Refused("algorithm"),
        ),
        bearer(
            "PS256",
            Published,
            sign(&Issuer::header(Algorithm::PS256), &Issuer::key(Algorithm::PS256)),
            Refused("algorithm"),
        ),
        bearer("no key id, two keys", Published, named(es256, None), Refused("unknown_key")),
        bearer("empty key id", Published, named(es256, Some("")), Refused("unknown_key")),
        bearer("unknown key id", Published, named(es256, Some("ec-2")), Refused("unknown_key")),
        bearer(
            "key id is a path",
            Published,
            named(es256, Some("../../../../dev/null")),
            Refused("unknown_key"),
        ),
        bearer(
            "key id is SQL",
            Published,
            named(rs256, Some("x' or '1'='1")),
            Refused("unknown_key"),
        ),
        bearer(
            "key id is an address",
            Published,
            named(es256, Some(&elsewhere)),
            Refused("unknown_key"),
        ),
        bearer(
            "HS256 by the set",
            Published,
            confused(Issuer::RSA_KEY, set.as_bytes()),
            Refused("algorithm"),
        ),
        bearer(
            "HS256 by the modulus",
            Published,
            confused(Issuer::RSA_KEY, modulus.as_bytes()),
            Refused("algorithm"),
        ),
        bearer("HS256 by nothing", Published, confused(Issuer::EC_KEY, b""), Refused("algorithm")),
        bearer("HS256 of development", Published, tokens.access(USER), Refused("algorithm")),
        cookie("HS256 of development, cookie", Published, &tokens.id(USER), Refused("algorithm")),
        bearer("none beside keys", Published, none, Refused("malformed")),
        bearer("a stranger's key", Published, by_stranger(known.clone()), Refused("signature")),
        bearer(
            "a key in the header",
            Published,
            by_stranger(Header { jwk: jwk.clone(), ..known.clone() }),
            Refused("signature"),
        ),
        bearer(
            "a key in the header by its own id",
            Published,
            by_stranger(Header { jwk, ..unknown.clone() }),
            Refused("unknown_key"),
        ),
        bearer(
            "a set elsewhere",
            Published,
            by_stranger(Header { jku: Some(elsewhere.clone()), ..known.clone() }),
            Refused("signature"),
        ),
        bearer(
            "a set elsewhere by its own id",
            Published,
            by_stranger(Header { jku: Some(elsewhere.clone()), ..unknown }),
            Refused("unknown_key"),
        ),
        bearer(
            "a certificate elsewhere",
            Published,
            by_stranger(Header { x5u: Some(elsewhere), ..known.clone() }),
            Refused("signature"),
        ),
        bearer(
            "a certificate in the header",
            Published,
            by_stranger(Header { x5c: Some(vec!["AAAA".to_owned()]), ..known }),
            Refused("signature"),
        ),
        bearer("a signature of zeros", Published, zeros, Refused("signature")),
        bearer("critical b64", Published, sign(&b64, &Issuer::key(es256)), Refused("critical")),
        bearer("ES256 expired", Published, changed("exp", json!(now() - 1)), Refused("expired")),
        bearer(
            "ES256 of another issuer",
            Published,
            changed("iss", json!("https://evil.test")),
            Refused("issuer"),
        ),
        bearer(
            "ES256 of another client",
            Published,
            changed("client_id", json!("other")),
            Refused("audience"),
        ),
    ]
}

/// Good tokens in places where they do not belong, and bad company.
#[expect(clippy::too_many_lines, reason = "a table")]
fn places(tokens: &Tokens) -> Vec<Row> {
    let (access, id) = (tokens.access(USER), tokens.id(USER));
    let jar = format!("auth_token={id}");
    let row = |name, way, rest, socket| Row { name, keys: Shared, way, rest, socket };
    let by_page = |name, origin: &str, verdict| {
        let headers = vec![("cookie", jar.clone()), ("origin", origin.to_owned())];
        row(name, Way { headers, ..Way::default() }, Some(verdict), Some(verdict))
    };
    let headers = |name, headers: &[(&'static str, &str)], rest, socket| {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        row(name, Way { headers, own_page: true, ..Way::default() }, rest, socket)
    };
    let handshake = |name, token: Value, verdict| {
        row(name, Way { token: Some(token), ..Way::default() }, None, Some(verdict))
    };
    let address = |name, query| {
        let way = Way { token: Some(json!(access)), query, ..Way::default() };
        row(name, way, Some(Invalid), Some(Invalid))
    };
    let authorization = format!("Bearer {access}");
    let planted = format!("{jar}; theme=dark; auth_token=planted");
    let beside = |name, token: &str, headers, verdict| {
        let way = Way { token: Some(json!(token)), headers, ..Way::default() };
        row(name, way, Some(verdict), Some(verdict))
    };
    let foreign = ("origin", "https://evil.test".to_owned());
    vec![
        row("nobody", Way::default(), Some(Refused("missing")), Some(Refused("missing"))),
        headers(
            "another cookie",
            &[("cookie", "other=1")],
            Some(Refused("missing")),
            Some(Refused("missing")),
        ),
        headers(
            "an empty cookie",
            &[("cookie", "auth_token=")],
            Some(Refused("malformed")),
            Some(Refused("malformed")),
        ),
        by_page("cookie by an allowed page", ALLOWED, Accepted),
        by_page("cookie by a foreign page", "https://evil.test", Foreign),
        by_page("cookie by a page without an origin", "null", Foreign),
        by_page("cookie by a longer name", "https://app.example.test.evil.test", Foreign),
        by_page("cookie by a name with a prefix", "https://evil-app.example.test", Foreign),
        by_page("cookie by another scheme", "http://app.example.test", Foreign),
        by_page("cookie by another port", "https://app.example.test:8443", Foreign),
        by_page("cookie by capitals", "https://APP.example.test", Foreign),
        // A client that reads without a page is no browser; a socket always has a page.
        row(
            "cookie without a page",
            Way { headers: vec![("cookie", jar.clone())], ..Way::default() },
            Some(Accepted),
            Some(Refused("origin")),
        ),
        headers(
            "cookie by a picture elsewhere",
            &[("cookie", jar.as_str()), ("sec-fetch-site", "cross-site")],
            Some(Foreign),
            None,
        ),
        headers(
            "cookie of the page itself",
            &[("cookie", jar.as_str()), ("sec-fetch-site", "same-origin")],
            Some(Accepted),
            None,
        ),
        headers(
            "two cookies",
            &[("cookie", planted.as_str())],
            Some(Refused("ambiguous")),
            Some(Refused("ambiguous")),
        ),
        headers(
            "two headers of cookies",
            &[("cookie", jar.as_str()), ("cookie", jar.as_str())],
            Some(Refused("ambiguous")),
            Some(Refused("ambiguous")),
        ),
        beside("a bearer is nobody's by itself", &access, vec![foreign.clone()], Accepted),
        beside(
            "a good bearer beside a foreign cookie",
            &access,
            vec![foreign, ("cookie", jar.clone())],
            Accepted,
        ),
        beside(
            "a bad bearer beside a good cookie",
            "not.a.token",
            vec![("cookie", jar.clone())],
            Refused("malformed"),
        ),
        headers(
            "two Authorizations",
            &[("authorization", &authorization), ("authorization", &authorization)],
            Some(Refused("ambiguous")),
            None,
        ),
        headers(
            "Basic",
            &[("authorization", "Basic YTpi"), ("cookie", jar.as_str())],
            Some(Refused("malformed")),
            None,
        ),
        headers(
            "Bearer without a token",
            &[("authorization", "Bearer")],
            Some(Refused("malformed")),
            None,
        ),
        headers(
            "Authorization on the upgrade",
            &[("authorization", authorization.as_str())],
            None,
            Some(Refused("missing")),
        ),
        handshake("null in the handshake", Value::Null, Refused("missing")),
        handshake("a number in the handshake", json!(7), Refused("malformed")),
        handshake("a list in the handshake", json!([access]), Refused("malformed")),
        address("token in the address", "token=x"),
        address("access_token in the address", "access_token=x"),
        address("encoded name in the address", "%74oken=x"),
        address("capitals in the address", "JWT=x"),
        address("authorization in the address", "a=b&authorization=Bearer+x"),
    ]
}

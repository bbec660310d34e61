//! A token issuer that publishes its keys, as the host application's provider does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

const RSA: &[u8] = include_bytes!("../../server/tests/keys/rsa.pem");
const EC: &[u8] = include_bytes!("../../server/tests/keys/ec.pem");
const STRANGER: &[u8] = include_bytes!("../../server/tests/keys/stranger-ec.pem");

/// Serves its keys until it is dropped, and counts who asks.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    asked: Arc<AtomicUsize>,
    serving: AbortHandle,
}

impl Issuer {
    /// The id of the key for RS256.
    pub const RSA_KEY: &str = "rsa-1";
    /// The id of the key for ES256.
    pub const EC_KEY: &str = "ec-1";

    /// Publishes the keys at a new address.
    pub async fn start() -> Self {
        Self::listen("127.0.0.1:0").await
    }

    /// The same at that address, such as one that was free a moment ago.
    pub async fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a listener has an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let serving = tokio::spawn(serve(listener, Arc::clone(&asked))).abort_handle();
        Self { url: format!("http://{address}/keys.json"), asked, serving }
    }

    /// Where the keys are.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often they were asked for.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The flags of a server that trusts this issuer, and no shared secret.
    #[must_use]
    pub fn flags(&self) -> [&str; 4] {
        ["--jwt-hs256-secret", "", "--jwt-jwks-url", &self.url]
    }

    /// What it publishes.
    #[must_use]
    pub fn key_set() -> String {
        let keys = [(Algorithm::RS256, Self::RSA_KEY), (Algorithm::ES256, Self::EC_KEY)];
        let keys = keys.map(|(algorithm, id)| {
            let mut key = Self::public(&Self::key(algorithm), algorithm);
            key.common.key_id = Some(id.to_owned());
            key
        });
        json!({ "keys": keys }).to_string()
    }

    /// Signs claims with the published key of that algorithm.
    #[must_use]
    pub fn sign(algorithm: Algorithm, claims: &Value) -> String {
        encode(&Self::header(algorithm), claims, &Self::key(algorithm)).expect("claims are signed")
    }

    /// The header of a token that names the published key of that algorithm.
    #[must_use]
    pub fn header(algorithm: Algorithm) -> Header {
        let kid = if algorithm == Algorithm::ES256 { Self::EC_KEY } else { Self::RSA_KEY };
        Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) }
    }

    /// The private key for that algorithm.
    #[must_use]
    pub fn key(algorithm: Algorithm) -> EncodingKey {
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(EC),
            _ => EncodingKey::from_rsa_pem(RSA),
        };
        key.expect("the keys of the tests are keys")
    }

    /// A key for ES256 that the issuer knows nothing of.
    #[must_use]
    pub fn strangers_key() -> EncodingKey {
        EncodingKey::from_ec_pem(STRANGER).expect("the keys of the tests are keys")
    }

    /// The public half of a key.
    #[must_use]
    pub fn public(key: &EncodingKey, algorithm: Algorithm) -> Jwk {
        Jwk::from_encoding_key(key, algorithm).expect("a private key has a public half")
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, asked: Arc<AtomicUsize>) {
    let body = Issuer::key_set();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    while let Ok((mut stream, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::SeqCst);
        let mut request = [0; 4096];
        // A client that hangs up needs no answer.
        if stream.read(&mut request).await.is_ok() {
            stream.write_all(answer.as_bytes()).await.ok();
        }
    }
}

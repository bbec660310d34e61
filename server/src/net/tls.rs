//! TLS by rustls: versions 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, and certificates that are read
//! again when their files change, as the tools that renew them only write files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::fs;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ListenError;
use crate::metrics::{Metrics, ResultLabel};

/// What a client may ask for; the first is preferred.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long reading may take before the log says so.
const SLOW: Duration = Duration::from_secs(2);
/// More than any chain or key.
const MAX_BYTES: u64 = 1024 * 1024;

/// A certificate chain and its key, from two PEM files.
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// What the files held, and what of it could be used.
struct Read {
    /// Tells one content from another without keeping the key a second time.
    fingerprint: u64,
    config: Result<Arc<ServerConfig>, ListenError>,
}

impl Tls {
    /// Reads both files.
    pub(crate) async fn load(certificate: &Path, key: &Path) -> Result<Self, ListenError> {
        let current = RwLock::new(read(certificate, key).await.config?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// For handshakes that begin now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Looks now and then whether the files have changed, until dropped. Files that cannot be used,
    /// such as a certificate whose key is not written yet, leave everything as it is.
    pub(crate) async fn watch(&self, interval: Duration, metrics: &Metrics) {
        let mut known = read(&self.certificate, &self.key).await.fingerprint;
        loop {
            sleep(interval).await;
            let mut reading = pin!(read(&self.certificate, &self.key));
            let found = if let Ok(found) = timeout(SLOW, reading.as_mut()).await {
                found
            } else {
                tracing::error!("the certificate's files do not answer; the old one stays");
                metrics.tls_reloads.get_or_create(&ResultLabel { result: "error" }).inc();
                // This one is waited for: each look would hold another thread for ever.
                reading.await
            };
            if found.fingerprint == known {
                continue;
            }
            known = found.fingerprint;
            let result = match found.config {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                    tracing::info!("the certificate has changed; new connections use the new one");
                    "ok"
                }
                Err(error) => {
                    tracing::error!(%error, "the changed certificate cannot be used; the old one stays");
                    "error"
                }
            };
            metrics.tls_reloads.get_or_create(&ResultLabel { result }).inc();
        }
    }
}

async fn read(certificate: &Path, key: &Path) -> Read {
    let (chain, private) = (contents(certificate).await, contents(key).await);
    let mut hasher = DefaultHasher::new();
    for file in [&chain, &private] {
        file.as_ref().ok().hash(&mut hasher);
    }
    let config = chain.and_then(|chain| configure((certificate, &chain), (key, &private?)));
    Read { fingerprint: hasher.finish(), config }
}

/// What a file holds. Nothing else is opened: a pipe would be waited on for ever. And as one may
/// have taken the file's place since, or its file system may hang, a thread of its own waits.
async fn contents(path: &Path) -> Result<Vec<u8>, ListenError> {
    let failed = |reason: String| ListenError::Tls { path: path.display().to_string(), reason };
    let metadata = fs::metadata(path).await.map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(failed("not a file of a reasonable size".to_owned()));
    }
    fs::read(path).await.map_err(|error| failed(error.to_string()))
}

fn configure(
    (certificate, chain): (&Path, &[u8]),
    (key, private): (&Path, &[u8]),
) -> Result<Arc<ServerConfig>, ListenError> {
    let failed =
        |path: &Path, reason: String| ListenError::Tls { path: path.display().to_string(), reason };
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(certificate, "no certificate in it".to_owned()));
    }
    let private =
        PrivateKeyDer::from_pem_slice(private).map_err(|error| failed(key, error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(key, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| failed(key, error.to_string()))?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_file_is_not_waited_for() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys"));
        let (certificate, key) = (folder.join("tls-cert.pem"), folder.join("tls-key.pem"));
        let load = async |certificate, key| Tls::load(certificate, key).await.is_ok();
        assert!(load(&certificate, &key).await);
        for odd in ["/dev/zero", "/", "/nonexistent"].map(Path::new) {
            assert!(!load(odd, &key).await && !load(&certificate, odd).await);
        }
        // The names of the two swapped.
        assert!(!load(&key, &certificate).await);
    }
}

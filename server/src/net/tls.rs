//! Does TLS by rustls: versions 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN. Reads certificates again when
//! their files change, because the tools that renew them only write files.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::fs;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use super::ListenError;
use crate::metrics::{Metrics, ResultLabel};

/// What a client may ask for. The first is preferred.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long reading may take before the log says so.
const SLOW: Duration = Duration::from_secs(2);
/// More than any chain or key.
const MAX_BYTES: u64 = 1024 * 1024;
/// The last second of the year 9999, beyond which no certificate goes.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// A certificate chain and its key, from two PEM files.
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Served>,
}

/// What handshakes are answered with.
#[derive(Clone)]
struct Served {
    config: Arc<ServerConfig>,
    expires_at: Option<OffsetDateTime>,
}

/// What the files held, and what of it could be used.
struct Read {
    /// Tells one content from another without keeping the key a second time.
    fingerprint: u64,
    served: Result<Served, ListenError>,
}

impl Tls {
    /// Reads both files.
    pub(crate) async fn load(certificate: &Path, key: &Path) -> Result<Self, ListenError> {
        let current = RwLock::new(read(certificate, key).await.served?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// For handshakes that begin now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current().config)
    }

    /// When the certificate that is served with runs out, if it ever does.
    pub(crate) fn expires_at(&self) -> Option<OffsetDateTime> {
        self.current().expires_at
    }

    /// Lets operators see when the certificate runs out.
    pub(crate) fn tell(&self, metrics: &Metrics) {
        metrics.tls_expires.set(self.expires_at().map_or(0, OffsetDateTime::unix_timestamp));
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
            let result = match found.served {
                Ok(served) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = served;
                    self.tell(metrics);
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

    fn current(&self) -> Served {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One of the two files, under the setting that names it.
#[derive(Clone, Copy)]
struct Source<'a> {
    setting: &'static str,
    path: &'a Path,
}

async fn read(certificate: &Path, key: &Path) -> Read {
    let certificate = Source { setting: "DASHBOARD_TLS_CERT", path: certificate };
    let key = Source { setting: "DASHBOARD_TLS_KEY", path: key };
    let (chain, private) = (certificate.contents().await, key.contents().await);
    let mut hasher = DefaultHasher::new();
    for file in [&chain, &private] {
        file.as_ref().ok().hash(&mut hasher);
    }
    let served = chain.and_then(|chain| configure((certificate, &chain), (key, &private?)));
    Read { fingerprint: hasher.finish(), served }
}

impl Source<'_> {
    /// What the file holds. Opens nothing but a file: a read of a pipe would wait for ever. A pipe may have
    /// taken the file's place since, or its file system may hang. So a separate thread waits.
    async fn contents(self) -> Result<Vec<u8>, ListenError> {
        let unreadable = |error| self.refused(format_args!("cannot be read: {error}"));
        let metadata = fs::metadata(self.path).await.map_err(unreadable)?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(self.refused("is not a file of a reasonable size"));
        }
        fs::read(self.path).await.map_err(unreadable)
    }

    fn refused(self, reason: impl Display) -> ListenError {
        let path = self.path.display().to_string();
        ListenError::Tls { setting: self.setting, path, reason: reason.to_string() }
    }
}

fn configure(
    (certificate, chain): (Source<'_>, &[u8]),
    (key, private): (Source<'_>, &[u8]),
) -> Result<Served, ListenError> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| certificate.refused(format_args!("is not PEM: {error}")))?;
    let Some(own) = chain.first() else {
        return Err(certificate.refused(
            "holds no certificate: a PEM file is expected, with the lines -----BEGIN \
             CERTIFICATE-----, the server's own certificate first",
        ));
    };
    let expires_at = not_after(own);
    let private = PrivateKeyDer::from_pem_slice(private).map_err(|error| match error {
        pem::Error::NoItemsFound => key.refused(
            "holds no private key: a PEM file is expected, with a line such as -----BEGIN PRIVATE \
             KEY-----, and without a passphrase",
        ),
        error => key.refused(format_args!("is not PEM: {error}")),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| key.refused(format_args!("cannot be used: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => key.refused(format_args!(
                "does not belong to the certificate in {}: name the two files that were issued \
                 together, the server's own certificate first in its file",
                certificate.path.display()
            )),
            Error::InvalidCertificate(error) => {
                certificate.refused(format_args!("holds a certificate that is malformed: {error}"))
            }
            error => key.refused(format_args!("cannot be used: {error}")),
        })?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(Served { config: Arc::new(config), expires_at })
}

/// When a certificate runs out. Asked of the library that serves it: looked at from the end of time
/// it is found to have run out, and the library says when.
fn not_after(certificate: &CertificateDer<'_>) -> Option<OffsetDateTime> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let end = UnixTime::since_unix_epoch(END_OF_TIME);
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], end, algorithms) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            let seconds = i64::try_from(not_after.as_secs()).ok()?;
            OffsetDateTime::from_unix_timestamp(seconds).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[tokio::test]
    async fn what_is_no_file_is_not_waited_for() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys"));
        let (certificate, key) = (folder.join("tls-cert.pem"), folder.join("tls-key.pem"));
        let tls = Tls::load(&certificate, &key).await.unwrap();
        assert_eq!(tls.expires_at(), Some(datetime!(2126-10-30 02:03:58 UTC)));
        let load = async |certificate, key| Tls::load(certificate, key).await.is_ok();
        for odd in ["/dev/zero", "/", "/nonexistent"].map(Path::new) {
            assert!(!load(odd, &key).await && !load(&certificate, odd).await);
        }
    }

    #[tokio::test]
    async fn errors_name_the_setting_and_its_file() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys"));
        let at = |name| folder.join(name);
        let cases = [
            // The names of the two swapped.
            (
                "tls-key.pem",
                "tls-cert.pem",
                "DASHBOARD_TLS_CERT",
                "tls-key.pem holds no certificate",
            ),
            (
                "tls-cert.pem",
                "tls-cert.pem",
                "DASHBOARD_TLS_KEY",
                "tls-cert.pem holds no private key",
            ),
            (
                "tls-cert.pem",
                "rsa.pem",
                "DASHBOARD_TLS_KEY",
                "does not belong to the certificate in",
            ),
            (
                "absent.pem",
                "tls-key.pem",
                "DASHBOARD_TLS_CERT",
                "absent.pem cannot be read: No such",
            ),
        ];
        for (certificate, key, setting, words) in cases {
            let error =
                Tls::load(&at(certificate), &at(key)).await.err().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(error.starts_with(setting) && error.contains(words), "{words}: {error}");
        }
    }
}

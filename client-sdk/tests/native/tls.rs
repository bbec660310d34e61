//! TLS: who is trusted, and who the client is.

use std::sync::Arc;

use client_sdk::{Code, DashboardClient, Options, StartError, Status};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::life::until_status;
use crate::server::Server;

/// An authority that only its own clients trust.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, each in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2100)
    }

    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(year, 1, 1);
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

/// Takes TLS off what comes, and hands it to a server; gone when dropped.
pub(crate) struct Terminator {
    pub(crate) url: String,
    pub(crate) port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Terminator {
    /// Asks for a certificate by `clients`, where there is one.
    pub(crate) async fn start(
        server: &Server,
        issued: &Issued,
        clients: Option<&Authority>,
    ) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let roots = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                config.with_client_cert_verifier(roots.build().unwrap())
            }
            None => config.with_no_client_auth(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        let behind = server.url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut behind = TcpStream::connect(behind).await.unwrap();
                    // Either side may leave without a word.
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                });
            }
        });
        Self { url: format!("https://127.0.0.1:{port}"), port, task }
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn options(front: &Terminator) -> Options {
    Options::new(&front.url).token(|| async { "secret-token" })
}

#[tokio::test]
async fn behind_a_private_authority_it_goes_live_where_the_program_trusts_it() {
    let authority = Authority::new();
    let mut server = Server::start().await;
    let front = Terminator::start(&server, &authority.issue("127.0.0.1"), None).await;
    let trusting = options(&front).root_certificates(authority.pem());
    let client = DashboardClient::start(trusting).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    drop(client);

    let others = [
        ("another authority", options(&front).root_certificates(Authority::new().pem())),
        ("the platform's", options(&front)),
    ];
    for (whom, options) in others {
        let client = DashboardClient::start(options).unwrap();
        let state = until_status(&client, Status::Backoff).await;
        let code = state.freshness.reason.as_ref().map(|reason| reason.code);
        assert_eq!(code, Some(Code::SocketFailed), "trusted {whom}");
    }
}

#[tokio::test]
async fn a_server_may_ask_who_the_client_is() {
    let authority = Authority::new();
    let mut server = Server::start().await;
    let issued = authority.issue("127.0.0.1");
    let front = Terminator::start(&server, &issued, Some(&authority)).await;
    let trusting = || options(&front).root_certificates(authority.pem());
    let client = DashboardClient::start(trusting()).unwrap();
    until_status(&client, Status::Backoff).await;
    drop(client);

    let Issued { certificate, key } = authority.issue("a program");
    let client = DashboardClient::start(trusting().identity(key + &certificate)).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
}

#[tokio::test]
async fn options_of_tls_that_make_no_sense_are_refused() {
    let Issued { certificate, key } = Authority::new().issue("a program");
    let options = || Options::new("https://127.0.0.1:1");
    let refused = |options: Options| match DashboardClient::start(options) {
        Err(StartError::Option(error)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    let no_certificate = "must hold certificates in PEM";
    for pem in ["", "hidden", &key] {
        let told = refused(options().root_certificates(pem));
        assert_eq!(told, format!("root_certificates {no_certificate}"));
    }
    assert_eq!(refused(options().identity(key.as_str())), format!("identity {no_certificate}"));
    let told = refused(options().identity(certificate.as_str()));
    assert_eq!(told, "identity must hold one private key in PEM");

    let roots = RootCertStore::empty();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let told = refused(options().tls(Arc::new(config)).root_certificates(certificate));
    assert_eq!(told, "tls cannot be combined with root_certificates or identity");
}

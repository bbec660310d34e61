//! Makes the connections to the server. Snapshots and sockets use the same proxy, TLS and headers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, TRANSFER_ENCODING, UPGRADE,
};
use reqwest::{Client, ClientBuilder, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_tungstenite::tungstenite::http::Uri;

use super::{InvalidOption, StartError};
use crate::endpoint::Endpoints;

/// How long a connection for snapshots is kept for the next one. Shorter than servers keep
/// connections: one that is being closed while a request is on its way fails that request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the program says about connections.
#[derive(Clone, Default)]
pub(super) struct Connection {
    pub(super) proxy: Proxy,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// In PEM; in place of the platform's.
    pub(super) root_certificates: Option<Vec<u8>>,
    /// In PEM: a chain of certificates and their private key.
    pub(super) identity: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) connect_timeout: Option<Duration>,
}

/// The headers that are the client's own.
const OWN_HEADERS: [HeaderName; 7] =
    [AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, IF_NONE_MATCH, TRANSFER_ENCODING, UPGRADE];

#[derive(Clone, Default)]
pub(super) enum Proxy {
    /// As the environment says.
    #[default]
    Environment,
    /// None.
    Direct,
    /// The one at this address, which may hold a password.
    At(String),
}

/// The clients for both kinds of requests.
pub(super) struct Clients {
    /// A setting of proxies that is not used, and why. Holds no value.
    pub(super) unused_proxy: Option<String>,
    pub(super) snapshots: Client,
    /// A WebSocket takes its connection along, so none is kept.
    pub(super) sockets: Client,
}

impl Connection {
    pub(super) fn clients(&self, endpoints: &Endpoints) -> Result<Clients, StartError> {
        let tls = self.tls()?;
        let headers = self.headers()?;
        let mut socket_tls = tls.clone();
        // WebSockets begin with a request of HTTP/1.1.
        socket_tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let builder = |tls| {
            // A redirect would carry the token to an address that the program did not name.
            let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none());
            if let Some(timeout) = self.connect_timeout {
                builder = builder.connect_timeout(timeout);
            }
            let builder = builder.default_headers(headers.clone());
            self.proxied(builder.tls_backend_preconfigured(tls), &endpoints.snapshot)
        };
        Ok(Clients {
            unused_proxy: self.unused_proxy(&endpoints.snapshot),
            snapshots: builder(tls)?.pool_idle_timeout(IDLE_TIMEOUT).build()?,
            sockets: builder(socket_tls)?.http1_only().pool_max_idle_per_host(0).build()?,
        })
    }

    fn tls(&self) -> Result<ClientConfig, StartError> {
        if let Some(tls) = &self.tls {
            if self.root_certificates.is_some() || self.identity.is_some() {
                let rule = "cannot be combined with root_certificates or identity";
                return Err(InvalidOption { option: "tls", rule }.into());
            }
            return Ok(ClientConfig::clone(tls));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match &self.root_certificates {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("root_certificates", pem)? {
                    let rule = "must hold certificates that can be read";
                    let invalid = |_| InvalidOption { option: "root_certificates", rule };
                    roots.add(certificate).map_err(invalid)?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder.with_platform_verifier()?,
        };
        Ok(match &self.identity {
            Some(pem) => {
                let rule = "must hold one private key in PEM";
                let key = PrivateKeyDer::from_pem_slice(pem)
                    .map_err(|_| InvalidOption { option: "identity", rule })?;
                let chain = certificates("identity", pem)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let rule = match error {
                        rustls::Error::InconsistentKeys(_) => {
                            "must hold the private key of its first certificate"
                        }
                        _ => "must hold a certificate and a private key that can be used",
                    };
                    InvalidOption { option: "identity", rule }
                })?
            }
            None => builder.with_no_client_auth(),
        })
    }

    fn headers(&self) -> Result<HeaderMap, InvalidOption> {
        let invalid = |rule| InvalidOption { option: "header", rule };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|_| invalid("must have a valid name"))?;
            if OWN_HEADERS.contains(&name) || name.as_str().starts_with("sec-websocket-") {
                return Err(invalid("must not be one that the client sets itself"));
            }
            let value = HeaderValue::try_from(value);
            let mut value = value.map_err(|_| invalid("must have a valid value"))?;
            // It is left out where a library tells what it sends.
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// What the program or the environment says of a proxy, and is not obeyed.
    fn unused_proxy(&self, address: &str) -> Option<String> {
        let address = Url::parse(address).ok()?;
        let is_local = address.host_str().is_some_and(is_loopback);
        match &self.proxy {
            Proxy::At(_) if is_local => {
                Some("the option proxy is not used: the server is on this machine".to_owned())
            }
            Proxy::Environment if !is_local && address.scheme() == "https" => {
                let names = [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];
                let is_bad = |name: &&str| std::env::var(name).is_ok_and(|at| !is_proxy(&at));
                // Of two spellings the first counts.
                let first = |names: [&'static str; 2]| {
                    names.into_iter().find(|name| std::env::var(name).is_ok())
                };
                let name = names.into_iter().filter_map(first).find(is_bad)?;
                let why = "it is not the URL of a proxy by http or https";
                Some(format!("{name} is not used: {why}"))
            }
            Proxy::At(_) | Proxy::Environment | Proxy::Direct => None,
        }
    }

    /// Both addresses have the same scheme and host, so one of them says whether there is a proxy.
    fn proxied(&self, builder: ClientBuilder, address: &str) -> Result<ClientBuilder, StartError> {
        let invalid = |rule| InvalidOption { option: "proxy", rule };
        let address = Url::parse(address).ok();
        let is_local = address.as_ref().and_then(Url::host_str).is_some_and(is_loopback);
        let is_https = address.is_some_and(|address| address.scheme() == "https");
        match &self.proxy {
            Proxy::At(proxy) => {
                let is_http =
                    |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
                let proxy = Url::parse(proxy).ok().filter(is_http);
                let proxy = proxy.ok_or(invalid("must be an http:// or https:// URL"))?;
                if is_local {
                    return Ok(builder.no_proxy());
                }
                if !is_https {
                    let rule = "cannot be used where the server's url begins with http://: the \
                                proxy could read the token";
                    return Err(invalid(rule).into());
                }
                Ok(builder.proxy(reqwest::Proxy::all(proxy)?))
            }
            // Without TLS the proxy would read the token, and could not open a WebSocket.
            Proxy::Environment if is_https && !is_local => Ok(builder),
            Proxy::Environment | Proxy::Direct => Ok(builder.no_proxy()),
        }
    }
}

/// Whether the HTTP client takes that value of the environment. It is silent where it does not.
fn is_proxy(value: &str) -> bool {
    let Ok(uri) = value.parse::<Uri>() else { return value.is_empty() };
    let is_known =
        |scheme| ["http", "https", "socks4", "socks4a", "socks5", "socks5h"].contains(&scheme);
    uri.authority().is_some() && uri.scheme_str().is_none_or(is_known)
}

/// Whether the host, as a URL has it, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    address.is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// One at least.
fn certificates(
    option: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, InvalidOption> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or(InvalidOption { option, rule: "must hold certificates in PEM" })
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for host in ["localhost", "localhost.", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        assert!(is_loopback("[::ffff:7f00:1]"));
        for host in ["example.org", "localhost.example.org", "notlocalhost", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

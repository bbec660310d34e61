//! The snapshot endpoint, as any HTTP client sees it.

use std::net::IpAddr;

use reqwest::header::{AUTHORIZATION, COOKIE, ETAG, HeaderMap, IF_NONE_MATCH};
use serde::de::DeserializeOwned;
use shared_types::{DashboardView, ErrorBody, SnapshotTag};

use crate::waiting::{pause, within};

/// An HTTP client for one server.
#[derive(Clone, Debug)]
pub struct Rest {
    base: String,
    client: reqwest::Client,
}

/// How a request proves who sends it.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Not at all.
    Nobody,
    /// `Authorization: Bearer`, an access token.
    Bearer(String),
    /// The cookie `auth_token`, an ID token.
    Cookie(String),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Rest {
    /// For the server at that address, such as `http://127.0.0.1:9112`.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        // No pool: a connection that outlives the server's restart would fail the next request.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build();
        Self { base: base.into(), client: client.expect("a plain HTTP client can be built") }
    }

    /// The same from another address of this machine, such as 127.0.0.2.
    #[must_use]
    pub fn from_address(&self, address: IpAddr) -> Self {
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).local_address(address);
        Self { client: client.build().expect("a plain HTTP client can be built"), ..self.clone() }
    }

    /// GET with further headers.
    pub async fn get(&self, path: &str, who: &Credential, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(format!("{}{path}", self.base));
        request = match who {
            Credential::Nobody => request,
            Credential::Bearer(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            Credential::Cookie(token) => request.header(COOKIE, format!("auth_token={token}")),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(path, request).await
    }

    /// Any request without a body.
    pub async fn request(&self, method: &str, path: &str) -> Answer {
        self.request_with(method, path, &[]).await
    }

    /// The same with headers.
    pub async fn request_with(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(path, request).await
    }

    /// A request with a body.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send(path, self.client.post(format!("{}{path}", self.base)).body(body)).await
    }

    /// GET, asked again after a 503, as clients do: a busy machine may answer "not now" to some of
    /// many that ask at once.
    pub async fn get_when_served(
        &self,
        path: &str,
        who: &Credential,
        headers: &[(&str, &str)],
    ) -> Answer {
        within(&format!("an answer to {path} other than 503"), async {
            loop {
                let answer = self.get(path, who, headers).await;
                if answer.status != 503 {
                    return answer;
                }
                pause().await;
            }
        })
        .await
    }

    /// The snapshot of the user whom the credential names; it must succeed, if not at once.
    pub async fn snapshot(&self, who: &Credential) -> (DashboardView, SnapshotTag) {
        let answer = self.get_when_served("/api/dashboard", who, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.json(), answer.tag())
    }

    /// The snapshot, unless it is still the one with that tag.
    pub async fn snapshot_if_none_match(&self, who: &Credential, tag: &SnapshotTag) -> Answer {
        let tag = tag.to_header();
        self.get_when_served("/api/dashboard", who, &[(IF_NONE_MATCH.as_str(), &tag)]).await
    }

    async fn send(&self, path: &str, request: reqwest::RequestBuilder) -> Answer {
        let what = format!("the answer to {path}");
        let answer = within(&what, async {
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok::<_, reqwest::Error>(Answer { status, headers, body: response.text().await? })
        });
        answer.await.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }
}

impl Answer {
    /// A header's text, empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, which must be of that type.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The snapshot's tag.
    #[must_use]
    pub fn tag(&self) -> SnapshotTag {
        let tag = self.header(ETAG.as_str());
        let read =
            SnapshotTag::from_header(tag).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(read.to_header(), tag, "as the server writes it");
        read
    }

    /// The standard error body, which must agree with the headers (D-API-7).
    #[must_use]
    pub fn error(&self) -> ErrorBody {
        let error: ErrorBody = self.json();
        assert!(!error.success, "{self:?}");
        let header = self.header(shared_types::error::CORRELATION_ID_HEADER);
        assert_eq!(header, error.correlation_id, "{self:?}");
        assert!(!header.is_empty() && !error.error.message.is_empty(), "{self:?}");
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        error
    }
}

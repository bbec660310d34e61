//! Implements a client's HTTP connection, kept alive.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG, HOST, IF_NONE_MATCH};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::socket::Target;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Rest {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) tag: Option<HeaderValue>,
    /// In seconds.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Bytes,
}

impl Rest {
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = target.open().await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its end shows in the next request.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Self { sender, host: target.address.clone() })
    }

    /// Asks for the snapshot of that token's user. Asks for news only, if the tag of a copy is given.
    pub(crate) async fn snapshot(
        &mut self,
        token: &str,
        known: Option<&HeaderValue>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::get("/api/dashboard").header(HOST, &self.host);
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(tag) = known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        self.send(request.body(Empty::new())?).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let request = Request::get(path).header(HOST, &self.host).body(Empty::new())?;
        self.send(request).await
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> anyhow::Result<Answer> {
        let answer = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            let retry_after = head.headers.get(http::header::RETRY_AFTER);
            let retry_after = retry_after.and_then(|wait| wait.to_str().ok()?.parse().ok());
            let tag = head.headers.get(ETAG).cloned();
            anyhow::Ok(Answer { status: head.status, tag, retry_after, body })
        };
        timeout(TIMEOUT, answer).await.context("no answer to a request")?
    }
}

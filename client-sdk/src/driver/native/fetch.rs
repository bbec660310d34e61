//! One request for the snapshot, from asking for the token to the last byte.

use std::time::UNIX_EPOCH;

use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, RETRY_AFTER};
use tokio::sync::mpsc;

use super::clock::{millis, wall_clock};
use super::options::TokenProvider;
use crate::backoff;
use crate::machine::{EffectEpoch, FetchFailure, Input, Response};
use crate::time::Millis;

/// The largest body that is read; a view of 10,000 partial rows is about 3 MB.
const LARGEST_BODY: usize = 32 << 20;

pub(super) struct Fetch {
    pub(super) epoch: EffectEpoch,
    pub(super) if_none_match: Option<String>,
    pub(super) url: String,
    pub(super) token: TokenProvider,
    pub(super) http: reqwest::Client,
    pub(super) answers: mpsc::Sender<Input>,
}

impl Fetch {
    pub(super) async fn run(self) {
        let result = self.fetch().await;
        // The driver is gone: nobody waits for the answer.
        let _ = self.answers.send(Input::Snapshot { epoch: self.epoch, result }).await;
    }

    async fn fetch(&self) -> Result<Response, FetchFailure> {
        let token = (self.token)().await.map_err(|_| FetchFailure::TokenUnavailable)?;
        let mut request = self.http.get(&self.url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, ["Bearer ", token.expose()].concat());
        }
        if let Some(tag) = &self.if_none_match {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let mut answer = request.send().await.map_err(|error| network(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| network(&error))? {
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(FetchFailure::Network("the snapshot is absurdly large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = answer.headers();
        Ok(Response {
            status: answer.status().as_u16(),
            etag: text(headers, &ETAG),
            retry_after: retry_after(headers),
            // As browsers read it: what is not UTF-8 becomes U+FFFD.
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

/// How long the server wants to be left alone.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Millis> {
    let date = |text: &str| {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(UNIX_EPOCH).ok().map(millis)
    };
    backoff::retry_after(&text(headers, &RETRY_AFTER)?, wall_clock(), date)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The error with its causes, which hold the interesting part.
fn network(error: &reqwest::Error) -> FetchFailure {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told.push_str(": ");
        told.push_str(&error.to_string());
        cause = error.source();
    }
    FetchFailure::Network(told)
}

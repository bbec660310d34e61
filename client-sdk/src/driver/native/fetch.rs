//! Sends one request for the snapshot: from the request for its token to its last byte.

use std::time::UNIX_EPOCH;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, ETAG, HeaderMap, HeaderName, RETRY_AFTER};
use tokio::sync::mpsc;

use super::clock::{millis, wall_clock};
use super::fault;
use super::run::{Answer, Cause};
use super::token::Tokens;
use crate::backoff;
use crate::machine::{EffectId, FetchFailure, Input, Response};
use crate::state::Fault;
use crate::time::Millis;

/// The largest body that is read; a view of 10,000 partial rows is about 3 MB.
const LARGEST_BODY: usize = 32 << 20;

pub(super) struct Fetch {
    pub(super) epoch: EffectId,
    pub(super) url: String,
    pub(super) tokens: Tokens,
    pub(super) http: reqwest::Client,
    pub(super) answers: mpsc::Sender<Answer>,
}

impl Fetch {
    pub(super) async fn run(self) {
        let mut cause = None;
        let result = self.fetch(&mut cause).await;
        let input = Input::Snapshot { epoch: self.epoch, result };
        // The driver has ended, and waits for no answer.
        let _ = self.answers.send(Answer { input, cause }).await;
    }

    async fn fetch(&self, cause: &mut Option<Cause>) -> Result<Response, FetchFailure> {
        let token = self.tokens.next().await.map_err(|why| {
            *cause = Some(Cause::NoToken(why));
            FetchFailure::TokenUnavailable
        })?;
        let mut network = |error| {
            *cause = fault::of(&error).map(Cause::Fault);
            FetchFailure::Network(fault::told(error))
        };
        // Not kept by any cache either, as browsers ask for it.
        let mut request = self.http.get(&self.url).header(CACHE_CONTROL, "no-cache");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, ["Bearer ", token.expose()].concat());
        }
        let mut answer = request.send().await.map_err(&mut network)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(&mut network)? {
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(FetchFailure::Network("the snapshot is absurdly large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        if answer.status() == StatusCode::NOT_FOUND {
            *cause = Some(Cause::Fault(Fault::NotFound));
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

//! Takes the requests of a client that polls.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::{self, Body};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use super::{SESSION, arrive, invalid, opening};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::metrics::Limit;
use crate::sockets::connection::Transport;
use crate::sockets::{Poller, Unanswered};

/// The answer to packets that were taken, as every server of Engine.IO gives it.
const TAKEN: &str = "ok";

/// Opens a socket and answers with its first packet.
pub(super) async fn open(app: &App, request: Request) -> Result<Response, ApiError> {
    let opening = opening(app, Transport::Polling, request)?;
    let (connection, slot) = arrive(app, opening).await?;
    let poller = app.push.open_polling(connection, slot);
    let body = poller.poll(None).await;
    Ok(packets(body.map_err(|unanswered| refusal(app, unanswered))?))
}

/// Answers with packets for the client, as soon as there are some.
pub(super) async fn poll(
    app: &App,
    poller: &Poller,
    mark: Option<&str>,
) -> Result<Response, ApiError> {
    let body = poller.poll(mark.and_then(hashed)).await;
    Ok(packets(body.map_err(|unanswered| refusal(app, unanswered))?))
}

/// What stands for a mark that tells a request from those before it. Some clients set the seconds of a
/// clock, or a short checksum: several of their requests have the same, and it tells nothing.
fn hashed(mark: &str) -> Option<u64> {
    let is_short_number = mark.len() <= 10 && mark.bytes().all(|byte| byte.is_ascii_digit());
    (!is_short_number).then(|| {
        let mut hasher = DefaultHasher::new();
        mark.hash(&mut hasher);
        hasher.finish()
    })
}

/// Takes packets of the client.
pub(super) async fn post(
    app: &App,
    poller: &Poller,
    request: Request,
) -> Result<Response, ApiError> {
    let max = usize::try_from(app.limiter.limits.max_message_bytes).unwrap_or(usize::MAX);
    let body = timeout(app.limiter.limits.idle_timeout(), body::to_bytes(request.into_body(), max));
    let body = tokio::select! {
        body = body => body,
        // Nothing waits for the rest of it, a server that stops least of all.
        () = poller.over() => return Err(refusal(app, Unanswered::Over)),
    };
    let Ok(body) = body else {
        app.metrics.limited(Limit::IdleTimeout);
        let status = StatusCode::REQUEST_TIMEOUT;
        return Err(ApiError::Invalid(status, "The packets took too long to arrive"));
    };
    let body = body.map_err(|error| {
        let error = error.into_inner();
        if error.is::<LengthLimitError>() {
            app.metrics.limited(Limit::MessageSize);
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            ApiError::Invalid(status, "The packets are larger than maxPayload")
        } else {
            invalid("The packets broke off")
        }
    })?;
    let posted = match String::from_utf8(body.into()) {
        Ok(body) => poller.post(body).await,
        Err(_) => Err(Unanswered::Malformed),
    };
    posted.map_err(|unanswered| refusal(app, unanswered))?;
    Ok(text(TAKEN))
}

fn packets(body: Vec<u8>) -> Response {
    text(body)
}

fn text(body: impl Into<Body>) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=UTF-8"), (CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

fn refusal(app: &App, unanswered: Unanswered) -> ApiError {
    let too_many = |message| ApiError::Invalid(StatusCode::TOO_MANY_REQUESTS, message);
    match unanswered {
        Unanswered::Over => invalid(SESSION),
        Unanswered::Malformed => invalid("These are no packets that a client may send"),
        Unanswered::TooMany => too_many("Too many messages over one socket; connect again"),
        Unanswered::Crowded => {
            app.metrics.limited(Limit::MessageRate);
            too_many("Too many requests of one session at a time")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_several_requests_share_tell_nothing() {
        for mark in ["", "7", "1732999999", "4294967295"] {
            assert_eq!(hashed(mark), None, "{mark}");
        }
        // As clients in JavaScript, Python and .NET set them.
        for mark in ["p3w2k9ab", "1732999999.1234567", "1732999999123", "1732999999e"] {
            assert!(hashed(mark).is_some(), "{mark}");
        }
        assert_ne!(hashed("a"), hashed("b"));
    }
}

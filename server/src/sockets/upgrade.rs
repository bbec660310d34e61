//! Moves a session from polling to a WebSocket.
//!
//! ```text
//! client ── GET websocket, sid ──▶ 101
//!        ── 2probe ─────────────▶          does the WebSocket work?
//!        ◀───────────── 3probe ──          it does; the request that waits for packets is let go
//!        ── 5 ──────────────────▶          the session moves from the polling task to this one
//! ```

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

use super::polling::{Poller, Request};
use super::session::Session;
use super::websocket::{Frames, Link, WebSocket};
use crate::metrics::Metrics;
use crate::sockets::context::SocketContext;
use crate::sockets::end_reason::EndReason;
use crate::sockets::packet;

/// How long a client may take for it. Clients of Socket.IO wait as long for the whole connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a session over to a WebSocket, which is to be served then. A WebSocket of which nothing comes is
/// closed, and the session stays as it is.
pub(crate) async fn upgrade<S>(
    mut link: Link<S>,
    poller: Poller,
    context: &SocketContext,
) -> Option<WebSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // While this lives, the client is not kept waiting for packets.
    let alive = Arc::new(());
    let words = probe(&mut link, &poller, &context.metrics, Arc::downgrade(&alive));
    let probed = tokio::select! {
        probed = timeout(PATIENCE, words) => probed.unwrap_or(Err(EndReason::UpgradeTimeout)),
        () = poller.over() => Err(EndReason::TransportClose),
    };
    // Nothing else is waited for beside this: the session may be on its way.
    let taken = match probed {
        Ok(()) => take_over(&poller).await,
        Err(reason) => Err(reason),
    };
    let connection = &poller.connection;
    match taken {
        Ok(session) => {
            context.registry.upgraded(connection);
            Some(WebSocket::resume(link, session))
        }
        Err(reason) => {
            let socket = connection.id.simple();
            tracing::debug!(%socket, reason = reason.label(), "a socket does not change its transport");
            link.shut().await;
            None
        }
    }
}

/// Lets the client find out that the WebSocket works, and change over.
async fn probe<S>(
    link: &mut Link<S>,
    poller: &Poller,
    metrics: &Metrics,
    alive: Weak<()>,
) -> Result<(), EndReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut talk = Talk { link, poller, metrics };
    talk.expect(packet::PROBE).await?;
    talk.say(packet::PROBED).await?;
    poller.ask(Request::Probed(alive)).await.map_err(|_| EndReason::TransportClose)?;
    talk.expect(packet::UPGRADED).await
}

/// The session, unless it has ended.
async fn take_over(poller: &Poller) -> Result<Session, EndReason> {
    let (taker, session) = oneshot::channel();
    poller.ask(Request::Upgrade(taker)).await.map_err(|_| EndReason::TransportClose)?;
    session.await.map_err(|_| EndReason::TransportClose)
}

/// The few words over a WebSocket before it has a session.
struct Talk<'a, S> {
    link: &'a mut Link<S>,
    poller: &'a Poller,
    metrics: &'a Metrics,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    async fn say(&mut self, text: &'static str) -> Result<(), EndReason> {
        let mut frames = Vec::new();
        packet::frame(text, &mut frames).map_err(|_| EndReason::Encoding)?;
        let mut frames = Some(Frames::More(Bytes::from(frames)));
        poll_fn(|cx| match self.link.send(cx, || frames.take()) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(self.fail(&error, cx))),
        })
        .await
    }

    async fn expect(&mut self, text: &str) -> Result<(), EndReason> {
        poll_fn(|cx| {
            loop {
                // What the library has to say.
                if let Err(error) = self.link.send(cx, || None) {
                    return Poll::Ready(Err(self.fail(&error, cx)));
                }
                return Poll::Ready(match self.link.read(cx) {
                    Ok(Some(Message::Text(heard))) if heard == text => Ok(()),
                    Ok(Some(Message::Text(_))) => Err(self.link.refuse(CloseCode::Protocol, cx)),
                    Ok(Some(Message::Binary(_))) => {
                        Err(self.link.refuse(CloseCode::Unsupported, cx))
                    }
                    Ok(Some(_)) => continue,
                    Ok(None) => return Poll::Pending,
                    Err(error) => Err(self.fail(&error, cx)),
                });
            }
        })
        .await
    }

    fn fail(&mut self, error: &Error, cx: &mut Context<'_>) -> EndReason {
        self.link.fail(error, &self.poller.connection, self.metrics, cx)
    }
}

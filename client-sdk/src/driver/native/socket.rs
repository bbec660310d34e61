//! Runs one WebSocket: from the request for its token to its close.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{StatusCode, Upgraded};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::fault;
use super::fetch::retry_after;
use super::run::Answer;
use super::token::Tokens;
use crate::machine::{EffectId, Input, Loss};
use crate::state::{Code, Fault, Reason};

/// The largest message that is read; a view of 10,000 partial rows is about 3 MB.
const LARGEST_MESSAGE: usize = 32 << 20;
/// How long the close handshake may take.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Socket {
    pub(super) epoch: EffectId,
    pub(super) url: String,
    pub(super) tokens: Tokens,
    pub(super) http: reqwest::Client,
    pub(super) answers: mpsc::Sender<Answer>,
}

type Stream = WebSocketStream<Upgraded>;

impl Socket {
    /// Runs until the socket closes, or the driver drops the outbox.
    pub(super) async fn run(self, mut outbox: mpsc::UnboundedReceiver<String>) {
        let opened = tokio::select! {
            opened = self.open() => opened,
            // Nothing is sent before the machine knows that the socket is open, so this is the
            // driver giving up.
            _ = outbox.recv() => return,
        };
        let loss = match opened {
            Ok(stream) => match self.carry(stream, &mut outbox).await {
                Some(loss) => loss,
                None => return,
            },
            Err(loss) => loss,
        };
        self.answer(Input::Closed { epoch: self.epoch, loss }).await;
    }

    async fn open(&self) -> Result<Stream, Loss> {
        let epoch = self.epoch;
        let token = self.tokens.next().await;
        let token = token.map_err(|why| Loss { reason: why.reason(), retry_after: None })?;
        let stream = self.upgrade().await?;
        self.answer(Input::Opened { epoch, token }).await;
        Ok(stream)
    }

    /// Opens the WebSocket (RFC 6455) by a request of the HTTP client, so that it goes the same way as
    /// the snapshots.
    async fn upgrade(&self) -> Result<Stream, Loss> {
        let failed = |error| {
            let mut loss = lost(Code::SocketFailed, "");
            loss.reason.fault = fault::of(&error);
            loss.reason.message = fault::told(error);
            loss
        };
        let key = generate_key();
        // `ws` becomes `http`, and `wss` becomes `https`.
        let url = ["http", self.url.strip_prefix("ws").unwrap_or_default()].concat();
        let request = self
            .http
            .get(url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let answer = request.send().await.map_err(failed)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = answer.status().as_u16();
            let message = format!("the WebSocket's handshake was answered with HTTP {status}");
            // Such an answer may say when to come back.
            let retry_after = retry_after(answer.headers());
            let mut loss = Loss { retry_after, ..lost(Code::SocketFailed, message) };
            loss.reason.fault = (status == 404).then_some(Fault::NotFound);
            return Err(loss);
        }
        let expected = derive_accept_key(key.as_bytes());
        if answer.headers().get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| *accept != expected) {
            let message = "what answered the WebSocket's handshake does not speak WebSocket";
            return Err(lost(Code::SocketFailed, message));
        }
        let stream = answer.upgrade().await.map_err(failed)?;
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(LARGEST_MESSAGE);
        config.max_frame_size = Some(LARGEST_MESSAGE);
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
    }

    /// Carries messages both ways; none where the driver wants no more of it.
    async fn carry(
        &self,
        mut stream: Stream,
        outbox: &mut mpsc::UnboundedReceiver<String>,
    ) -> Option<Loss> {
        let epoch = self.epoch;
        loop {
            tokio::select! {
                text = outbox.recv() => {
                    let Some(text) = text else {
                        // Politeness with a limit: the peer may be long gone.
                        let _ = tokio::time::timeout(FAREWELL, stream.close(None)).await;
                        return None;
                    };
                    if let Err(error) = stream.send(Message::text(text)).await {
                        return Some(broken(&error));
                    }
                }
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.answer(Input::Frame { epoch, text: text.as_str().to_owned() }).await;
                    }
                    Some(Ok(Message::Binary(_))) => {
                        self.answer(Input::BinaryFrame { epoch }).await;
                    }
                    // WebSocket's own pings are answered by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or(1005, |frame| u16::from(frame.code));
                        let message = format!("the server closed the socket with code {code}");
                        return Some(lost(Code::SocketClosed, message));
                    }
                    Some(Err(error)) => return Some(broken(&error)),
                    None => return Some(lost(Code::SocketClosed, "the socket ended")),
                },
            }
        }
    }

    async fn answer(&self, input: Input) {
        // The driver has ended, and waits for no answer.
        let _ = self.answers.send(input.into()).await;
    }
}

fn lost(code: Code, message: impl Into<String>) -> Loss {
    Loss { reason: Reason::new(code, message), retry_after: None }
}

fn broken(error: &Error) -> Loss {
    lost(Code::SocketClosed, error.to_string())
}

//! One WebSocket, from asking for the token to its close.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::fetch::retry_after;
use super::options::TokenProvider;
use crate::machine::{EffectEpoch, Input, Loss};
use crate::state::{Code, Reason};

/// The largest message that is read; a view of 10,000 partial rows is about 3 MB.
const LARGEST_MESSAGE: usize = 32 << 20;
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Socket {
    pub(super) epoch: EffectEpoch,
    pub(super) url: String,
    pub(super) token: TokenProvider,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) answers: mpsc::Sender<Input>,
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

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
        let Ok(token) = (self.token)().await else {
            return Err(lost(Code::TokenUnavailable, "the app gave no token"));
        };
        let request = self.url.as_str().into_client_request().map_err(|error| failed(&error))?;
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(LARGEST_MESSAGE);
        config.max_frame_size = Some(LARGEST_MESSAGE);
        let tls = Connector::Rustls(self.tls.clone());
        let opening = tokio_tungstenite::connect_async_tls_with_config(
            request,
            Some(config),
            true,
            Some(tls),
        );
        let (stream, _) = opening.await.map_err(|error| failed(&error))?;
        self.answer(Input::Opened { epoch, token }).await;
        Ok(stream)
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
        // The driver is gone: nobody waits for the answer.
        let _ = self.answers.send(input).await;
    }
}

fn lost(code: Code, message: impl Into<String>) -> Loss {
    Loss { reason: Reason::new(code, message), retry_after: None }
}

fn broken(error: &Error) -> Loss {
    lost(Code::SocketClosed, error.to_string())
}

/// A handshake that was answered with another status than 101 may say when to come back.
fn failed(error: &Error) -> Loss {
    let retry_after = match error {
        Error::Http(response) => retry_after(response.headers()),
        _ => None,
    };
    Loss { reason: Reason::new(Code::SocketFailed, error.to_string()), retry_after }
}

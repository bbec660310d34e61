//! Implements a client's socket, as light as a load generator needs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::contender::Certificate;

const TIMEOUT: Duration = Duration::from_secs(20);
const EVENT: &str = "42/dashboard,";

/// Any stream to speak over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A socket that was let in.
pub(crate) struct Socket {
    socket: WebSocketStream<Box<dyn Stream>>,
}

/// Where to connect, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    tls: Option<TlsConnector>,
}

impl Target {
    pub(crate) fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), tls: None }
    }

    pub(crate) fn tls(address: &str, certificate: &Certificate) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der.clone())?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = Some(TlsConnector::from(Arc::new(config)));
        Ok(Self { address: address.to_owned(), tls })
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from("127.0.0.1")?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

impl Socket {
    /// Connects and waits until the namespace lets it in.
    pub(crate) async fn join(target: &Target, token: &str) -> anyhow::Result<Self> {
        timeout(TIMEOUT, Self::enter(target, token)).await.context("no answer to a connection")?
    }

    /// Shows a token that is refused: how long it takes from then to the end of the connection.
    pub(crate) async fn refused(target: &Target, token: &str) -> anyhow::Result<Duration> {
        let refused = async {
            let mut socket = Self::open(target).await?;
            let begun = Instant::now();
            let answer = socket.knock(token).await?;
            if !answer.starts_with("44/dashboard,") {
                bail!("not refused: {answer}");
            }
            while socket.frame().await.is_ok() {}
            Ok(begun.elapsed())
        };
        timeout(TIMEOUT, refused).await.context("a refused socket stays")?
    }

    /// The next event's text. Answers heartbeats while it waits.
    pub(crate) async fn event(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            let frame = self.frame().await?;
            if frame.starts_with(EVENT) {
                return Ok(frame);
            }
        }
    }

    /// Answers heartbeats until that time, and reads nothing else.
    pub(crate) async fn idle(&mut self, until: Instant) -> anyhow::Result<()> {
        loop {
            match tokio::time::timeout_at(until.into(), self.frame()).await {
                Ok(frame) => drop(frame?),
                Err(_) => return Ok(()),
            }
        }
    }

    async fn enter(target: &Target, token: &str) -> anyhow::Result<Self> {
        let mut socket = Self::open(target).await?;
        let answer = socket.knock(token).await?;
        if !answer.starts_with("40/dashboard,") {
            bail!("not let in: {answer}");
        }
        Ok(socket)
    }

    async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = target.open().await?;
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", target.address);
        let (socket, _) = client_async(url, stream).await?;
        let mut socket = Self { socket };
        let greeting = socket.frame().await?;
        if !greeting.starts_with('0') {
            bail!("no greeting: {greeting}");
        }
        Ok(socket)
    }

    /// Shows a token. Returns the answer.
    async fn knock(&mut self, token: &str) -> anyhow::Result<Utf8Bytes> {
        self.send(format!("40/dashboard,{{\"token\":\"{token}\"}}")).await?;
        self.frame().await
    }

    /// The next frame with something in it.
    async fn frame(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.socket.next().await.context("the socket was closed")?? {
                Message::Text(text) if text == "2" => self.send("3".to_owned()).await?,
                Message::Text(text) => return Ok(text),
                Message::Close(_) => bail!("the socket was closed"),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn send(&mut self, text: String) -> anyhow::Result<()> {
        let text = Utf8Bytes::try_from(Bytes::from(text))?;
        Ok(self.socket.send(Message::Text(text)).await?)
    }
}

/// How many wishes a summary says that there are. None if it is no summary.
pub(crate) fn wishes(event: &str) -> Option<usize> {
    let (_, rest) = event.split_once("\"totalWishlistItems\":")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_from_summaries_only() {
        let event =
            r#"42/dashboard,["x",{"payload":{"totalMocs":3,"totalWishlistItems":17,"a":1}}]"#;
        assert_eq!(wishes(event), Some(17));
        assert_eq!(wishes(r#"42/dashboard,["x",{"payload":[]}]"#), None);
    }
}

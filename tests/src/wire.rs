//! A client without any library: frames as they are, so that nothing is hidden or repaired.

use std::fmt;

use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared_types::{
    DashboardEvent, DashboardSummary, ErrorEvent, EventType, PartialPartsMoc, RecentMoc,
    ThemeStats, event,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::rest::Credential;
use crate::waiting::{DEADLINE, within};

/// An Engine.IO session.
#[derive(Debug)]
pub struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// A refusal: the `CONNECT_ERROR` packet's body.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused(pub Value);

impl Refused {
    /// The whole body of a refusal with that code: for people and for programs.
    #[must_use]
    pub fn with(code: &str) -> Self {
        Self(json!({ "message": code, "data": { "code": code } }))
    }
}

/// An event with its envelope, held against the contract.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its type, which the Socket.IO event name and the envelope agree on.
    pub event_type: EventType,
    /// The envelope's revision.
    pub revision: u64,
    /// The envelope's id.
    pub event_id: String,
    /// What it says.
    pub payload: Payload,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// `dashboard:summaryUpdated`
    Summary(DashboardSummary),
    /// `dashboard:recentMocAdded`
    RecentMocAdded(RecentMoc),
    /// `dashboard:recentMocsUpdated`
    RecentMocs(Vec<RecentMoc>),
    /// `dashboard:partialPartsUpdated`
    PartialParts(Vec<PartialPartsMoc>),
    /// `dashboard:themeBreakdownUpdated`
    Themes(Vec<ThemeStats>),
    /// `dashboard:error`
    Error(ErrorEvent),
}

impl Wire {
    /// Opens an Engine.IO session with the server at that address, such as
    /// `http://127.0.0.1:9112`, and reads its greeting.
    pub async fn open(url: &str, headers: &[(&'static str, &str)]) -> Self {
        let url = url.replacen("http", "ws", 1);
        let mut request = format!("{url}/socket.io/?EIO=4&transport=websocket")
            .into_client_request()
            .expect("an address");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a header's value"));
        }
        let opening = Box::pin(connect_async(request));
        let opened = within("the socket's opening", opening).await;
        let (socket, _) = opened.unwrap_or_else(|error| panic!("{url} opens no socket: {error}"));
        let mut wire = Self { socket };
        let greeting = wire.frame().await.expect("a greeting");
        assert!(greeting.starts_with("0{"), "{greeting}");
        wire
    }

    /// Tries to open a session; the answer where the server does not switch protocols.
    ///
    /// # Errors
    ///
    /// Status, `Retry-After` and body.
    pub async fn try_open(url: &str) -> Result<Self, (u16, Option<u64>, Value)> {
        let url = format!("{}/socket.io/?EIO=4&transport=websocket", url.replacen("http", "ws", 1));
        let opened = within("the socket's opening", Box::pin(connect_async(url))).await;
        match opened {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(answer)) => {
                let wait = answer.headers().get("retry-after");
                let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
                let body = serde_json::from_slice(answer.body().as_deref().unwrap_or_default());
                Err((answer.status().as_u16(), wait, body.unwrap_or_default()))
            }
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Opens a session and joins the namespace, as a client with that credential does.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub async fn join(url: &str, who: &Credential) -> Result<Self, Refused> {
        let cookie = match who {
            Credential::Cookie(token) => format!("auth_token={token}"),
            _ => String::new(),
        };
        // A browser names the page that opens the socket; a cookie is good for its own pages only.
        let headers = [("cookie", cookie.as_str()), ("origin", url)];
        let headers = if cookie.is_empty() { &[][..] } else { &headers };
        let mut wire = Self::open(url, headers).await;
        let auth = match who {
            Credential::Bearer(token) => json!({ "token": token }).to_string(),
            _ => String::new(),
        };
        wire.connect(&auth).await.map(|()| wire)
    }

    /// Sends CONNECT for the namespace with that body, and reads the answer.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub async fn connect(&mut self, body: &str) -> Result<(), Refused> {
        self.send(&format!("40{},{body}", event::NAMESPACE)).await;
        let answer = self.frame().await.expect("an answer to CONNECT");
        let refusal = format!("44{},", event::NAMESPACE);
        if let Some(body) = answer.strip_prefix(&refusal) {
            return Err(Refused(serde_json::from_str(body).expect("a refusal has a body")));
        }
        assert!(answer.starts_with(&format!("40{},", event::NAMESPACE)), "{answer}");
        Ok(())
    }

    /// Sends a frame as it is.
    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the socket takes a frame");
    }

    /// The next frame that is not a ping; pings are answered. None once the server has closed.
    pub async fn frame(&mut self) -> Option<String> {
        within("a frame", async {
            while let Some(Ok(message)) = self.socket.next().await {
                match message {
                    // The server may have cut this client off. It must still read what came before.
                    Message::Text(text) if text == "2" => self.try_send("3").await,
                    Message::Text(text) => return Some(text.to_string()),
                    _ => {}
                }
            }
            None
        })
        .await
    }

    /// The next event.
    pub async fn event(&mut self) -> Received {
        let frame = self.frame().await.expect("an event, but the server closed");
        Received::read(&frame)
    }

    /// Events up to the first that fits, that one included.
    pub async fn events_until(&mut self, fits: impl Fn(&Received) -> bool) -> Vec<Received> {
        let mut received = Vec::new();
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                let event = self.event().await;
                let fits = fits(&event);
                received.push(event);
                if fits {
                    return;
                }
            }
        });
        let found = found.await.is_ok();
        assert!(found, "waited in vain for an event; received {received:#?}");
        received
    }

    /// The code that the server closes with, after any other frames; none if it just goes away.
    pub async fn close_code(&mut self) -> Option<u16> {
        within("the end of the socket", async {
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(Some(close)) = message {
                    return Some(close.code.into());
                }
            }
            None
        })
        .await
    }

    /// Sends a frame that the server may not be there to take.
    pub async fn try_send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.ok();
    }

    /// Waits until the server has closed the connection, and skips other frames.
    pub async fn closed(&mut self) {
        within("the end of the socket", async { while self.frame().await.is_some() {} }).await;
    }
}

impl Received {
    /// Reads `42/dashboard,[name, envelope]`. A breach of the contract fails the test.
    #[must_use]
    pub fn read(frame: &str) -> Self {
        let body = frame.strip_prefix(&format!("42{},", event::NAMESPACE));
        let body = body.unwrap_or_else(|| panic!("not an event: {frame}"));
        let (name, envelope): (String, Value) =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {frame}"));
        Self::from_envelope(&name, envelope)
    }

    /// Reads an envelope that arrived under that event name.
    #[must_use]
    pub fn from_envelope(name: &str, envelope: Value) -> Self {
        let event_type = EventType::from_name(name).unwrap_or_else(|| panic!("{name}?"));
        let (envelope, payload) = match event_type {
            EventType::SummaryUpdated => read(envelope, Payload::Summary),
            EventType::RecentMocAdded => read(envelope, Payload::RecentMocAdded),
            EventType::RecentMocsUpdated => read(envelope, Payload::RecentMocs),
            EventType::PartialPartsUpdated => read(envelope, Payload::PartialParts),
            EventType::ThemeBreakdownUpdated => read(envelope, Payload::Themes),
            EventType::Error => read(envelope, Payload::Error),
        };
        assert_eq!(envelope.event_type, event_type, "name and type agree");
        Self {
            event_type,
            revision: envelope.revision.get(),
            event_id: envelope.event_id.to_string(),
            payload,
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.event_type.name(), self.revision)
    }
}

fn read<T: DeserializeOwned>(
    envelope: Value,
    wrap: fn(T) -> Payload,
) -> (DashboardEvent<()>, Payload) {
    let text = envelope.to_string();
    let DashboardEvent { event_id, event_type, timestamp, revision, payload } =
        serde_json::from_value(envelope).unwrap_or_else(|error| panic!("{error}: {text}"));
    let bare = DashboardEvent { event_id, event_type, timestamp, revision, payload: () };
    (bare, wrap(payload))
}

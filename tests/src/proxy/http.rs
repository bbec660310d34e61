//! As much of HTTP/1.1 as the proxy needs: heads, and the proxy's own answers.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{End, Lane};

/// Longer heads are not read.
const LONGEST_HEAD: usize = 64 << 10;

/// An answer that the proxy gives in the server's place.
#[derive(Clone, Debug)]
pub struct Canned {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Cow<'static, str>,
    /// The body repeats the request's nonce.
    is_fresh: bool,
}

impl Canned {
    /// An answer without a body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: "".into(), is_fresh: false }
    }

    /// A refused session as the server itself tells it: 401 or 403 with its standard body, for this request.
    #[must_use]
    pub fn refusal(status: u16) -> Self {
        Self { is_fresh: true, ..Self::kept_refusal(status) }
    }

    /// The same for another request: a cache has kept it.
    #[must_use]
    pub fn kept_refusal(status: u16) -> Self {
        let body = if status == 401 {
            include_str!("../../../shared-types/goldens/error-body-unauthorized.json")
        } else {
            include_str!("../../../shared-types/goldens/error-body-forbidden.json")
        };
        Self { body: body.into(), ..Self::new(status) }.with("Content-Type", "application/json")
    }

    /// The page of a gateway or of a login, where JSON was asked for.
    #[must_use]
    pub fn html(status: u16) -> Self {
        let body = "<!doctype html><title>Not what you asked for</title><h1>Sorry</h1>";
        Self { body: body.into(), ..Self::new(status) }
            .with("Content-Type", "text/html; charset=utf-8")
    }

    /// A script.
    #[must_use]
    pub(super) fn script(text: &'static str) -> Self {
        Self { body: text.into(), ..Self::new(200) }.with("Content-Type", "text/javascript")
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Answers that request.
    pub(super) async fn answer(mut self, request: &Head, client: &mut TcpStream) -> io::Result<()> {
        if let Some(nonce) = request.query("fresh").filter(|_| self.is_fresh) {
            self.body = self.body.replacen('{', &format!("{{\"fresh\":\"{nonce}\","), 1).into();
        }
        self.write(client).await
    }

    pub(super) async fn write(&self, client: &mut TcpStream) -> io::Result<()> {
        let Self { status, headers, body, .. } = self;
        let mut text = format!("HTTP/1.1 {status} Canned\r\nConnection: close\r\n");
        for (name, value) in headers {
            text.extend([*name, ": ", value, "\r\n"]);
        }
        text.extend(["Content-Length: ", &body.len().to_string(), "\r\n\r\n", body]);
        client.write_all(text.as_bytes()).await
    }
}

/// The head of a request or of an answer, and what was read of the body with it.
#[derive(Debug)]
pub(super) struct Head {
    text: String,
    rest: Vec<u8>,
}

impl Head {
    /// None where the stream ends before, or speaks no HTTP.
    pub(super) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = bytes.split_off(at + 4);
                return Some(Self { text: String::from_utf8(bytes).ok()?, rest });
            }
            let read = stream.read_buf(&mut bytes).await.ok()?;
            if read == 0 || bytes.len() > LONGEST_HEAD {
                return None;
            }
        }
    }

    /// What is asked for: the path and the query.
    pub(super) fn target(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    /// A member of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target().split_once('?')?;
        let mut members = query.split('&').filter_map(|member| member.split_once('='));
        members.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The same for what is asked for without the query.
    pub(super) fn without_query(&self) -> Self {
        let (path, _) = self.target().split_once('?').unwrap_or((self.target(), ""));
        let text = self.text.replacen(self.target(), path, 1);
        Self { text, rest: self.rest.clone() }
    }

    /// Which of the SDK's lanes it belongs to.
    pub(super) fn lane(&self) -> Option<Lane> {
        let path = self.target();
        match path {
            _ if path.starts_with("/socket.io/") => Some(Lane::Socket),
            _ if path.starts_with("/api/") => Some(Lane::Rest),
            _ => None,
        }
    }

    /// The status of an answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.text.split(' ').nth(1)?.parse().ok()
    }

    /// As it came.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.text.as_bytes(), &self.rest].concat()
    }

    /// What came after it.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The request, as the only one of its connection.
    pub(super) fn alone(&self) -> Vec<u8> {
        let mut text = String::new();
        for line in self.text.lines().filter(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            if !["connection", "keep-alive"].contains(&name.to_ascii_lowercase().as_str()) {
                text.push_str(line);
                text.push_str("\r\n");
            }
        }
        text.push_str("Connection: close\r\n\r\n");
        [text.as_bytes(), &self.rest].concat()
    }
}

/// Asks the server, and reads all of its answer.
pub(super) async fn ask(server: SocketAddr, request: &Head) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(&request.alone()).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Carries any request and its answer.
pub(super) async fn pass(server: SocketAddr, client: &mut TcpStream, request: &Head) -> End {
    let Ok(answer) = ask(server, request).await else { return End::Reset };
    let _ = client.write_all(&answer).await;
    End::Closed
}

/// Returns when the client has gone; what it says until then goes nowhere.
pub(super) async fn until_gone(client: &mut TcpStream) {
    let mut nothing = [0; 1024];
    while client.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
}

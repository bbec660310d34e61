//! A server that does as a test says: sockets on one path, snapshots on the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The server; gone when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    sockets: mpsc::UnboundedReceiver<Socket>,
    script: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

/// How the server answers, and what it was asked.
struct Script {
    snapshot: Answer,
    /// What a WebSocket's handshake is answered with, instead of being accepted.
    refusal: Option<String>,
    requests: Vec<String>,
}

/// A snapshot's status line with headers, and its body.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The server's end of a WebSocket.
pub(crate) struct Socket {
    /// The request that opened it.
    pub(crate) request: String,
    stream: WebSocketStream<TcpStream>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, sockets) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(Script {
            snapshot: snapshot(10),
            refusal: None,
            requests: Vec::new(),
        }));
        let shared = script.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, shared.clone(), sender.clone()));
            }
        });
        Self { url, sockets, script, task }
    }

    pub(crate) fn answer_snapshots(&self, answer: Answer) {
        self.script.lock().unwrap().snapshot = answer;
    }

    pub(crate) fn refuse_sockets<T: Into<String>>(&self, head: Option<T>) {
        self.script.lock().unwrap().refusal = head.map(Into::into);
    }

    /// The heads of the requests for snapshots, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.script.lock().unwrap().requests.clone()
    }

    /// The next WebSocket that a client opens.
    pub(crate) async fn socket(&mut self) -> Socket {
        let next = tokio::time::timeout(PATIENCE, self.sockets.recv()).await;
        next.expect("a client that connects").expect("the server runs")
    }

    /// The next WebSocket, handshaken; with what the client's CONNECT packet was.
    pub(crate) async fn connected(&mut self) -> (Socket, String) {
        let mut socket = self.socket().await;
        socket.send(r#"0{"sid":"s","upgrades":[],"pingInterval":10000,"pingTimeout":5000}"#).await;
        let connect = socket.receive().await.expect("a CONNECT packet");
        (socket, connect)
    }

    /// The next WebSocket, accepted into the namespace.
    pub(crate) async fn accepted(&mut self) -> Socket {
        let (mut socket, _) = self.connected().await;
        socket.send(r#"40/dashboard,{"sid":"s","tag":"e-0"}"#).await;
        socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Socket {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// Whether the client sends a close frame, after any other frames, or just disconnects.
    pub(crate) async fn is_closed_with_a_frame(&mut self) -> bool {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.expect("a message, or the end") {
                Some(Ok(Message::Close(_))) => return true,
                Some(Err(_)) | None => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next text; none once the client has closed.
    pub(crate) async fn receive(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.expect("a message, or the end") {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

/// A snapshot whose number of MOCs is its revision.
pub(crate) fn snapshot(revision: u32) -> Answer {
    let body = json!({
        "summary": summary(revision),
        "themeBreakdown": [],
        "recentMocs": [],
        "partialPartsMocs": [],
    });
    Answer {
        head: format!("HTTP/1.1 200 OK\r\nETag: \"e-{revision}\"\r\n"),
        body: body.to_string(),
    }
}

impl Answer {
    /// A snapshot and a refusal say which request they were made for.
    fn named(self, request: &str) -> Self {
        let fresh = request.split_once("?fresh=").map(|(_, rest)| rest);
        let fresh = fresh.and_then(|rest| rest.split(['&', ' ']).next()).unwrap_or_default();
        let tag = self.head.split_once("ETag: \"").and_then(|(_, rest)| rest.split('"').next());
        match tag {
            Some(tag) if self.body.starts_with('{') => {
                let Self { head, body } = &self;
                let body = format!(r#"{{"fresh":"{fresh}","tag":"{tag}","view":{body}}}"#);
                Self { head: head.clone(), body }
            }
            _ if self.body.starts_with('{') && self.body.contains(r#""success":false"#) => {
                let body = self.body.replacen('{', &format!(r#"{{"fresh":"{fresh}","#), 1);
                Self { body, ..self }
            }
            _ => self,
        }
    }
}

/// An answer without a body.
pub(crate) fn status(line: &str) -> Answer {
    Answer { head: format!("HTTP/1.1 {line}\r\n"), body: String::new() }
}

/// 401 or 403 as the server gives it: with its standard body (D-API-7).
pub(crate) fn refusal(line: &str) -> Answer {
    let code = if line.starts_with("401") { "UNAUTHORIZED" } else { "FORBIDDEN" };
    let body = json!({
        "success": false,
        "error": { "code": code, "message": "told by the server" },
        "correlationId": "3b1f6f0e-52c7-4a77-9e4b-0d0a2f1c9b77",
        "timestamp": "2026-11-23T09:31:12.250Z",
    });
    Answer { body: body.to_string(), ..status(line) }
}

/// The frame of an event that sets the number of MOCs to its revision.
pub(crate) fn summary_event(revision: u32) -> String {
    let name = "dashboard:summaryUpdated";
    let envelope = json!({
        "eventId": "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60",
        "type": name,
        "timestamp": "2026-11-23T09:30:00Z",
        "revision": revision,
        "payload": summary(revision),
    });
    format!("42/dashboard,{}", json!([name, envelope]))
}

/// The frame by which the server says that the session's token has run out.
pub(crate) fn token_expired() -> String {
    let name = "dashboard:error";
    let envelope = json!({
        "eventId": "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a61",
        "type": name,
        "timestamp": "2026-11-23T09:30:00Z",
        "revision": 1,
        "payload": { "code": "TOKEN_EXPIRED", "message": "told by the server" },
    });
    format!("42/dashboard,{}", json!([name, envelope]))
}

fn summary(total: u32) -> serde_json::Value {
    json!({
        "totalMocs": total,
        "totalWishlistItems": 0,
        "mocsByBuildStatus": { "ADDED": total, "IN_PROGRESS": 0, "BUILT": 0 },
        "mocsByCoverageStatus": { "FULL_INVENTORY": 0, "PARTIAL_ORDERED": 0, "NONE": total },
    })
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<Script>>,
    sockets: mpsc::UnboundedSender<Socket>,
) {
    let head = peek_head(&stream).await;
    if head.is_empty() {
        // A client that gave up its request.
        return;
    }
    if head.contains("/socket.io/?") {
        let refusal = script.lock().unwrap().refusal.clone();
        if let Some(refusal) = refusal {
            let answer = format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return;
        }
        let stream = tokio_tungstenite::accept_async(stream).await.unwrap();
        // The test may be over.
        let _ = sockets.send(Socket { request: head, stream });
        return;
    }
    let mut read = vec![0; head.len()];
    stream.read_exact(&mut read).await.unwrap();
    let answer = {
        let mut script = script.lock().unwrap();
        let answer = script.snapshot.clone().named(&head);
        script.requests.push(head);
        answer
    };
    let length = answer.body.len();
    let Answer { head, body } = answer;
    let text = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // A client that gave up does not read.
    let _ = stream.write_all(text.as_bytes()).await;
}

/// The head of the request; it stays in the stream for the next reader.
async fn peek_head(stream: &TcpStream) -> String {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let length = stream.peek(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]);
        if let Some(end) = text.find("\r\n\r\n") {
            return text[..end + 4].to_owned();
        }
        if length == 0 {
            return String::new();
        }
        tokio::task::yield_now().await;
    }
}

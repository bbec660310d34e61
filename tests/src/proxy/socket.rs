//! The lane of the socket: bytes from the client, frames from the server.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::broadcast;

use super::http::{self, Head};
use super::{Counted, End, Fault, Shared};

const TEXT: u8 = 0x81;
/// What an event's message begins with.
const EVENT: &[u8] = b"42";

pub(super) async fn carry(shared: &Shared, client: &mut TcpStream, request: &Head) -> End {
    shared.traffic.send_modify(|traffic| traffic.attempts.push(Instant::now()));
    let fault = shared.socket.borrow().clone();
    match fault {
        Fault::Reset => return End::Reset,
        Fault::BlackHole => {
            http::until_gone(client).await;
            return End::Closed;
        }
        Fault::Answer(canned) => {
            let _ = canned.write(client).await;
            return End::Closed;
        }
        Fault::Pass
        | Fault::Hold
        | Fault::Late(_)
        | Fault::Cache { .. }
        | Fault::DropQueries(_) => {}
    }
    let Ok(mut server) = TcpStream::connect(shared.server).await else { return End::Reset };
    let _ = server.set_nodelay(true);
    if server.write_all(&request.bytes()).await.is_err() {
        return End::Reset;
    }
    let Some(answer) = Head::read(&mut server).await else { return End::Reset };
    if answer.status() != Some(101) {
        let _ = client.write_all(&answer.bytes()).await;
        let _ = tokio::io::copy(&mut server, client).await;
        return End::Closed;
    }
    let _counted = Counted::new(&shared.traffic, |traffic| &mut traffic.sockets);
    let messages = shared.messages.subscribe();
    let head = answer.bytes();
    let head = &head[..head.len() - answer.rest().len()];
    if client.write_all(head).await.is_err() {
        return End::Closed;
    }
    let (from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let frames = Frames { stream: from_server, bytes: answer.rest().to_vec() };
    tokio::select! {
        () = up(shared, from_client, &mut to_server) => {}
        () = down(shared, frames, messages, &mut to_client) => {}
    }
    End::Closed
}

/// From the client to the server; ends when the client has gone.
async fn up(shared: &Shared, mut from: ReadHalf<'_>, to: &mut WriteHalf<'_>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let is_swallowed = matches!(*shared.socket.borrow(), Fault::BlackHole);
        if !is_swallowed && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// From the server to the client, with the messages that a test sends in the server's name. Ends
/// when the server has gone, unless the client must not notice.
async fn down(
    shared: &Shared,
    mut frames: Frames<'_>,
    mut messages: broadcast::Receiver<Arc<[u8]>>,
    to: &mut WriteHalf<'_>,
) {
    loop {
        let bytes = tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => {
                    if *shared.keeps_events.borrow() && frame.payload().starts_with(EVENT) {
                        let text = String::from_utf8_lossy(frame.payload()).into_owned();
                        shared.traffic.send_modify(|traffic| traffic.kept.push(text));
                        continue;
                    }
                    frame.bytes
                }
                None if matches!(*shared.socket.borrow(), Fault::BlackHole) => {
                    std::future::pending().await
                }
                None => return,
            },
            message = messages.recv() => match message {
                Ok(message) => message.to_vec(),
                Err(_) => return,
            },
        };
        let fault = shared.socket.borrow().clone();
        match fault {
            Fault::BlackHole => continue,
            Fault::Late(latency) => tokio::time::sleep(latency).await,
            Fault::Pass
            | Fault::Hold
            | Fault::Reset
            | Fault::Answer(_)
            | Fault::Cache { .. }
            | Fault::DropQueries(_) => {}
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// The server's frames: unmasked, and never in fragments.
struct Frames<'a> {
    stream: ReadHalf<'a>,
    bytes: Vec<u8>,
}

struct Frame {
    bytes: Vec<u8>,
    head: usize,
}

impl Frames<'_> {
    /// The next frame; none when the server has gone. May be dropped while it waits.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, length)) = measure(&self.bytes)
                && self.bytes.len() >= head + length
            {
                let rest = self.bytes.split_off(head + length);
                return Some(Frame { bytes: std::mem::replace(&mut self.bytes, rest), head });
            }
            if self.stream.read_buf(&mut self.bytes).await.ok()? == 0 {
                return None;
            }
        }
    }
}

impl Frame {
    fn payload(&self) -> &[u8] {
        &self.bytes[self.head..]
    }
}

/// The lengths of a frame's head and payload, if enough of it is there to tell.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = |from: &[u8]| from.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    match bytes.get(1)? & 0x7f {
        126 => Some((4, length(bytes.get(2..4)?))),
        127 => Some((10, length(bytes.get(2..10)?))),
        short => Some((2, short.into())),
    }
}

/// A text frame as a server sends it.
pub(super) fn frame(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut bytes = vec![TEXT];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => bytes.push(short),
        (_, Ok(middle)) => {
            bytes.push(126);
            bytes.extend(middle.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}

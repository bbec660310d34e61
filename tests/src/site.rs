//! An origin of its own: an application that is served elsewhere, whose pages use the server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

const PAGE: &str = "<!doctype html><title>Another origin</title>";

/// Serves an empty page, whatever is asked for, until it is dropped.
#[derive(Debug)]
pub struct Site {
    origin: String,
    serving: AbortHandle,
}

impl Site {
    /// A site at a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Self { origin: format!("http://{address}"), serving: serving.abort_handle() }
    }

    /// As browsers write it; also the address of its page.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // A browser that opens a connection and asks for nothing.
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let length = PAGE.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{PAGE}"
    );
    stream.write_all(answer.as_bytes()).await.ok();
}

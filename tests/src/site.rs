//! A web server of files, beside the product: an application that is served elsewhere, whose pages use
//! the server, or pages that use no server at all.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

const PAGE: &str = "<!doctype html><title>Another origin</title>";

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Site {
    origin: String,
    serving: AbortHandle,
}

/// What a site has.
enum Content {
    /// An empty page, for every request.
    Page,
    /// The files of a folder.
    Folder(PathBuf),
}

impl Site {
    /// A site with an empty page, at a free port.
    pub async fn start() -> Self {
        Self::serve(Content::Page).await
    }

    /// A site with the files of that folder.
    pub async fn of(folder: impl Into<PathBuf>) -> Self {
        Self::serve(Content::Folder(folder.into())).await
    }

    async fn serve(content: Content) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let content = Arc::new(content);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&content)));
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

async fn answer(mut stream: TcpStream, content: Arc<Content>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // A browser that opens a connection and asks for nothing.
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let (status, kind, body) = match &*content {
        Content::Page => ("200 OK", "text/html", PAGE.into()),
        Content::Folder(folder) => file(folder, &String::from_utf8_lossy(&head)),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: max-age=3600\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if stream.write_all(&[head.into_bytes(), body].concat()).await.is_ok() {
        // Closed at once, the end of a long answer may not arrive.
        stream.shutdown().await.ok();
        while stream.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {}
    }
}

/// The file that a request asks for.
fn file(folder: &Path, head: &str) -> (&'static str, &'static str, Vec<u8>) {
    let address = head.split(' ').nth(1).unwrap_or_default();
    let path = Path::new(address.split('?').next().unwrap_or_default().trim_start_matches('/'));
    let is_within = path.components().all(|part| matches!(part, Component::Normal(_)));
    let found = is_within.then(|| std::fs::read(folder.join(path)));
    let Some(Ok(body)) = found else { return ("404 Not Found", "text/plain", Vec::new()) };
    let kind = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    };
    ("200 OK", kind, body)
}

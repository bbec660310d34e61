//! What the program says of connections: proxies and headers.

use std::sync::{Arc, Mutex};

use client_sdk::{Code, DashboardClient, Options, StartError, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::life::{options, until, until_status};
use crate::server::Server;
use crate::tls::{Authority, Terminator};

/// Where the program believes the server to be. Only the proxy knows where that is.
const URL: &str = "https://dashboard.test";
/// The environment variable that carries a child process's instructions.
const CHILDS_AUTHORITY: &str = "CLIENT_SDK_TEST_AUTHORITY";
const CHILDS_SERVER: &str = "CLIENT_SDK_TEST_SERVER";

/// A proxy that leads all tunnels to one port of this machine; gone when dropped.
pub(crate) struct Proxy {
    pub(crate) address: String,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Lets only those pass whose heads hold that text.
    pub(crate) async fn start(port: u16, password: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = heads.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(tunnel(stream, port, password, noted.clone()));
            }
        });
        Self { address, heads, task }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(
    mut stream: TcpStream,
    port: u16,
    password: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let passes = head.contains(password);
    heads.lock().unwrap().push(head);
    let status = if passes { "200 OK" } else { "407 Proxy Authentication Required" };
    let answer = format!("HTTP/1.1 {status}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    if passes {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // Either side may leave without a word.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
    }
}

fn tunnels(proxy: &Proxy) -> usize {
    let heads = proxy.heads();
    let is_tunnel = |head: &&String| head.starts_with("CONNECT dashboard.test:443 HTTP/1.1\r\n");
    let tunnels = heads.iter().filter(is_tunnel).count();
    assert_eq!(tunnels, heads.len(), "{heads:?}");
    assert!(heads.iter().all(|head| !head.contains("secret-token")), "{heads:?}");
    tunnels
}

#[tokio::test]
async fn one_proxy_is_for_the_socket_and_for_snapshots() {
    let authority = Authority::new();
    let mut server = Server::start().await;
    let front = Terminator::start(&server, &authority.issue("dashboard.test"), None).await;
    // "user:pass word", as RFC 7617 has it.
    let proxy = Proxy::start(front.port, "Basic dXNlcjpwYXNzIHdvcmQ=").await;
    let options = |password: &str| {
        Options::new(URL)
            .token(|| async { "secret-token" })
            .root_certificates(authority.pem())
            .proxy(format!("http://user:{password}@{}", proxy.address))
    };
    let client = DashboardClient::start(options("pass%20word")).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
    assert_eq!(tunnels(&proxy), 2, "the socket's and the snapshot's");
    drop(client);

    let client = DashboardClient::start(options("wrong")).unwrap();
    let state = until_status(&client, Status::Backoff).await;
    let reason = state.freshness.reason.clone().unwrap();
    assert_eq!(reason.code, Code::SocketFailed);
    assert!(reason.message.contains("proxy authorization required"), "{reason:?}");
    assert!(!format!("{:?}", client.diagnostics()).contains("wrong"));
}

/// The environment belongs to a process, so the client gets its own process.
#[tokio::test]
async fn the_environments_proxy_is_for_both_too_and_not_for_this_machine() {
    if let Ok(authority) = std::env::var(CHILDS_AUTHORITY) {
        let options = Options::new(URL).token(|| async { "secret-token" });
        let client = DashboardClient::start(options.root_certificates(authority)).unwrap();
        until_status(&client, Status::Live).await;
        let here = Options::new(std::env::var(CHILDS_SERVER).unwrap());
        let client = DashboardClient::start(here.token(|| async { "secret-token" })).unwrap();
        until_status(&client, Status::Live).await;
        return;
    }
    let authority = Authority::new();
    let mut server = Server::start().await;
    let front = Terminator::start(&server, &authority.issue("dashboard.test"), None).await;
    let proxy = Proxy::start(front.port, "").await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "connection::the_environments_proxy_is_for_both_too_and_not_for_this_machine",
    ]);
    child.env(CHILDS_AUTHORITY, authority.pem());
    child.env(CHILDS_SERVER, &server.url);
    for other in ["https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        child.env_remove(other);
    }
    for name in ["HTTPS_PROXY", "http_proxy"] {
        child.env(name, format!("http://{}", proxy.address));
    }
    let child = tokio::task::spawn_blocking(move || child.output().unwrap());
    let _sockets = (server.accepted().await, server.accepted().await);
    let output = child.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tunnels(&proxy), 2, "the socket's and the snapshot's");
}

#[tokio::test]
async fn a_server_on_this_machine_is_reached_without_a_proxy() {
    let mut server = Server::start().await;
    // Where nothing answers.
    let client = DashboardClient::start(options(&server).proxy("http://127.0.0.1:1")).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, Status::Live).await;
}

#[tokio::test]
async fn a_proxy_that_cannot_be_is_refused_and_its_password_not_told() {
    let refused =
        |url: &str, proxy: &str| match DashboardClient::start(Options::new(url).proxy(proxy)) {
            Err(StartError::Option(error)) => error.to_string(),
            other => panic!("not refused: {proxy}: {other:?}"),
        };
    for proxy in ["", "proxy:3128", "socks5://user:hidden@127.0.0.1", "http://", "file:///hidden"] {
        assert_eq!(refused(URL, proxy), "proxy must be an http:// or https:// URL");
    }
    let told = refused("http://dashboard.test", "http://user:hidden@127.0.0.1:1");
    assert!(told.starts_with("proxy cannot be used where the server's url begins with http://"));
}

#[tokio::test]
async fn headers_go_with_the_socket_and_with_snapshots() {
    let mut server = Server::start().await;
    let options = options(&server).header("X-Tenant", "blue").header("Cookie", "a=1");
    assert!(!format!("{options:?}").contains("a=1"));
    let client = DashboardClient::start(options).unwrap();
    let (mut socket, _) = server.connected().await;
    socket.send(r#"40/dashboard,{"sid":"s","tag":"e-0"}"#).await;
    until(&client, |state| state.view.is_some()).await;
    for request in [socket.request.clone(), server.requests().remove(0)] {
        let request = request.to_lowercase();
        assert!(request.contains("x-tenant: blue\r\n"), "{request}");
        assert!(request.contains("cookie: a=1\r\n"), "{request}");
    }
}

#[tokio::test]
async fn headers_of_the_clients_own_or_of_no_form_are_refused() {
    let refused = |name: &str, value: &str| match DashboardClient::start(
        Options::new(URL).header(name, value),
    ) {
        Err(StartError::Option(error)) => error.to_string(),
        other => panic!("not refused: {name}: {other:?}"),
    };
    for name in ["Authorization", "host", "Connection", "Sec-WebSocket-Key", "If-None-Match"] {
        assert_eq!(refused(name, "x"), "header must not be one that the client sets itself");
    }
    assert_eq!(refused("a b", "hidden"), "header must have a valid name");
    assert_eq!(refused("x-a", "hidden\n"), "header must have a valid value");
}

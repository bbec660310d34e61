//! Failures of the network by their kinds, as programs see them in the state.

use std::time::Duration;

use client_sdk::{Code, DashboardClient, Fault, Options};
use tokio::net::TcpListener;

use crate::connection::Proxy;
use crate::life::{options, until};
use crate::server::{Server, status};
use crate::tls::{self, Authority, Terminator};

/// The first failure of that code, by its kind.
async fn fault(options: Options, code: Code) -> Option<Fault> {
    let client = DashboardClient::start(options).unwrap();
    let reason = |state: &client_sdk::DashboardState| state.freshness.reason.clone();
    let state =
        until(&client, |state| reason(state).is_some_and(|reason| reason.code == code)).await;
    reason(&state).and_then(|reason| reason.fault)
}

/// A port where nothing listens.
async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn certificates() {
    let authority = Authority::new();
    let server = Server::start().await;
    let cases = [
        ("of a stranger", Authority::new().issue("127.0.0.1"), Fault::Certificate),
        ("run out", authority.issue_until("127.0.0.1", 2001), Fault::Certificate),
        ("for another name", authority.issue("elsewhere.test"), Fault::CertificateName),
    ];
    for (what, issued, expected) in cases {
        let front = Terminator::start(&server, &issued, None).await;
        let options = tls::options(&front).root_certificates(authority.pem());
        assert_eq!(fault(options, Code::SocketFailed).await, Some(expected), "{what}");
    }
    let issued = authority.issue("127.0.0.1");
    let front = Terminator::start(&server, &issued, Some(&authority)).await;
    let options = tls::options(&front).root_certificates(authority.pem());
    let told = fault(options, Code::SocketFailed).await;
    assert_eq!(told, Some(Fault::ClientCertificate));
}

#[tokio::test]
async fn wrong_paths() {
    let server = Server::start().await;
    server.refuse_sockets(Some("404 Not Found"));
    assert_eq!(fault(options(&server), Code::SocketFailed).await, Some(Fault::NotFound));

    let mut server = Server::start().await;
    server.answer_snapshots(status("404 Not Found"));
    let (told, _socket) =
        tokio::join!(fault(options(&server), Code::SnapshotFailed), server.accepted());
    assert_eq!(told, Some(Fault::NotFound));
}

#[tokio::test]
async fn addresses() {
    let closed = Options::new(format!("http://{}", nowhere().await));
    assert_eq!(fault(closed, Code::SocketFailed).await, Some(Fault::ConnectionRefused));
    // No label has 64 letters, so no server is asked for it.
    let unknown = Options::new(format!("http://{}.test", "a".repeat(64)));
    assert_eq!(fault(unknown, Code::SocketFailed).await, Some(Fault::HostNotFound));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let options = Options::new(url).connect_timeout(Duration::from_millis(50));
    assert_eq!(fault(options, Code::SocketFailed).await, Some(Fault::Timeout));
}

#[tokio::test]
async fn proxies() {
    let through = |proxy| Options::new("https://dashboard.test").proxy(proxy);
    let proxy = Proxy::start(1, "a password").await;
    let refusing = through(format!("http://{}", proxy.address));
    assert_eq!(fault(refusing, Code::SocketFailed).await, Some(Fault::Proxy));
    let closed = through(format!("http://{}", nowhere().await));
    assert_eq!(fault(closed, Code::SocketFailed).await, Some(Fault::Proxy));
}

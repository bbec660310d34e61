//! The messages about a wrong setting, by which a person finds it.

use std::error::Error;

use client_sdk::{Code, DashboardClient, Fault, Options, Reason, StartError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::life::{options, until, until_status};
use crate::server::Server;
use crate::tls::{Authority, Issued, Terminator};

fn refused(options: Options) -> StartError {
    match DashboardClient::start(options) {
        Err(error) => error,
        Ok(_) => panic!("not refused"),
    }
}

/// The first reason of that code.
async fn reason(options: Options, code: Code) -> Reason {
    let client = DashboardClient::start(options).unwrap();
    let is_it = |reason: &Reason| reason.code == code;
    let state = until(&client, |state| state.freshness.reason.as_ref().is_some_and(is_it)).await;
    state.freshness.reason.clone().unwrap()
}

/// The address of a listener that answers every request with that line.
async fn answering(line: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Who asked may be gone.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(format!("{line}\r\n\r\n").as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn an_option_of_tls_that_cannot_be_used_is_named_once() {
    let Issued { certificate, .. } = Authority::new().issue("a program");
    let Issued { key, .. } = Authority::new().issue("another program");
    let https = || Options::new("https://127.0.0.1:1");
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (
            https().root_certificates(damaged),
            "root_certificates must hold certificates that can be read",
        ),
        (
            https().identity(format!("{certificate}{key}")),
            "identity must hold the private key of its first certificate",
        ),
        (
            https().identity(format!("{damaged}{key}")),
            "identity must hold a certificate and a private key that can be used",
        ),
    ];
    for (options, expected) in cases {
        let error = refused(options);
        assert_eq!(error.to_string(), expected);
        let cause = error.source().map(ToString::to_string);
        assert!(cause.is_none(), "told twice: {cause:?}");
    }
}

#[test]
fn an_error_of_a_library_is_reported_once() {
    let error = StartError::from(rustls::Error::General("told once".to_owned()));
    assert_eq!(error.to_string(), "TLS cannot be set up: unexpected error: told once");
    assert!(error.source().is_none());
}

#[tokio::test]
async fn a_base_path_that_is_a_url_is_called_one() {
    for base_path in ["http://example.org/api", "https://hidden@example.org"] {
        let error = refused(Options::new("https://example.org").base_path(base_path));
        assert_eq!(error.to_string(), "base_path must be a path such as /api, and not a URL");
    }
}

#[tokio::test]
async fn a_proxy_for_a_server_without_tls_is_refused_for_the_servers_url() {
    let error = refused(Options::new("http://dashboard.test").proxy("http://127.0.0.1:1"));
    let expected = "proxy cannot be used where the server's url begins with http://: the proxy \
                    could read the token";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_proxy_that_is_not_used_is_reported() {
    let mut server = Server::start().await;
    let client = DashboardClient::start(options(&server).proxy("http://hidden:1")).unwrap();
    let _socket = server.accepted().await;
    until_status(&client, client_sdk::Status::Live).await;
    let told = client.diagnostics();
    let found = told.iter().any(|entry| {
        entry.message == "the option proxy is not used: the server is on this machine"
    });
    assert!(found && !format!("{told:?}").contains("hidden"), "{told:?}");
}

/// The environment variable that carries a child process's instructions: the environment belongs to
/// a process.
const CHILD: &str = "CLIENT_SDK_TEST_BAD_PROXY";

#[tokio::test]
async fn an_invalid_proxy_of_the_environment_is_reported() {
    if std::env::var(CHILD).is_ok() {
        let client = DashboardClient::start(Options::new("https://dashboard.test")).unwrap();
        until(&client, |state| state.freshness.reason.is_some()).await;
        println!("{:?}", client.diagnostics());
        return;
    }
    for value in [":::hidden", "ftp://hidden", "hidden bad"] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "messages::an_invalid_proxy_of_the_environment_is_reported";
        child.args(["--exact", name, "--nocapture"]);
        for other in ["https_proxy", "ALL_PROXY", "all_proxy"] {
            child.env_remove(other);
        }
        child.env(CHILD, "").env("HTTPS_PROXY", value);
        let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let expected = "HTTPS_PROXY is not used: it is not the URL of a proxy by http or https";
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("hidden"), "{told}");
    }
}

#[tokio::test]
async fn a_url_of_the_other_scheme_is_a_separate_fault() {
    let plain = answering("HTTP/1.1 400 Bad Request").await;
    let told = reason(Options::new(format!("https://{plain}")), Code::SocketFailed).await;
    assert_eq!(told.fault, Some(Fault::Scheme), "{told}");
    let expected = "what answers does not speak what the URL's scheme says, https or http";
    assert!(told.message.ends_with(expected), "{told}");

    let server = Server::start().await;
    let authority = Authority::new();
    let front = Terminator::start(&server, &authority.issue("127.0.0.1"), None).await;
    let plain_at_tls = Options::new(front.url.replace("https://", "http://"));
    let told = reason(plain_at_tls, Code::SocketFailed).await;
    assert_eq!(told.fault, Some(Fault::Scheme), "{told}");
}

#[tokio::test]
async fn a_proxy_that_reaches_no_server_says_more_than_unsuccessful() {
    let proxy = format!("http://{}", answering("HTTP/1.1 502 Bad Gateway").await);
    let through = Options::new("https://dashboard.test").proxy(proxy);
    let told = reason(through, Code::SocketFailed).await;
    assert_eq!(told.fault, Some(Fault::Proxy));
    let expected = "the proxy answered that it made no connection to the server";
    assert!(told.message.contains(expected), "{told}");
}

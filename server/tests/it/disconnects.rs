//! Tests how sockets end, over real connections: what a client reads to the very end.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{PATIENCE, TestDb, config, start, with_database};

/// With TLS, an attacker may have made an end that is not announced.
#[tokio::test]
async fn a_client_gets_the_reason_of_the_end_and_then_the_end() {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
    for is_tls in [false, true] {
        with_database(|db: TestDb| async move {
            let mut config = config(&db.url);
            config.tls_cert = is_tls.then(|| format!("{keys}/tls-cert.pem").into());
            config.tls_key = is_tls.then(|| format!("{keys}/tls-key.pem").into());
            let (server, test) = start(config).await;
            let away = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
            for (sent, code) in [
                (Message::Close(Some(away)), CloseCode::Away),
                (Message::text("41/dashboard,"), CloseCode::Normal),
                (Message::text("hello"), CloseCode::Protocol),
                (Message::binary(vec![1]), CloseCode::Unsupported),
            ] {
                let mut client = test.connect("ada").await;
                client.stream.send(sent.clone()).await.unwrap();
                let farewell = timeout(PATIENCE, client.stream.next()).await.expect("a farewell");
                let Some(Ok(Message::Close(Some(farewell)))) = farewell else {
                    panic!("{sent}: {farewell:?}");
                };
                assert_eq!(farewell.code, code, "{sent}");
                let end = timeout(PATIENCE, client.stream.next()).await.expect("an end");
                assert!(end.is_none(), "{sent}: {end:?}");
            }
            server.shutdown().await;
        })
        .await;
    }
}

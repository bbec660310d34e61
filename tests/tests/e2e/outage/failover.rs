//! A standby takes over: what clients have seen may not be there any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use client_sdk::state::Status;
use e2e_tests::{OwnCluster, Process, pause, within, writer};
use sqlx::{Connection, PgConnection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{USER, open_screen};

#[tokio::test]
async fn after_a_failover_that_lost_commits_every_view_is_that_of_the_new_primary() {
    let cluster = OwnCluster::start().await;
    let mut primary = cluster.connect().await;
    let (address, target) = relay(port(&cluster.url())).await;
    let url = cluster.url().replace(&port(&cluster.url()).to_string(), &address.to_string());
    let server = Process::start(&url, &[]).await;
    let standby = cluster.standby(&[]).await;
    let screen = open_screen(&server);
    let until_wishes = async |wishes: u32| {
        let what = format!("live with {wishes} wishes");
        screen
            .until(&what, |state| {
                let view = state.view.as_ref();
                state.status == Status::Live
                    && view.is_some_and(|view| view.summary.total_wishlist_items == wishes)
            })
            .await
    };
    writer::add_wish(&mut primary, USER, "kept").await;
    until_wishes(1).await;

    // The standby has this, as it is read, and gets nothing more.
    let mut follower = standby.connect().await;
    within("the standby", async {
        let wishes = "select count(*) from dashboard.wishlist_items";
        while sqlx::query_scalar::<_, i64>(wishes).fetch_one(&mut follower).await.unwrap() < 1 {
            pause().await;
        }
    })
    .await;
    for statement in ["alter system set primary_conninfo = ''", "select pg_reload_conf()"] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut follower).await.unwrap();
    }
    within("the end of replication", async {
        let receivers = "select count(*) from pg_stat_wal_receiver";
        while sqlx::query_scalar::<_, i64>(receivers).fetch_one(&mut follower).await.unwrap() > 0 {
            pause().await;
        }
    })
    .await;
    for number in 0..5 {
        writer::add_wish(&mut primary, USER, &format!("lost {number}")).await;
    }
    until_wishes(6).await;

    cluster.kill();
    // Before it is promoted it answers, but cannot be followed.
    target.store(standby.port(), Ordering::SeqCst);
    server.until_logged("is a standby").await;
    screen.until("not live", |state| state.status != Status::Live).await;
    standby.promote().await;
    // Back to one, although the client had seen a higher revision.
    until_wishes(1).await;
    writer::add_wish(&mut standby.connect().await, USER, "new").await;
    until_wishes(2).await;
    let closed = server.count("dashboard_disconnects_total{reason=\"epoch_changed\"}").await;
    assert_eq!(closed, 1, "another life of the change log begins with another snapshot");
    println!(
        "failover: 5 of 6 commits lost with the primary; the view went back to 1, then on to 2"
    );
    drop(PgConnection::connect(standby.url()).await.unwrap().close().await);
}

fn port(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.parse().unwrap()
}

/// What stands before a primary and its standby where there are such: one address, moved when the
/// standby takes over. Returns its port, and where it leads.
async fn relay(port: u16) -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let target = Arc::new(AtomicU16::new(port));
    let leads = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = leads.load(Ordering::SeqCst);
            tokio::spawn(async move {
                // A database that is down shows as a connection that ends.
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                    copy_bidirectional(&mut client, &mut server).await.ok();
                }
            });
        }
    });
    (own, target)
}

//! The lane of the snapshot's requests.

use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::http::{self, Head};
use super::{Counted, End, Fault, Request, Shared};

pub(super) async fn carry(shared: &Shared, client: &mut TcpStream, request: &Head) -> End {
    let mut number = 0;
    shared.traffic.send_modify(|traffic| {
        number = traffic.requests.len();
        let if_none_match = request.header("if-none-match").map(str::to_owned);
        traffic.requests.push(Request { at: Instant::now(), if_none_match, status: None });
    });
    let counted = Counted::new(&shared.traffic, |traffic| &mut traffic.in_flight);
    let mut faults = shared.rest.subscribe();
    let fault = faults.borrow_and_update().clone();
    let answer = match fault {
        Fault::Reset => return End::Reset,
        Fault::BlackHole => {
            http::until_gone(client).await;
            return End::Closed;
        }
        Fault::Answer(canned) => {
            note(shared, number, Some(canned.status()));
            // The client may ask again as soon as it has read this.
            drop(counted);
            let _ = canned.write(client).await;
            return End::Closed;
        }
        Fault::Pass | Fault::Hold | Fault::Late(_) => http::ask(shared.server, request).await,
    };
    let Ok(answer) = answer else { return End::Reset };
    let status = answer.split(|byte| *byte == b' ').nth(1);
    let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    note(shared, number, status);
    match fault {
        Fault::Hold => tokio::select! {
            _ = faults.wait_for(|fault| !matches!(fault, Fault::Hold)) => {}
            () = http::until_gone(client) => return End::Closed,
        },
        Fault::Late(latency) => tokio::select! {
            () = tokio::time::sleep(latency) => {}
            () = http::until_gone(client) => return End::Closed,
        },
        _ => {}
    }
    drop(counted);
    let _ = client.write_all(&answer).await;
    End::Closed
}

fn note(shared: &Shared, number: usize, status: Option<u16>) {
    shared.traffic.send_modify(|traffic| {
        // It may have been forgotten meanwhile.
        if let Some(request) = traffic.requests.get_mut(number) {
            request.status = status;
        }
    });
}

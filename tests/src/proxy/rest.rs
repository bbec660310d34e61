//! The lane of the snapshot's requests.

use std::io;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::http::{self, Head};
use super::{Counted, End, Fault, Request, Shared, Tags};

pub(super) async fn carry(shared: &Shared, client: &mut TcpStream, request: &Head) -> End {
    let mut number = 0;
    shared.traffic.send_modify(|traffic| {
        number = traffic.requests.len();
        let have = request.query("have").map(str::to_owned);
        traffic.requests.push(Request { at: Instant::now(), have, status: None, unchanged: false });
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
            let _ = canned.answer(request, client).await;
            return End::Closed;
        }
        Fault::Cache { by_query } => cached(shared, request, by_query).await,
        Fault::DropQueries(tags) => {
            let answer = http::ask(shared.server, &request.without_query()).await;
            answer.map(|answer| rewritten(&answer, tags))
        }
        Fault::Pass | Fault::Hold | Fault::Late(_) => http::ask(shared.server, request).await,
    };
    let Ok(answer) = answer else { return End::Reset };
    let status = answer.split(|byte| *byte == b' ').nth(1);
    let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    note(shared, number, status);
    if answer.ends_with(b",\"view\":null}") {
        shared.traffic.send_modify(|traffic| {
            if let Some(request) = traffic.requests.get_mut(number) {
                request.unchanged = true;
            }
        });
    }
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

/// What was answered to that address before, else the server's answer, which is kept.
async fn cached(shared: &Shared, request: &Head, by_query: bool) -> io::Result<Vec<u8>> {
    let target = request.target();
    let address = if by_query { target } else { target.split('?').next().unwrap_or_default() };
    let kept = shared.cached.lock().expect("no test panics there").get(address).cloned();
    if let Some(answer) = kept {
        return Ok(answer);
    }
    let answer = http::ask(shared.server, request).await?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        let mut cached = shared.cached.lock().expect("no test panics there");
        cached.insert(address.to_owned(), answer.clone());
    }
    Ok(answer)
}

/// The answer, with another tag.
fn rewritten(answer: &[u8], tags: Tags) -> Vec<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let (head, rest) = answer.split_at(end);
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n").filter_map(|line| match line.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case("etag") => match tags {
            Tags::Compressed => {
                Some(format!("{name}: \"{}-gzip\"", value.trim().trim_matches('"')))
            }
            Tags::Dropped => None,
        },
        _ => Some(line.to_owned()),
    });
    [lines.collect::<Vec<_>>().join("\r\n").as_bytes(), rest].concat()
}

fn note(shared: &Shared, number: usize, status: Option<u16>) {
    shared.traffic.send_modify(|traffic| {
        // It may have been forgotten in that time.
        if let Some(request) = traffic.requests.get_mut(number) {
            request.status = status;
        }
    });
}

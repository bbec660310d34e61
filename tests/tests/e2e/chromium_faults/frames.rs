//! Messages that come twice, in the wrong order, in part, or that no server would send.

use std::time::Duration;

use super::stage::Stage;
use crate::faults::frames::absurdities;

#[tokio::test]
async fn messages_twice_out_of_order_and_absurd_do_no_harm() {
    let stage = Stage::live().await;

    let events = stage.kept_events().await;
    for event in events.iter().chain(&events) {
        stage.proxy.say(event);
        stage.proxy.say(event);
    }
    stage.converge().await;

    // Reversed, so that additions are overtaken; soon the view is compared with the server's.
    for event in stage.kept_events().await.iter().rev() {
        stage.proxy.say(event);
    }
    stage.freeze().await;
    stage.pass(Duration::from_secs(9)).await;
    stage.thaw().await;
    stage.converge().await;

    for text in absurdities() {
        stage.proxy.say(&text);
    }
    stage.proxy.say_raw(vec![0x82, 3, 1, 2, 3]);
    stage.add("After the nonsense").await;
    stage.converge().await;

    let told = stage.told().await;
    assert!(told.iter().all(|line| line == "live live -"), "{told:#?}");
    assert_eq!(stage.seen().await, ["connected cards"]);
    assert_eq!(stage.proxy.traffic().attempts.len(), 1);
    stage.assert_one_of_each().await;
}

#[tokio::test]
async fn messages_cut_short_or_of_no_protocol_are_a_lost_connection() {
    let stage = Stage::live().await;
    let events = stage.kept_events().await;
    let whole = events[0].as_bytes();
    let length = u16::try_from(whole.len()).unwrap().to_be_bytes();
    let head = [0x81, 126, length[0], length[1]];
    stage.proxy.say_raw([&head, &whole[..whole.len() / 2]].concat());
    stage.cut();
    stage.until_told("backoff stale SOCKET_CLOSED").await;
    stage.converge().await;
    stage.assert_told_a_loss("SOCKET_CLOSED").await;

    // A reserved bit; a masked frame, which only clients send; text that is not UTF-8.
    for bytes in [vec![0xf3, 0], vec![0x81, 0x81, 1, 2, 3, 4, 5], vec![0x81, 2, 0xc3, 0x28]] {
        stage.begin().await;
        stage.proxy.say_raw(bytes);
        stage.until_told("backoff stale SOCKET_CLOSED").await;
        stage.add("Afterwards").await;
        stage.call("refresh").await;
        stage.converge().await;
        stage.assert_told_a_loss("SOCKET_CLOSED").await;
    }
    stage.assert_one_of_each().await;
}

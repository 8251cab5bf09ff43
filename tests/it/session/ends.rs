//! How a conversation ends, and that nothing is left of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_user_who_leaves_in_the_middle_of_a_reply_ends_everything() {
    let call = Setup {
        greeting: "Hello, this is a rather long greeting to hear.",
        ..Setup::default()
    }
    .start()
    .await;
    call.user.be_silent(ms(1000)).await;
    let mut shown = call.hang_up().await;
    assert_eq!(shown.pop().unwrap(), "listening");
    assert_eq!(shown.pop().unwrap(), "agent end");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_session_at_once() {
    let call = Setup {
        greeting: "Hello, this is a rather long greeting to hear.",
        ..Setup::default()
    }
    .start()
    .await;
    call.user.be_silent(ms(300)).await;
    call.shutdown.cancel();
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::Shutdown), "{end:?}");
    nothing_is_left_running().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_vanishes_ends_the_session() {
    let call = Setup::default().start().await;
    drop(call.user);
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::RoomClosed), "{end:?}");
    nothing_is_left_running().await;
}

//! What is heard when a service fails.

use voxpool::error::ErrorKind;
use voxpool::excess::Panicked;
use voxpool::pool::{self, ConnectionPool};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_transcription_is_apologised_for_and_the_call_goes_on() {
    let mut call = Setup {
        stt_failures: vec![ErrorKind::Timeout],
        ..Setup::default()
    }
    .start()
    .await;
    call.say("hello", ms(6000)).await;
    let apology = call.turn().await;
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    call.say("hello again", ms(3000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hello again");
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_cut_off_in_the_middle_is_heard_that_far_and_apologised_for() {
    let mut call = Setup::default()
        .answer(
            "tell me",
            Answer::BreaksOffAfter("It is true. And now for the"),
        )
        .start()
        .await;
    call.say("tell me", ms(8000)).await;
    let broken = call.turn().await;
    assert!(matches!(broken.outcome, ReplyOutcome::Failed(_)));
    assert_eq!(broken.heard.expose(), "It is true.");
    let apology = call.turn().await;
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    call.say("hello", ms(3000)).await;
    call.turn().await;
    let context = call.last_context();
    assert_eq!(context[..2], ["user: tell me", "agent: It is true. |"]);
    assert!(context[2].starts_with("agent: I'm sorry"));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_takes_twenty_seconds_is_apologised_for_once_and_leaves_nothing() {
    let pool = ConnectionPool::new(pool::Config::default()).unwrap();
    let stalls = Answer::Stalls(pool.clone(), ms(20_000));
    let mut call = Setup::default().answer("hello", stalls).start().await;
    // 10 s of waiting, and the time that the apology takes to be said.
    call.say("hello", ms(16_000)).await;
    let mut by_now = || call.turns.try_recv().expect("nobody waits for longer");
    let (broken, apology) = (by_now(), by_now());
    assert!(matches!(broken.outcome, ReplyOutcome::Failed(_)));
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    let seen = pool.stats().await.services.remove(0);
    assert_eq!((seen.retries, seen.errors["timeout"]), (0, 1));
    call.say("are you there", ms(3000)).await;
    let answered = call.turn().await;
    assert_eq!(answered.heard.expose(), "I see.");
    let seen = pool.stats().await;
    assert_eq!((seen.permits.in_use, seen.services[0].in_flight), (0, 0));
    let shown = call.hang_up().await;
    let apologies = shown.iter().filter(|it| it.contains("sorry"));
    assert_eq!(apologies.count(), 1, "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn three_failures_of_the_model_in_a_row_end_the_session_with_a_farewell() {
    let mut call = Setup::default()
        .answer("hello", Answer::Fails(ErrorKind::Unauthorized))
        .start()
        .await;
    for n_failures in 1..=3 {
        call.user.say("hello", ms(400)).await;
        assert!(matches!(call.turn().await.outcome, ReplyOutcome::Failed(_)));
        let apology = call.turn().await;
        let is_farewell = apology.heard.expose().ends_with("Goodbye.");
        assert_eq!(is_farewell, n_failures == 3, "{n_failures}");
    }
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::Failed(_)), "{end:?}");
    nothing_is_left_running().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_voice_the_user_hears_a_sound_and_after_three_failures_the_session_ends() {
    let mut call = Setup::default().start().await;
    *call.tts.is_broken.lock().unwrap() = true;
    for _ in 0..2 {
        call.say("hello", ms(2500)).await;
        assert!(matches!(call.turn().await.outcome, ReplyOutcome::Failed(_)));
        let earcon = call.turn().await;
        assert!(matches!(earcon.outcome, ReplyOutcome::Finished));
        assert_eq!(earcon.heard.expose(), "");
    }
    assert_eq!(*call.output.n_samples.lock().unwrap(), 2 * 9600);
    call.user.say("hello", ms(400)).await;
    // The session may end before the silence does.
    let silence = call.user.be_silent(ms(1300));
    tokio::select! {
        () = silence => {}
        _ = call.turns.recv() => {}
    }
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::Failed(_)), "{end:?}");
    nothing_is_left_running().await;
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_the_model_is_apologised_for_and_the_call_goes_on() {
    let before = Panicked::counted();
    let mut call = Setup::default()
        .answer("hello", Answer::Panics("It is true. And now for the"))
        .start()
        .await;
    call.say("hello", ms(8000)).await;
    let broken = call.turn().await;
    let ReplyOutcome::Failed(error) = &broken.outcome else {
        panic!("{:?}", broken.outcome);
    };
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(!format!("{error:?}").contains("4711"), "{error:?}");
    assert_eq!(
        broken.heard.expose(),
        "It is true.",
        "what came before it is heard"
    );
    assert!(call.turn().await.heard.expose().starts_with("I'm sorry"));
    assert!(Panicked::counted() > before);
    call.say("are you there", ms(3000)).await;
    assert_eq!(call.turn().await.heard.expose(), "I see.");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_the_voice_is_heard_as_a_sound_and_the_call_goes_on() {
    let before = Panicked::counted();
    let mut call = Setup::default().start().await;
    *call.tts.is_panicking.lock().unwrap() = true;
    call.say("hello", ms(2500)).await;
    assert!(matches!(call.turn().await.outcome, ReplyOutcome::Failed(_)));
    let earcon = call.turn().await;
    assert!(matches!(earcon.outcome, ReplyOutcome::Finished));
    assert_eq!(*call.output.n_samples.lock().unwrap(), 9600);
    assert!(Panicked::counted() > before);
    *call.tts.is_panicking.lock().unwrap() = false;
    call.say("are you there", ms(3000)).await;
    assert_eq!(call.turn().await.heard.expose(), "I see.");
    call.hang_up().await;
}

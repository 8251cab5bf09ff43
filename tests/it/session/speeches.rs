//! What programs let the agent say.

use futures::{StreamExt, stream};
use voxpool::audio::AudioFrame;
use voxpool::session::{ReplyRequest, SpeechEnd, SpeechOptions, Words};
use voxpool::turn::Priority;

use super::*;

fn text(words: &str) -> Words {
    Words::Text(words.to_owned())
}

fn with(priority: Priority, is_interruptible: bool) -> SpeechOptions {
    SpeechOptions {
        priority,
        is_interruptible,
    }
}

#[tokio::test(start_paused = true)]
async fn text_streams_and_ready_sound_are_said_in_the_order_of_their_priority() {
    let mut call = Setup::default().start().await;
    let plain = SpeechOptions::default();
    let mut first = call.handle.say(text("First."), plain);
    let words = ["Second ", "one. ", "And third."].map(str::to_owned);
    let mut streamed = call.handle.say(
        Words::Stream(stream::iter(words).boxed()),
        with(Priority::Low, true),
    );
    let frame = AudioFrame {
        samples: vec![7; 24_000],
        sample_rate_hz: 24_000,
    };
    let ready = Words::Audio {
        text: "A jingle.".to_owned(),
        frames: stream::iter([frame]).boxed(),
    };
    let mut jingle = call.handle.say(ready, with(Priority::High, false));
    for handle in [&mut first, &mut jingle, &mut streamed] {
        assert_eq!(handle.finished().await, SpeechEnd::Finished);
    }
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(call.turn().await.heard.expose().clone());
    }
    assert_eq!(heard, ["A jingle.", "First.", "Second one. And third."]);
    assert_eq!(
        *call.tts.spoken.lock().unwrap(),
        ["First.", "Second one.", "And third."]
    );
    call.say("hello", ms(2000)).await;
    call.turn().await;
    let context = call.last_context();
    assert_eq!(
        context[..3],
        [
            "agent: A jingle.",
            "agent: First.",
            "agent: Second one. And third."
        ]
    );
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_on_request_follows_its_instructions_once_and_keeps_the_input() {
    let mut call = Setup::default()
        .answer("I am waiting", Answer::Says("Just a moment."))
        .start()
        .await;
    let request = ReplyRequest {
        instructions: Some("Be brief.".to_owned()),
        user_input: Some("I am waiting".to_owned()),
    };
    let mut reply = call
        .handle
        .generate_reply(request, SpeechOptions::default());
    assert_eq!(reply.finished().await, SpeechEnd::Finished);
    assert_eq!(call.turn().await.heard.expose(), "Just a moment.");
    let instructions = call.llm.requests.lock().unwrap()[0].instructions.clone();
    assert_eq!(instructions, "Be kind.\n\nBe brief.");
    call.say("hello", ms(2000)).await;
    call.turn().await;
    assert_eq!(
        call.last_context(),
        ["user: I am waiting", "agent: Just a moment.", "user: hello"]
    );
    let instructions = call.llm.requests.lock().unwrap()[1].instructions.clone();
    assert_eq!(instructions, "Be kind.");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn handles_tell_who_was_stopped_and_who_was_dropped() {
    let mut call = Setup::default().start().await;
    let story = "One two three four five six seven eight nine ten eleven twelve.";
    let mut spoken = call.handle.say(text(story), with(Priority::Normal, false));
    let mut waiting = call.handle.say(text("Later."), SpeechOptions::default());
    let taken_back = call.handle.say(text("Never."), SpeechOptions::default());
    call.user.be_silent(ms(1000)).await;
    // The user cannot stop it, the program can.
    call.say("stop it please", ms(600)).await;
    assert_eq!(spoken.end(), None);
    taken_back.interrupt();
    spoken.interrupt();
    assert_eq!(spoken.finished().await, SpeechEnd::Interrupted);
    assert_eq!(taken_back.clone().finished().await, SpeechEnd::Dropped);
    assert_eq!(waiting.finished().await, SpeechEnd::Finished);
    let stopped = call.turn().await;
    assert!(matches!(stopped.outcome, ReplyOutcome::Interrupted));
    let heard = stopped.heard.expose();
    assert!(!heard.is_empty() && story.starts_with(heard) && heard != story);
    let handle = call.handle.clone();
    call.turn().await;
    call.hang_up().await;
    let mut late = handle.say(text("Too late."), SpeechOptions::default());
    assert_eq!(late.finished().await, SpeechEnd::Dropped);
}

//! Services that fail in the middle of a real call: the caller hears of it, and the call goes on.

use super::{Caller, House};

fn fault(rule: &str) -> offline_openai::FaultRule {
    rule.parse().expect("a fault that the stand-in knows")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_is_apologised_for_and_the_next_turn_is_answered() {
    let house = House::open(None, "Welcome.").await;
    let caller = Caller::join(&house.server.url(), "model-trouble").await;
    caller.reads(true, "Welcome").await;
    let cases = [
        (
            "chat:unauthorized",
            "wrong on my side",
            "my name is John",
            "Nice to meet you",
        ),
        (
            "chat:rate_limited:1:60",
            "too much to do",
            "what is my name",
            "name is John",
        ),
        ("chat:cut", "having trouble", "hello there", "help you"),
        // So often as it is tried.
        (
            "chat:server_error:4",
            "having trouble",
            "what is my name",
            "name is John",
        ),
        (
            "chat:malformed:2",
            "having trouble",
            "hello there",
            "help you",
        ),
    ];
    for (rule, apology, next, answer) in cases {
        house.services.fail(fault(rule));
        caller.type_text("tell me something").await;
        caller.reads(true, apology).await;
        caller.type_text(next).await;
        caller.reads(true, answer).await;
    }
    caller.room.close().await.expect("the caller hangs up");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_transcription_is_apologised_for_and_the_next_words_are_understood() {
    let house = House::open(None, "Welcome.").await;
    let hello = house.speech("hello there").await;
    let caller = Caller::join(&house.server.url(), "transcription-trouble").await;
    caller.reads(true, "Welcome").await;
    // The guess at the pause may be one of the two.
    house
        .services
        .fail(fault("transcriptions:rate_limited:2:60"));
    caller.say(&hello).await;
    caller.reads(true, "too much to do").await;
    house.services.clear_faults();
    caller.hears_silence().await;
    caller.say(&hello).await;
    caller.reads(false, "hello there").await;
    caller.reads(true, "help you").await;
    caller.room.close().await.expect("the caller hangs up");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_fails_is_replaced_by_a_tone_and_comes_back() {
    let house = House::open(None, "Welcome.").await;
    let caller = Caller::join(&house.server.url(), "voice-trouble").await;
    caller.reads(true, "Welcome").await;
    caller.hears_silence().await;
    house.services.fail(fault("speech:unauthorized:9"));
    caller.type_text("hello there").await;
    caller.hears(5).await;
    house.services.clear_faults();
    caller.type_text("my name is John").await;
    caller.reads(true, "Nice to meet you").await;
    caller.room.close().await.expect("the caller hangs up");
    house.close().await;
}

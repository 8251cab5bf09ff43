//! What is said is answered, and what is no turn is not.

use voxpool::pool::Urgency;
use voxpool::session::SpeculationEnd;

use super::*;
use crate::common::log::Log;

#[tokio::test(start_paused = true)]
async fn the_greeting_is_heard_as_soon_as_there_is_somebody_to_hear_it() {
    let mut call = Setup {
        greeting: "Hello there!",
        ..Setup::default()
    }
    .start()
    .await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.heard.expose(), "Hello there!");
    let started = turn.timeline.playout_started.unwrap().since_start();
    assert!(started <= SERVICE_DELAY + ms(10), "{started:?}");
    assert_eq!(
        call.hang_up().await,
        [
            "listening",
            "thinking",
            "speaking",
            "agent: Hello there!",
            "agent end",
            "listening"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_prepared_answer_is_speculation_until_its_turn_ends_and_the_first_sentence_is_urgent() {
    let mut call = Setup::default()
        .answer("hello agent", Answer::Says("Nice to meet you. Really."))
        .start()
        .await;
    call.user.say("hello agent", ms(400)).await;
    call.user.be_silent(ms(350)).await;
    let asked = call.llm.asked.lock().unwrap()[0].clone();
    let is_committed = || asked.committed.as_ref().unwrap().initialized();
    assert!(!is_committed(), "the user may go on");
    call.user.be_silent(ms(2650)).await;
    call.turn().await;
    assert!(is_committed());
    let spoken = call.tts.asked.lock().unwrap().clone();
    let urgencies: Vec<Urgency> = spoken.iter().map(|it| it.urgency).collect();
    assert_eq!(urgencies, [Urgency::FirstSentence, Urgency::LaterSentence]);
    assert!(asked.caller.is_some());
    assert!(spoken.iter().all(|it| it.caller == asked.caller));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn the_model_is_read_to_its_end_while_its_first_words_are_spoken() {
    let long = "This sentence takes two seconds, roughly. \
                That one does the same, more or less. \
                And so does this one, which is a third. \
                A fourth one follows after all of them. \
                The fifth one is not the last one, either. \
                A sixth one has something to add to it. \
                The seventh one agrees with all before. \
                The eighth one doubts the first of them. \
                A ninth one settles it once and for all. \
                But the tenth one is the very last of all.";
    let call = Setup::default()
        .answer("tell me", Answer::Says(long))
        .start()
        .await;
    call.say("tell me", ms(1500)).await;
    let (llm, tts) = (call.llm.clone(), call.tts.clone());
    let spoken = tts.spoken.lock().unwrap().len();
    call.hang_up().await;
    assert_eq!(*llm.n_cancelled.lock().unwrap(), 0, "it had written all");
    assert!(
        (2..9).contains(&spoken),
        "what is ahead has a bound: {spoken}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_answered_with_no_delay_beyond_endpointing() {
    let mut call = Setup::default()
        .answer("hello agent", Answer::Says("Nice to meet you. Really."))
        .start()
        .await;
    call.say("hello agent", ms(3000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.transcript.expose(), "hello agent");
    assert_eq!(turn.heard.expose(), "Nice to meet you. Really.");
    let timeline = turn.timeline;
    let near = |duration: Option<Duration>, expected: Duration| {
        let duration = duration.unwrap();
        duration.abs_diff(expected) <= ms(30)
    };
    assert!(near(timeline.end_of_turn_delay(), ms(500)), "{timeline:?}");
    // 90 ms pause + 100 ms each for STT, LLM and TTS: ready before the 500 ms are over.
    assert!(near(timeline.e2e_latency(), ms(500)), "{timeline:?}");
    assert!(near(timeline.llm_ttft(), SERVICE_DELAY), "{timeline:?}");
    assert!(near(timeline.tts_ttfb(), SERVICE_DELAY), "{timeline:?}");
    assert_eq!(*call.n_stt_requests.lock().unwrap(), 1);
    assert!(*call.output.queued_max.lock().unwrap() <= ms(200));
    assert_eq!(
        call.hang_up().await,
        [
            "listening",
            "user interim: hello agent",
            "user final: hello agent",
            "thinking",
            "speaking",
            "agent: Nice to meet you. Really.",
            "agent end",
            "listening"
        ]
    );
}

/// When the turn of a user whose sound is so old when it arrives is over.
async fn over_at(lag: Duration) -> Duration {
    let mut call = Setup::default()
        .answer("hello", Answer::Says("Hi."))
        .start()
        .await;
    call.user.send(RoomEvent::Lag(lag)).await;
    call.say("hello", ms(3000)).await;
    let committed = call.turn().await.timeline.committed.unwrap();
    call.hang_up().await;
    committed.since_start()
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_as_long_after_the_voice_whatever_the_jitter_buffer_holds() {
    let early = over_at(ms(0)).await - over_at(ms(60)).await;
    assert!(early.abs_diff(ms(60)) <= ms(2), "{early:?}");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_goes_on_cancels_the_prepared_reply_and_is_answered_once() {
    let mut call = Setup::default().start().await;
    call.say("my name is", ms(400)).await;
    call.say("john", ms(3000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "my name is john");
    assert_eq!(call.last_context(), ["user: my name is john"]);
    assert_eq!(call.llm.requests.lock().unwrap().len(), 2);
    // The first answer's stream may have been complete; its voice was never heard.
    assert_eq!(turn.heard.expose(), "I see.");
    let ends = call.speculations.0.lock().unwrap().clone();
    assert_eq!(ends, [SpeculationEnd::Dropped, SpeculationEnd::Used]);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_prepared_reply_of_a_slow_model_is_closed_when_the_user_goes_on() {
    let mut call = Setup::default().start().await;
    // The words are known after 90 + 100 ms, the next one after 180 + 50: the model is still thinking.
    call.say("my name is", ms(180)).await;
    call.say("john", ms(3000)).await;
    assert_eq!(call.turn().await.transcript.expose(), "my name is john");
    assert_eq!(*call.llm.n_cancelled.lock().unwrap(), 1);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn words_that_nobody_waits_for_any_more_are_counted() {
    let mut call = Setup::default().start().await;
    // The words would be known after 90 + 100 ms, and the user goes on before.
    call.say("my name is", ms(120)).await;
    call.say("john", ms(3000)).await;
    assert_eq!(call.turn().await.transcript.expose(), "my name is john");
    let ends = call.speculations.0.lock().unwrap().clone();
    assert_eq!(ends, [SpeculationEnd::Unheard, SpeculationEnd::Used]);
    assert_eq!(*call.n_stt_requests.lock().unwrap(), 2);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn each_turn_is_a_line_of_the_log_with_every_step_and_no_word() {
    let (log, _reading) = Log::start();
    let mut call = Setup::default().start().await;
    call.say("hello", ms(3000)).await;
    call.turn().await;
    call.hang_up().await;
    let text = log.text();
    let line = text.lines().find(|line| line.contains("e2e_latency_ms="));
    let line = line.expect("a line for the turn");
    let figure = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=")).expect(name);
        let digits = rest.split(' ').next().expect("a figure");
        digits.parse::<u64>().expect(name)
    };
    // Words, first token, first sound, decision, and what is heard: each after the end of the voice.
    let steps = [
        "transcription_delay_ms",
        "first_token_ms",
        "first_audio_ms",
        "end_of_turn_delay_ms",
        "e2e_latency_ms",
    ];
    let steps = steps.map(figure);
    assert!(
        steps.is_sorted() && steps[0] >= 190 && steps[4] <= 560,
        "{line}"
    );
    assert_eq!(
        (figure("llm_ttft_ms"), figure("tts_ttfb_ms")),
        (100, 100),
        "{line}"
    );
    assert!(!text.contains("hello") && !text.contains("I see"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_voice_leaves_out_what_only_eyes_can_read() {
    const WRITTEN: &str = "It is **open**, see https://example.com/hours \u{1F600} now.";
    let mut call = Setup::default()
        .answer("hello", Answer::Says(WRITTEN))
        .start()
        .await;
    call.say("hello", ms(6000)).await;
    let turn = call.turn().await;
    let spoken = call.tts.spoken.lock().unwrap().join(" ");
    for mark in ["**", "https", "\u{1F600}"] {
        assert!(!spoken.contains(mark), "{spoken}");
    }
    assert!(spoken.contains("It is open, see"), "{spoken}");
    // It is read and remembered as it was written.
    assert_eq!(turn.heard.expose(), WRITTEN);
    call.say("bye", ms(3000)).await;
    call.turn().await;
    assert_eq!(call.last_context()[1], format!("agent: {WRITTEN}"));
    let shown = call.hang_up().await;
    assert!(shown.contains(&format!("agent: {WRITTEN}")), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn interruption_keeps_only_what_was_heard() {
    let mut call = Setup::default()
        .answer(
            "tell me",
            Answer::Says("One two three four five six seven eight nine ten eleven twelve."),
        )
        .start()
        .await;
    call.say("tell me", ms(500)).await;
    // The voice began about now. After 1.2 s of it the user speaks up, for half a second.
    call.user.be_silent(ms(700)).await;
    call.user.say("wait please", ms(600)).await;
    let queued = {
        use voxpool::room::AudioOutput as _;
        call.output.queued()
    };
    assert_eq!(queued, Duration::ZERO, "the voice goes on");
    call.user.be_silent(ms(1500)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    let heard = turn.heard.expose().clone();
    // 1.2 s of speech at 50 ms a character: about 24 of 68 characters.
    assert!((15..=30).contains(&heard.len()), "{heard}");
    assert!(turn.reply.expose().starts_with(&heard));
    let answer = call.turn().await;
    assert_eq!(answer.transcript.expose(), "wait please");
    assert_eq!(
        call.last_context(),
        [
            "user: tell me".to_owned(),
            format!("agent: {heard} |"),
            "user: wait please".to_owned()
        ]
    );
    let shown = call.hang_up().await;
    assert!(shown.contains(&format!("agent: {heard}")), "{shown:?}");
    let overlaps: Vec<_> = shown
        .iter()
        .filter(|line| line.starts_with("overlap"))
        .collect();
    assert_eq!(overlaps, ["overlap, interruption true"]);
}

#[tokio::test(start_paused = true)]
async fn a_backchannel_lets_the_agent_talk_on() {
    let mut call = Setup::default()
        .answer(
            "tell me",
            Answer::Says("One two three four five six seven eight nine ten eleven twelve."),
        )
        .start()
        .await;
    call.say("tell me", ms(1200)).await;
    call.user.say("mhm", ms(200)).await;
    call.user.be_silent(ms(5000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(call.llm.requests.lock().unwrap().len(), 1);
    let shown = call.hang_up().await;
    let overlaps: Vec<_> = shown
        .iter()
        .filter(|line| line.starts_with("overlap"))
        .collect();
    assert_eq!(overlaps, ["overlap, interruption false"]);
}

#[tokio::test(start_paused = true)]
async fn a_noise_without_words_is_no_turn() {
    let call = Setup::default().start().await;
    call.say("…", ms(2000)).await;
    assert_eq!(*call.n_stt_requests.lock().unwrap(), 1);
    assert!(call.llm.requests.lock().unwrap().is_empty());
    assert_eq!(call.hang_up().await, ["listening"]);
}

#[tokio::test(start_paused = true)]
async fn typed_text_stops_the_agent_and_is_answered() {
    let mut call = Setup {
        greeting: "Hello, this is a rather long greeting to hear.",
        ..Setup::default()
    }
    .start()
    .await;
    call.user.be_silent(ms(1000)).await;
    let text = RoomEvent::Text(Pii::new(" hi \n".to_owned()));
    call.user.send(text).await;
    assert!(matches!(
        call.turn().await.outcome,
        ReplyOutcome::Interrupted
    ));
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hi");
    assert_eq!(turn.heard.expose(), "I see.");
    let context = call.last_context();
    assert!(context[0].starts_with("agent: Hello, this"), "{context:?}");
    assert!(context[0].ends_with(" |"), "{context:?}");
    assert_eq!(context[1], "user: hi");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_muted_microphone_ends_the_turn() {
    let mut call = Setup::default().start().await;
    call.user.say("hello agent", ms(400)).await;
    // No frame follows, not even silence.
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hello agent");
    call.hang_up().await;
}

//! A voice that may be an interruption: paused, resumed, or stopped, and what the history keeps.

use voxpool::room::AudioOutput;

use super::*;

const STORY: &str = "One two three four five six seven eight nine ten eleven twelve.";

async fn telling_a_story() -> Call {
    Setup::default()
        .answer("tell me", Answer::Says(STORY))
        .start()
        .await
}

/// Whether sound was queued between an order to be silent and the next `quiet` of time.
fn is_silent_after_clear(output: &FakeOutput, quiet: Duration) -> bool {
    let cleared = output.cleared_at.lock().unwrap();
    let queued = output.queued_at.lock().unwrap();
    let first = *cleared.first().expect("the agent was told to be silent");
    !queued.iter().any(|at| *at > first && *at < first + quiet)
}

#[tokio::test(start_paused = true)]
async fn after_a_noise_the_agent_goes_on_where_it_was_and_nothing_is_lost_or_said_twice() {
    let mut call = telling_a_story().await;
    call.say("tell me", ms(1700)).await;
    call.user.say("…", ms(900)).await;
    call.user.be_silent(ms(6000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.heard.expose(), STORY);
    assert_eq!(turn.timeline.interruption_delay, None, "it was none");
    // Every sample was heard exactly once: 50 ms for a character, in frames of 100 ms.
    let sound = ms(100) * u32::try_from(STORY.len().div_ceil(2)).unwrap();
    assert_eq!(call.output.position(), sound);
    assert!(is_silent_after_clear(&call.output, ms(800)));
    assert_eq!(call.tts.spoken.lock().unwrap().len(), 1, "spoken anew");
    let shown = call.hang_up().await;
    assert_eq!(captions(&shown), STORY);
    assert_eq!(
        states(&shown),
        [
            "listening",
            "thinking",
            "speaking",
            "listening",
            "overlap, interruption false",
            "speaking",
            "resumed",
            "agent end",
            "listening"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn over_a_noise_that_does_not_end_the_agent_says_all_it_has_to_say() {
    let mut call = telling_a_story().await;
    call.say("tell me", ms(1700)).await;
    call.user.say("…", ms(9000)).await;
    // The noise is not over yet.
    let sound = ms(100) * u32::try_from(STORY.len().div_ceil(2)).unwrap();
    assert_eq!(call.output.position(), sound);
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.heard.expose(), STORY);
    let shown = call.hang_up().await;
    assert!(shown.contains(&"resumed".to_owned()), "{shown:?}");
    let overlaps = shown.iter().filter(|line| line.starts_with("overlap"));
    assert_eq!(overlaps.count(), 1, "it is one noise: {shown:?}");
}

#[tokio::test(start_paused = true)]
async fn words_after_the_pause_interrupt_and_only_what_was_heard_stays() {
    let mut call = telling_a_story().await;
    call.say("tell me", ms(1700)).await;
    call.user.say("wait please", ms(400)).await;
    call.user.be_silent(ms(3000)).await;
    let story = call.turn().await;
    assert!(matches!(story.outcome, ReplyOutcome::Interrupted));
    let delay = story.timeline.interruption_delay;
    let delay = delay.expect("from the voice to the silence");
    assert!((ms(300)..=ms(1500)).contains(&delay), "{delay:?}");
    // It fell silent when the voice had lasted, not when its words were known.
    let (audible, silent) = (story.timeline.playout_started, story.timeline.playout_ended);
    let heard_for = silent.expect("an end").since(audible.expect("a beginning"));
    let heard = story.heard.expose().clone();
    assert!(!heard.is_empty() && STORY.starts_with(&heard) && heard != STORY);
    let said = CHAR * u32::try_from(heard.len()).unwrap();
    assert!(heard_for <= said + ms(250), "{heard_for:?} of {said:?}");
    let answer = call.turn().await;
    assert_eq!(answer.transcript.expose(), "wait please");
    let context = call.last_context();
    assert_eq!(context[1], format!("agent: {heard} |"));
    let shown = call.hang_up().await;
    assert!(!shown.contains(&"resumed".to_owned()), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn two_noises_pause_twice_and_the_sound_is_still_whole() {
    let mut call = telling_a_story().await;
    call.say("tell me", ms(1500)).await;
    for _ in 0..2 {
        call.user.say("…", ms(700)).await;
        call.user.be_silent(ms(900)).await;
    }
    call.user.be_silent(ms(6000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    let sound = ms(100) * u32::try_from(STORY.len().div_ceil(2)).unwrap();
    assert_eq!(call.output.position(), sound);
    let shown = call.hang_up().await;
    let n_resumed = shown.iter().filter(|line| *line == "resumed").count();
    assert!(n_resumed >= 1, "{shown:?}");
}

/// livekit/agents#5038: the reply was made, paused before its first sound, and was never said and in no
/// history.
#[tokio::test(start_paused = true)]
async fn a_reply_paused_before_its_first_sound_is_said_and_remembered() {
    let mut call = Setup {
        settings: {
            let mut settings = Settings::default();
            // The agent is committed to its answer when the noise comes, and nothing of it is heard.
            settings.turn.speculation.enabled = false;
            settings.turn.interruption.min_duration = ms(50);
            settings
        },
        ..Setup::default()
    }
    .answer("tell me", Answer::Says("It is noon."))
    .start()
    .await;
    call.say("tell me", ms(550)).await;
    call.user.say("…", ms(400)).await;
    call.user.be_silent(ms(5000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.heard.expose(), "It is noon.");
    call.say("and now", ms(3000)).await;
    call.turn().await;
    assert_eq!(
        call.last_context(),
        ["user: tell me", "agent: It is noon.", "user: and now"]
    );
    let shown = call.hang_up().await;
    assert!(shown.contains(&"resumed".to_owned()), "{shown:?}");
    let overlaps = shown.iter().filter(|line| line.starts_with("overlap"));
    assert_eq!(overlaps.count(), 0, "the agent was not heard: {shown:?}");
}

/// livekit/agents-js#1269: the user stopped a reply before its first word was out, and the whole of it was
/// in the history: the model was told that it had said what nobody heard.
#[tokio::test(start_paused = true)]
async fn a_reply_stopped_before_its_first_word_leaves_nothing_in_the_history() {
    let mut call = telling_a_story().await;
    call.say("tell me", ms(300)).await;
    call.user
        .send(RoomEvent::Text(Pii::new("no".to_owned())))
        .await;
    call.user.be_silent(ms(3000)).await;
    call.turn().await;
    let context = call.last_context();
    assert!(
        !context.iter().any(|line| line.starts_with("agent")),
        "{context:?}"
    );
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_who_says_nothing_for_fifteen_seconds_is_away_until_they_speak() {
    let call = Setup::default().start().await;
    call.user.be_silent(ms(14_900)).await;
    assert!(
        !call
            .room
            .shown
            .lock()
            .unwrap()
            .contains(&"user away".to_owned())
    );
    call.user.be_silent(ms(200)).await;
    assert!(
        call.room
            .shown
            .lock()
            .unwrap()
            .contains(&"user away".to_owned())
    );
    call.say("hello", ms(2000)).await;
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn at_most_what_was_queued_is_heard_after_an_interruption() {
    let mut call = Setup {
        settings: {
            let mut settings = Settings::default();
            settings.turn.interruption.resume_false_interruption = false;
            settings
        },
        ..Setup::default()
    }
    .answer("tell me", Answer::Says(STORY))
    .start()
    .await;
    call.say("tell me", ms(1700)).await;
    call.user.say("wait please stop", ms(400)).await;
    assert!(is_silent_after_clear(&call.output, ms(200)));
    assert!(*call.output.queued_max.lock().unwrap() <= ms(200));
    call.user.be_silent(ms(3000)).await;
    call.turn().await;
    call.turn().await;
    call.hang_up().await;
}

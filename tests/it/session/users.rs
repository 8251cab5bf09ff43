//! The user is away, comes back, or another one takes their place.

use voxpool::room::AudioOutput;

use super::*;

const STORY: &str = "One two three four five six seven eight nine ten eleven twelve.";

impl Call {
    /// The user changes, and the session has seen it.
    pub(super) async fn changes(&self, change: UserChange) {
        self.user.send(RoomEvent::User(change)).await;
        self.user.be_silent(ms(10)).await;
    }

    /// The user is away for too long, and the participant with this identity is the next.
    pub(super) async fn is_followed_by(&self, identity: &str) {
        self.changes(UserChange::Away).await;
        tokio::time::sleep(ms(10_000)).await;
        self.user.send(RoomEvent::User(UserChange::Gone)).await;
        let user = Participant::new(identity);
        self.changes(UserChange::Joined(user)).await;
    }

    fn shown(&self) -> Vec<String> {
        self.room.shown.lock().unwrap().clone()
    }
}

fn a_story() -> Setup {
    Setup {
        greeting: "Hello!",
        ..Setup::default()
    }
    .answer("tell me", Answer::Says(STORY))
}

#[tokio::test(start_paused = true)]
async fn a_user_who_comes_back_hears_the_rest_of_the_answer() {
    let mut call = a_story().start().await;
    call.turn().await;
    call.say("tell me", ms(1700)).await;
    call.changes(UserChange::Away).await;
    let heard = call.output.position();
    tokio::time::sleep(ms(9_000)).await;
    assert_eq!(call.output.position(), heard, "the agent is silent");
    let user = Pii::new("user".to_owned());
    call.changes(UserChange::Returned(user)).await;
    call.user.be_silent(ms(6_000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.heard.expose(), STORY);
    assert_eq!(call.tts.spoken.lock().unwrap().len(), 2, "spoken anew");
    let shown = call.hang_up().await;
    assert_eq!(captions(&shown), format!("Hello!{STORY}"));
    let states = states(&shown);
    let of_the_answer = states.iter().skip_while(|it| **it != "agent end").skip(1);
    let of_the_answer: Vec<&str> = of_the_answer.copied().collect();
    assert_eq!(
        of_the_answer,
        [
            "listening",
            "thinking",
            "speaking",
            "listening",
            "user away",
            "speaking",
            "agent end",
            "listening"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_next_user_is_greeted_and_nothing_of_the_first_is_theirs() {
    let mut call = a_story().start().await;
    call.turn().await;
    call.say("tell me", ms(1_700)).await;
    let waits = call.handle.say(
        voxpool::session::Words::Text("Your parcel is here.".to_owned()),
        voxpool::session::SpeechOptions::default(),
    );
    call.is_followed_by("another").await;
    let story = call.turn().await;
    assert!(matches!(story.outcome, ReplyOutcome::Interrupted));
    assert_eq!(story.user.unwrap().expose(), "user");
    let dropped = voxpool::session::SpeechEnd::Dropped;
    assert_eq!(waits.clone().finished().await, dropped);

    let greeting = call.turn().await;
    assert_eq!(greeting.heard.expose(), "Hello!");
    assert_eq!(greeting.user.unwrap().expose(), "another");
    call.say("hello", ms(3_000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.user.unwrap().expose(), "another");
    assert_eq!(call.last_context(), ["agent: Hello!", "user: hello"]);
    let shown = call.shown();
    let n_forgotten = shown.iter().filter(|it| *it == "forgotten").count();
    assert_eq!(n_forgotten, 1, "{shown:?}");
    let after: Vec<&String> = shown.iter().skip_while(|it| *it != "forgotten").collect();
    assert!(!after.iter().any(|it| it.contains("three")), "{after:?}");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn words_that_were_not_a_turn_yet_are_no_turn_of_the_next_user() {
    let mut call = Setup::default().start().await;
    call.say("my secret", ms(150)).await;
    call.is_followed_by("another").await;
    call.user.be_silent(ms(3_000)).await;
    assert!(call.turns.try_recv().is_err(), "a turn of the next user");
    call.say("hello", ms(3_000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hello");
    assert_eq!(turn.user.unwrap().expose(), "another");
    assert_eq!(call.last_context(), ["user: hello"]);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_broke_off_and_the_next_one_are_two() {
    let mut call = Setup::default().start().await;
    call.say("my secret", ms(0)).await;
    call.is_followed_by("another").await;
    call.say("hello", ms(3_000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hello");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_a_user_who_comes_back_is_answered_then() {
    let mut call = Setup::default().start().await;
    call.say("my secret", ms(150)).await;
    call.changes(UserChange::Away).await;
    tokio::time::sleep(ms(5_000)).await;
    assert!(
        call.turns.try_recv().is_err(),
        "answered while the user is away"
    );
    let user = Pii::new("user".to_owned());
    call.changes(UserChange::Returned(user)).await;
    call.user.be_silent(ms(3_000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "my secret");
    assert_eq!(turn.user.unwrap().expose(), "user");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_user_hears_no_apology_for_words_of_the_first() {
    let setup = Setup {
        stt_failures: vec![voxpool::error::ErrorKind::Unavailable; 3],
        ..Setup::default()
    };
    let mut call = setup.start().await;
    call.say("my secret", ms(90)).await;
    call.user.send(RoomEvent::User(UserChange::Away)).await;
    call.user.send(RoomEvent::User(UserChange::Gone)).await;
    let another = Participant::new("another");
    call.changes(UserChange::Joined(another)).await;
    call.user.be_silent(ms(3_000)).await;
    assert!(call.turns.try_recv().is_err(), "an apology");
    call.hang_up().await;
}

//! What programs want to be said: when its turn comes, and how it ends.

use futures::FutureExt;
use tokio::sync::mpsc;

use super::*;
use crate::redact::Pii;
use crate::session::handle::{Command, SpeechIds};
use crate::session::realtime::dialogue::Voiced;
use crate::session::{ReplyRequest, SessionHandle, SpeechEnd, SpeechHandle, SpeechOptions};
use crate::turn::Priority;

/// A dialogue with somebody there, and a program.
struct Asked {
    script: Script,
    handle: SessionHandle,
    commands: mpsc::Receiver<Command>,
}

const NORMAL: SpeechOptions = SpeechOptions {
    priority: Priority::Normal,
    is_interruptible: true,
};
const LOW: SpeechOptions = SpeechOptions {
    priority: Priority::Low,
    ..NORMAL
};
const HIGH: SpeechOptions = SpeechOptions {
    priority: Priority::High,
    ..NORMAL
};
const UNINTERRUPTIBLE: SpeechOptions = SpeechOptions {
    is_interruptible: false,
    ..NORMAL
};

impl Asked {
    fn new() -> Self {
        let mut script = Script::new();
        script.dialogue.on_connected(script.at, Duration::ZERO);
        let user = Pii::new("user".to_owned());
        script.dialogue.user_joined(user);
        let (commands_in, commands) = mpsc::channel(32);
        Self {
            script,
            handle: SessionHandle::new(commands_in, SpeechIds::default()),
            commands,
        }
    }

    fn say(&mut self, text: &str, options: SpeechOptions) -> SpeechHandle {
        self.handle.say(Words::Text(text.to_owned()), options)
    }

    /// What comes of the commands so far.
    fn done(&mut self) -> Vec<String> {
        let script = &mut self.script;
        while let Some(Some(command)) = self.commands.recv().now_or_never() {
            script.dialogue.on_command(script.at, command);
        }
        script.dialogue.speak_next(script.at, "Be kind.");
        script.done()
    }

    fn voice(&mut self, voiced: Voiced) -> Vec<String> {
        let script = &mut self.script;
        script.dialogue.on_voice(script.at, voiced);
        script.done()
    }

    /// The voice has spoken a sentence of `ms`.
    fn sentence(&mut self, text: &str, ms: usize) -> Vec<String> {
        self.voice(Voiced::Sentence(text.to_owned(), 1));
        self.voice(Voiced::Sound(vec![1; 24 * ms]))
    }

    /// The sentence is all there is to say.
    fn speaks(&mut self, text: &str, ms: usize) {
        self.sentence(text, ms);
        self.voice(Voiced::End);
    }
}

#[test]
fn words_are_shown_as_they_are_heard_and_told_to_the_service() {
    let mut it = Asked::new();
    let speech = it.say("One two. Three four.", NORMAL);
    assert_eq!(it.done(), ["speak: One two. Three four.", "thinking"]);
    assert_eq!(it.sentence("One two.", 500), ["play 500", "speaking"]);
    assert_eq!(it.script.plays(500), ["agent: One two."]);
    assert_eq!(speech.end(), None, "the voice has not finished");
    it.speaks("Three four.", 500);
    let item = r#"conversation.item.create {"item":{"content":[{"text":"One two. Three four.","type":"output_text"}],"role":"assistant","type":"message"}}"#;
    assert_eq!(
        it.script.plays(500),
        [
            "agent:  Three four.",
            "agent end",
            item,
            "record",
            "listening"
        ]
    );
    assert_eq!(speech.end(), Some(SpeechEnd::Finished));
    assert_eq!(it.script.replay(), ["assistant: One two. Three four."]);
}

#[test]
fn what_waits_is_said_by_priority_once_the_user_is_answered() {
    let mut it = Asked::new();
    let script = &mut it.script;
    script.says(json!({"type": "input_audio_buffer.speech_started"}));
    let first = it.say("First.", NORMAL);
    it.say("Last.", LOW);
    it.say("Second.", NORMAL);
    assert!(it.done().is_empty(), "the user speaks");
    let script = &mut it.script;
    script.says(json!({"type": "input_audio_buffer.speech_stopped"}));
    assert!(it.done().is_empty(), "the user is about to be answered");
    let script = &mut it.script;
    script.says(json!({"type": "input_audio_buffer.committed", "item_id": "u1"}));
    script.transcribed("u1", "hello");
    script.starts("r1");
    script.speaks("r1", "a1", "hi", 100);
    script.ends("r1");
    assert!(it.done().is_empty(), "the user is answered");
    it.script.plays(100);
    for expected in ["First.", "Second.", "Last."] {
        assert_eq!(it.done()[0], format!("speak: {expected}"));
        it.speaks(expected, 100);
        it.script.plays(100);
    }
    assert_eq!(first.end(), Some(SpeechEnd::Finished));
    assert!(it.done().is_empty());

    let script = &mut it.script;
    script.says(json!({"type": "input_audio_buffer.speech_started"}));
    it.say("Fire!", HIGH);
    assert_eq!(it.done()[0], "speak: Fire!", "whatever the user does");
}

#[test]
fn a_voice_that_became_no_turn_holds_nothing_up() {
    let mut it = Asked::new();
    let script = &mut it.script;
    script.says(json!({"type": "input_audio_buffer.speech_started"}));
    script.says(json!({"type": "input_audio_buffer.speech_stopped"}));
    it.say("Hello.", NORMAL);
    assert!(it.done().is_empty());
    it.script.plays(1000);
    assert_eq!(it.done()[0], "speak: Hello.");
}

#[test]
fn a_reply_has_its_instructions_for_this_once_and_what_the_user_is_taken_to_have_said() {
    let mut it = Asked::new();
    let request = ReplyRequest {
        instructions: Some("Be brief.".to_owned()),
        user_input: Some("where is my parcel".to_owned()),
    };
    let speech = it.handle.generate_reply(request, NORMAL);
    let asked = r#"response.create {"response":{"instructions":"Be kind.\n\nBe brief."}}"#;
    let item = r#"conversation.item.create {"item":{"content":[{"text":"where is my parcel","type":"input_text"}],"role":"user","type":"message"}}"#;
    assert_eq!(it.done(), [item, asked, "thinking"]);
    let script = &mut it.script;
    // Lost before its first word, it is asked for in the same way.
    script.dialogue.on_lost(script.at);
    script.done();
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert_eq!(script.done(), [asked]);
    script.starts("r1");
    script.speaks("r1", "a1", "here", 100);
    script.ends("r1");
    script.plays(100);
    assert_eq!(speech.end(), Some(SpeechEnd::Finished));
    assert_eq!(
        script.replay(),
        ["user: where is my parcel", "assistant: here"]
    );

    it.handle.generate_reply(ReplyRequest::default(), NORMAL);
    let plain = r#"response.create {"response":{}}"#;
    assert_eq!(it.done(), [plain, "thinking"]);
}

#[test]
fn a_reply_without_a_connection_is_asked_of_the_next_one() {
    let mut it = Asked::new();
    it.script.dialogue.on_lost(it.script.at);
    let speech = it.handle.generate_reply(ReplyRequest::default(), NORMAL);
    assert_eq!(it.done(), ["thinking"]);
    let script = &mut it.script;
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert_eq!(script.done(), [r#"response.create {"response":{}}"#]);
    let error = CallError::new(Service::OpenAi, "realtime", ErrorKind::Unavailable);
    script.dialogue.on_lost(script.at);
    let sorry = Recorded {
        text: "Goodbye.".to_owned(),
        samples: vec![1; 24],
    };
    script.dialogue.apologise(script.at, sorry, Some(error));
    assert_eq!(speech.end(), Some(SpeechEnd::Failed));
}

#[test]
fn the_user_stops_what_may_be_stopped_and_a_program_stops_all() {
    let mut it = Asked::new();
    let first = it.say("One two three four.", NORMAL);
    it.done();
    it.sentence("One two three four.", 1000);
    it.script.plays(500);
    let script = &mut it.script;
    let done = script.says(json!({"type": "input_audio_buffer.speech_started"}));
    assert_eq!(done[0], "silence");
    assert_eq!(first.end(), Some(SpeechEnd::Interrupted));
    assert_eq!(script.replay(), ["assistant: One two"]);
    script.dialogue.on_lost(script.at);
    script.dialogue.on_connected(script.at, Duration::ZERO);

    let second = it.say("Listen to this.", UNINTERRUPTIBLE);
    let third = it.say("And to this.", NORMAL);
    it.done();
    it.sentence("Listen to this.", 1000);
    it.script.plays(500);
    assert!(it.script.dialogue.is_deaf());
    it.handle.interrupt();
    assert_eq!(it.done()[0], "silence");
    assert_eq!(second.end(), Some(SpeechEnd::Interrupted));
    assert_eq!(third.finished_now(), Some(SpeechEnd::Dropped));
    assert!(it.done().is_empty(), "nothing waits");
}

impl SpeechHandle {
    /// How it ended, also if nobody told.
    fn finished_now(mut self) -> Option<SpeechEnd> {
        self.finished().now_or_never()
    }
}

#[test]
fn one_speech_is_stopped_or_taken_back() {
    let mut it = Asked::new();
    let first = it.say("First.", NORMAL);
    let second = it.say("Second.", NORMAL);
    it.say("Third.", NORMAL);
    it.done();
    it.sentence("First.", 100);
    second.interrupt();
    assert!(it.done().is_empty());
    assert_eq!(second.finished_now(), Some(SpeechEnd::Dropped));
    first.interrupt();
    let done = it.done();
    assert_eq!(first.end(), Some(SpeechEnd::Interrupted));
    assert!(done.contains(&"speak: Third.".to_owned()), "{done:?}");
}

#[test]
fn a_voice_that_fails_is_sounded_and_what_waits_comes_after_it() {
    let mut it = Asked::new();
    let first = it.say("First.", NORMAL);
    it.say("Second.", NORMAL);
    it.done();
    let error = CallError::new(Service::OpenAi, "speech", ErrorKind::Unauthorized);
    let done = it.voice(Voiced::Failed(error));
    assert_eq!(done.last().unwrap(), "trouble false", "{done:?}");
    assert_eq!(first.end(), Some(SpeechEnd::Failed));
    assert!(it.done().is_empty(), "the user is to hear of it first");
    let script = &mut it.script;
    let sound = Recorded {
        text: String::new(),
        samples: vec![1; 2400],
    };
    script.dialogue.apologise(script.at, sound, None);
    assert_eq!(script.done(), ["play 100", "speaking"]);
    script.plays(100);
    assert_eq!(it.done()[0], "speak: Second.");
}

#[test]
fn no_more_waits_than_anybody_would_listen_to() {
    let mut it = Asked::new();
    it.script.dialogue.user_away();
    it.script.done();
    let speeches: Vec<_> = (0..17).map(|_| it.say("Hello.", NORMAL)).collect();
    assert!(it.done().is_empty(), "the user is away");
    let ends: Vec<_> = speeches
        .into_iter()
        .map(SpeechHandle::finished_now)
        .collect();
    assert_eq!(ends[15..], [None, Some(SpeechEnd::Dropped)]);
    it.script.dialogue.user_returned(it.script.at);
    it.script.done();
    assert_eq!(it.done()[0], "speak: Hello.");
}

#[test]
fn what_is_said_and_what_waits_is_for_the_user_it_was_meant_for() {
    let mut it = Asked::new();
    let said = it.say("Dear John.", UNINTERRUPTIBLE);
    it.done();
    it.sentence("Dear John.", 1000);
    let waits = it.say("Your parcel is here.", NORMAL);
    it.script
        .dialogue
        .typed(it.script.at, "my PIN is 4711".to_owned());
    it.script.dialogue.user_away();
    it.script.done();
    assert!(it.done().is_empty());
    assert_eq!((said.end(), waits.end()), (None, None));
    it.script.dialogue.user_gone(it.script.at);
    assert_eq!(said.end(), Some(SpeechEnd::Interrupted));
    assert_eq!(waits.finished_now(), Some(SpeechEnd::Dropped));
    it.script.done();
    let next = Pii::new("next".to_owned());
    it.script.dialogue.user_joined(next);
    assert!(it.done().is_empty(), "nothing is typed for the next user");
    assert!(it.script.dialogue.replay().is_empty());
}

#[test]
fn a_turn_belongs_to_the_user_who_began_it() {
    let mut it = Asked::new();
    let script = &mut it.script;
    script.user_says("said", "my PIN is 4711");
    script.starts("answer");
    script.speaks("answer", "words", "I keep it.", 1000);
    script.plays(400);
    script.dialogue.user_away();
    script.done();
    script.dialogue.user_gone(script.at);
    let next = Pii::new("next".to_owned());
    script.dialogue.user_joined(next);
    script.done();
    // The old connection may still tell the words.
    script.transcribed("said", "my PIN is 4711");
    assert!(script.dialogue.replay().is_empty());
    let turn = script.turns.pop().unwrap();
    assert_eq!(turn.user.unwrap().expose(), "user");
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    assert!(script.turns.is_empty(), "a turn of the next user");
}

#[test]
fn a_session_that_ends_stops_what_is_said_and_drops_what_waits() {
    let mut it = Asked::new();
    let said = it.say("One.", NORMAL);
    let waits = it.say("Two.", NORMAL);
    it.done();
    it.script.dialogue.close(it.script.at);
    drop(it);
    assert_eq!(said.end(), Some(SpeechEnd::Interrupted));
    assert_eq!(waits.finished_now(), Some(SpeechEnd::Dropped));
}

#[test]
fn a_greeting_whose_connection_is_lost_is_asked_for_with_its_instructions() {
    let mut script = Script::new();
    script.dialogue.on_connected(script.at, Duration::ZERO);
    let greeting = "Say hello.".to_owned();
    script.dialogue.greet(script.at, greeting, true);
    let asked = script.done();
    script.dialogue.on_lost(script.at);
    script.done();
    script.dialogue.on_connected(script.at, Duration::ZERO);
    assert_eq!(script.done(), asked[..1]);
}

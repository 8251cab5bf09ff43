//! Questions and answers as a front end has them.

use std::time::Duration;

use livekit_protocol::agent::chat_context::chat_item::Item;
use livekit_protocol::agent::session_request as ask;
use proptest::prelude::*;

use super::*;
use crate::chat::{ChatItem, ToolCall, ToolOutput};
use crate::turn::{SessionTime, Timeline};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)
}

/// A session with the limit of its runs.
struct Remote {
    session: RemoteSession,
    runs: RunLimit,
}

impl std::ops::Deref for Remote {
    type Target = RemoteSession;

    fn deref(&self) -> &RemoteSession {
        &self.session
    }
}

impl std::ops::DerefMut for Remote {
    fn deref_mut(&mut self) -> &mut RemoteSession {
        &mut self.session
    }
}

fn remote() -> Remote {
    let card = AgentCard {
        id: "front-desk".to_owned(),
        instructions: Some("be kind".to_owned()),
        tools: vec!["look".to_owned()],
        ..AgentCard::default()
    };
    Remote {
        session: RemoteSession::new(card, now()),
        runs: RunLimit::default(),
    }
}

fn request(id: &str, request: Option<Request>) -> SessionRequest {
    SessionRequest {
        request_id: id.to_owned(),
        request,
    }
}

fn run(remote: &mut Remote, id: &str, text: &str) -> Option<AgentSessionMessage> {
    let admitted = remote.runs.admit(text);
    remote.on_run(now(), id.to_owned(), text, admitted)
}

fn answered(message: AgentSessionMessage) -> SessionResponse {
    match message.message {
        Some(Message::Response(response)) => response,
        other => panic!("no answer: {other:?}"),
    }
}

fn asked(remote: &mut Remote, question: Request) -> Response {
    let answer = remote.on_request(now(), request("1", Some(question)));
    let answer = answered(answer);
    assert_eq!((answer.request_id.as_str(), &answer.error), ("1", &None));
    answer.response.expect("an answer")
}

fn add(remote: &mut Remote, item: ChatItem) -> Vec<AgentSessionMessage> {
    let added = SessionEvent::ConversationItemAdded {
        item,
        timeline: Box::default(),
        at: SessionTime::ZERO,
    };
    remote.on_event(now(), added)
}

fn user(text: &str) -> ChatItem {
    ChatItem::User(text.to_owned())
}

fn agent(text: &str) -> ChatItem {
    ChatItem::Agent {
        text: text.to_owned(),
        is_interrupted: false,
    }
}

fn state(remote: &mut Remote, state: AgentState) -> Vec<AgentSessionMessage> {
    remote.on_event(now(), SessionEvent::AgentStateChanged(state))
}

#[test]
fn of_one_user_nothing_is_left_for_the_next() {
    let link = super::super::link::Link::default();
    let first = link.number();
    link.next_user();
    let next = link.number();
    let mut remote = remote();
    assert!(remote.belongs_to(first));
    state(&mut remote, AgentState::Speaking);
    remote.on_event(now(), SessionEvent::UserStateChanged(UserState::Away));
    add(&mut remote, user("my PIN is 4711"));
    assert!(run(&mut remote, "run", "my PIN is 4711").is_none());

    assert!(remote.belongs_to(next));
    assert!(!remote.belongs_to(first), "a note that comes late");
    let Response::GetChatHistory(history) =
        asked(&mut remote, Request::GetChatHistory(ask::GetChatHistory {}))
    else {
        panic!("another answer")
    };
    assert!(history.items.is_empty());
    add(&mut remote, user("my PIN is 4711"));
    let told = state(&mut remote, AgentState::Listening);
    assert_eq!(told.len(), 1, "the run of the first is answered");
}

#[test]
fn a_front_end_learns_who_it_talks_to_and_what_was_said() {
    let mut remote = remote();
    state(&mut remote, AgentState::Listening);
    remote.on_event(now(), SessionEvent::UserStateChanged(UserState::Speaking));
    add(&mut remote, user("hello"));
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "look".to_owned(),
        arguments: "{}".to_owned(),
        ..ToolCall::default()
    };
    add(&mut remote, ChatItem::ToolCall(call));
    let output = ToolOutput {
        text: "seen".to_owned(),
        is_error: false,
    };
    let output = ChatItem::ToolOutput {
        call_id: "call_1".to_owned(),
        output,
    };
    add(&mut remote, output);

    let Response::GetAgentInfo(info) =
        asked(&mut remote, Request::GetAgentInfo(ask::GetAgentInfo {}))
    else {
        panic!("another answer")
    };
    assert_eq!((info.id.as_str(), info.tools.len()), ("front-desk", 1));
    let Response::GetSessionState(state) = asked(
        &mut remote,
        Request::GetSessionState(ask::GetSessionState {}),
    ) else {
        panic!("another answer")
    };
    assert_eq!(state.agent_state, agent_state(AgentState::Listening));
    assert_eq!(state.user_state, user_state(UserState::Speaking));
    let created = state.created_at.expect("a time");
    assert_eq!((created.seconds, created.nanos), (1, 500_000_000));
    let Response::GetChatHistory(history) =
        asked(&mut remote, Request::GetChatHistory(ask::GetChatHistory {}))
    else {
        panic!("another answer")
    };
    assert_eq!(history.items.len(), 3);
    let Some(Item::FunctionCallOutput(output)) = &history.items[2].item else {
        panic!("no output: {history:?}")
    };
    assert_eq!(
        (output.name.as_str(), output.output.as_str()),
        ("look", "seen")
    );
    assert!(matches!(
        asked(&mut remote, Request::Ping(ask::Ping {})),
        Response::Pong(_)
    ));
}

#[test]
fn a_run_is_answered_with_its_turn_when_the_turn_is_over() {
    let mut remote = remote();
    assert!(run(&mut remote, "r1", " what time is it ").is_none());
    add(&mut remote, agent("the end of the greeting"));
    assert_eq!(state(&mut remote, AgentState::Listening).len(), 1);
    add(&mut remote, user("what time is it"));
    assert_eq!(state(&mut remote, AgentState::Thinking).len(), 1);
    add(&mut remote, agent("Nine."));
    let told = state(&mut remote, AgentState::Listening);
    assert_eq!(told.len(), 2, "the event and the answer");
    let answer = answered(told[1].clone());
    assert_eq!(answer.request_id, "r1");
    let Some(Response::RunInput(turn)) = answer.response else {
        panic!("another answer")
    };
    assert_eq!(turn.items.len(), 1);
    assert_eq!(state(&mut remote, AgentState::Listening).len(), 1, "once");
}

#[test]
fn runs_whose_texts_are_answered_together_are_all_answered() {
    let mut remote = remote();
    for (id, text) in [("r1", "one"), ("r2", "two"), ("r3", "one"), ("r4", "on")] {
        assert!(run(&mut remote, id, text).is_none());
    }
    add(&mut remote, user("typed\none\ntwo"));
    add(&mut remote, agent("Both."));
    let told = state(&mut remote, AgentState::Listening);
    let ids = told[1..].iter().cloned().map(|it| answered(it).request_id);
    assert_eq!(ids.collect::<Vec<_>>(), ["r1", "r2"]);
}

#[test]
fn a_run_gives_its_permit_back_when_it_is_over_or_too_old() {
    let mut remote = remote();
    for n in 0..8 {
        assert!(run(&mut remote, &n.to_string(), "hi").is_none());
    }
    assert!(run(&mut remote, "9", "hi").is_some());
    add(&mut remote, user("hi"));
    state(&mut remote, AgentState::Listening);
    assert!(run(&mut remote, "9", "hi").is_none(), "one is over");
    let later = now() + Duration::from_secs(301);
    let told = remote.on_event(later, SessionEvent::UserStateChanged(UserState::Speaking));
    assert_eq!(told.len(), 1 + 8, "the event, and eight that are too old");
    assert!(answered(told[8].clone()).error.is_some());
    assert!(run(&mut remote, "10", "hi").is_none());
}

#[test]
fn a_run_that_is_refused_is_not_for_the_session() {
    let (notes, mut left) = Notes::new();
    let user = UserNumber::default();
    let begin = |text: &str| {
        let from = ParticipantIdentity::from("user".to_owned());
        notes.begin_run(user, from, "r".to_owned(), text)
    };
    let long = "x".repeat(8 * 1024 + 1);
    assert!(!begin(" "));
    assert!(!begin(&long));
    for _ in 0..8 {
        assert!(begin("hi"));
    }
    assert!(!begin("hi"));
    let mut n_refused = 0;
    while let Ok((_, Note::Run { admitted, .. })) = left.try_recv() {
        n_refused += usize::from(admitted.is_err());
    }
    assert_eq!(n_refused, 3, "each is answered");
    // The permits of what was taken from the queue are back.
    for _ in 0..NOTES_MAX {
        notes.event(user, SessionEvent::AgentStateChanged(AgentState::Listening));
    }
    assert!(!begin("hi"), "its answer could not be told");
}

#[test]
fn the_history_is_bounded_in_bytes_and_its_oldest_items_leave_whole() {
    let mut remote = remote();
    let text = |n: usize| format!("{n:04}{}", "x".repeat(8 * 1024 - 4));
    (0..200).for_each(|n| drop(add(&mut remote, user(&text(n)))));
    let Response::GetChatHistory(history) =
        asked(&mut remote, Request::GetChatHistory(ask::GetChatHistory {}))
    else {
        panic!("another answer")
    };
    let n_bytes = history.encoded_len();
    assert!((1_000_000..1_100_000).contains(&n_bytes), "{n_bytes}");
    let Some(Item::Message(oldest)) = &history.items[0].item else {
        panic!("no message")
    };
    assert_eq!(oldest.id, format!("item_{:06}", 201 - history.items.len()));
    add(&mut remote, user(&"y".repeat(2 * 1024 * 1024)));
    let Response::GetChatHistory(history) =
        asked(&mut remote, Request::GetChatHistory(ask::GetChatHistory {}))
    else {
        panic!("another answer")
    };
    assert!(history.items.is_empty());
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut remote = remote();
    let empty = answered(run(&mut remote, "r", " ").expect("at once"));
    assert!(empty.error.expect("an error").contains("empty"));
    let unknown = remote.on_request(now(), request("u", None));
    let unknown = answered(unknown);
    assert_eq!(unknown.request_id, "u");
    assert!(unknown.error.expect("an error").contains("not known"));
    for n in 0..8 {
        assert!(run(&mut remote, &n.to_string(), "hi").is_none());
    }
    let refused = answered(run(&mut remote, "9", "hi").expect("at once"));
    assert!(refused.error.expect("an error").contains("too many"));
    let simulation = Request::FinalizeSimulation(ask::FinalizeSimulation::default());
    let refused = remote.on_request(now(), request("s", Some(simulation)));
    assert!(answered(refused).error.is_some());
}

proptest! {
    #[test]
    fn no_bytes_of_a_front_end_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(request)) = decode(&bytes) {
            remote().on_request(now(), request);
        }
    }
}

#[test]
fn a_front_end_learns_when_both_were_heard_by_its_own_clock() {
    let at = |ms| SessionTime::after_start(Duration::from_millis(ms));
    let timeline = Timeline {
        speech_started: Some(at(200)),
        speech_ended: Some(at(700)),
        playout_started: Some(at(1000)),
        playout_ended: None,
        ..Timeline::default()
    };
    let metrics = |item: ChatItem| {
        let added = SessionEvent::ConversationItemAdded {
            item,
            timeline: Box::new(timeline),
            at: at(1200),
        };
        let told = remote().on_event(now(), added).remove(0);
        let Some(Message::Event(AgentSessionEvent {
            event: Some(pb_event::Event::ConversationItemAdded(added)),
            ..
        })) = told.message
        else {
            panic!("another event")
        };
        match added.item.and_then(|item| item.item) {
            Some(Item::Message(message)) => message.metrics.expect("metrics"),
            other => panic!("no message: {other:?}"),
        }
    };
    let said = metrics(user("hello"));
    let (began, ended) = (said.started_speaking_at, said.stopped_speaking_at);
    // It is 1.5 s, and 1.2 s of the session.
    assert_eq!(
        began.map(|it| (it.seconds, it.nanos)),
        Some((0, 500_000_000))
    );
    assert_eq!(ended.map(|it| (it.seconds, it.nanos)), Some((1, 0)));
    assert_eq!(
        metrics(agent("hi")).started_speaking_at,
        None,
        "its end is not known"
    );
}

#[test]
fn a_front_end_learns_whether_it_was_an_interruption() {
    let overlap = SessionEvent::OverlappingSpeech {
        is_interruption: true,
        began_ago: Duration::from_millis(700),
    };
    let told = remote().on_event(now(), overlap).remove(0);
    let Some(Message::Event(AgentSessionEvent {
        event: Some(pb_event::Event::OverlappingSpeech(told)),
        ..
    })) = told.message
    else {
        panic!("another event")
    };
    assert!(told.is_interruption);
    assert!((told.detection_delay - 0.7).abs() < 1e-9);
    let began = told.overlap_started_at.expect("a time");
    assert_eq!((began.seconds, began.nanos), (0, 800_000_000));
    assert_eq!(told.detected_at.expect("a time").seconds, 1);
}

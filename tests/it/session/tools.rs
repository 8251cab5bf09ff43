//! Tools within a conversation.

use std::sync::atomic::Ordering;

use super::*;

/// An agent that says `announced`, looks around for a second, and says what it has seen.
async fn looking_around(announced: &'static str) -> Call {
    Setup::default()
        .answer(
            "look around",
            Answer::SaysAndCalls(announced, ("a", "look")),
        )
        .answer("seen", Answer::Says("There is a tree."))
        .start()
        .await
}

#[tokio::test(start_paused = true)]
async fn tools_run_and_their_outputs_are_answered() {
    let mut call = looking_around("Let me see. ").await;
    call.say("look around", ms(5000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.heard.expose(), "Let me see. There is a tree.");
    assert_eq!(turn.tool_calls.expose().len(), 1);
    call.say("thanks", ms(2000)).await;
    call.turn().await;
    assert_eq!(
        call.last_context(),
        [
            "user: look around",
            "agent: Let me see.",
            "call a look",
            "output a: seen",
            "agent: There is a tree.",
            "user: thanks"
        ]
    );
    let shown = call.hang_up().await;
    let reply = shown.iter().skip_while(|line| *line != "thinking");
    let reply: Vec<_> = reply.take_while(|line| *line != "agent end").collect();
    let during_the_tool = reply.iter().position(|line| line.contains("see."));
    let (first, rest) = reply.split_at(during_the_tool.expect("it is captioned") + 1);
    assert_eq!(first[..2], ["thinking", "speaking"], "{reply:?}");
    // It is read to its end, and the agent is silent and at work, before there is more.
    assert_eq!(rest[0], "thinking", "{reply:?}");
    assert!(rest.contains(&&"speaking".to_owned()), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_without_sound_is_captioned_before_the_tool_has_answered() {
    let mut call = looking_around("Let me see. 🙂 ").await;
    call.say("look around", ms(5000)).await;
    call.turn().await;
    let shown = call.hang_up().await;
    let work_begins = shown.iter().rposition(|line| line == "thinking");
    let (before, after) = shown.split_at(work_begins.expect("the tool is waited for"));
    assert_eq!(captions(before), "Let me see. 🙂");
    assert_eq!(captions(after), " There is a tree.");
}

#[tokio::test(start_paused = true)]
async fn a_noise_while_a_tool_runs_leaves_the_agent_at_work() {
    let mut call = looking_around("Let me see. ").await;
    // "Let me see" is heard from 500 to 1,100 ms after the voice, "There is" from 1,700 ms on.
    call.say("look around", ms(1150)).await;
    call.user.say("…", ms(900)).await;
    call.user.be_silent(ms(6000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.heard.expose(), "Let me see. There is a tree.");
    let shown = call.hang_up().await;
    assert_eq!(
        states(&shown),
        [
            "listening",
            "thinking",
            "speaking",
            "thinking",
            "listening",
            "thinking",
            "resumed",
            "speaking",
            "agent end",
            "listening"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn tool_rounds_have_an_end() {
    let mut call = Setup::default()
        .answer(
            "look around",
            Answer::Calls(&[("a", "look"), ("b", "look")]),
        )
        .answer("seen", Answer::Calls(&[("c", "look")]))
        .start()
        .await;
    call.say("look around", ms(6000)).await;
    let turn = call.turn().await;
    // Three rounds: two calls in the first, one in each of the others; the fourth calls are not run.
    assert_eq!(turn.tool_calls.expose().len(), 4);
    assert_eq!(call.llm.requests.lock().unwrap().len(), 5);
    assert_eq!(turn.heard.expose(), "I see.");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_tool_call_is_not_left_without_output() {
    let mut call = Setup::default()
        .answer("look around", Answer::Calls(&[("a", "look")]))
        .start()
        .await;
    // The tool runs from 500 ms to 1,500 ms after the voice.
    call.say("look around", ms(700)).await;
    call.user.say("never mind", ms(100)).await;
    call.user.be_silent(ms(2000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    assert_eq!(call.stopped_tools.load(Ordering::Relaxed), 1);
    call.turn().await;
    let context = call.last_context();
    assert_eq!(context[..2], ["user: look around", "call a look"]);
    assert!(
        context[2].starts_with("output a: interrupted"),
        "{context:?}"
    );
    assert_eq!(context[3..], ["user: never mind"]);
    call.hang_up().await;
}

//! Turns that become too long.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_of_a_turn_that_is_cut_off() {
    let mut setup = Setup::default().answer(
        "one two three four five six",
        Answer::Says("Let me stop you there for a moment."),
    );
    setup.settings.turn.limit.duration_max = ms(2000);
    let mut call = setup.start().await;
    // 400 ms each: the cut is in the sixth, of which either side has a part.
    call.say("one two three four five six seven eight", ms(6000))
        .await;
    let cut = call.turn().await;
    assert_eq!(cut.transcript.expose(), "one two three four five six");
    assert!(matches!(cut.outcome, ReplyOutcome::Finished), "heard out");
    let rest = call.turn().await;
    assert_eq!(rest.transcript.expose(), "six seven eight");
    assert_eq!(
        call.last_context(),
        [
            "user: one two three four five six",
            "agent: Let me stop you there for a moment.",
            "user: six seven eight"
        ]
    );
    call.hang_up().await;
}

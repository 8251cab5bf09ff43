//! Turns and replies that become too long.

use voxpool::excess::Excess;

use super::*;

const ENOUGH: &str = "I'll stop here. Just ask if you would like to hear more.";

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

#[tokio::test(start_paused = true)]
async fn a_reply_with_too_many_characters_ends_after_a_sentence_and_the_call_goes_on() {
    let story = "Once upon a time there was a king. He had a daughter who loved stories very much. \
                 She asked for one every evening, and never fell asleep before its end. One day";
    let mut setup = Setup::default().answer("a story", Answer::Says(story));
    setup.settings.session.reply_characters_max = 100;
    let before = Excess::Reply.counted();
    let mut call = setup.start().await;
    call.say("a story", ms(15_000)).await;
    let told = call.turn().await;
    let heard = told.heard.expose();
    assert!(heard.ends_with(ENOUGH), "{heard}");
    assert!(
        heard.contains("very much.") && !heard.contains("every evening"),
        "{heard}"
    );
    assert!(matches!(told.outcome, ReplyOutcome::Finished));
    assert!(Excess::Reply.counted() > before);
    call.say("thanks", ms(3000)).await;
    assert_eq!(call.turn().await.heard.expose(), "I see.");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_end_is_ended_in_time_however_slowly_it_comes() {
    for each in [ms(0), ms(5000)] {
        let again = Answer::Repeats("I say it again and again. ", each);
        let mut setup = Setup::default().answer("go on", again);
        setup.settings.session.reply_max = Duration::from_secs(20);
        setup.settings.session.reply_characters_max = 100_000;
        let mut call = setup.start().await;
        call.user.say("go on", ms(400)).await;
        call.user.be_silent(ms(40_000)).await;
        let told = call.turns.try_recv().expect("it ends by itself");
        assert!(
            told.heard.expose().ends_with(ENOUGH),
            "{}",
            told.heard.expose()
        );
        assert!(
            told.heard.expose().starts_with("I say it again"),
            "{each:?}"
        );
        let ended = told.timeline.playout_ended.expect("it was heard");
        let lasted = ended.since(told.timeline.playout_started.expect("it was heard"));
        assert!(lasted < Duration::from_secs(32), "{lasted:?} of speech");
        call.say("thanks", ms(3000)).await;
        assert_eq!(call.turn().await.heard.expose(), "I see.");
        call.hang_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn time_in_tools_does_not_shorten_a_reply() {
    let mut setup = Setup::default()
        .answer("look around", Answer::Calls(&[("a", "look")]))
        .answer("seen", Answer::Says("There is a tree."));
    setup.settings.session.reply_max = ms(500);
    let mut call = setup.start().await;
    // The tool takes a second.
    call.say("look around", ms(5000)).await;
    assert_eq!(call.turn().await.heard.expose(), "There is a tree.");
    call.hang_up().await;
}

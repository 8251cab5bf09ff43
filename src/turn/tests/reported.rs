//! What users of other frameworks have reported about interruptions, each as a script of its own.
//! What of it concerns the history of the conversation is tested in whole sessions, too.

use super::*;

/// livekit/agents#3427: one agent was stopped by every short sound, or, set to be harder to stop, cut
/// in on slow speakers. How long the voice must last to stop the agent says nothing about how long a
/// pause may be, and neither depends on the other.
#[test]
fn an_agent_that_is_hard_to_stop_still_lets_slow_speakers_finish() {
    let mut config = Config::default();
    config.interruption.min_words = 3;
    config.endpointing.judge = endpointing::Judge::Transcript;
    check_with(
        config,
        "500 agent
         1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 oh really
         2500 > discard
         4000 done
         5000 start 0
         5000 > open
         6160 pause 160
         6160 > transcribe 2
         6200 words 2 I would like to
         6200 > prepare 'I would like to'
         8064 start 64
         8064 > drop prepared
         9160 pause 160
         9160 > transcribe 3
         9200 words 3 I would like to book a table
         9200 > prepare 'I would like to book a table'
         9500 > commit 1 'I would like to book a table' prepared",
    );
}

/// livekit/agents#4039: after "mhm" the agent stopped and never went on.
#[test]
fn after_a_mhm_the_agent_always_goes_on() {
    check(
        "500 agent
         1000 start 0
         1000 > open
         1500 > pause
         1760 pause 160
         1760 > transcribe 1
         1860 words 1 mhm
         2100 > discard
         2100 > resume
         4000 start 0
         4000 > open
         4500 > pause
         4760 pause 160
         4760 > transcribe 2
         4860 words 2 mhm
         5100 > discard
         5100 > resume
         9000 done",
    );
}

/// livekit/agents#3418: the user went on after a turn that was ended too early; the reply was stopped,
/// and the next one was "spoken" in silence until the user spoke again. A pause ends by itself, whatever
/// happens to the words.
#[test]
fn a_reply_stopped_by_the_users_second_half_is_followed_by_an_answer_to_it() {
    check(
        "1000 start 0
         1000 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 my name is john
         2200 > prepare 'my name is john'
         2500 > commit 1 'my name is john' prepared
         2700 start 0
         2700 > open
         3200 > pause
         3360 pause 160
         3360 > transcribe 2
         3460 words 2 doe
         3460 > interrupt
         3460 > prepare 'doe'
         3700 > commit 2 'doe' prepared
         3900 audible
         6000 done",
    );
    check(
        "500 agent
         1000 start 0
         1000 > open
         1500 > pause
         1760 pause 160
         1760 > transcribe 1
         3600 > resume
         60000 failed 1
         60000 > discard",
    );
}

/// livekit/agents#5038: a reply that was paused before its first sound was lost, and with it its words.
#[test]
fn a_reply_paused_before_it_is_heard_is_still_said() {
    check(
        "1000 start 0
         1000 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 hello
         2200 > prepare 'hello'
         2500 > commit 1 'hello' prepared
         2600 start 0
         2600 > open
         3100 > pause
         3360 pause 160
         3360 > transcribe 2
         3460 words 2
         3700 > discard
         3700 > resume
         3710 audible
         6000 done",
    );
}

/// livekit/agents-js#1269: a reply was stopped before its first word was out, and its words were in the
/// history all the same. It is interrupted before the next turn is answered, so that nothing of it can be
/// taken for heard; what the history then has is tested in whole sessions (`pausing.rs`).
#[test]
fn a_reply_stopped_before_its_first_word_is_over_before_the_next_turn_is_answered() {
    check(
        "1000 start 0
         1000 > open
         2160 pause 160
         2160 > transcribe 1
         2260 words 1 tell me
         2260 > prepare 'tell me'
         2500 > commit 1 'tell me' prepared
         2600 text no
         2600 > interrupt
         2600 > commit 2 'no'
         2700 audible
         4000 done",
    );
}

/// livekit/agents-js#1791: one utterance in two pieces made two replies that stopped each other, and then
/// nothing was answered any more. There is one prepared reply at most, and each turn is answered.
#[test]
fn an_utterance_understood_in_two_pieces_has_one_reply_and_the_next_turn_one_too() {
    check(
        "1000 start 0
         1000 > open
         1560 pause 160
         1560 > transcribe 1
         1600 words 1 uh
         1600 > prepare 'uh'
         1700 resume 0
         1700 > drop prepared
         2560 pause 160
         2560 > transcribe 2
         2600 words 2 uh I need help
         2600 > prepare 'uh I need help'
         2900 > commit 1 'uh I need help' prepared
         3000 start 0
         3000 > open
         3360 pause 160
         3360 > transcribe 3
         3400 words 3 please
         3400 > interrupt
         3400 > prepare 'please'
         3700 > commit 2 'please' prepared
         5000 done
         6000 start 0
         6000 > open
         7160 pause 160
         7160 > transcribe 4
         7200 words 4 are you there
         7200 > prepare 'are you there'
         7500 > commit 3 'are you there' prepared",
    );
}

/// livekit/agents-js#2059: a prepared reply that was superseded was heard all the same. A commit takes
/// the last one, and every other was dropped before.
#[test]
fn a_superseded_reply_is_dropped_before_the_next_is_prepared() {
    check(
        "1000 start 0
         1000 > open
         1560 pause 160
         1560 > transcribe 1
         1600 words 1 book a table
         1600 > prepare 'book a table'
         1900 resume 0
         1900 > drop prepared
         2560 pause 160
         2560 > transcribe 2
         2600 words 2 book a table for two
         2600 > prepare 'book a table for two'
         2900 > commit 1 'book a table for two' prepared",
    );
}

/// pipecat#3191: with a minimum of words the bot talked on for long after it was interrupted. The words
/// of a pause count as soon as they are known, before the turn is over.
#[test]
fn words_stop_the_agent_at_the_first_pause_and_not_at_the_end_of_the_turn() {
    let mut config = Config::default();
    config.interruption.min_words = 2;
    config.endpointing.judge = endpointing::Judge::Transcript;
    check_with(
        config,
        "500 agent
         1000 start 0
         1000 > open
         1660 pause 160
         1660 > transcribe 1
         1760 words 1 stop because
         1760 > interrupt
         1760 > prepare 'stop because'
         4500 > commit 1 'stop because' prepared",
    );
}

/// pipecat#5305: after an interruption without words nothing happened any more, and nobody noticed
/// that the user waited. The agent goes on, and after it the silence counts again.
#[test]
fn after_an_interruption_without_words_the_silence_counts_again() {
    let machine = check_with(
        Config::default(),
        "500 agent
         1000 start 0
         1000 > open
         1500 > pause
         1760 pause 160
         1760 > transcribe 1
         1860 words 1
         2100 > discard
         2100 > resume
         4000 done",
    );
    assert!(machine.is_user_away());
    let machine = check_with(
        without_pausing(),
        "500 agent
         1000 start 0
         1000 > open
         1500 > interrupt
         1760 pause 160
         1760 > transcribe 1
         1860 words 1
         2100 > discard",
    );
    assert!(machine.is_user_away());
}

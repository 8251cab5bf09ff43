//! What stops the agent, and what does not.

use super::*;

#[test]
fn half_a_second_of_voice_stops_the_agent() {
    check_with(
        without_pausing(),
        "500 agent
         1064 start 64
         1064 > open
         1500 > interrupt
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 wait a moment
         2200 > prepare 'wait a moment'
         2500 > commit 1 'wait a moment' prepared",
    );
}

#[test]
fn voice_on_both_sides_of_a_pause_counts_towards_an_interruption() {
    check_with(
        without_pausing(),
        "500 agent
         1000 start 0
         1000 > open
         1460 pause 160
         1460 > transcribe 1
         1500 resume 0
         1500 > cancel 1
         1700 > interrupt",
    );
}

#[test]
fn a_backchannel_lets_the_agent_talk_on() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1460 pause 160
         1460 > transcribe 1
         1556 end 256
         1600 words 1 Mhm.
         1800 > discard",
    );
}

#[test]
fn words_stop_the_agent_while_they_are_spoken() {
    let mut config = Config::default();
    config.interruption.min_words = 3;
    check_with(
        config,
        "500 agent
         1064 start 64
         1064 > open
         1400 hears wait
         1700 hears wait a
         2000 hears wait a moment
         2000 > interrupt
         3160 pause 160
         3160 > transcribe 1
         3256 end 256
         3300 words 1 wait a moment please
         3300 > prepare 'wait a moment please'
         3500 > commit 1 'wait a moment please' prepared",
    );
}

#[test]
fn words_that_are_heard_settle_a_pause_at_once() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         1600 hears mhm
         1900 hears mhm but
         1900 > interrupt
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 mhm but
         2200 > prepare 'mhm but'
         2500 > commit 1 'mhm but' prepared",
    );
}

#[test]
fn words_that_are_heard_do_not_stop_what_nothing_stops() {
    let mut config = Config::default();
    config.interruption.discard_audio_if_uninterruptible = false;
    check_with(
        config,
        "500 agent uninterruptible
         1064 start 64
         1064 > open
         1400 hears stop talking
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 stop talking
         4000 done
         4000 > commit 1 'stop talking'",
    );
}

#[test]
fn words_that_are_heard_during_the_echo_warm_up_stop_the_agent() {
    check(
        "500 agent
         600 audible
         1064 start 64
         1064 > open
         2000 hears no wait
         2000 > overlap since 1000: interruption
         2000 > interrupt
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 no wait
         2200 > prepare 'no wait'
         2500 > commit 1 'no wait' prepared",
    );
}

#[test]
fn a_short_word_stops_the_agent_as_soon_as_it_is_understood() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1460 pause 160
         1460 > transcribe 1
         1556 end 256
         1600 words 1 Stop!
         1600 > interrupt
         1600 > prepare 'Stop!'
         1800 > commit 1 'Stop!' prepared",
    );
}

#[test]
fn a_yes_right_after_the_agent_has_finished_is_an_answer() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1460 pause 160
         1460 > transcribe 1
         1500 done
         1556 end 256
         1600 words 1 yes
         1600 > prepare 'yes'
         1800 > commit 1 'yes' prepared",
    );
}

#[test]
fn words_known_before_the_agent_began_are_not_lost() {
    check(
        "1064 start 64
         1064 > open
         1460 pause 160
         1460 > transcribe 1
         1500 words 1 hello agent
         1500 > prepare 'hello agent'
         1600 agent
         1600 > drop prepared
         1800 > interrupt
         1800 > commit 1 'hello agent'",
    );
}

#[test]
fn a_minimum_of_words_is_waited_for_however_long_the_voice_lasts() {
    let mut config = Config::default();
    config.interruption.min_words = 2;
    check_with(
        config,
        "500 agent
         1064 start 64
         1064 > open
         3160 pause 160
         3160 > transcribe 1
         3200 words 1 stop now
         3200 > interrupt
         3200 > prepare 'stop now'
         3500 > commit 1 'stop now' prepared",
    );
}

#[test]
fn an_uninterruptible_reply_is_not_stopped_and_what_is_said_into_it_is_dropped() {
    check(
        "500 agent uninterruptible
         1064 start 64
         2160 pause 160
         2256 end 256
         3000 done",
    );
}

#[test]
fn a_user_who_talks_past_the_end_of_an_uninterruptible_reply_is_heard_from_there() {
    check(
        "500 agent uninterruptible
         1064 start 64
         2000 done
         2000 > open
         3160 pause 160
         3160 > transcribe 1
         3200 words 1 now listen
         3200 > prepare 'now listen'
         3500 > commit 1 'now listen' prepared",
    );
}

#[test]
fn typed_text_stops_the_agent_and_is_a_turn_at_once() {
    check(
        "500 agent
         1000 text hello
         1000 > interrupt
         1000 > commit 1 'hello'",
    );
}

#[test]
fn typed_text_waits_for_an_uninterruptible_reply() {
    check(
        "500 agent uninterruptible
         1000 text one
         1100 text two
         2000 done
         2000 > commit 1 'one / two'",
    );
}

#[test]
fn texts_that_come_while_an_answer_is_made_are_answered_together_a_second_later() {
    check(
        "1000 text one
         1000 > commit 1 'one'
         1200 text two
         1999 text three
         2000 > interrupt
         2000 > commit 2 'two / three'
         2100 audible
         2200 text four
         2200 > interrupt
         2200 > commit 3 'four'
         2300 done
         2400 text five
         2400 > commit 4 'five'
         2500 text six
         2600 done
         2600 > commit 5 'six'",
    );
}

#[test]
fn a_flood_of_texts_is_a_request_a_second_and_the_oldest_of_too_much_leave() {
    let long = "x".repeat(5_000);
    check(&format!(
        "1000 text one
         1000 > commit 1 'one'
         1100 text {long}
         1200 text {long}
         1200 > drop 1 texts
         1300 text {long}
         1300 > drop 1 texts
         2000 > interrupt
         2000 > commit 2 '{long}'
         2100 text two
         2900 text three
         3000 > interrupt
         3000 > commit 3 'two / three'"
    ));
}

//! A voice that may be an interruption pauses the agent; what follows decides.

use super::*;

#[test]
fn a_voice_without_words_pauses_the_agent_who_goes_on_when_that_is_certain() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         1860 pause 160
         1860 > transcribe 1
         1956 end 256
         1960 words 1
         2200 > discard
         2200 > resume",
    );
}

#[test]
fn a_long_backchannel_only_pauses_the_agent() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         1860 pause 160
         1860 > transcribe 1
         1960 words 1 Mhm, mhm.
         2200 > discard
         2200 > resume
         9000 done",
    );
}

#[test]
fn words_after_the_pause_make_it_an_interruption() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 wait a moment
         2200 > interrupt
         2200 > prepare 'wait a moment'
         2500 > commit 1 'wait a moment' prepared",
    );
}

#[test]
fn the_agent_goes_on_two_seconds_after_the_voice_when_its_words_are_late() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         2160 pause 160
         2160 > transcribe 1
         4000 > resume
         4500 words 1 stop that
         4500 > interrupt
         4500 > prepare 'stop that'
         4500 > commit 1 'stop that' prepared",
    );
}

#[test]
fn the_agent_stays_paused_while_the_user_goes_on() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         1860 pause 160
         1860 > transcribe 1
         1956 end 256
         2064 start 64
         2064 > cancel 1
         3860 pause 160
         3860 > transcribe 2
         3956 end 256
         4064 start 64
         4064 > cancel 2
         5160 pause 160
         5160 > transcribe 3
         5200 words 3 I have a question
         5200 > interrupt
         5200 > prepare 'I have a question'
         5500 > commit 1 'I have a question' prepared",
    );
}

#[test]
fn a_lost_transcript_lets_the_agent_go_on() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         2160 pause 160
         2160 > transcribe 1
         2400 failed 1
         2400 > discard
         2400 > resume",
    );
}

#[test]
fn an_agent_that_had_just_finished_has_nothing_to_resume() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         1505 done
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 okay
         2200 > prepare 'okay'
         2500 > commit 1 'okay' prepared",
    );
}

#[test]
fn typed_text_ends_a_pause_as_an_interruption_and_a_voice_that_goes_on_pauses_the_answer() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         1600 text never mind
         1600 > interrupt
         1600 > commit 1 'never mind'
         1600 > pause
         1760 pause 160
         1760 > transcribe 1
         1800 words 1
         2100 > discard
         2100 > resume",
    );
}

#[test]
fn the_agents_echo_does_not_stop_its_first_three_seconds_but_words_do() {
    check(
        "500 agent
         1000 audible
         1464 start 64
         1464 > open
         2560 pause 160
         2560 > transcribe 1
         2600 words 1
         2900 > overlap since 1400: no interruption
         2900 > discard
         3064 start 64
         3064 > open
         4000 > pause
         4160 pause 160
         4160 > transcribe 2
         4200 words 2 stop
         4200 > overlap since 3000: interruption
         4200 > interrupt
         4200 > prepare 'stop'
         4500 > commit 1 'stop' prepared",
    );
    check(
        "500 agent
         1000 audible
         1464 start 64
         1464 > open
         2560 pause 160
         2560 > transcribe 1
         2600 words 1 stop
         2600 > overlap since 1400: interruption
         2600 > interrupt
         2600 > prepare 'stop'
         2900 > commit 1 'stop' prepared",
    );
}

#[test]
fn the_second_speech_needs_no_warm_up() {
    check(
        "500 agent
         600 audible
         5000 done
         6000 agent
         6100 audible
         7000 start 0
         7000 > open
         7500 > pause
         8160 pause 160
         8160 > transcribe 1
         8200 words 1
         8500 > overlap since 7000: no interruption
         8500 > discard
         8500 > resume",
    );
}

#[test]
fn what_is_said_into_an_uninterruptible_speech_is_kept_when_it_is_to_be() {
    let mut config = Config::default();
    config.interruption.discard_audio_if_uninterruptible = false;
    check_with(
        config,
        "500 agent uninterruptible
         1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 my name is john
         6000 done
         6000 > commit 1 'my name is john'",
    );
}

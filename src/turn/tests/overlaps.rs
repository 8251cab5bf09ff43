//! Both heard at once: told once for each voice, with what it meant.

use super::*;

/// Nothing that is heard is the agent's echo.
fn heard_with_headphones(script: &str) {
    let mut config = Config::default();
    config.interruption.echo_warm_up = Duration::ZERO;
    check_with(config, script);
}

#[test]
fn a_voice_that_stops_the_agent_is_an_interruption_since_both_were_heard() {
    heard_with_headphones(
        "500 agent
         700 audible
         1064 start 64
         1064 > open
         1500 > pause
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 stop it
         2200 > overlap since 1000: interruption
         2200 > interrupt
         2200 > prepare 'stop it'
         2500 > commit 1 'stop it' prepared",
    );
}

#[test]
fn words_that_come_late_were_an_interruption_all_the_same() {
    check(
        "500 agent
         700 audible
         1064 start 64
         1064 > open
         1300 pause 100
         1300 > transcribe 1
         1360 end 160
         2000 words 1 stop
         2000 > overlap since 1000: interruption
         2000 > interrupt
         2000 > prepare 'stop'
         2000 > commit 1 'stop' prepared",
    );
}

#[test]
fn a_sound_of_listening_is_none() {
    check(
        "500 agent
         700 audible
         1064 start 64
         1064 > open
         1300 pause 100
         1300 > transcribe 1
         1360 end 160
         1400 words 1 mhm
         1700 > overlap since 1000: no interruption
         1700 > discard
         3000 done",
    );
}

#[test]
fn a_noise_that_lasts_is_told_once_and_once_more_if_it_had_words_after_all() {
    heard_with_headphones(
        "500 agent
         700 audible
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 words 1
         3100 > overlap since 1000: no interruption
         3100 > discard
         3100 > resume
         3100 > open
         5100 > transcribe 2
         5200 words 2
         5200 > discard
         5200 > open
         7200 > transcribe 3
         7300 words 3 stop it
         7300 > overlap since 1000: interruption
         7300 > interrupt
         8160 pause 160
         8160 > transcribe 4
         8200 words 4 stop it
         8200 > prepare 'stop it'
         8500 > commit 1 'stop it' prepared",
    );
}

#[test]
fn who_was_silent_again_before_the_agent_was_heard_did_not_speak_over_it() {
    check(
        "500 agent
         564 start 64
         564 > open
         800 pause 100
         800 > transcribe 1
         860 end 160
         900 audible
         1000 words 1 stop
         1000 > interrupt
         1000 > prepare 'stop'
         1200 > commit 1 'stop' prepared",
    );
}

#[test]
fn who_speaks_already_when_the_agent_is_heard_speaks_over_it_from_then_on() {
    check_with(
        without_pausing(),
        "500 agent
         564 start 64
         564 > open
         900 audible
         3900 > overlap since 900: interruption
         3900 > interrupt
         4160 pause 160
         4160 > transcribe 1
         4200 words 1 stop
         4200 > prepare 'stop'
         4500 > commit 1 'stop' prepared",
    );
}

#[test]
fn a_text_or_a_program_is_no_interruption_by_the_voice_that_is_heard() {
    for (other, then) in [("text hello", "1200 > commit 1 'hello'"), ("stop", "")] {
        let script = format!(
            "500 agent
             700 audible
             1064 start 64
             1064 > open
             1200 {other}
             1200 > interrupt
             {then}
             1300 pause 100
             1300 > transcribe 1
             1360 end 160
             1400 words 1
             1700 > discard"
        );
        heard_with_headphones(&script);
    }
}

#[test]
fn while_the_agent_waits_for_a_tool_nobody_is_spoken_over() {
    heard_with_headphones(
        "500 agent
         700 audible
         2000 silent 300
         3064 start 64
         3064 > open
         3500 > pause
         4160 pause 160
         4160 > transcribe 1
         4200 words 1 stop it
         4200 > interrupt
         4200 > prepare 'stop it'
         4500 > commit 1 'stop it' prepared",
    );
}

#[test]
fn an_agent_that_goes_on_into_a_voice_is_spoken_over_from_there_on() {
    heard_with_headphones(
        "500 agent
         700 audible
         2000 silent 300
         3064 start 64
         3064 > open
         3300 audible
         3500 > pause
         4160 pause 160
         4160 > transcribe 1
         4200 words 1 stop it
         4200 > overlap since 3300: interruption
         4200 > interrupt
         4200 > prepare 'stop it'
         4500 > commit 1 'stop it' prepared",
    );
}

#[test]
fn a_voice_that_begins_in_the_silence_is_none_also_if_the_silence_is_noticed_later() {
    heard_with_headphones(
        "500 agent
         700 audible
         1800 start 90
         1800 > open
         2000 silent 300
         2210 > pause
         2860 pause 160
         2860 > transcribe 1
         2900 words 1 stop it
         2900 > interrupt
         2900 > prepare 'stop it'
         3200 > commit 1 'stop it' prepared",
    );
}

#[test]
fn a_voice_that_begins_over_the_last_sound_before_a_silence_is_one() {
    heard_with_headphones(
        "500 agent
         700 audible
         1800 start 110
         1800 > open
         2000 silent 300
         2190 > pause
         2860 pause 160
         2860 > transcribe 1
         2900 words 1 stop it
         2900 > overlap since 1690: interruption
         2900 > interrupt
         2900 > prepare 'stop it'
         3200 > commit 1 'stop it' prepared",
    );
}

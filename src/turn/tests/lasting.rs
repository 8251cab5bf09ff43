//! A voice that pauses the agent and does not end: a fan, music, or somebody with much to say.

use super::*;

#[test]
fn a_noise_that_does_not_end_does_not_keep_the_agent_silent() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 words 1
         3100 > discard
         3100 > resume
         3100 > open
         5000 done",
    );
}

#[test]
fn words_in_a_noise_that_does_not_end_still_stop_the_agent() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 words 1 mhm
         3100 > discard
         3100 > resume
         3100 > open
         5100 > transcribe 2
         5200 words 2 stop it
         5200 > interrupt
         6160 pause 160
         6160 > transcribe 3
         6200 words 3 stop it please
         6200 > prepare 'stop it please'
         6500 > commit 1 'stop it please' prepared",
    );
}

#[test]
fn the_agent_stays_silent_for_somebody_with_much_to_say() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 words 1 I have a
         3100 > interrupt
         9160 pause 160
         9160 > transcribe 2
         9200 words 2 I have a long question
         9200 > prepare 'I have a long question'
         9500 > commit 1 'I have a long question' prepared",
    );
}

#[test]
fn a_voice_that_ends_while_its_words_are_asked_for_is_asked_for_all_of_them() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3160 pause 160
         3160 > cancel 1
         3160 > transcribe 2
         3200 words 1 I have
         3260 words 2 I have a question
         3260 > interrupt
         3260 > prepare 'I have a question'
         3500 > commit 1 'I have a question' prepared",
    );
}

#[test]
fn the_agent_goes_on_when_the_words_of_a_lasting_voice_cannot_be_known() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 failed 1
         3100 > discard
         3100 > resume
         3100 > open
         4000 done",
    );
}

#[test]
fn the_next_voice_after_a_lasting_noise_pauses_the_agent_again() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 words 1
         3100 > discard
         3100 > resume
         3100 > open
         4160 pause 160
         4160 > transcribe 2
         4200 words 2
         4500 > discard
         6064 start 64
         6064 > open
         6500 > pause
         6860 pause 160
         6860 > transcribe 3
         6900 words 3 stop
         6900 > interrupt
         6900 > prepare 'stop'
         7200 > commit 1 'stop' prepared",
    );
}

#[test]
fn a_noise_that_does_not_end_does_not_hold_up_what_the_agent_has_to_say() {
    check(
        "500 agent
         1064 start 64
         1064 > open
         1500 > pause
         3000 > transcribe 1
         3100 words 1
         3100 > discard
         3100 > resume
         3100 > open
         4000 queue 7 normal
         5000 done
         5000 > speak 7
         5050 done",
    );
}

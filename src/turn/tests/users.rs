//! The user is away, comes back, or another one takes their place.

use super::*;

/// A user says something and is gone before the turn is over.
const HALF_A_TURN: &str = "1064 start 64
     1064 > open
     2160 pause 160
     2160 > transcribe 1
     2256 end 256
     2300 away
     2330 words 1 my PIN is 4711";

#[test]
fn a_turn_never_ends_in_the_name_of_a_user_who_is_not_there() {
    check(HALF_A_TURN);
}

#[test]
fn a_turn_ends_when_its_user_is_back() {
    check(&format!(
        "{HALF_A_TURN}
         9000 returned
         9000 > commit 1 'my PIN is 4711'"
    ));
}

#[test]
fn the_next_user_takes_over_nothing_of_the_turn() {
    check(
        "1064 start 64
         1064 > open
         2160 pause 160
         2160 > transcribe 1
         2256 end 256
         2300 away
         12300 gone
         12300 > cancel 1
         12300 > discard
         12300 joined
         12310 words 1 my PIN is 4711
         13064 start 64
         13064 > open
         14160 pause 160
         14160 > transcribe 2
         14256 end 256
         14260 words 2 hello
         14260 > prepare 'hello'
         14500 > commit 1 'hello' prepared",
    );
}

#[test]
fn a_voice_that_broke_off_is_no_voice_of_the_next_user() {
    let machine = check_with(
        Config::default(),
        "1064 start 64
         1064 > open
         1500 away
         11500 gone
         11500 > discard
         11500 joined
         11600 queue 1 normal
         11600 > speak 1",
    );
    assert!(!machine.is_user_speaking());
}

#[test]
fn what_is_said_is_held_for_a_user_who_comes_back() {
    for speech in ["agent", "agent uninterruptible"] {
        check(&format!(
            "500 {speech}
             700 audible
             1000 away
             1000 > hold
             9000 returned
             9000 > go on
             9500 done"
        ));
    }
}

#[test]
fn a_speech_that_a_voice_has_paused_goes_on_by_the_rules_of_the_voice() {
    check(
        "500 agent
         700 audible
         4000 start 1
         4000 > open
         4499 > pause
         4600 away
         4700 pause 100
         4760 end 160
         4760 > transcribe 1
         9000 returned
         9000 > resume
         9100 words 1
         9100 > overlap since 3999: no interruption
         9100 > discard",
    );
}

#[test]
fn words_that_are_known_late_stop_a_held_speech() {
    check(
        "500 agent
         700 audible
         4000 start 1
         4000 > open
         4300 pause 100
         4300 > transcribe 1
         4360 end 160
         4400 away
         4400 > hold
         4500 words 1 stop it
         4500 > overlap since 3999: interruption
         4500 > interrupt
         9000 returned
         9000 > commit 1 'stop it'",
    );
}

#[test]
fn what_waits_is_for_the_user_it_was_meant_for() {
    check(
        "500 agent uninterruptible
         600 queue 1 normal
         650 text one
         700 away
         700 > hold
         750 queue 2 normal
         800 text two
         5000 returned
         5000 > go on
         6000 done
         6000 > speak 1
         7000 away
         7000 > hold
         17000 gone
         17000 > drop speech 2
         17000 > interrupt
         17000 joined",
    );
}

#[test]
fn texts_that_arrive_late_are_answered_when_their_user_is_back() {
    check(
        "500 away
         600 text my name is ann
         5000 returned
         5000 > commit 1 'my name is ann'
         6000 away
         6000 > hold
         6100 text my PIN is 4711
         16000 gone
         16000 > interrupt
         16000 joined
         17000 text hello
         17000 > commit 2 'hello'",
    );
}

#[test]
fn a_user_is_away_while_they_are_not_there() {
    let away = check_with(Config::default(), "500 away");
    assert!(away.is_user_away() && away.deadline().is_none());
    let back = |last: &str| {
        let mut run = Script {
            machine: TurnMachine::new(Config::default()),
            log: String::new(),
        };
        for (at_ms, word) in [(0, "joined"), (500, "away"), (900, last), (900, "joined")] {
            run.feed(at_ms, parse(&[word]));
        }
        run.machine.is_user_away()
    };
    assert!(!back("returned") && !back("gone"));
}

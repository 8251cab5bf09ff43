//! Turns that become too long, users who are gone, delays that follow the user.

use super::*;

fn twenty_seconds() -> Config {
    let mut config = Config::default();
    config.limit.duration_max = Duration::from_secs(20);
    config
}

#[test]
fn a_turn_that_lasts_too_long_is_answered_and_its_rest_is_the_next_turn() {
    check_with(
        twenty_seconds(),
        "1000 start 0
         1000 > open
         21000 > transcribe 1
         21000 > cut
         21100 words 1 and then he said
         21100 > commit 1 'and then he said'
         21300 audible
         23160 pause 160
         23160 > transcribe 2
         23256 end 256
         23300 words 2 that he would go
         26000 done
         26000 > commit 2 'that he would go'
         28000 done",
    );
}

#[test]
fn a_user_who_talks_on_through_the_answer_is_cut_off_again() {
    check_with(
        twenty_seconds(),
        "1000 start 0
         1000 > open
         21000 > transcribe 1
         21000 > cut
         21100 words 1 and then he said
         21100 > commit 1 'and then he said'
         24000 done
         41000 > transcribe 2
         41000 > cut
         41200 words 2 that he would go
         41200 > commit 2 'that he would go'
         42160 pause 160
         42160 > transcribe 3
         42256 end 256
         42300 words 3
         44000 done
         44000 > discard",
    );
}

#[test]
fn a_user_who_begins_anew_interrupts_the_answer_to_what_was_cut_off() {
    check_with(
        twenty_seconds(),
        "1000 start 0
         1000 > open
         21000 > transcribe 1
         21000 > cut
         21100 words 1 and then he said
         21100 > commit 1 'and then he said'
         22160 pause 160
         22160 > transcribe 2
         22256 end 256
         22300 words 2 well
         24000 start 0
         24500 > pause
         24660 pause 160
         24660 > transcribe 3
         24756 end 256
         24800 words 3 well wait
         24800 > interrupt
         24800 > prepare 'well wait'
         25000 > commit 2 'well wait' prepared",
    );
}

#[test]
fn a_pause_before_the_words_of_a_cut_are_known_loses_nothing() {
    check_with(
        twenty_seconds(),
        "1000 start 0
         1000 > open
         21000 > transcribe 1
         21000 > cut
         21360 pause 160
         21360 > transcribe 2
         21456 end 256
         21500 words 2 he left
         21600 words 1 and then
         21600 > prepare 'and then'
         21600 > commit 1 'and then' prepared
         24000 done
         24000 > commit 2 'he left'",
    );
}

#[test]
fn when_the_words_of_a_cut_are_lost_the_rest_is_answered() {
    check_with(
        twenty_seconds(),
        "1000 start 0
         1000 > open
         21000 > transcribe 1
         21000 > cut
         21100 failed 1
         23160 pause 160
         23160 > transcribe 2
         23256 end 256
         23300 words 2 that he would go
         23300 > prepare 'that he would go'
         23500 > commit 1 'that he would go' prepared",
    );
}

#[test]
fn a_turn_of_too_many_words_does_not_wait_for_more() {
    let mut config = Config::default();
    config.limit.words_max = 4;
    check_with(
        config,
        "1000 start 0
         1000 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 and then he said
         2200 > prepare 'and then he said'
         2200 > commit 1 'and then he said' prepared",
    );
}

#[test]
fn delays_follow_a_user_who_pauses_long_inside_turns() {
    let mut config = Config::default();
    config.endpointing.mode = endpointing::Mode::Dynamic;
    // A pause of 450 ms would not count; one of 1.5 s cut the turn in two and did.
    check_with(
        config,
        "1000 start 0
         1000 > open
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 my name
         2200 > prepare 'my name'
         2500 > commit 1 'my name' prepared
         3500 start 0
         3500 > open
         4000 > pause
         4160 pause 160
         4160 > transcribe 2
         4200 words 2 is john
         4200 > interrupt
         4200 > prepare 'is john'
         4600 > commit 2 'is john' prepared",
    );
}

/// Whether the user counts as away after each line of `script`, by time.
fn away_at(script: &str) -> Vec<u64> {
    let mut machine = TurnMachine::new(Config::default());
    let mut away = Vec::new();
    for line in script.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at_ms = words[0].parse().unwrap();
        let now = SessionTime::after_start(Duration::from_millis(at_ms));
        machine.input(now, parse(&words[1..]));
        if machine.is_user_away() {
            away.push(at_ms);
        }
    }
    away
}

#[test]
fn a_user_is_away_after_fifteen_seconds_of_silence_of_both_until_they_speak() {
    let away = away_at(
        "0 joined
         1000 agent
         9000 done
         23900 tick
         24000 tick
         30000 agent
         31000 done
         40000 start 0
         41000 pause 160",
    );
    assert_eq!(away, [24_000, 30_000, 31_000]);
}

#[test]
fn nobody_is_away_who_was_never_there() {
    assert!(away_at("60000 tick\n60000 joined\n61000 tick").is_empty());
}

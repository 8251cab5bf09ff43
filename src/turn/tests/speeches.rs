//! What the agent says of itself: order, waiting for the user, stopping.

use super::*;

#[test]
fn speeches_are_said_by_priority_and_in_order() {
    check(
        "500 queue 1 normal
         500 > speak 1
         600 queue 2 low
         700 queue 3 normal
         800 queue 4 high
         900 queue 5 normal
         2000 done
         2000 > speak 4
         3000 done
         3000 > speak 3
         4000 done
         4000 > speak 5
         5000 done
         5000 > speak 2
         6000 done",
    );
}

#[test]
fn a_speech_waits_until_the_user_has_been_answered() {
    check(
        "1064 start 64
         1064 > open
         1500 queue 1 normal
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 hello
         2200 > prepare 'hello'
         2500 > commit 1 'hello' prepared
         5000 done
         5000 > speak 1",
    );
}

#[test]
fn an_urgent_speech_does_not_wait_for_the_user() {
    check(
        "1064 start 64
         1064 > open
         1200 queue 1 high uninterruptible
         1200 > speak 1
         2160 pause 160
         2160 > transcribe 1
         2200 words 1 hello
         5000 done
         5000 > commit 1 'hello'",
    );
}

#[test]
fn a_noise_does_not_hold_up_a_speech_for_long() {
    check(
        "1064 start 64
         1064 > open
         1200 queue 1 normal
         1360 pause 160
         1360 > transcribe 1
         1400 words 1
         1700 > discard
         1700 > speak 1",
    );
}

#[test]
fn an_interrupted_speech_gives_way_to_the_user_and_the_next_one_waits() {
    check(
        "500 queue 1 normal
         500 > speak 1
         600 queue 2 normal
         1064 start 64
         1064 > open
         1460 pause 160
         1460 > transcribe 1
         1500 words 1 stop
         1500 > interrupt
         1500 > prepare 'stop'
         1800 > commit 1 'stop' prepared
         3000 done
         3000 > speak 2",
    );
}

#[test]
fn a_program_can_stop_what_a_user_cannot_and_take_back_what_waits() {
    check(
        "500 queue 1 normal uninterruptible
         500 > speak 1
         600 queue 2 normal
         700 queue 3 normal
         800 unqueue 2
         900 stop
         900 > interrupt
         900 > speak 3
         1000 stop
         1000 > interrupt
         1100 stop",
    );
}

#[test]
fn the_queue_is_bounded_and_drops_what_matters_least() {
    let mut script = String::from("100 queue 99 high\n100 > speak 99\n");
    for id in 1..=16 {
        writeln!(script, "200 queue {id} normal").unwrap();
    }
    script.push_str("300 queue 17 low\n300 > drop speech 17\n");
    script.push_str("400 queue 18 high\n400 > drop speech 16\n");
    script.push_str("500 done\n500 > speak 18\n");
    check(&script);
}

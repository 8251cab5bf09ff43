//! Packets that do not come, or come too late.

use super::*;

#[test]
fn five_percent_loss_is_not_heard_with_red() {
    for seed in 0..5 {
        let mut random = noise(seed + 10);
        let mut call = Call::new(20, move |_| if random() < 0.05 { None } else { ms(10.0) });
        call.red = true;
        let heard = call.run();
        let stats = heard.stats;
        // Two in a row are lost now and then; nothing repeats those.
        assert!(stats.packets_recovered_by_red > 25, "{stats:?}");
        assert!(
            stats.packets_lost > 30 && stats.packets_lost < 75,
            "{stats:?}"
        );
        let verdict = heard.verdict();
        assert!(
            verdict.quiet == 0 && verdict.glitched <= 6,
            "{verdict:?} {stats:?}"
        );
    }
}

#[test]
fn single_losses_are_not_heard_at_all_with_red() {
    let mut call = Call::new(20, |n| if n % 20 == 13 { None } else { ms(10.0) });
    call.red = true;
    let heard = call.run();
    heard.assert_clean();
    assert!(
        heard.stats.packets_recovered_by_red >= 48,
        "{:?}",
        heard.stats
    );
    assert_eq!(heard.stats.packets_recovered_by_fec, 0);
}

#[test]
fn loss_without_red_is_made_good_by_fec() {
    let mut call = Call::new(20, |n| if n % 20 == 13 { None } else { ms(10.0) });
    call.sound = Sound::Voice;
    let stats = call.run().stats;
    assert_eq!(stats.packets_lost, 50, "{stats:?}");
    assert!(stats.packets_recovered_by_fec >= 35, "{stats:?}");
    let concealed_packets = stats.samples_concealed / 960;
    assert!(
        concealed_packets + stats.packets_recovered_by_fec <= 52,
        "{stats:?}"
    );
}

#[test]
fn a_single_loss_that_nothing_repeats_is_bridged() {
    let heard = Call::new(20, |n| if n % 20 == 13 { None } else { ms(10.0) }).run();
    let verdict = heard.verdict();
    // libopus sends no FEC with a steady tone, and its first frame after a loss is damaged.
    assert!(
        verdict.quiet == 0 && verdict.glitched <= 60,
        "{verdict:?} {:?}",
        heard.stats
    );
}

#[test]
fn retransmitted_packets_are_waited_for() {
    // Every tenth packet comes 70 ms late, as after a NACK.
    let heard = Call::new(20, |n| if n % 10 == 7 { ms(80.0) } else { ms(10.0) }).run();
    let settled = judge(&heard.pcm[48_000 * 4..48_000 * 19], 48_000, HZ);
    assert_eq!(
        (settled.quiet, settled.glitched),
        (0, 0),
        "{settled:?} {:?}",
        heard.stats
    );
    assert!(
        heard.stats.packets_lost <= 2,
        "all but what is under way: {:?}",
        heard.stats
    );
}

#[test]
fn a_burst_of_loss_fades_out_and_recovers() {
    let heard = Call::new(6, |n| {
        if (150..165).contains(&n) {
            None
        } else {
            ms(10.0)
        }
    })
    .run();
    let stats = heard.stats;
    assert_eq!(
        (stats.packets_lost, stats.concealment_events),
        (15, 1),
        "{stats:?}"
    );
    // 15 packets, one of them from FEC.
    assert!(
        (12_000..=15_000).contains(&stats.samples_concealed),
        "{stats:?}"
    );
    let verdict = heard.verdict();
    assert!((10..=32).contains(&verdict.quiet), "{verdict:?}");
    assert!(stats.delay_ms < 80.0, "{stats:?}");
    let after = judge(&heard.pcm[48_000 * 4..48_000 * 5], 48_000, HZ);
    assert_eq!((after.quiet, after.glitched), (0, 0));
}

#[test]
fn a_stall_loses_no_sound_and_its_delay_is_caught_up() {
    // For half a second nothing comes, then all of it at once.
    let stall = |n: usize| match n {
        100..125 => ms(10.0 + (125 - n) as f64 * 20.0),
        _ => ms(10.0),
    };
    let heard = Call::new(40, stall).run();
    let stats = heard.stats;
    assert_eq!(
        (stats.packets_lost, stats.packets_discarded),
        (0, 0),
        "{stats:?}"
    );
    let caught_up_ms = stats.samples_removed as f64 / 48.0 - stats.samples_inserted as f64 / 48.0;
    assert!(
        (350.0..=520.0).contains(&caught_up_ms),
        "{caught_up_ms} {stats:?}"
    );
    let after = judge(&heard.pcm[48_000 * 3..48_000 * 39], 48_000, HZ);
    assert_eq!((after.quiet, after.glitched), (0, 0), "{after:?}");
    assert!(stats.delay_ms < 70.0, "{stats:?}");
}

#[test]
fn a_pause_in_the_timestamps_is_silence_and_no_loss() {
    let mut call = Call::new(4, |_| ms(10.0));
    let mut packets = call.packets();
    // From packet 100 on all is two seconds later, in time and in timestamps.
    for (at, sent) in packets.iter_mut().skip(100) {
        *at += Duration::from_secs(2);
        sent.timestamp += 96_000;
    }
    let heard = play(packets, 48_000, 6);
    let stats = heard.stats;
    assert_eq!(stats.packets_lost, 0, "{stats:?}");
    let verdict = heard.verdict();
    assert!((180..=205).contains(&verdict.quiet), "{verdict:?}");
    assert!(
        stats.delay_ms < 60.0,
        "the pause changed the delay: {stats:?}"
    );
    let after = judge(&heard.pcm[48_000 * 9 / 2..48_000 * 11 / 2], 48_000, HZ);
    assert_eq!((after.quiet, after.glitched), (0, 0));
}

use std::sync::Weak;

use proptest::prelude::*;

use super::super::book::HOSTS_MAX;
use super::*;

fn slots(all_max: usize) -> Arc<Slots> {
    Slots::new(&Config {
        connections_max: all_max,
        ..Config::default()
    })
}

fn host(name: &str) -> Arc<str> {
    Arc::from(name)
}

#[expect(clippy::disallowed_methods, reason = "it sends nothing")]
fn client() -> reqwest::Client {
    reqwest::Client::new()
}

fn take(slots: &Arc<Slots>, name: &str) -> Taken {
    slots.take(&host(name), |_| Ok(client()))
}

fn answered(slots: &Slots, taken: &Taken, version: Version) {
    slots.answered(taken, version, true);
}

/// Returns it after an answer that was read to its end.
fn give_back(slots: &Slots, taken: Taken) {
    answered(slots, &taken, Version::HTTP_11);
    taken.note_read();
}

fn n_slots(slots: &Slots) -> usize {
    slots.book().n_slots()
}

fn is_same(a: &Taken, slot: &Arc<Slot>) -> bool {
    Arc::ptr_eq(&a.slot, slot)
}

#[tokio::test(start_paused = true)]
async fn the_one_that_was_used_last_is_used_again() {
    let slots = slots(10);
    let (first, second) = (take(&slots, "a"), take(&slots, "a"));
    let last = Arc::clone(&first.slot);
    give_back(&slots, second);
    give_back(&slots, first);
    let taken = take(&slots, "a");
    assert!(is_same(&taken, &last));
    assert_eq!(n_slots(&slots), 2);
    drop(taken);
}

#[test]
fn what_cannot_be_used_again_is_not_kept() {
    let slots = slots(10);
    let is_kept_after = |answer: &dyn Fn(&Taken)| {
        let taken = take(&slots, "a");
        answer(&taken);
        drop(taken);
        let is_kept = n_slots(&slots) == 1;
        slots.drop_all_idle();
        is_kept
    };
    assert!(!is_kept_after(&|_| {}), "it was never answered");
    assert!(
        !is_kept_after(&|taken| answered(&slots, taken, Version::HTTP_11)),
        "broken off"
    );
    assert!(!is_kept_after(&|taken| {
        slots.answered(taken, Version::HTTP_11, false);
        taken.note_read();
    }));
    assert!(is_kept_after(&|taken| {
        answered(&slots, taken, Version::HTTP_11);
        taken.note_read();
    }));
}

#[test]
fn a_request_that_is_broken_off_leaves_the_connection_of_another() {
    let slots = slots(10);
    let (first, second) = (take(&slots, "a"), take(&slots, "a"));
    let kept = Arc::clone(&first.slot);
    give_back(&slots, first);
    drop(second);
    assert!(is_same(&take(&slots, "a"), &kept));
}

#[tokio::test(start_paused = true)]
async fn only_the_last_one_within_a_limit_waits_for_what_may_still_be_open() {
    let slots = Slots::new(&Config {
        connections_max: 3,
        connections_per_host_max: 2,
        ..Config::default()
    });
    let waits = |taken: &Taken| taken.slot.underway.is_expected();
    let (first, second) = (take(&slots, "a"), take(&slots, "a"));
    assert!(!waits(&first) && waits(&second), "a may have two");
    let third = take(&slots, "b");
    assert!(waits(&third), "there may be three");
    drop((first, second, third));
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_for_longest_makes_room() {
    let slots = slots(3);
    let [a, b, c] = ["a", "b", "c"].map(|name| take(&slots, name));
    let newest = Arc::clone(&a.slot);
    give_back(&slots, b);
    tokio::time::advance(Duration::from_secs(1)).await;
    give_back(&slots, a);
    let other = take(&slots, "d");
    assert_eq!(n_slots(&slots), 3);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(is_same(&take(&slots, "a"), &newest), "b's had to go");
    drop((c, other));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_dropped_when_its_time_is_over() {
    let slots = slots(10);
    give_back(&slots, take(&slots, "a"));
    tokio::time::advance(Duration::from_secs(59)).await;
    slots.drop_expired();
    assert_eq!(n_slots(&slots), 1);
    give_back(&slots, take(&slots, "b"));
    tokio::time::advance(Duration::from_secs(1)).await;
    slots.drop_expired();
    assert_eq!(n_slots(&slots), 1, "a's is over, b's is not");
    tokio::time::advance(Duration::from_secs(60)).await;
    let taken = take(&slots, "a");
    assert_eq!(n_slots(&slots), 1, "whoever takes one looks, too");
    drop(taken);
}

#[test]
fn an_eviction_drops_what_is_kept_to_one_host_once() {
    let slots = slots(10);
    let [failed, in_use, idle] = [(); 3].map(|()| take(&slots, "a"));
    give_back(&slots, idle);
    give_back(&slots, take(&slots, "b"));
    assert!(
        !slots.evict(&failed),
        "it has not answered: nothing was kept"
    );
    answered(&slots, &failed, Version::HTTP_11);
    assert!(slots.evict(&failed));
    assert!(!slots.evict(&failed), "it has been done");
    assert_eq!(n_slots(&slots), 3, "the two in use, and b's");
    give_back(&slots, failed);
    give_back(&slots, in_use);
    assert_eq!(n_slots(&slots), 1, "they are not kept");
}

#[test]
fn a_host_that_speaks_http2_shares_one() {
    let slots = slots(10);
    let (first, second) = (take(&slots, "a"), take(&slots, "a"));
    let shared = Arc::clone(&first.slot);
    answered(&slots, &first, Version::HTTP_2);
    answered(&slots, &second, Version::HTTP_2);
    let third = take(&slots, "a");
    assert!(is_same(&third, &shared));
    drop((first, second, third));
    assert_eq!(n_slots(&slots), 1);
    assert!(is_same(&take(&slots, "a"), &shared));

    slots.drop_idle(&host("a"));
    assert_eq!(n_slots(&slots), 0);
}

#[test]
fn a_host_that_no_longer_speaks_http2_shares_none() {
    let slots = slots(10);
    let (first, second) = (take(&slots, "a"), take(&slots, "a"));
    answered(&slots, &first, Version::HTTP_2);
    drop(second);
    answered(&slots, &first, Version::HTTP_11);
    let [second, third] = [(); 2].map(|()| take(&slots, "a"));
    assert!(!is_same(&second, &third.slot));
    drop(first);
    give_back(&slots, second);
    give_back(&slots, third);
    assert_eq!(n_slots(&slots), 2);
}

#[test]
fn hosts_without_a_connection_are_forgotten() {
    let slots = slots(10);
    for n in 0..2 * HOSTS_MAX {
        give_back(&slots, take(&slots, &format!("host-{n}")));
    }
    assert!(slots.book().hosts.len() <= HOSTS_MAX);
    assert_eq!(n_slots(&slots), 10);
}

#[test]
fn a_client_that_stands_in_for_one_is_not_kept() {
    let slots = slots(10);
    let taken = slots.take(&host("a"), |_| Err(client()));
    answered(&slots, &taken, Version::HTTP_2);
    answered(&slots, &taken, Version::HTTP_11);
    drop(taken);
    assert_eq!(n_slots(&slots), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens in whatever order, there are never too many, and none is lost.
    #[test]
    fn there_are_never_too_many(steps in proptest::collection::vec((0u8..7, 0usize..4), 0..100)) {
        let slots = slots(5);
        let client = client();
        let mut taken: Vec<Taken> = Vec::new();
        let mut all: Vec<Weak<Slot>> = Vec::new();
        for (step, n) in steps {
            let name = host(&format!("host-{n}"));
            let has_one = n < taken.len();
            match step {
                0 | 1 if taken.len() < 5 => taken.push(slots.take(&name, |_| Ok(client.clone()))),
                2 if has_one => drop(taken.swap_remove(n)),
                3 if has_one => give_back(&slots, taken.swap_remove(n)),
                4 if has_one => answered(&slots, &taken[n], Version::HTTP_2),
                5 if has_one => answered(&slots, &taken[n], Version::HTTP_11),
                6 => slots.drop_idle(&name),
                _ => {}
            }
            if let Some(last) = taken.last().map(|last| Arc::downgrade(&last.slot))
                && !all.iter().any(|it| it.ptr_eq(&last))
            {
                all.push(last);
            }
            all.retain(|it| it.strong_count() > 0);
            prop_assert_eq!(n_slots(&slots), all.len(), "each is counted once");
            prop_assert!(all.len() <= 5);
        }
        taken.clear();
        slots.drop_all_idle();
        prop_assert_eq!(n_slots(&slots), 0);
    }
}

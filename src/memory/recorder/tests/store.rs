use super::*;

#[tokio::test(start_paused = true)]
async fn what_a_failing_store_did_not_take_is_saved_when_it_is_back() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(secs(2)).await;
    house.store.fails(None);
    recorder.turns().push(turn("a", "home London"));
    recorder.finish().await;
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    assert_eq!(house.stats().unsaved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_summary_waits_for_the_one_that_it_follows_on() {
    let house = House::open(Config::default());
    let first = house.call().record();
    first.turns().push(turn("a", "name John"));
    first.finish().await;
    let second = house.call().record();
    second.turns().push(turn("a", "home London"));
    tokio::time::sleep(secs(2)).await;
    // Away when the call ends and its summary is due, and back before the call has to be over.
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    let (store, n_before) = (Arc::clone(&house.store), house.llm.n_asked("profile"));
    let mending = async move {
        tokio::time::sleep(secs(3)).await;
        store.fails(None);
    };
    tokio::join!(second.finish(), mending);
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    let inputs = house.llm.inputs.lock().unwrap();
    let asked: Vec<_> = inputs
        .iter()
        .filter(|(name, _)| *name == "profile")
        .collect();
    assert_eq!(asked.len(), n_before + 1, "not asked without the old one");
    let (_, input) = asked.last().unwrap();
    assert!(
        input.contains("John") && input.contains("London"),
        "{input}"
    );
    drop(inputs);
    assert_eq!(house.stats().unsaved, 0);
}

/// Somebody mends the password or the tables, or the server has connections again.
#[tokio::test(start_paused = true)]
async fn what_a_store_refused_to_everybody_is_saved_when_it_is_mended() {
    for error in [
        failure(ErrorKind::CircuitOpen),
        failure(ErrorKind::Saturated),
        refused("28P01"),
        refused("42P01"),
        refused("53300"),
    ] {
        let house = House::open(Config::default());
        let recorder = house.call().record();
        let shown = format!("{error:?}");
        house.store.fails(Some(error));
        recorder.turns().push(turn("a", "name John"));
        tokio::time::sleep(secs(2)).await;
        house.store.fails(None);
        recorder.finish().await;
        assert_eq!(house.rows("a").await, ["name=John", "summary"], "{shown}");
        assert_eq!(house.stats().unsaved, 0, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_a_store_refuses_is_not_tried_again() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    // A value that is too long for its column.
    house.store.fails(Some(refused("22001")));
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(secs(2)).await;
    assert_eq!(house.stats().unsaved, 1);
    house.store.fails(None);
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["summary"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_taken_is_counted() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().push(turn("a", "name John"));
    let began = Instant::now();
    recorder.finish().await;
    assert_eq!(began.elapsed(), Config::default().flush_timeout);
    tokio::time::sleep(secs(1)).await;
    assert_eq!((house.stats().unsaved, house.stats().saved), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_while_a_call_ends_gets_what_was_said() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().push(turn("a", "name John"));
    let mending = async {
        tokio::time::sleep(secs(5)).await;
        house.store.fails(None);
    };
    tokio::join!(recorder.finish(), mending);
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
    let stats = house.stats();
    assert_eq!((stats.unsaved, stats.saved, stats.flushes_cut), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_to_the_store_when_a_flush_is_cut_off_is_counted() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(secs(2)).await;
    house.store.is_hung.store(true, Ordering::Relaxed);
    recorder.finish().await;
    tokio::time::sleep(secs(1)).await;
    let stats = house.stats();
    assert_eq!((stats.flushes_cut, stats.saved, stats.lost), (1, 0, 0));
    assert_eq!(stats.unsaved, 2, "what was found, and the summary");
}

#[tokio::test(start_paused = true)]
async fn what_was_just_found_when_a_flush_is_cut_off_is_counted() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    house.store.is_hung.store(true, Ordering::Relaxed);
    tokio::time::sleep(secs(1)).await;
    recorder.finish().await;
    tokio::time::sleep(secs(1)).await;
    let stats = house.stats();
    assert_eq!((stats.flushes_cut, stats.saved, stats.unsaved), (1, 0, 1));
}

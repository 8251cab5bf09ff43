use super::*;

#[tokio::test(start_paused = true)]
async fn finding_and_summarising_run_side_by_side() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().push(turn("a", "name John"));
    let began = Instant::now();
    recorder.finish().await;
    let (elapsed, both) = (began.elapsed(), house.llm.in_flight.lock().unwrap().1);
    assert_eq!(both, 2);
    assert!(elapsed < Duration::from_millis(1_100), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_model_never_holds_up_a_session_and_the_oldest_turns_go() {
    let config = Config {
        queue_max: 4,
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    for n in 0..10 {
        let words = format!("key{n} value");
        recorder.turns().push(turn("a", &words));
        tokio::task::yield_now().await;
    }
    recorder.finish().await;
    let expected = ["key0", "key6", "key7", "key8", "key9"].map(|key| format!("{key}=value"));
    assert_eq!(house.rows("a").await[..5], expected);
    let stats = house.stats();
    assert_eq!((stats.turns, stats.dropped, stats.lost), (10, 5, 0));
    // What had waited was looked at in one go.
    assert_eq!(house.llm.n_asked("memories"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_has_an_end() {
    let config = Config {
        flush_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    for words in ["a 1", "b 2"] {
        recorder.turns().push(turn("a", words));
    }
    let began = Instant::now();
    recorder.finish().await;
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    // The task is told to end; that it has is seen when it lets go of the model.
    tokio::time::sleep(secs(2)).await;
    let stats = house.stats();
    assert_eq!((stats.lost, stats.flushes, stats.flushes_cut), (2, 1, 1));
    assert_eq!(stats.flush_ms, 500);
    assert_eq!(stats.unsaved, 1, "the summary that was being written");
    assert!(house.rows("a").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nonsense_failures_and_panics_cost_their_own_turn_only() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    for words in ["garbage", "refuse", "panic", "name John"] {
        recorder.turns().push(turn("a", words));
        tokio::time::sleep(secs(2)).await;
    }
    assert_eq!(house.rows("a").await, ["name=John"]);
    assert_eq!(house.stats().failed, 3);
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
}

#[tokio::test(start_paused = true)]
async fn all_calls_together_ask_so_many_questions_at_once() {
    let config = Config {
        extractions_max: 3,
        flush_timeout: secs(60),
        ..Config::default()
    };
    let house = House::open(config);
    let calls = (0..10).map(|n| {
        let (recorder, user) = (house.call().record(), format!("user{n}"));
        async move {
            recorder.turns().push(turn(&user, "name John"));
            recorder.finish().await;
        }
    });
    join_all(calls).await;
    assert_eq!(house.llm.in_flight.lock().unwrap().1, 3);
    for n in 0..10 {
        assert_eq!(
            house.rows(&format!("user{n}")).await,
            ["name=John", "summary"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_at_the_end_of_the_worker_is_no_trouble_to_report() {
    let house = House::open(Config::default());
    let recording = &house.memories.recording;
    recording.note(true, true);
    assert!(!recording.is_failing.load(Ordering::Relaxed));
    recording.note(true, false);
    assert!(recording.is_failing.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn what_a_model_that_is_away_did_not_look_at_is_looked_at_with_the_next_turns() {
    for kind in [
        ErrorKind::Timeout,
        ErrorKind::RateLimited,
        ErrorKind::Unavailable,
        ErrorKind::CircuitOpen,
        ErrorKind::Saturated,
    ] {
        let house = House::open(Config::default());
        let recorder = house.call().record();
        house.llm.fails(Some(kind));
        for (n_turns, words) in [(1, "name John"), (2, "home London")] {
            recorder.turns().push(turn("a", words));
            tokio::time::sleep(secs(60)).await;
            assert_eq!(
                house.llm.n_asked("memories"),
                n_turns,
                "once a turn: {kind}"
            );
        }
        house.llm.fails(None);
        recorder.turns().push(turn("a", "pet Rex"));
        tokio::time::sleep(secs(2)).await;
        let expected = ["home=London", "name=John", "pet=Rex"];
        assert_eq!(house.rows("a").await, expected, "{kind}");
        assert_eq!(house.llm.n_asked("memories"), 3, "all together: {kind}");
        recorder.finish().await;
        let stats = house.stats();
        assert_eq!((stats.turns, stats.failed), (3, 2), "{kind}");
        assert_eq!(
            (stats.dropped, stats.lost, stats.unsaved),
            (0, 0, 0),
            "{kind}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_model_that_was_away_did_not_look_at_is_looked_at_when_the_call_ends() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.llm.fails(Some(ErrorKind::Unavailable));
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(secs(2)).await;
    house.llm.fails(None);
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
    assert_eq!((house.stats().lost, house.stats().unsaved), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_stays_away_is_asked_once_more_when_the_call_ends() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.llm.fails(Some(ErrorKind::Unavailable));
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(secs(2)).await;
    let began = Instant::now();
    recorder.finish().await;
    assert!(began.elapsed() < secs(3), "{:?}", began.elapsed());
    let asked = ["memories", "profile"].map(|name| house.llm.n_asked(name));
    assert_eq!(asked, [2, 2]);
    let stats = house.stats();
    assert_eq!((stats.lost, stats.unsaved, stats.flushes_cut), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_a_model_that_was_away_did_not_write_is_written_later() {
    // One after the other, so that the model can go between its two answers.
    let config = Config {
        profile_every_turns: 1,
        side_by_side: false,
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    house.llm.fails(Some(ErrorKind::Unavailable));
    tokio::time::sleep(secs(2)).await;
    house.llm.fails(None);
    recorder.turns().push(turn("a", "home London"));
    recorder.finish().await;
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    let inputs = house.llm.inputs.lock().unwrap();
    let mut summaries = inputs.iter().filter(|(name, _)| *name == "profile");
    let (_, input) = summaries.next_back().unwrap();
    assert_eq!(input.matches("User: name John").count(), 1, "{input}");
}

#[tokio::test(start_paused = true)]
async fn what_a_model_will_not_answer_is_not_asked_again() {
    for kind in [
        ErrorKind::Rejected,
        ErrorKind::Unauthorized,
        ErrorKind::Malformed,
    ] {
        let house = House::open(Config::default());
        let recorder = house.call().record();
        house.llm.fails(Some(kind));
        recorder.turns().push(turn("a", "name John"));
        tokio::time::sleep(secs(2)).await;
        house.llm.fails(None);
        recorder.turns().push(turn("a", "home London"));
        tokio::time::sleep(secs(2)).await;
        assert_eq!(house.rows("a").await, ["home=London"], "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_what_waits_for_a_model_that_is_away_the_oldest_goes() {
    let config = Config {
        queue_max: 2,
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    house.llm.fails(Some(ErrorKind::Unavailable));
    for n in 0..4 {
        recorder.turns().push(turn("a", &format!("key{n} value")));
        tokio::time::sleep(secs(2)).await;
    }
    house.llm.fails(None);
    recorder.finish().await;
    assert_eq!(
        house.rows("a").await,
        ["key2=value", "key3=value", "summary"]
    );
    let stats = house.stats();
    assert_eq!((stats.turns, stats.dropped, stats.lost), (4, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_while_the_model_was_away_is_not_written_down() {
    let house = House::open(Config::default());
    let call = house.call();
    call.user_joined(&Participant::new("a"));
    let recorder = call.record();
    house.llm.fails(Some(ErrorKind::Unavailable));
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(secs(2)).await;
    let user = call.user().get().unwrap();
    let facts = Selection::Category(Category::new("FACT"));
    user.forget(vec![facts]).await.unwrap();
    house.llm.fails(None);
    recorder.turns().push(turn("a", "home London"));
    tokio::time::sleep(secs(3)).await;
    assert_eq!(house.rows("a").await, ["home=London"]);
}

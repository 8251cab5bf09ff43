use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_said_is_saved_while_the_call_goes_on_and_the_summary_at_its_end() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.rows("a").await, ["name=John"]);
    recorder.turns().push(turn("a", "home London"));
    recorder.finish().await;
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    let (_, input) = house.llm.inputs.lock().unwrap()[1].clone();
    assert!(
        input.contains("- FACT name: John"),
        "what is known is told: {input}"
    );
    let stats = house.stats();
    assert_eq!((stats.turns, stats.extractions, stats.profiles), (2, 2, 1));
    assert_eq!((stats.saved, stats.lost, stats.in_flight), (3, 0, 0));
    assert_eq!((stats.flushes, stats.flushes_cut), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn memories_are_of_the_one_who_spoke() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    let nobody = Turn {
        user: None,
        ..turn("", "name Nobody")
    };
    for turn in [
        turn("a", "name John"),
        turn("b", "name Jane"),
        turn(" ", "x y"),
        nobody,
    ] {
        recorder.turns().push(turn);
    }
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
    assert_eq!(house.rows("b").await, ["name=Jane", "summary"]);
    assert_eq!(house.stats().turns, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_user_wants_forgotten_is_not_written_down_again() {
    let house = House::open(Config::default());
    let call = house.call();
    call.user_joined(&Participant::new("a"));
    let recorder = call.record();
    // The model still looks at this one …
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // … when the tool forgets, in a turn that says the thing once more.
    let user = call.user().get().unwrap();
    let facts = Selection::Category(Category::new("FACT"));
    user.forget(vec![facts]).await.unwrap();
    let mut asks = turn("a", "name John");
    asks.tool_calls = Pii::new(vec![ToolCall {
        id: String::new(),
        name: FORGET_TOOL.to_owned(),
        arguments: String::new(),
        ..ToolCall::default()
    }]);
    recorder.turns().push(asks);
    tokio::time::sleep(secs(3)).await;
    recorder.turns().push(turn("a", "home London"));
    tokio::time::sleep(secs(3)).await;
    assert_eq!(house.rows("a").await, ["home=London"]);
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_forgotten_stays_forgotten_to_the_end_of_the_call() {
    for side_by_side in [true, false] {
        let house = House::open(Config {
            side_by_side,
            ..Config::default()
        });
        let call = house.call();
        call.user_joined(&Participant::new("a"));
        let recorder = call.record();
        recorder.turns().push(turn("a", "home London"));
        tokio::time::sleep(secs(3)).await;
        // One is looked at, others wait, and what was found before waits for the store.
        house.store.fails(Some(failure(ErrorKind::Unavailable)));
        recorder.turns().push(turn("a", "pet Rex"));
        tokio::time::sleep(secs(3)).await;
        recorder.turns().push(turn("a", "name John"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        recorder.turns().push(turn("a", "drink tea"));
        house.store.fails(None);
        let user = call.user().get().unwrap();
        let forgotten = user.forget(vec![Selection::All]).await;
        assert_eq!(forgotten.unwrap(), 1);
        let n_asked = house.llm.inputs.lock().unwrap().len();
        recorder.turns().push(turn("a", "my name was John"));
        recorder.finish().await;
        assert!(
            house.rows("a").await.is_empty(),
            "{:?}",
            house.rows("a").await
        );
        let inputs = house.llm.inputs.lock().unwrap();
        assert_eq!(inputs.len(), n_asked, "the model is not asked about it");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_before_something_was_forgotten_is_never_queued_behind_the_deletion() {
    let house = House::open(Config::default());
    let call = house.call();
    call.user_joined(&Participant::new("a"));
    let user = call.user().get().unwrap();
    let found = || vec![crate::memory::memories::profile("John.".to_owned())];
    assert!(user.save_unless_forgotten(found(), 0).await.is_some());
    user.forget(vec![Selection::All]).await.unwrap();
    assert!(user.save_unless_forgotten(found(), 0).await.is_none());
    assert!(house.rows("a").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_not_remembered_is_not_recorded() {
    let house = House::open(Config::default());
    let call = house.call();
    let recorder = call.record();
    call.user_joined(&Participant::new("voice_assistant_user_4711"));
    for user in ["voice_assistant_user_4711", "never there"] {
        recorder.turns().push(turn(user, "name John"));
    }
    recorder.finish().await;
    assert_eq!(house.stats().turns, 0);
    assert_eq!(house.llm.inputs.lock().unwrap().len(), 0);
    for user in ["voice_assistant_user_4711", "never there"] {
        assert!(house.rows(user).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_and_a_silence_are_nothing_to_look_at() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().push(turn("a", " \n"));
    recorder.finish().await;
    let nothing_but_its_end = RecorderStats {
        flushes: 1,
        ..RecorderStats::default()
    };
    assert_eq!(house.stats(), nothing_but_its_end);
}

#[tokio::test(start_paused = true)]
async fn of_turns_that_come_faster_than_they_are_taken_the_oldest_go_and_are_counted() {
    let config = Config {
        queue_max: 4,
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    // The recorder's task does not run meanwhile.
    for n in 0..100 {
        recorder.turns().push(turn("a", &format!("key{n} value")));
    }
    recorder.finish().await;
    let expected = ["key96", "key97", "key98", "key99"].map(|key| format!("{key}=value"));
    assert_eq!(house.rows("a").await[..4], expected);
    let stats = house.stats();
    assert_eq!((stats.turns, stats.dropped, stats.lost), (100, 96, 0));
}

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
    call.user_joined("a");
    let recorder = call.record();
    // The model still looks at this one …
    recorder.turns().push(turn("a", "name John"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // … when the tool forgets, in a turn that says the thing once more.
    let user = call.user().get().unwrap();
    user.forget(vec![Selection::All]).await.unwrap();
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

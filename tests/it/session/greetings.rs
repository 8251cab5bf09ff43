//! Greetings that calls share, on Tokio's paused clock.

use voxpool::cache::{Cache, Config};
use voxpool::pool::{self, ConnectionPool};
use voxpool::session::{GreetingCache, MadeWith};

use super::*;

const GREETING: &str = "Hello there! I am your assistant. How can I help you today?";

/// The shared parts of several calls: services that count, and the cache.
#[derive(Clone)]
struct House {
    cache: Cache,
    greetings: GreetingCache,
    llm: FakeLlm,
    tts: FakeTts,
}

impl House {
    fn new() -> Self {
        let pool = ConnectionPool::new(pool::Config::default()).unwrap();
        let cache = Cache::new(Config::default(), &pool).unwrap();
        let mut llm = FakeLlm::default();
        llm.answers.insert("", Answer::Says(GREETING));
        Self {
            greetings: GreetingCache::new(cache.clone(), MadeWith::default()),
            cache,
            llm,
            tts: FakeTts::default(),
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            greeting: GREETING,
            greetings: Some(self.greetings.clone()),
            instructions: "Be kind.",
            llm: self.llm.clone(),
            tts: self.tts.clone(),
            ..Setup::default()
        }
    }

    async fn call(&self) -> Call {
        self.setup().start().await
    }

    fn n_spoken(&self) -> usize {
        self.tts.spoken.lock().unwrap().len()
    }

    fn n_asked(&self) -> usize {
        self.llm.requests.lock().unwrap().len()
    }
}

/// The greeting was heard to its end, beginning this long after the call began.
async fn is_heard(call: &mut Call, within: Duration) {
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished), "{turn:?}");
    assert_eq!(turn.heard.expose(), GREETING);
    let started = turn.timeline.playout_started.unwrap().since_start();
    assert!(started <= within, "{started:?}");
}

#[tokio::test(start_paused = true)]
async fn the_second_caller_is_greeted_at_once_and_for_nothing() {
    let house = House::new();
    let mut first = house.call().await;
    is_heard(&mut first, SERVICE_DELAY + ms(10)).await;
    let expected = first.hang_up().await;
    let n_spoken = house.n_spoken();
    let mut second = house.call().await;
    is_heard(&mut second, ms(10)).await;
    let output = Arc::clone(&second.output);
    assert!(*output.queued_max.lock().unwrap() <= ms(200));
    assert_eq!(
        second.hang_up().await,
        expected,
        "shown as if it was spoken"
    );
    assert_eq!(house.n_spoken(), n_spoken);
    let sound = CHAR.as_millis() as usize * 24 * (GREETING.len() - 2);
    assert!(*output.n_samples.lock().unwrap() >= sound, "all of it");
    assert_eq!(house.cache.stats().await.hits, 1);
}

#[tokio::test(start_paused = true)]
async fn ten_callers_at_once_make_one_greeting_and_nobody_waits_longer_for_it() {
    for is_generated in [false, true] {
        let house = House::new();
        let calls = (0..10).map(|_| {
            let setup = Setup {
                is_generated,
                ..house.setup()
            };
            async move {
                let mut call = setup.start().await;
                let waits = if is_generated { 2 } else { 1 };
                is_heard(&mut call, waits * SERVICE_DELAY + ms(10)).await;
                call.hang_up_beside_others().await;
            }
        });
        futures::future::join_all(calls).await;
        nothing_is_left_running().await;
        assert_eq!(house.n_spoken(), 3, "one request for each sentence");
        assert_eq!(house.n_asked(), usize::from(is_generated));
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_of_the_model_is_kept_with_its_words() {
    let house = House::new();
    for _ in 0..2 {
        let mut call = Setup {
            is_generated: true,
            ..house.setup()
        }
        .answer("hi", Answer::Says("Hi."))
        .start()
        .await;
        is_heard(&mut call, 2 * SERVICE_DELAY + ms(10)).await;
        call.say("hi", ms(2000)).await;
        call.turn().await;
        let greeting = format!("agent: {GREETING}");
        assert_eq!(call.last_context(), [greeting.as_str(), "user: hi"]);
        call.hang_up().await;
    }
    assert_eq!(house.n_asked(), 3, "one greeting, two answers");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_half_way_leaves_the_whole_greeting_behind() {
    let house = House::new();
    let call = house.call().await;
    tokio::time::sleep(SERVICE_DELAY / 2).await;
    call.hang_up_beside_others().await;
    let mut next = house.call().await;
    is_heard(&mut next, SERVICE_DELAY).await;
    next.hang_up().await;
    assert_eq!(house.n_spoken(), 3);
}

#[tokio::test(start_paused = true)]
async fn talking_over_a_cached_greeting_keeps_only_what_was_heard() {
    let house = House::new();
    let mut first = house.call().await;
    is_heard(&mut first, SERVICE_DELAY + ms(10)).await;
    first.hang_up().await;
    let mut call = house.call().await;
    call.user.be_silent(ms(1200)).await;
    call.user.say("wait please", ms(600)).await;
    call.user.be_silent(ms(1500)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    let heard = turn.heard.expose().clone();
    // 1.7 s at 50 ms a character.
    assert!((25..=40).contains(&heard.len()), "{heard}");
    assert!(GREETING.starts_with(&heard));
    call.turn().await;
    assert_eq!(
        call.last_context(),
        [format!("agent: {heard} |"), "user: wait please".to_owned()]
    );
    let shown = call.hang_up().await;
    assert!(shown.contains(&format!("agent: {heard}")), "{shown:?}");
    let mut next = house.call().await;
    is_heard(&mut next, ms(10)).await;
    next.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_fails_is_not_kept() {
    let house = House::new();
    *house.tts.is_broken.lock().unwrap() = true;
    let mut call = house.call().await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Failed(_)), "{turn:?}");
    let earcon = call.turn().await;
    assert!(matches!(earcon.outcome, ReplyOutcome::Finished));
    call.hang_up().await;
    *house.tts.is_broken.lock().unwrap() = false;
    let mut call = house.call().await;
    is_heard(&mut call, SERVICE_DELAY + ms(10)).await;
    call.hang_up().await;
    let stats = house.cache.stats().await;
    assert_eq!((stats.misses, stats.errors, stats.entries), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_greeting_whose_making_panics_is_made_again_for_the_next_caller() {
    let house = House::new();
    *house.tts.is_panicking.lock().unwrap() = true;
    let mut call = house.call().await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Failed(_)), "{turn:?}");
    *house.tts.is_panicking.lock().unwrap() = false;
    call.hang_up().await;
    let mut call = house.call().await;
    is_heard(&mut call, SERVICE_DELAY + ms(10)).await;
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_breaks_off_is_apologised_for_after_what_it_said() {
    let mut house = House::new();
    let broken = Answer::BreaksOffAfter("Hello there! I am your");
    house.llm.answers.insert("", broken);
    let mut call = Setup {
        is_generated: true,
        ..house.setup()
    }
    .start()
    .await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Failed(_)), "{turn:?}");
    assert_eq!(turn.heard.expose(), "Hello there!");
    let apology = call.turn().await;
    assert!(apology.heard.expose().contains("sorry"), "{apology:?}");
    call.hang_up().await;
    assert_eq!(house.cache.stats().await.entries, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_greeting_depends_on_tells_it_apart() {
    let house = House::new();
    let call = async |is_generated, instructions| {
        let mut call = Setup {
            is_generated,
            instructions,
            ..house.setup()
        }
        .start()
        .await;
        is_heard(&mut call, 2 * SERVICE_DELAY + ms(10)).await;
        call.hang_up().await;
        house.cache.stats().await.entries
    };
    assert_eq!(call(false, "Be kind.").await, 1);
    // Words that are given stay the same whatever the model is told.
    assert_eq!(call(false, "Be kind. The caller is Ann.").await, 1);
    assert_eq!(call(true, "Be kind.").await, 2);
    assert_eq!(call(true, "Be kind. The caller is Ann.").await, 3);
    assert_eq!(call(true, "Be kind. The caller is Bob.").await, 4);
    assert_eq!(call(true, "Be kind. The caller is Ann.").await, 4);
}

#[tokio::test(start_paused = true)]
async fn an_old_greeting_is_made_anew() {
    let house = House::new();
    for n in 1..3 {
        let mut call = house.call().await;
        is_heard(&mut call, SERVICE_DELAY + ms(10)).await;
        call.hang_up().await;
        assert_eq!(house.n_spoken(), 3 * n);
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

impl Call {
    /// Ends the call; what other calls still do goes on.
    async fn hang_up_beside_others(self) {
        self.user.send(RoomEvent::User(UserChange::Left)).await;
        let end = self.session.await.unwrap();
        assert!(matches!(end, SessionEnd::UserLeft), "{end:?}");
    }
}

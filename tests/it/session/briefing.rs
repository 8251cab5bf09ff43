//! What is known of the user: in the instructions of the model, and in a greeting.

use voxpool::memory::{Category, Known, Memory};
use voxpool::turn::Turn;

use super::*;

/// A briefing with one note: "FACT name: {name}".
fn note(name: &str) -> Briefing {
    let memory = Memory {
        category: Category::new("FACT"),
        key: Pii::new("name".to_owned()),
        value: Pii::new(name.to_owned()),
    };
    Briefing::from(&Known {
        profile: None,
        memories: vec![memory],
    })
}

impl Call {
    /// The instructions of the last request to the model.
    fn last_instructions(&self) -> String {
        let requests = self.llm.requests.lock().unwrap();
        requests.last().unwrap().instructions.clone()
    }
}

fn generated(briefings: mpsc::Receiver<Briefing>) -> Setup {
    Setup {
        greeting: "Greet the user.",
        is_generated: true,
        briefings: Some(briefings),
        ..Setup::default()
    }
    .answer("", Answer::Says("Hello again!"))
}

fn started(turn: &Turn) -> Duration {
    turn.timeline.playout_started.unwrap().since_start()
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_told_to_the_model_until_another_user_is_there() {
    let (briefings_in, briefings) = mpsc::channel(4);
    let setup = Setup {
        briefings: Some(briefings),
        ..Setup::default()
    };
    let mut call = setup.start().await;
    call.say("one", ms(3000)).await;
    assert_eq!(call.turn().await.user.unwrap().expose(), "user");
    assert_eq!(call.last_instructions(), "Be kind.");

    briefings_in.send(note("John")).await.unwrap();
    call.say("two", ms(3000)).await;
    call.turn().await;
    let told = call.last_instructions();
    assert!(
        told.starts_with("Be kind.\n\n") && told.contains("- FACT name: John\n"),
        "{told}"
    );

    call.changes(UserChange::Away).await;
    let user = Pii::new("user".to_owned());
    call.changes(UserChange::Returned(user)).await;
    call.say("three", ms(3000)).await;
    call.turn().await;
    assert!(call.last_instructions().contains("name: John"));
    assert_eq!(call.last_context().len(), 5, "the same user goes on");

    call.is_followed_by("another").await;
    call.say("four", ms(3000)).await;
    assert_eq!(call.turn().await.user.unwrap().expose(), "another");
    assert_eq!(call.last_instructions(), "Be kind.");
    assert_eq!(call.last_context(), ["user: four"]);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_generated_greeting_knows_the_user_when_the_memory_answers_in_time() {
    let (briefings_in, briefings) = mpsc::channel(4);
    let mut call = generated(briefings).start().await;
    call.user.be_silent(ms(100)).await;
    briefings_in.send(note("John")).await.unwrap();
    let turn = call.turn().await;
    assert_eq!(turn.heard.expose(), "Hello again!");
    assert_eq!(call.llm.requests.lock().unwrap().len(), 2, "made anew");
    assert!(call.last_instructions().contains("name: John"));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_generated_greeting_is_heard_at_once_when_nothing_is_known() {
    let (briefings_in, briefings) = mpsc::channel(4);
    let mut call = generated(briefings).start().await;
    briefings_in.send(Briefing::default()).await.unwrap();
    let turn = call.turn().await;
    // The model and the voice.
    assert!(
        started(&turn) <= 2 * SERVICE_DELAY + ms(10),
        "{:?}",
        started(&turn)
    );
    assert_eq!(call.llm.requests.lock().unwrap().len(), 1);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_does_not_wait_for_a_memory_that_is_slow() {
    let (briefings_in, briefings) = mpsc::channel(4);
    let mut call = generated(briefings).start().await;
    let turn = call.turn().await;
    assert!(
        started(&turn) <= 2 * SERVICE_DELAY + ms(10),
        "{:?}",
        started(&turn)
    );
    // Too late for the greeting, in time for what follows.
    briefings_in.send(note("John")).await.unwrap();
    call.say("hello", ms(3000)).await;
    call.turn().await;
    assert!(call.last_instructions().contains("name: John"));
    assert_eq!(call.llm.requests.lock().unwrap().len(), 2);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_is_said_as_it_is_waits_for_nothing() {
    let (_briefings_in, briefings) = mpsc::channel(4);
    let setup = Setup {
        greeting: "Hello!",
        briefings: Some(briefings),
        ..Setup::default()
    };
    let mut call = setup.start().await;
    let turn = call.turn().await;
    assert!(
        started(&turn) <= SERVICE_DELAY + ms(10),
        "{:?}",
        started(&turn)
    );
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_knows_the_user_is_not_the_greeting_of_another_one() {
    use voxpool::cache::{self, Cache};
    use voxpool::pool::{self, ConnectionPool};
    use voxpool::session::{GreetingCache, MadeWith};

    let pool = ConnectionPool::new(pool::Config::default()).unwrap();
    let cache = Cache::new(cache::Config::default(), &pool).unwrap();
    let greetings = GreetingCache::new(cache.clone(), MadeWith::default());
    let mut told = Vec::new();
    for name in ["", "Ann", "Bob", "Ann"] {
        let (briefings_in, briefings) = mpsc::channel(4);
        let setup = Setup {
            greetings: Some(greetings.clone()),
            ..generated(briefings)
        };
        let llm = setup.llm.clone();
        let mut call = setup.start().await;
        if !name.is_empty() {
            briefings_in.send(note(name)).await.unwrap();
        }
        let turn = call.turn().await;
        assert!(matches!(turn.outcome, ReplyOutcome::Finished));
        assert_eq!(turn.heard.expose(), "Hello again!");
        call.hang_up().await;
        let asked = llm.requests.lock().unwrap();
        told.push(asked.iter().any(|it| it.instructions.contains("name: ")));
    }
    // The one that is for all is cached, and none that forgetting would have to find.
    assert_eq!(told, [false, true, true, true]);
    assert_eq!(cache.stats().await.entries, 1);
}

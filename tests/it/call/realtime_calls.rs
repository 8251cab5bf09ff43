//! Calls that are speech to speech, with real sound: a real LiveKit server, and the stand-in that
//! hears, thinks and speaks.

use std::sync::Arc;

use voxpool::memory::{Store, VolatileStore};
use voxpool::session::Greeting;
use voxpool::session::realtime::{Config, TurnDetection};

use super::{Caller, House};
use crate::common::left::leaves_nothing;
use crate::pool::stages::Options;

impl House {
    /// A house whose calls are speech to speech.
    async fn in_speech(greeting: &str, store: Option<Arc<dyn Store>>) -> Self {
        let greeting = Greeting {
            text: greeting.to_owned(),
            ..Greeting::default()
        };
        Self::open_as(None, greeting, store, in_speech).await
    }
}

/// Speech to speech.
pub(super) fn in_speech() -> Options {
    Options {
        realtime: Some(Config {
            turn_detection: TurnDetection::ServerVad,
            ..Config::default()
        }),
        ..Options::default()
    }
}

async fn hang_up(caller: Caller) {
    caller.room.close().await.expect("the caller hangs up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_greeted_heard_answered_and_remembered_in_the_next_call() {
    let house = House::in_speech("Welcome.", Some(Arc::<VolatileStore>::default())).await;
    let url = house.server.url();
    let name = house.speech("my name is john and i live in london").await;
    let john = Caller::join_as("john", &url, "first").await;
    john.reads(true, "Welcome.").await;
    john.hears_silence().await;
    assert!(john.n_loud() > 10, "the greeting is heard");
    let n_loud = john.n_loud();
    john.say(&name).await;
    john.reads(false, "john").await;
    john.reads(true, "ice to meet you").await;
    john.hears_silence().await;
    assert!(john.n_loud() > n_loud + 20, "the answer is heard");
    hang_up(john).await;
    house.remembers_profile("john", "Your name is John.").await;

    let before = house.services.stats().endpoints.responses.requests;
    let john = Caller::join_as("john", &url, "second").await;
    john.reads(true, "Welcome.").await;
    john.hears_silence().await;
    assert!(john.n_loud() > 10, "the greeting is heard");
    let after = house.services.stats().endpoints.responses.requests;
    assert_eq!(before, after, "the greeting was kept");
    john.type_text("what is my name").await;
    john.reads(true, "our name is John").await;
    hang_up(john).await;
    let pool = house.pool.clone();
    house.close().await;
    leaves_nothing(pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_is_apologised_for_aloud_and_the_call_goes_on() {
    let house = House::in_speech("Welcome.", None).await;
    let caller = Caller::join(&house.server.url(), "sorry").await;
    caller.reads(true, "Welcome.").await;
    caller.hears_silence().await;
    assert!(
        house
            .services
            .fail("responses:server_error".parse().expect("a fault"))
    );
    let n_loud = caller.n_loud();
    caller.type_text("hello there").await;
    caller.reads(true, "sorry").await;
    caller.hears_silence().await;
    assert!(caller.n_loud() > n_loud + 20, "the apology is heard");

    // The connection breaks in the middle of what is said.
    assert!(
        house
            .services
            .fail("responses:cut".parse().expect("a fault"))
    );
    caller.type_text("tell me a story").await;
    let sorry = caller.reads(true, "sorry").await;
    caller.hears_silence().await;
    caller.type_text("thank you").await;
    let answer = caller.reads(true, "elcome").await;
    assert_ne!(sorry.segment, answer.segment);
    hang_up(caller).await;
    house.close().await;
}

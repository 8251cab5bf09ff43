//! Real calls of callers who are remembered.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use voxpool::error::{CallError, ErrorKind, Service};
use voxpool::llm::OpenAiStructuredLlm;
use voxpool::memory::{
    BatchConfig, Batcher, Config, Memories, Memory, MemoryAnswer, MemoryOp, PostgresStore,
    RecorderConfig, Selection, Store, SupabaseConfig, UserId, VolatileStore, open,
};
use voxpool::pool::{BreakerState, ConnectionPool, EndpointConfig};
use voxpool::redact::Pii;

use super::caller::token_of;
use super::{Caller, House};
use crate::common::eventually;
use crate::common::left::{closes, leaves_nothing};
use crate::common::postgres::{Postgres, shared};
use crate::common::postgrest::{SERVICE_ROLE_KEY, Supabase};
use crate::memory::faults::supabase::{project_on, supabase};
use crate::memory::faults::{config, pool, stats};

/// A memory whose model is the stand-in.
pub(super) fn memories(store: Arc<dyn Store>, base_url: &str, pool: &ConnectionPool) -> Memories {
    let endpoint = EndpointConfig {
        base_url: base_url.to_owned(),
        api_key: Pii::new("sk-test-key".to_owned()),
        ..EndpointConfig::default()
    };
    let config = RecorderConfig::default();
    let llm = OpenAiStructuredLlm::new(
        pool.clone(),
        &endpoint,
        voxpool::llm::Config::default(),
        &config.extraction_model,
        config.extraction_timeout,
    );
    let batcher = Batcher::new(store, Service::Sqlite, BatchConfig::default());
    let rules = Config {
        key_attribute: "user.id".to_owned(),
        ..Config::default()
    };
    Memories::new(batcher, Arc::new(llm.expect("a model")), config).with_rules(&rules)
}

impl House {
    async fn remembering(store: Arc<dyn Store>) -> Self {
        Self::with(None, "Welcome.", Some(store)).await
    }

    fn memories(&self) -> Memories {
        self.memories.clone().expect("a house that remembers")
    }

    async fn remembers(&self, user: &str, row: &str) {
        let memories = self.memories();
        eventually(&format!("{row} is remembered of {user}"), async || {
            let rows = rows(&memories, user).await;
            rows.iter().any(|it| it == row).then_some(())
        })
        .await;
    }
}

impl House {
    /// Waits for the summary of a call to hold this.
    pub(super) async fn remembers_profile(&self, user: &str, known: &str) {
        let memories = self.memories();
        eventually("the summary is written", async || {
            let rows = rows(&memories, user).await;
            let summary = rows.iter().find(|it| it.starts_with("PROFILE"))?;
            summary.contains(known).then_some(())
        })
        .await;
    }
}

/// "category key=value" of what is remembered of a caller.
async fn rows(memories: &Memories, user: &str) -> Vec<String> {
    let rows = rows_if_any(memories, user).await;
    rows.expect("the store answers")
}

/// The same, if the store answers.
async fn rows_if_any(memories: &Memories, user: &str) -> Option<Vec<String>> {
    let user = UserId::new(user).expect("an identity");
    let op = MemoryOp::Get(user, Selection::All, 100);
    let shown = |it: &Memory| {
        let (key, value) = (it.key.expose(), it.value.expose());
        format!("{} {key}={value}", it.category.name())
    };
    match memories.batch_memory_operations(vec![op]).await.remove(0) {
        Ok(MemoryAnswer::Found(found)) => Some(found.iter().map(shown).collect()),
        Ok(other) => panic!("that is no answer to a read: {other:?}"),
        Err(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_of_the_same_caller_knows_the_name_and_nobody_elses_does() {
    let house = House::remembering(Arc::<VolatileStore>::default()).await;
    let url = house.server.url();
    let name = house.speech("my name is john and i live in london").await;
    let john = Caller::join_as("john", &url, "first").await;
    john.reads(true, "Welcome").await;
    john.hears_silence().await;
    john.say(&name).await;
    john.reads(true, "Nice to meet you").await;
    john.hang_up().await;
    // The summary is written at the end of the call.
    let memories = house.memories();
    eventually("the summary is written", async || {
        let rows = rows(&memories, "john").await;
        let summary = rows.iter().find(|it| it.starts_with("PROFILE"))?;
        ["Your name is John.", "You live in London."]
            .iter()
            .all(|known| summary.contains(known))
            .then_some(())
    })
    .await;

    let john = Caller::join_as("john", &url, "second").await;
    john.reads(true, "Welcome").await;
    john.type_text("what is my name").await;
    john.reads(true, "Your name is John").await;
    john.type_text("what do you remember about me").await;
    john.reads(true, "You live in London").await;

    let jane = Caller::join_as("jane", &url, "third").await;
    jane.reads(true, "Welcome").await;
    jane.type_text("what is my name").await;
    jane.reads(true, "I do not know that yet").await;
    john.hang_up().await;
    jane.hang_up().await;
    house.close().await;
    assert!(rows(&memories, "jane").await.is_empty());
    let stats = memories.stats();
    assert_eq!((stats.recorder.lost, stats.recorder.failed), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_remembers_recalls_and_forgets_by_its_tools() {
    let house = House::remembering(Arc::<VolatileStore>::default()).await;
    let url = house.server.url();
    let caller = Caller::join_as("john", &url, "tools").await;
    caller.reads(true, "Welcome").await;
    caller.type_text("remember that i like green tea").await;
    caller
        .reads(true, "I remember that you like green tea")
        .await;
    house.remembers("john", "PREFERENCE likes=green tea").await;
    caller.hang_up().await;

    let caller = Caller::join_as("john", &url, "tools-again").await;
    caller.reads(true, "Welcome").await;
    caller.type_text("what do i like").await;
    caller.reads(true, "You like green tea").await;
    caller.type_text("forget that i like green tea").await;
    caller.reads(true, "I have forgotten that").await;
    caller.hang_up().await;
    let memories = house.memories();
    house.close().await;
    assert!(
        rows(&memories, "john").await.is_empty(),
        "also after the end of the call"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_a_starter_template_leaves_nothing_and_recalls_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = Config {
        sqlite_path: directory.path().join("memory.db").display().to_string(),
        ..Config::default()
    };
    let opened = open(&settings, &SupabaseConfig::default(), &pool());
    let store = opened.expect("the settings are right").expect("a store");
    let house = House::remembering(Arc::clone(&store)).await;
    let (url, memories) = (house.server.url(), house.memories());
    let at_rest = house.at_rest().await;
    for room in ["one-caller", "another-caller"] {
        let caller = Caller::join_as("voice_assistant_user_4711", &url, room).await;
        caller.reads(true, "Welcome").await;
        caller.type_text("what is my name").await;
        caller.reads(true, "I do not know that yet").await;
        caller.type_text("my name is John").await;
        caller.reads(true, "Nice to meet you").await;
        caller.type_text("remember that i like green tea").await;
        caller.reads(true, "green tea").await;
        caller.hang_up().await;
        house.is_back_to(at_rest, "the end of a call").await;
    }
    house.close().await;
    let users = store.users(None, 10).await.expect("the store answers");
    assert!(users.is_empty(), "a row of a caller is in the store");
    let stats = memories.stats();
    assert_eq!(stats.unremembered["starter_template"], 2);
    assert_eq!((stats.recorder.turns, stats.batches.operations), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_token_is_remembered_whatever_the_identity_and_a_claimed_one_is_not() {
    let house = House::remembering(Arc::<VolatileStore>::default()).await;
    let (url, memories) = (house.server.url(), house.memories());
    let at_rest = house.at_rest().await;
    let account = [("user.id", "42")];
    let join = async |identity: &str, room: &str, can_write| {
        let token = token_of(identity, room, &account, can_write);
        let caller = Caller::join_with(identity, &url, &token).await;
        caller.reads(true, "Welcome").await;
        caller
    };
    let john = join("voice_assistant_user_1", "account-1", false).await;
    john.type_text("remember that i like green tea").await;
    john.reads(true, "I remember that you like green tea").await;
    john.hang_up().await;
    house.is_back_to(at_rest, "the end of a call").await;

    let claims = join("mallory", "account-2", true).await;
    claims.type_text("what do i like").await;
    claims.reads(true, "I do not know that yet").await;
    claims.hang_up().await;

    let john = join("voice_assistant_user_2", "account-3", false).await;
    john.type_text("what do i like").await;
    john.reads(true, "You like green tea").await;
    john.type_text("forget everything about me").await;
    john.reads(true, "forgotten").await;
    john.type_text("my name is John").await;
    john.reads(true, "Nice to meet you").await;
    john.hang_up().await;
    house.is_back_to(at_rest, "the end of a call").await;
    house.close().await;
    let user = UserId::of_attribute("user.id", "42").expect("a value");
    let left = MemoryOp::Get(user, Selection::All, 100);
    let left = memories.batch_memory_operations(vec![left]).await.remove(0);
    assert_eq!(
        left.expect("the store answers"),
        MemoryAnswer::Found(Vec::new())
    );
    assert_eq!(memories.stats().unremembered["own_attributes"], 1);
}

/// Nothing works.
struct BrokenStore;

impl Store for BrokenStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        let down = || {
            Err(CallError::new(
                Service::Sqlite,
                "test",
                ErrorKind::Unavailable,
            ))
        };
        async move { ops.iter().map(|_| down()).collect() }.boxed()
    }
}

/// Nothing ends.
struct HungStore;

impl Store for HungStore {
    fn run(&self, _: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        std::future::pending().boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_fails_or_hangs_is_not_noticed_by_a_caller() {
    let stores: [Arc<dyn Store>; 2] = [Arc::new(BrokenStore), Arc::new(HungStore)];
    for store in stores {
        let house = House::remembering(store).await;
        let at_rest = house.at_rest().await;
        let caller = Caller::join_as("john", &house.server.url(), "no-memory").await;
        caller.reads(true, "Welcome").await;
        caller.type_text("my name is John").await;
        caller.reads(true, "Nice to meet you").await;
        caller.type_text("what is my name").await;
        caller.reads(true, "Your name is John").await;
        caller.hang_up().await;
        house.is_back_to(at_rest, "the end of the flush").await;
        leaves_nothing(house.close().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_only_be_used_in_the_middle_of_a_call_gets_what_was_said_before() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path().join("missing");
    let settings = Config {
        sqlite_path: folder.join("memory.db").display().to_string(),
        ..Config::default()
    };
    let pool = pool();
    let opened = open(&settings, &SupabaseConfig::default(), &pool);
    let store = opened.expect("that is no error").expect("a store");
    let mut house = House::remembering(store).await;
    house.pools.push(pool.clone());
    let memories = house.memories();
    let at_rest = house.at_rest().await;
    let john = Caller::join_as("john", &house.server.url(), "no-file").await;
    john.reads(true, "Welcome").await;
    john.type_text("my name is John").await;
    john.reads(true, "Nice to meet you").await;
    is_refused(&memories, 0).await;
    std::fs::create_dir(folder).expect("somebody makes the folder");
    john.type_text("I live in London").await;
    john.reads(true, "I remember that you live in London").await;
    assert_eq!(john.n_lines("sorry"), 0, "he notices nothing");
    john.hang_up().await;
    house.is_back_to(at_rest, "a missing folder").await;
    let rows = rows(&memories, "john").await.concat();
    for known in ["FACT name=John", "FACT home=London", "PROFILE"] {
        assert!(rows.contains(known), "{rows}");
    }
    let recorded = memories.stats().recorder;
    assert_eq!((recorded.unsaved, recorded.lost), (0, 0));
    closes(&house.close().await).await;
    drop(memories);
    leaves_nothing(pool).await;
}

/// A database, or the API in front of one.
enum Database {
    Postgres(Postgres),
    Supabase(Supabase),
}

impl Database {
    fn kill(&mut self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::Supabase(api) => api.kill(),
        }
    }

    async fn restart(&mut self) {
        match self {
            Self::Postgres(server) => server.restart().await,
            Self::Supabase(api) => api.restart().await,
        }
    }
}

/// Waits until the store has refused more than before.
async fn is_refused(memories: &Memories, before: u64) {
    eventually("a save fails", async || {
        (memories.stats().batches.failed > before).then_some(())
    })
    .await;
}

/// Others ask meanwhile, until the breaker refuses them.
async fn breaker_opens(memories: &Memories, pool: &ConnectionPool, service: Service) {
    eventually("the breaker refuses them", async || {
        rows_if_any(memories, "jane").await;
        let refused = stats(pool, service)
            .await
            .errors
            .get("circuit_open")
            .copied()?;
        (refused >= 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_killed_in_the_middle_of_a_call_is_not_noticed_and_gets_what_was_said() {
    let (server, pool) = (Postgres::start().await, pool());
    let config = config(server.url(&server.database().await));
    let store = PostgresStore::new(&config, pool.clone()).expect("right settings");
    pool.register(Arc::new(store.clone()));
    let database = Database::Postgres(server);
    is_killed_in_a_call(database, Arc::new(store), Service::Postgres, pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supabase_killed_in_the_middle_of_a_call_is_not_noticed_and_gets_what_was_said() {
    let (_, api) = project_on(shared().await).await;
    let pool = pool();
    let store = supabase(&api, SERVICE_ROLE_KEY, &pool);
    let database = Database::Supabase(api);
    is_killed_in_a_call(database, Arc::new(store), Service::Supabase, pool).await;
}

async fn is_killed_in_a_call(
    mut database: Database,
    store: Arc<dyn Store>,
    service: Service,
    pool: ConnectionPool,
) {
    let mut house = House::remembering(store).await;
    house.pools.push(pool.clone());
    let (url, memories) = (house.server.url(), house.memories());
    let at_rest = house.at_rest().await;
    let john = Caller::join_as("john", &url, "database-trouble").await;
    john.reads(true, "Welcome").await;
    john.type_text("my name is John").await;
    john.reads(true, "Nice to meet you").await;
    eventually("the name is saved", async || {
        (memories.stats().recorder.saved >= 1).then_some(())
    })
    .await;

    database.kill();
    john.type_text("I live in London").await;
    john.reads(true, "I remember that you live in London").await;
    is_refused(&memories, 0).await;
    breaker_opens(&memories, &pool, service).await;
    database.restart().await;
    eventually("the breaker closes", async || {
        rows_if_any(&memories, "jane").await?;
        let breaker = stats(&pool, service).await.hosts[0].breaker?;
        (breaker.state == BreakerState::Closed).then_some(())
    })
    .await;
    // What the store did not take goes with what comes next.
    john.type_text("remember that i like green tea").await;
    john.reads(true, "I remember that you like green tea").await;
    eventually("all of it is saved", async || {
        let rows = rows_if_any(&memories, "john").await?.concat();
        (["John", "London", "green tea"].iter())
            .all(|known| rows.contains(known))
            .then_some(())
    })
    .await;

    // And at the end of a call there is a while in which the store may come back.
    database.kill();
    let before = memories.stats().batches.failed;
    john.type_text("I live in Paris").await;
    john.reads(true, "I remember that you live in Paris").await;
    is_refused(&memories, before).await;
    let sorry = john.n_lines("sorry");
    john.hang_up().await;
    assert_eq!(sorry, 0, "he notices nothing");
    database.restart().await;
    house.is_back_to(at_rest, "the end of the flush").await;
    let pool_of_house = house.close().await;
    let rows = rows_if_any(&memories, "john").await.expect("it is back");
    assert!(rows.iter().any(|it| it == "FACT home=Paris"), "{rows:?}");
    let summary = rows.iter().find(|it| it.starts_with("PROFILE"));
    assert!(summary.is_some_and(|it| it.contains("Paris")), "{rows:?}");
    let recorded = memories.stats().recorder;
    assert_eq!((recorded.unsaved, recorded.lost), (0, 0));
    let seen = stats(&pool, service).await;
    assert!(seen.errors["unavailable"] >= 1 && seen.errors["circuit_open"] >= 1);
    drop(memories);
    closes(&pool_of_house).await;
    drop(pool_of_house);
    leaves_nothing(pool).await;
}

//! Supabase: the data API and the database behind it.

use std::time::Duration;

use futures::future::join_all;
use sqlx::Connection;
use tokio_util::task::AbortOnDropHandle;
use voxpool::error::{ErrorKind, Service};
use voxpool::memory::{Store, SupabaseConfig, SupabaseStore, UserId, check, open};
use voxpool::pool::ConnectionPool;
use voxpool::redact::Pii;

use super::{Saver, breaker_is_closed, config, lock, pool, save_one, stats};
use crate::common::left::{closes, leaves_nothing};
use crate::common::postgres::{Postgres, shared};
use crate::common::postgrest::{
    ANON_KEY, CONNECTIONS, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_ROLE_KEY, SUPABASE_SQL, Supabase,
    anonymous_sql,
};
use crate::common::{eventually, free_port};
use crate::memory::{save, told, why};

const MINUTE: Duration = Duration::from_secs(60);

fn project(api: &Supabase, key: &str) -> SupabaseConfig {
    SupabaseConfig {
        url: api.url(),
        key: Pii::new(key.to_owned()),
    }
}

pub(crate) fn supabase(api: &Supabase, key: &str, pool: &ConnectionPool) -> SupabaseStore {
    let config = config(String::new());
    SupabaseStore::new(&config, &project(api, key), pool.clone()).expect("right settings")
}

/// A project in a database of its own.
pub(crate) async fn project_on(server: &Postgres) -> (String, Supabase) {
    let database = server.database().await;
    server.execute(&database, SUPABASE_SQL).await;
    let api = Supabase::start(server, &database).await;
    (database, api)
}

#[tokio::test]
async fn supabase_is_killed_and_comes_back() {
    let mut server = Postgres::start().await;
    let (_, mut api) = project_on(&server).await;
    let pool = pool();
    let store = supabase(&api, SERVICE_ROLE_KEY, &pool);
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    api.kill();
    saver.until_away(&store).await;
    api.restart().await;
    saver.until_back(&store).await;
    // The database behind it.
    server.kill();
    saver.until_away(&store).await;
    server.restart().await;
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Supabase, &mut saver, &store).await;
    saver.check(&store).await;
    let seen = stats(&pool, Service::Supabase).await;
    assert!(seen.errors["unavailable"] >= 2 && seen.errors["circuit_open"] >= 2);
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn supabase_knows_the_older_and_the_newer_keys() {
    let (_, api) = project_on(shared().await).await;
    let pool = pool();
    for key in [SERVICE_ROLE_KEY, SECRET_KEY] {
        let store = supabase(&api, key, &pool);
        save_one(&store, "k").await.unwrap();
    }
    let wrong_keys = ["", "sb_secret_wrong", "eyJ.of.nobody"];
    // A pool each: there the breaker is closed.
    for key in wrong_keys {
        let pool = self::pool();
        let store = supabase(&api, key, &pool);
        let error = save_one(&store, "k").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized, "{key}");
        assert!(
            why(&error).contains("SUPABASE_SERVICE_ROLE_KEY"),
            "{}",
            why(&error)
        );
        let seen = stats(&pool, Service::Supabase).await;
        assert_eq!((seen.errors["unauthorized"], seen.retries), (1, 0));
        closes(&pool).await;
    }
    // Keys that are right, in a project without policies for them.
    for key in [ANON_KEY, PUBLISHABLE_KEY] {
        let store = supabase(&api, key, &pool);
        let error = save_one(&store, "k").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized);
        let why = why(&error);
        assert!(why.contains("policies") && why.contains("42501"), "{why}");
    }
    let seen = stats(&pool, Service::Supabase).await;
    assert_eq!((seen.errors["unauthorized"], seen.retries), (2, 0));
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_project_that_refuses_the_key_is_left_alone_until_it_knows_it() {
    let (_, api) = project_on(shared().await).await;
    let pool = pool();
    let store = supabase(&api, "sb_secret_of-tomorrow", &pool);
    let mut saver = Saver::new();
    saver
        .until_refused(&store, &[ErrorKind::Unauthorized])
        .await;
    let asked = api.requests();
    assert!(saver.one(&store).await.is_err());
    assert_eq!(api.requests(), asked, "an open breaker asks nothing");
    api.rotate_secret_key("sb_secret_of-tomorrow");
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Supabase, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn with_an_anonymous_key_the_database_itself_holds_a_request_to_one_caller() {
    let server = shared().await;
    let (database, api) = project_on(server).await;
    server.execute(&database, &anonymous_sql()).await;
    let pool = pool();
    let store = supabase(&api, PUBLISHABLE_KEY, &pool);
    told(
        &store,
        vec![save("alice", "k", "hers"), save("bob", "k", "his")],
    )
    .await;
    // What a mistake of the worker's would send: another caller's rows, or no caller at all.
    let ask = |header: Option<&'static str>| {
        let request = reqwest::Client::builder().build().unwrap();
        let mut request = request
            .post(format!("{}/rest/v1/rpc/voxpool_get", api.url()))
            .header("apikey", PUBLISHABLE_KEY)
            .header("content-type", "application/json")
            .body(r#"{"wanted":[{"user_id":"alice","count_max":9}]}"#);
        if let Some(header) = header {
            request = request.header("x-voxpool-user", header);
        }
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    assert!(
        ask(Some("YWxpY2U=")).await.contains("hers"),
        "alice for alice"
    );
    assert_eq!(ask(Some("Ym9i")).await, "[]", "bob for alice");
    assert_eq!(ask(None).await, "[]", "nobody for alice");
}

#[tokio::test]
async fn a_project_without_the_functions_says_what_to_run() {
    let server = shared().await;
    let database = server.database().await;
    let api = Supabase::start(server, &database).await;
    let pool = pool();
    let store = supabase(&api, SERVICE_ROLE_KEY, &pool);
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SchemaMissing);
    assert!(
        why(&error).contains("config/supabase.sql"),
        "{}",
        why(&error)
    );
    let mut saver = Saver::new();
    let missing = [ErrorKind::SchemaMissing];
    saver.until_refused(&store, &missing).await;
    // Asked by the health monitor it is no better: the API is there, what it needs is not.
    let probed = eventually("a probe is let through", async || {
        let error = pool.probe(store.endpoint()).await.unwrap_err();
        (error.kind != ErrorKind::CircuitOpen).then_some(error)
    });
    assert_eq!(probed.await.kind, ErrorKind::SchemaMissing);
    // Run as told, and once more: that does no harm.
    server.execute(&database, SUPABASE_SQL).await;
    server.execute(&database, SUPABASE_SQL).await;
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Supabase, &mut saver, &store).await;
    saver.check(&store).await;
    pool.probe(store.endpoint()).await.unwrap();
    assert!(stats(&pool, Service::Supabase).await.errors["schema_missing"] >= 1);
    drop(store);
    leaves_nothing(pool).await;
}

/// What the first version's file made lacks the functions of the limits.
#[tokio::test]
async fn a_project_of_an_earlier_version_goes_on_until_the_file_is_run_again() {
    let server = shared().await;
    let (database, api) = project_on(server).await;
    let earlier = "DROP FUNCTION voxpool_trim; DROP FUNCTION voxpool_users;
         NOTIFY pgrst, 'reload schema'";
    server.execute(&database, earlier).await;
    let pool = pool();
    let store = supabase(&api, SERVICE_ROLE_KEY, &pool);
    let alice = || vec![UserId::new("alice").expect("a name")];
    let error = eventually("the API knows that they are gone", async || {
        store.trim(alice()).await.err()
    });
    let error = error.await;
    assert_eq!(error.kind, ErrorKind::SchemaMissing);
    assert!(
        why(&error).contains("config/supabase.sql"),
        "{}",
        why(&error)
    );
    save_one(&store, "k").await.expect("callers notice nothing");
    let (kind, checked) = check(
        &config(String::new()),
        &project(&api, SERVICE_ROLE_KEY),
        &pool,
    )
    .await
    .expect("there is a store");
    assert_eq!(kind, "supabase");
    assert!(
        checked
            .expect_err("it says so")
            .contains("config/supabase.sql")
    );
    server.execute(&database, SUPABASE_SQL).await;
    eventually("the limits are held", async || {
        store.trim(alice()).await.ok()
    })
    .await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_slow_supabase_is_a_timeout_and_then_works_again() {
    let server = shared().await;
    let (database, api) = project_on(server).await;
    let pool = pool();
    let store = supabase(&api, SERVICE_ROLE_KEY, &pool);
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let locked = lock(server, &database).await;
    saver.until_refused(&store, &[ErrorKind::Timeout]).await;
    drop(locked.close().await);
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Supabase, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_supabase_out_of_connections_says_so_and_then_works_again() {
    let server = shared().await;
    let (database, api) = project_on(server).await;
    let pool = pool();
    let mut patient = config(String::new());
    (patient.timeout, patient.attempt_timeout) = (MINUTE, MINUTE);
    let project = project(&api, SERVICE_ROLE_KEY);
    let store = SupabaseStore::new(&patient, &project, pool.clone()).expect("right settings");
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let locked = lock(server, &database).await;
    // As many more as open the breaker.
    let n_refused = pool::Config::default().breaker.failures_in_a_row as usize;
    let saving: Vec<_> = (0..CONNECTIONS + n_refused)
        .map(|n| {
            let store = store.clone();
            let save = async move { save_one(&store, &format!("together{n}")).await };
            AbortOnDropHandle::new(tokio::spawn(save))
        })
        .collect();
    eventually("PostgREST has said so often enough", async || {
        let breaker = stats(&pool, Service::Supabase).await.hosts[0].breaker?;
        (breaker.opened >= 1).then_some(())
    })
    .await;
    drop(locked.close().await);
    let mut refused = Vec::new();
    for (n, result) in join_all(saving).await.into_iter().enumerate() {
        match result.expect("no panic") {
            Ok(()) => saver.saved.push(format!("together{n}")),
            Err(error) => refused.push(error),
        }
    }
    // PostgREST's connections took the others, which were saved when the lock was gone.
    assert_eq!(refused.len(), n_refused);
    for refused in refused {
        assert_eq!(refused.kind, ErrorKind::Timeout);
        let why = why(&refused);
        assert!(why.contains("no database connection left"), "{why}");
    }
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Supabase, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn nobody_at_the_address_of_supabase_is_unavailable() {
    let pool = pool();
    let settings = SupabaseConfig {
        url: format!("http://127.0.0.1:{}", free_port()),
        key: Pii::new(SECRET_KEY.to_owned()),
    };
    let config = config(String::new());
    let store = open(&config, &settings, &pool).unwrap().expect("a store");
    let error = save_one(&*store, "k").await.unwrap_err();
    assert!(matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::CircuitOpen
    ));
}

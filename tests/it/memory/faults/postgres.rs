//! Postgres.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use voxpool::error::{ErrorKind, Service};
use voxpool::memory::{OpenError, PostgresStore, SupabaseConfig, open};
use voxpool::pool::Backend;

use super::{Saver, breaker_is_closed, config, lock, pool, save_one, stats};
use crate::common::left::leaves_nothing;
use crate::common::postgres::{PASSWORD, PgBouncer, Postgres, shared};
use crate::common::toxiproxy::Link;
use crate::common::{eventually, within};
use crate::memory::{get, told, why};

#[tokio::test]
async fn postgres_is_killed_and_comes_back() {
    let mut server = Postgres::start().await;
    let database = server.database().await;
    let pool = pool();
    let store = PostgresStore::new(&config(server.url(&database)), pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    let mut saver = Saver::new();
    for _ in 0..10 {
        saver.one(&store).await.unwrap();
    }
    for _ in 0..2 {
        server.kill();
        saver.until_away(&store).await;
        let failed = stats(&pool, Service::Postgres).await;
        assert!(failed.errors_total() > 0);
        assert_eq!(failed.connections.open, Some(0), "{:?}", failed.connections);
        server.restart().await;
        saver.until_back(&store).await;
    }
    saver.check(&store).await;

    breaker_is_closed(&pool, Service::Postgres, &mut saver, &store).await;
    let seen = stats(&pool, Service::Postgres).await;
    assert!(seen.connections.failed > 0, "{:?}", seen.connections);
    assert!(seen.errors["unavailable"] >= 2 && seen.errors["circuit_open"] >= 2);
    assert_eq!(seen.in_flight, 0);
    let mut owner = server.connect("postgres").await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'voxpool'";
    let count: i64 = sqlx::query_scalar(open)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(
        u64::try_from(count).ok(),
        seen.connections.open,
        "the server's own count"
    );

    // Nothing is left behind: no connection, no task.
    pool.close().await;
    eventually("no connection is left", async || {
        let count: i64 = sqlx::query_scalar(open).fetch_one(&mut owner).await.ok()?;
        (count == 0).then_some(())
    })
    .await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_postgres_that_is_not_there_at_the_start_is_used_when_it_comes() {
    let mut server = Postgres::start().await;
    let database = server.database().await;
    let pool = pool();
    server.kill();
    let (own, none) = (config(server.url(&database)), SupabaseConfig::default());
    let opened = open(&own, &none, &pool);
    let store = opened.expect("that is no error").expect("a store");
    let error = save_one(&*store, "k").await.unwrap_err();
    assert!(matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::CircuitOpen
    ));
    server.restart().await;
    let mut saver = Saver::new();
    saver.until_back(&*store).await;
    saver.check(&*store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn cleanup_drops_idle_connections_and_breaks_nothing() {
    let server = shared().await;
    let database = server.database().await;
    let pool = pool();
    let store = PostgresStore::new(&config(server.url(&database)), pool.clone()).unwrap();
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    eventually("every connection is given back and dropped", async || {
        store.cleanup().await;
        (store.connections().open == Some(0)).then_some(())
    })
    .await;
    saver.one(&store).await.unwrap();
    store.probe().await.unwrap();
    saver.check(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_never_shown() {
    let server = shared().await;
    let database = server.database().await;
    for (password, database, kind, reason) in [
        (
            "not-the-password",
            &*database,
            ErrorKind::Unauthorized,
            "refused the user or the password",
        ),
        (
            PASSWORD,
            "nowhere",
            ErrorKind::SchemaMissing,
            "no such database",
        ),
    ] {
        let pool = pool();
        let url = server.url_as("postgres", password, database);
        let store = PostgresStore::new(&config(url), pool.clone()).unwrap();
        pool.register(Arc::new(store.clone()));
        let error = save_one(&store, "k").await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(why(&error).contains(reason), "{}", why(&error));
        assert!(!format!("{error:?}").contains("not-the-password"));
        let seen = stats(&pool, Service::Postgres).await;
        assert_eq!(seen.errors.get(kind.label()), Some(&1));
        drop(store);
        leaves_nothing(pool).await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_password_is_left_alone_until_it_is_the_right_one() {
    let server = shared().await;
    let database = server.database().await;
    let as_owner = async |statement: &str| server.execute(&database, statement).await;
    let user = format!("worker_{database}");
    as_owner(&format!("CREATE ROLE {user} LOGIN PASSWORD 'old'")).await;
    as_owner(&format!("GRANT CREATE, USAGE ON SCHEMA public TO {user}")).await;
    let pool = pool();
    let url = server.url_as(&user, "new", &database);
    let store = PostgresStore::new(&config(url), pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    let mut saver = Saver::new();
    saver
        .until_refused(&store, &[ErrorKind::Unauthorized])
        .await;
    let tried = store.connections().failed;
    assert!(saver.one(&store).await.is_err());
    assert_eq!(
        store.connections().failed,
        tried,
        "an open breaker tries nothing"
    );
    as_owner(&format!("ALTER ROLE {user} PASSWORD 'new'")).await;
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Postgres, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_so() {
    let server = shared().await;
    let database = server.database().await;
    let pool = pool();
    server
        .execute(
            &database,
            &format!("CREATE ROLE guest_{database} LOGIN PASSWORD '{PASSWORD}'"),
        )
        .await;
    let url = server.url_as(&format!("guest_{database}"), PASSWORD, &database);
    let store = PostgresStore::new(&config(url), pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(why(&error).contains("no permission"), "{}", why(&error));
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_missing_table_is_made_or_asked_for() {
    let server = shared().await;
    let database = server.database().await;
    let (strict_pool, pool) = (pool(), pool());
    let mut own = config(server.url(&database));
    own.postgres.migrate = false;
    let strict = PostgresStore::new(&own, strict_pool.clone()).unwrap();
    strict_pool.register(Arc::new(strict.clone()));
    let error = save_one(&strict, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SchemaMissing);
    assert!(
        why(&error).contains("migrations/postgres"),
        "{}",
        why(&error)
    );
    let mut saver = Saver::new();
    let missing = [ErrorKind::SchemaMissing];
    saver.until_refused(&strict, &missing).await;
    // Asked by the health monitor it is no better: the server is there, the table is not.
    let probed = eventually("a probe is let through", async || {
        let error = strict.probe().await.unwrap_err();
        (error.kind != ErrorKind::CircuitOpen).then_some(error)
    });
    assert_eq!(probed.await.kind, ErrorKind::SchemaMissing);

    own.postgres.migrate = true;
    let store = PostgresStore::new(&own, pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    save_one(&store, "k").await.unwrap();
    saver.until_back(&strict).await;
    breaker_is_closed(&strict_pool, Service::Postgres, &mut saver, &strict).await;
    saver.check(&strict).await;

    // Dropped under a running worker: one operation notices, the next finds it made again.
    let again = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
    server.execute(&database, again).await;
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SchemaMissing);
    save_one(&store, "k").await.unwrap();
    strict_pool.close().await;
    assert_eq!(strict.connections().open, Some(0));
    drop((strict, strict_pool));
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn in_a_supabase_project_the_table_is_closed_to_the_public_key() {
    let server = shared().await;
    let database = server.database().await;
    // As Supabase sets its projects up.
    let defaults = "GRANT USAGE ON SCHEMA public TO anon;
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated;
         CREATE TABLE somebodys (a int)";
    server.execute(&database, defaults).await;
    let store = PostgresStore::new(&config(server.url(&database)), pool()).unwrap();
    save_one(&store, "k").await.unwrap();
    let mut owner = server.connect(&database).await.unwrap();
    let may_read = "SELECT has_table_privilege('anon', $1, 'SELECT, INSERT, UPDATE, DELETE')";
    for (table, expected) in [
        ("somebodys", true),
        ("voxpool_memories", false),
        ("voxpool_migrations", false),
    ] {
        let query = sqlx::query_scalar::<_, bool>(may_read).bind(table);
        assert_eq!(
            query.fetch_one(&mut owner).await.unwrap(),
            expected,
            "{table}"
        );
    }
}

#[tokio::test]
async fn a_pooler_that_nobody_mentioned_is_named_with_its_setting() {
    let server = shared().await;
    let database = server.database().await;
    let bouncer = PgBouncer::start(server).await;
    let store = PostgresStore::new(&config(bouncer.url(&database)), pool()).unwrap();
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(
        why(&error).contains("memory.postgres.pooler = true"),
        "{}",
        why(&error)
    );
}

#[tokio::test]
async fn a_slow_postgres_is_a_timeout_and_then_works_again() {
    let server = shared().await;
    let database = server.database().await;
    let pool = pool();
    let mut own = config(server.url(&database));
    own.postgres.statement_timeout = Duration::from_millis(100);
    let store = PostgresStore::new(&own, pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let locked = lock(server, &database).await;
    let error = saver.one(&store).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(why(&error).contains("took too long"), "{}", why(&error));
    let seen = stats(&pool, Service::Postgres).await;
    assert_eq!(seen.errors.get("timeout"), Some(&1));
    assert!(seen.retries >= 1);
    saver.until_refused(&store, &[ErrorKind::Timeout]).await;
    drop(locked.close().await);
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Postgres, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_link_that_swallows_everything_costs_no_connection_for_good() {
    let server = shared().await;
    let database = server.database().await;
    let link = Link::to(&server.address()).await;
    let direct = server.url(&database);
    let mut own = config(direct.replace(&server.address(), &link.address));
    own.timeout = Duration::from_millis(500);
    own.attempt_timeout = Duration::from_millis(400);
    own.postgres.connections_max = 2;
    let pool = pool();
    let store = PostgresStore::new(&own, pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let silent = json!({"type": "timeout", "attributes": {"timeout": 0}});
    link.poison(silent).await;
    // More of them than there are connections.
    let silence = [ErrorKind::Timeout, ErrorKind::Unavailable];
    saver.until_refused(&store, &silence).await;
    // None is waited for that will never say anything again.
    eventually("the silent connections are closed", async || {
        (store.connections().open == Some(0)).then_some(())
    })
    .await;
    link.mend().await;
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Postgres, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn when_all_connections_are_in_use_the_next_operation_is_told_so() {
    let server = shared().await;
    let database = server.database().await;
    let pool = pool();
    let mut own = config(server.url(&database));
    own.timeout = Duration::from_secs(20);
    own.attempt_timeout = Duration::from_secs(20);
    own.postgres.statement_timeout = Duration::from_secs(20);
    own.postgres.connections_max = 1;
    let store = PostgresStore::new(&own, pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    save_one(&store, "before").await.unwrap();
    let locked = lock(server, &database).await;
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { save_one(&store, "waiting").await })
    };
    eventually("the only connection waits for the lock", async || {
        let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND database =
             (SELECT oid FROM pg_database WHERE datname = current_database())";
        let mut owner = server.connect(&database).await.unwrap();
        let waits: Option<i32> = sqlx::query_scalar(waits)
            .fetch_optional(&mut owner)
            .await
            .ok()?;
        waits
    })
    .await;
    let error = save_one(&store, "next").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Saturated);
    assert!(why(&error).contains("connections_max"), "{}", why(&error));
    let seen = stats(&pool, Service::Postgres).await;
    let breaker = seen.hosts[0].breaker.expect("breakers are on");
    assert_eq!(
        breaker.opened, 0,
        "our own limit says nothing of the server"
    );
    drop(locked.close().await);
    within("the first is saved", waiting)
        .await
        .unwrap()
        .unwrap();
    let found = told(&store, vec![get("alice")]).await;
    assert_eq!(found, ["waiting=v before=v"]);
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn a_server_without_free_connections_is_unavailable_until_it_has_some() {
    let server = Postgres::with("max_connections = 6\nsuperuser_reserved_connections = 0\n").await;
    let database = server.database().await;
    let pool = pool();
    let store = PostgresStore::new(&config(server.url(&database)), pool.clone()).unwrap();
    pool.register(Arc::new(store.clone()));
    let mut taken = Vec::new();
    eventually("every place is taken", async || {
        match server.connect(&database).await {
            Ok(connection) => {
                taken.push(connection);
                None
            }
            Err(_) => (taken.len() >= 5).then_some(()),
        }
    })
    .await;
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(why(&error).contains("connection"), "{}", why(&error));
    assert!(store.connections().failed > 0);
    let mut saver = Saver::new();
    saver.until_away(&store).await;
    drop(taken);
    saver.until_back(&store).await;
    breaker_is_closed(&pool, Service::Postgres, &mut saver, &store).await;
    saver.check(&store).await;
    drop(store);
    leaves_nothing(pool).await;
}

#[tokio::test]
async fn what_cannot_be_an_address_is_refused_at_once_without_quoting_it() {
    let error = PostgresStore::new(&config("postgres://me:p@ss:x/db".to_owned()), pool());
    let error = error.err().expect("that is no address");
    assert_eq!(error, OpenError::DatabaseUrl);
    assert!(error.to_string().contains("DATABASE_URL"));
}

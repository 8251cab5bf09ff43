//! What happens when a store's server is away, full, slow or closed to us: what callers of the store
//! get, that it recovers by itself, and that nothing that was answered with "saved" is lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tokio::runtime::Handle;
use voxpool::error::{CallError, ErrorKind, Service};
use voxpool::memory::{
    Config, MemoryAnswer, OpenError, PostgresConfig, PostgresStore, SqliteStore, Store,
    SupabaseConfig, SupabaseStore, open,
};
use voxpool::pool::{self, Backend, BreakerState, ConnectionPool, ServiceStats};
use voxpool::redact::Pii;

use super::{get, save, told, why};
use crate::common::postgres::{PASSWORD, PgBouncer, Postgres, shared};
use crate::common::postgrest::{
    ANON_KEY, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_ROLE_KEY, SUPABASE_SQL, Supabase, anonymous_sql,
};
use crate::common::{eventually, free_port, within};

/// A pool whose breakers and retries do not let tests wait.
fn pool() -> ConnectionPool {
    let mut config = pool::Config::default();
    config.breaker.open = Duration::from_millis(200);
    config.breaker.open_max = Duration::from_secs(1);
    config.retries_max = 1;
    ConnectionPool::new(config).expect("a pool")
}

/// Impatient settings for one database.
fn config(url: String) -> Config {
    Config {
        timeout: Duration::from_secs(2),
        attempt_timeout: Duration::from_secs(1),
        postgres: PostgresConfig {
            url: Pii::new(url),
            acquire_timeout: Duration::from_millis(300),
            statement_timeout: Duration::from_millis(500),
            ..PostgresConfig::default()
        },
        ..Config::default()
    }
}

fn project(api: &Supabase, key: &str) -> SupabaseConfig {
    SupabaseConfig {
        url: api.url(),
        key: Pii::new(key.to_owned()),
    }
}

fn supabase(api: &Supabase, key: &str, pool: &ConnectionPool) -> SupabaseStore {
    let config = config(String::new());
    SupabaseStore::new(&config, &project(api, key), pool.clone()).expect("right settings")
}

/// One save.
async fn save_one(store: &dyn Store, key: &str) -> Result<(), CallError> {
    let mut results = store.run(vec![save("alice", key, "v")]).await;
    match results.pop().expect("a result") {
        Ok(answer) => {
            assert_eq!(answer, MemoryAnswer::Saved);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn stats(pool: &ConnectionPool, service: Service) -> ServiceStats {
    let services = pool.stats().await.services;
    let mut own = services.into_iter().filter(|it| it.service == service);
    own.next().expect("it was called")
}

/// Saves one key after another, and notes which were answered with "saved".
struct Saver {
    saved: Vec<String>,
    next: usize,
}

impl Saver {
    fn new() -> Self {
        Self {
            saved: Vec::new(),
            next: 0,
        }
    }

    async fn one(&mut self, store: &dyn Store) -> Result<(), CallError> {
        self.next += 1;
        let key = format!("k{}", self.next);
        save_one(store, &key).await?;
        self.saved.push(key);
        Ok(())
    }

    /// Saves until it fails as it does when a server is away, and then until the breaker is open.
    async fn until_away(&mut self, store: &dyn Store) {
        eventually("the breaker refuses a save", async || {
            let error = self.one(store).await.err()?;
            let is_away = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::CircuitOpen);
            assert!(is_away, "{error}: {}", why(&error));
            (error.kind == ErrorKind::CircuitOpen).then_some(())
        })
        .await;
    }

    /// Saves until it works again.
    async fn until_back(&mut self, store: &dyn Store) {
        eventually("a save works again", async || self.one(store).await.ok()).await;
    }

    /// All that was answered with "saved" is there.
    async fn check(&self, store: &dyn Store) {
        let found = told(store, vec![get("alice")]).await;
        let found: Vec<&str> = found[0].split(' ').collect();
        for key in &self.saved {
            assert!(
                found.contains(&format!("{key}=v").as_str()),
                "{key} is lost"
            );
        }
    }
}

/// The breaker has opened, and closes with the next calls that succeed.
async fn breaker_is_closed(
    pool: &ConnectionPool,
    service: Service,
    saver: &mut Saver,
    store: &dyn Store,
) {
    eventually("the breaker is closed", async || {
        saver.one(store).await.ok()?;
        let breaker = stats(pool, service).await.hosts[0].breaker?;
        assert!(breaker.opened >= 1);
        (breaker.state == BreakerState::Closed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn postgres_is_killed_and_comes_back() {
    let mut server = Postgres::start().await;
    let database = server.database().await;
    let pool = pool();
    let tasks = Handle::current().metrics().num_alive_tasks();
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
    eventually("no task is left", async || {
        (Handle::current().metrics().num_alive_tasks() <= tasks).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_postgres_that_is_not_there_at_the_start_is_used_when_it_comes() {
    let mut server = Postgres::start().await;
    let database = server.database().await;
    let pool = pool();
    server.kill();
    let (own, none) = (config(server.url(&database)), SupabaseConfig::default());
    let opened = open(&own, &none, &pool);
    let store = opened.await.expect("that is no error").expect("a store");
    let error = save_one(&*store, "k").await.unwrap_err();
    assert!(matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::CircuitOpen
    ));
    server.restart().await;
    let mut saver = Saver::new();
    saver.until_back(&*store).await;
    saver.check(&*store).await;
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
    let pool = pool();
    let url = server.url_as("postgres", "not-the-password", &database);
    let store = PostgresStore::new(&config(url), pool.clone()).unwrap();
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(
        why(&error).contains("refused the user or the password"),
        "{}",
        why(&error)
    );
    assert!(!format!("{error:?}").contains("not-the-password"));
    let database = server.url_as("postgres", PASSWORD, "nowhere");
    let store = PostgresStore::new(&config(database), pool.clone()).unwrap();
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(why(&error).contains("no such database"), "{}", why(&error));
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
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(why(&error).contains("no permission"), "{}", why(&error));
}

#[tokio::test]
async fn a_missing_table_is_made_or_asked_for() {
    let server = shared().await;
    let database = server.database().await;
    let pool = pool();
    let mut own = config(server.url(&database));
    own.postgres.migrate = false;
    let strict = PostgresStore::new(&own, pool.clone()).unwrap();
    let error = save_one(&strict, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(
        why(&error).contains("migrations/postgres"),
        "{}",
        why(&error)
    );

    own.postgres.migrate = true;
    let store = PostgresStore::new(&own, pool.clone()).unwrap();
    save_one(&store, "k").await.unwrap();
    save_one(&strict, "k").await.unwrap();

    // Dropped under a running worker: one operation notices, the next finds it made again.
    let again = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
    server.execute(&database, again).await;
    let error = save_one(&store, "k").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    save_one(&store, "k").await.unwrap();
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

/// A connection that keeps everybody from the table until it is dropped.
async fn lock(server: &Postgres, database: &str) -> PgConnection {
    let mut owner = server.connect(database).await.unwrap();
    let lock = "BEGIN; LOCK TABLE voxpool_memories IN ACCESS EXCLUSIVE MODE";
    owner.execute(lock).await.unwrap();
    owner
}

#[tokio::test]
async fn a_slow_postgres_is_a_timeout_and_then_works_again() {
    let server = shared().await;
    let database = server.database().await;
    let pool = pool();
    let mut own = config(server.url(&database));
    own.postgres.statement_timeout = Duration::from_millis(100);
    let store = PostgresStore::new(&own, pool.clone()).unwrap();
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let locked = lock(server, &database).await;
    let error = saver.one(&store).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert!(why(&error).contains("took too long"), "{}", why(&error));
    let seen = stats(&pool, Service::Postgres).await;
    assert_eq!(seen.errors.get("timeout"), Some(&1));
    assert!(seen.retries >= 1);
    drop(locked.close().await);
    saver.until_back(&store).await;
    saver.check(&store).await;
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
    drop(locked.close().await);
    within("the first is saved", waiting)
        .await
        .unwrap()
        .unwrap();
    let found = told(&store, vec![get("alice")]).await;
    assert_eq!(found, ["waiting=v before=v"]);
}

#[tokio::test]
async fn a_server_without_free_connections_is_unavailable_until_it_has_some() {
    let server = Postgres::with("max_connections = 6\nsuperuser_reserved_connections = 0\n").await;
    let database = server.database().await;
    let pool = pool();
    let store = PostgresStore::new(&config(server.url(&database)), pool.clone()).unwrap();
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
    drop(taken);
    let mut saver = Saver::new();
    saver.until_back(&store).await;
    saver.check(&store).await;
}

#[tokio::test]
async fn what_cannot_be_an_address_is_refused_at_once_without_quoting_it() {
    let error = PostgresStore::new(&config("postgres://me:p@ss:x/db".to_owned()), pool());
    let error = error.err().expect("that is no address");
    assert_eq!(error, OpenError::DatabaseUrl);
    assert!(error.to_string().contains("DATABASE_URL"));
}

/// A project in a database of its own.
async fn project_on(server: &Postgres) -> (String, Supabase) {
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
    assert_eq!(seen.in_flight, 0);
}

#[tokio::test]
async fn supabase_knows_the_older_and_the_newer_keys() {
    let (_, api) = project_on(shared().await).await;
    let pool = pool();
    for key in [SERVICE_ROLE_KEY, SECRET_KEY] {
        let store = supabase(&api, key, &pool);
        save_one(&store, "k").await.unwrap();
    }
    for key in ["", "sb_secret_wrong", "eyJ.of.nobody"] {
        let store = supabase(&api, key, &pool);
        let error = save_one(&store, "k").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized, "{key}");
        assert!(
            why(&error).contains("SUPABASE_SERVICE_ROLE_KEY"),
            "{}",
            why(&error)
        );
    }
    // Keys that are right, in a project without policies for them.
    for key in [ANON_KEY, PUBLISHABLE_KEY] {
        let store = supabase(&api, key, &pool);
        let error = save_one(&store, "k").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized);
        let why = why(&error);
        assert!(why.contains("policies") && why.contains("42501"), "{why}");
    }
    assert_eq!(stats(&pool, Service::Supabase).await.retries, 0);
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
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(
        why(&error).contains("config/supabase.sql"),
        "{}",
        why(&error)
    );
    // Run as told, and once more: that does no harm.
    server.execute(&database, SUPABASE_SQL).await;
    server.execute(&database, SUPABASE_SQL).await;
    let mut saver = Saver::new();
    saver.until_back(&store).await;
    saver.check(&store).await;
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
    assert_eq!(
        saver.one(&store).await.unwrap_err().kind,
        ErrorKind::Timeout
    );
    drop(locked.close().await);
    saver.until_back(&store).await;
    saver.check(&store).await;
}

#[tokio::test]
async fn nobody_at_the_address_of_supabase_is_unavailable() {
    let pool = pool();
    let settings = SupabaseConfig {
        url: format!("http://127.0.0.1:{}", free_port()),
        key: Pii::new(SECRET_KEY.to_owned()),
    };
    let config = config(String::new());
    let store = open(&config, &settings, &pool)
        .await
        .unwrap()
        .expect("a store");
    let error = save_one(&*store, "k").await.unwrap_err();
    assert!(matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::CircuitOpen
    ));
}

fn sqlite_config(path: &Path) -> Config {
    Config {
        sqlite_path: path.to_str().expect("plain characters").to_owned(),
        timeout: Duration::from_secs(4),
        attempt_timeout: Duration::from_secs(4),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_setting() {
    let directory = tempfile::tempdir().unwrap();
    let no_database = directory.path().join("letter.txt");
    std::fs::write(&no_database, "Dear database, ".repeat(1000)).unwrap();
    for (path, part) in [
        (
            directory.path().join("missing/memory.db"),
            "its folder is not there",
        ),
        (directory.path().to_owned(), "cannot be opened"),
        (no_database, "no SQLite database"),
    ] {
        let error = SqliteStore::open(&sqlite_config(&path), pool()).await;
        let error = error.err().expect("that cannot be opened").to_string();
        assert!(error.starts_with("memory.sqlite_path: "), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let store = SqliteStore::open(&sqlite_config(&path), pool())
        .await
        .unwrap();
    save_one(&store, "k").await.unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        let file = std::fs::metadata(directory.path().join(name)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_another_process_writes_to_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let pool = pool();
    let store = SqliteStore::open(&sqlite_config(&path), pool.clone())
        .await
        .unwrap();
    let mut saver = Saver::new();
    saver.one(&store).await.unwrap();
    let url = format!("sqlite://{}", path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other
        .execute(AssertSqlSafe("BEGIN IMMEDIATE"))
        .await
        .unwrap();
    let error = saver.one(&store).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    // Reading needs no lock.
    saver.check(&store).await;
    other.execute(AssertSqlSafe("COMMIT")).await.unwrap();
    saver.until_back(&store).await;
    saver.check(&store).await;
    store.probe().await.unwrap();
    store.close().await;
    assert_eq!(store.connections().open, Some(0));
}

#[tokio::test]
async fn what_was_answered_with_saved_survives_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let store = SqliteStore::open(&sqlite_config(&path), pool())
        .await
        .unwrap();
    let mut saver = Saver::new();
    for _ in 0..100 {
        saver.one(&store).await.unwrap();
    }
    // The files as they are now are what a process that is killed at this moment leaves.
    let left = directory.path().join("left");
    std::fs::create_dir(&left).unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        std::fs::copy(directory.path().join(name), left.join(name)).unwrap();
    }
    let path = left.join("memory.db");
    let store = SqliteStore::open(&sqlite_config(&path), pool())
        .await
        .unwrap();
    saver.check(&store).await;
    assert_eq!(saver.saved.len(), 100);
}

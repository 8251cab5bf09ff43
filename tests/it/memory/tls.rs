//! Postgres over TLS, as `DATABASE_URL` asks for it.

use voxpool::error::ErrorKind;
use voxpool::memory::{Config, PostgresConfig, PostgresStore};
use voxpool::pool::ConnectionPool;
use voxpool::redact::Pii;

use super::{get, save, told, why};
use crate::common::postgres::Postgres;

fn store(url: String) -> PostgresStore {
    let config = Config {
        postgres: PostgresConfig {
            url: Pii::new(url),
            ..PostgresConfig::default()
        },
        ..Config::default()
    };
    let pool = ConnectionPool::new(Default::default()).unwrap();
    PostgresStore::new(&config, pool).unwrap()
}

#[tokio::test]
async fn postgres_over_tls_is_reached_when_its_certificate_is_trusted() {
    let (server, certificate) = Postgres::start_with_tls().await;
    let database = server.database().await;
    let address = server.url(&database).replace("127.0.0.1", "localhost");
    let trusting = format!(
        "{address}?sslmode=verify-full&sslrootcert={}",
        certificate.display()
    );
    let trusting = store(trusting);
    let answers = told(&trusting, vec![save("alice", "k", "v"), get("alice")]).await;
    assert_eq!(answers, ["saved", "k=v"]);
    let mut owner = server.connect("postgres").await.unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'voxpool'";
    let encrypted: Option<bool> = sqlx::query_scalar(encrypted)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(encrypted, Some(true));

    let strict = store(format!("{address}?sslmode=verify-full"));
    let error = strict.ready().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", why(&error));
    assert!(why(&error).contains("sslrootcert"), "{}", why(&error));
    // Encrypted for whoever asks for no more than that.
    assert!(
        store(format!("{address}?sslmode=require"))
            .ready()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_asked_for() {
    let server = crate::common::postgres::shared().await;
    let database = server.database().await;
    let store = store(format!("{}?sslmode=require", server.url(&database)));
    let error = store.ready().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(why(&error).contains("sslmode"), "{}", why(&error));
}

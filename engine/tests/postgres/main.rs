//! The state store in a real PostgreSQL: the suite that every store passes, and everything that can happen to a
//! database. Needs PostgreSQL (`apt-get install postgresql`): each test has a schema or a server of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: what fails here fails the test"
)]

mod conflicts;
mod contract;
mod housekeeping;
mod opening;
mod outages;
mod pooler;
mod resources;
mod speed;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;
use syncline_engine::auth::{SecretError, SecretSource};
use syncline_engine::state::{PostgresOptions, PostgresStore, PostgresTls, StoreError};
use syncline_sdk::SecretRef;
use syncline_server_tests::postgres::{Options, PASSWORD, Postgres, USER};

/// Knows the superuser's password, under any reference but `env:WRONG`.
#[derive(Debug)]
struct Secrets;

const WRONG_PASSWORD: &str = "hunter2-is-wrong";

#[async_trait]
impl SecretSource for Secrets {
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        match reference {
            SecretRef::Env(name) if name == "WRONG" => Ok(SecretString::from(WRONG_PASSWORD)),
            SecretRef::Env(name) if name == "ABSENT" => {
                Err(SecretError::new(reference, "the environment variable is not set"))
            }
            _ => Ok(SecretString::from(PASSWORD)),
        }
    }
}

fn secrets() -> Arc<dyn SecretSource> {
    Arc::new(Secrets)
}

fn password(reference: &str) -> Option<SecretRef> {
    Some(reference.parse().expect("a reference"))
}

/// The server that tests share which do no harm to it; it ends with the process.
fn shared() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(server_options()))
}

fn server_options() -> Options {
    Options {
        settings: vec!["autovacuum_naptime=1".to_owned(), "max_connections=200".to_owned()],
        ..Options::default()
    }
}

/// A new schema on that server, with small pools and short times.
fn options(server: &Postgres) -> PostgresOptions {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    PostgresOptions {
        hosts: vec![server.address()],
        database: "postgres".to_owned(),
        username: USER.to_owned(),
        password: password("env:PASSWORD"),
        tls: PostgresTls::Off,
        schema: format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed)),
        pool_size: 4,
        connect_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(10),
        ..PostgresOptions::default()
    }
}

async fn open(options: &PostgresOptions) -> PostgresStore {
    PostgresStore::open(options.clone(), secrets()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Why it can't be opened.
async fn not_opened(options: &PostgresOptions) -> StoreError {
    let error = PostgresStore::open(options.clone(), secrets()).await.expect_err("it opens");
    let told = format!("{error} {error:?} {options:?}");
    assert!(!told.contains(WRONG_PASSWORD) && !told.contains(PASSWORD), "{told}");
    error
}

fn assert_refused(error: &StoreError, words: &[&str]) {
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    words.iter().for_each(|word| assert!(error.to_string().contains(word), "no `{word}` in: {error}"));
}

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Runs it, and demands an answer in that time.
async fn within<T>(patience: Duration, run: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let answer = tokio::time::timeout(patience, run).await;
    answer.unwrap_or_else(|_| panic!("no answer after {:?}", start.elapsed()))
}

/// Asks until it is answered with something good.
async fn until_it_works<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A session of its own, beside the store's.
async fn session(server: &Postgres) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user(USER).password(PASSWORD).dbname("postgres");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

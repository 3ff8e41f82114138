//! What keeps it from opening, said so that a person can mend it. Nothing is overwritten.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use syncline_engine::state::suite::{Store, event};
use syncline_engine::state::{
    MemoryStore, PostgresClientCertificate, PostgresOptions, PostgresStore, PostgresTls, StateStore,
};
use syncline_server_tests::postgres::{Options, Postgres};
use syncline_server_tests::process::free_port;

use super::{
    assert_refused, assert_unavailable, not_opened, open, options, password, secrets, session, shared, within,
};

#[tokio::test]
async fn it_speaks_tls_and_checks_the_certificate() {
    let server = Postgres::start(Options { tls: true, ..Options::default() });
    let with = |tls| PostgresOptions { tls, ..options(&server) };
    let trusted = PostgresTls::Require { ca_file: Some(server.ca_file()), client: None };
    let store = Store::new(open(&with(trusted.clone())).await).await;
    store.granted(1, &event("k", "1", None)).await;
    let used = server.sql(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'syncline'",
    );
    assert_eq!(used, "t");

    let system = with(PostgresTls::Require { ca_file: None, client: None });
    assert_refused(&not_opened(&system).await, &["TLS failed", &server.address()]);
    let other = Postgres::start(Options { tls: true, ..Options::default() });
    let elsewhere = with(PostgresTls::Require { ca_file: Some(other.ca_file()), client: None });
    assert_refused(&not_opened(&elsewhere).await, &["TLS failed"]);
    let absent = with(PostgresTls::Require { ca_file: Some("/nonexistent/ca.pem".into()), client: None });
    assert_refused(&not_opened(&absent).await, &["/nonexistent/ca.pem can't be read"]);
    let plain = PostgresOptions { tls: trusted, ..options(shared()) };
    assert_refused(&not_opened(&plain).await, &["server does not support TLS", "set `tls` off"]);
}

#[tokio::test]
async fn a_client_certificate_is_as_good_as_a_password() {
    let server = Postgres::start(Options { tls: true, ..Options::default() });
    server.sql("CREATE ROLE certified LOGIN SUPERUSER");
    let (certificate_file, key_file) = server.client_certificate();
    let client = Some(PostgresClientCertificate { certificate_file, key_file });
    let with = |client| PostgresOptions {
        username: "certified".into(),
        password: None,
        tls: PostgresTls::Require { ca_file: Some(server.ca_file()), client },
        ..options(&server)
    };
    open(&with(client)).await.token().await.unwrap();
    assert_refused(&not_opened(&with(None)).await, &["requires a valid client certificate"]);
    let swapped = PostgresClientCertificate { certificate_file: server.ca_file(), key_file: server.ca_file() };
    assert_refused(&not_opened(&with(Some(swapped))).await, &["no private key in PEM"]);
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let wrong = PostgresOptions { password: password("env:WRONG"), ..options(shared()) };
    assert_refused(&not_opened(&wrong).await, &["password authentication failed", "28P01", "`password`"]);
    let absent = PostgresOptions { password: password("env:ABSENT"), ..options(shared()) };
    assert_refused(&not_opened(&absent).await, &["env:ABSENT", "not set"]);
    let none = PostgresOptions { password: None, ..options(shared()) };
    assert_refused(&not_opened(&none).await, &["password missing"]);
    let nobody = PostgresOptions { username: "nobody_known".into(), ..options(shared()) };
    assert_refused(&not_opened(&nobody).await, &["28P01"]);
    let nowhere = PostgresOptions { database: "no_such_database".into(), ..options(shared()) };
    assert_refused(&not_opened(&nowhere).await, &["no_such_database", "3D000", "create the database"]);
}

#[tokio::test]
async fn a_password_that_was_changed_is_read_again() {
    let name = "rotated";
    shared().sql(&format!("CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'first'"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let options = PostgresOptions {
        username: name.into(),
        password: password(&format!("file:{}", file.path().display())),
        ..options(shared())
    };
    let store = PostgresStore::open(options, std::sync::Arc::new(syncline_engine::auth::EnvAndFiles)).await.unwrap();
    shared().sql(&format!("ALTER ROLE {name} PASSWORD 'second'"));
    let end = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{name}'");
    shared().sql(&end);
    let error = store.token().await.unwrap_err();
    assert_refused(&error, &["password authentication failed"]);
    std::fs::write(file.path(), "second\n").unwrap();
    store.token().await.unwrap();
}

#[tokio::test]
async fn missing_rights_are_named() {
    let limited = |name: &str| PostgresOptions { username: name.into(), ..options(shared()) };
    let create = |name: &str| {
        let password = syncline_server_tests::postgres::PASSWORD.replace('\'', "''");
        shared().sql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"));
    };
    create("no_rights");
    let error = not_opened(&limited("no_rights")).await;
    assert_refused(&error, &["permission denied for database", "42501", "grant"]);

    // The tables are there, and belong to someone else.
    let theirs = options(shared());
    open(&theirs).await;
    let reader = PostgresOptions { username: "no_rights".into(), ..theirs.clone() };
    assert_refused(&not_opened(&reader).await, &["permission denied for schema"]);
    let schema = &theirs.schema;
    shared().sql(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO no_rights;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO no_rights;
        REVOKE DELETE ON {schema}.keys FROM no_rights"
    ));
    assert_refused(&not_opened(&reader).await, &["DELETE on the table keys"]);
    shared().sql(&format!("GRANT DELETE ON {schema}.keys TO no_rights"));
    let store = Store::new(open(&reader).await).await;
    store.granted(1, &event("k", "1", None)).await;

    // A schema that was made for the user is enough.
    let given = limited("no_rights");
    shared().sql(&format!("CREATE SCHEMA {} AUTHORIZATION no_rights", given.schema));
    open(&given).await;
}

#[tokio::test]
async fn what_is_unreachable_is_said_in_time() {
    let nobody = PostgresOptions { hosts: vec![format!("127.0.0.1:{}", free_port())], ..options(shared()) };
    let open = |options: PostgresOptions| async move {
        within(Duration::from_secs(15), PostgresStore::open(options, secrets())).await
    };
    assert!(assert_unavailable(open(nobody.clone()).await).contains("refused"));
    let unknown = PostgresOptions { hosts: vec!["no-such-host.invalid".into()], ..nobody.clone() };
    assert!(assert_unavailable(open(unknown).await).contains("no-such-host.invalid:5432"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_host = silent.local_addr().unwrap().to_string();
    let quick = Duration::from_millis(300);
    let mute = PostgresOptions { hosts: vec![silent_host.clone()], connect_timeout: quick, ..nobody.clone() };
    assert!(assert_unavailable(open(mute).await).contains("no answer within 300 ms"));

    // One of several is enough, and one that hangs leaves time for the next.
    let hosts = vec![nobody.hosts[0].clone(), silent_host, shared().address()];
    open(PostgresOptions { hosts, connect_timeout: Duration::from_secs(9), ..nobody }).await.unwrap();
}

#[tokio::test]
async fn what_is_no_postgresql_is_told_apart() {
    for answer in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "-ERR unknown command\r\n", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(4) {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        for tls in [PostgresTls::Off, PostgresTls::Require { ca_file: None, client: None }] {
            let options = PostgresOptions { hosts: vec![host.clone()], tls, ..options(shared()) };
            let error = within(Duration::from_secs(15), not_opened(&options)).await.to_string();
            let known = ["is it the right port?", "is it a PostgreSQL server?", "TLS"];
            assert!(known.iter().any(|word| error.contains(word)), "{answer:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_newer_version_is_left_alone() {
    let options = options(shared());
    drop(Store::new(open(&options).await).await);
    let table = format!("{}.migrations", options.schema);
    shared().sql(&format!("INSERT INTO {table} (syncline_version) VALUES (999)"));
    assert_refused(&not_opened(&options).await, &["version 999", "newer program", &options.schema]);
    assert_eq!(shared().sql(&format!("SELECT max(syncline_version) FROM {table}")), "999");
}

/// Tables as a program of version 1 has put them in place.
fn version_1(schema: &str) -> String {
    let files = [
        include_str!("../../src/state/postgres/migrations/0001_tables.sql"),
        include_str!("../../src/state/postgres/migrations/0001_claims.sql"),
        include_str!("../../src/state/postgres/migrations/0001_upkeep.sql"),
    ];
    let tables = files.concat().replace("{schema}", schema);
    format!("CREATE SCHEMA {schema}; {tables}; INSERT INTO {schema}.migrations (syncline_version) VALUES (1)")
}

#[tokio::test]
async fn an_older_version_is_brought_up_to_date() {
    let options = options(shared());
    let schema = &options.schema;
    session(shared()).await.batch_execute(&version_1(schema)).await.unwrap();
    shared().sql(&format!("UPDATE {schema}.tokens SET last = 9000000000000000"));
    for _ in 0..2 {
        let store = open(&options).await;
        assert!(store.token().await.unwrap().0 > 9_000_000_000_000_000, "what was there is there");
        store.set_note("n", b"v").await.unwrap();
    }
    let versions = shared().sql(&format!("SELECT count(*), max(syncline_version) FROM {schema}.migrations"));
    assert_eq!(versions, "2|2");
}

#[tokio::test]
async fn foreign_tables_are_left_alone() {
    let options = options(shared());
    let schema = &options.schema;
    for foreign in [
        "CREATE TABLE {}.keys (mine text)",
        "CREATE TABLE {}.migrations (version text)",
        "CREATE VIEW {}.v AS SELECT 1",
    ] {
        shared().sql(&format!("CREATE SCHEMA {schema}; {}", foreign.replace("{}", schema)));
        assert_refused(&not_opened(&options).await, &["holds something else", "left as it is"]);
        let kept = shared().sql(&format!(
            "SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace
            AND relkind IN ('r', 'v')"
        ));
        assert_eq!(kept, "1");
        shared().sql(&format!("DROP SCHEMA {schema} CASCADE"));
    }
    // Tables of ours that someone has taken away are told, not made anew.
    open(&options).await;
    shared().sql(&format!("DROP TABLE {schema}.keys"));
    let store = open(&options).await;
    let request = Store::new(MemoryStore::default()).await.request(1, &event("k", "1", None));
    let error = store.claim(&[request]).await.unwrap_err();
    assert_refused(&error, &["42P01", "as this program has put them in place"]);
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    shared().sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let latin = PostgresOptions { database: "latin".into(), ..options(shared()) };
    assert_refused(&not_opened(&latin).await, &["LATIN1", "ENCODING 'UTF8'"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_migrate_at_once_one_does() {
    let options = options(shared());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let options = options.clone();
        tasks.spawn(async move { open(&options).await.token().await.unwrap() });
    }
    let mut tokens = tasks.join_all().await;
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 8);
    let versions = "SELECT count(*), max(syncline_version) FROM {}.migrations".replace("{}", &options.schema);
    assert_eq!(shared().sql(&versions), "2|2");
}

#[tokio::test]
async fn whoever_dies_while_migrating_leaves_nothing_behind() {
    let options = options(shared());
    let other = session(shared()).await;
    let lock = format!("SELECT pg_advisory_lock(hashtextextended('syncline schema {}', 0))", options.schema);
    other.batch_execute(&lock).await.unwrap();
    let opening = tokio::spawn({
        let options = options.clone();
        async move { open(&options).await }
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while other.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    opening.abort();
    assert!(opening.await.is_err());
    other.batch_execute(&lock.replace("pg_advisory_lock", "pg_advisory_unlock")).await.unwrap();
    open(&options).await;
}

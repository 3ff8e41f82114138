//! No connection is free, or no disk.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{Claim, PostgresOptions, StateStore, StoreError};
use syncline_server_tests::postgres::{Options, PASSWORD, Postgres, USER};

use super::{assert_unavailable, open, options, session, shared, until_it_works, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_askers_than_connections_wait_for_each_other() {
    let store = Arc::new(open(&PostgresOptions { pool_size: 2, ..options(shared()) }).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.token().await.unwrap() });
    }
    let mut tokens = tasks.join_all().await;
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 200);
}

#[tokio::test]
async fn askers_that_stop_waiting_leave_the_pool_whole() {
    let options = PostgresOptions { pool_size: 2, ..options(shared()) };
    let store = open(&options).await;
    store.token().await.unwrap();
    let other = session(shared()).await;
    other.batch_execute(&format!("BEGIN; SELECT * FROM {}.tokens FOR UPDATE", options.schema)).await.unwrap();
    for _ in 0..10 {
        let impatient = tokio::time::timeout(Duration::from_millis(30), store.token());
        assert!(impatient.await.is_err());
    }
    other.batch_execute("ROLLBACK").await.unwrap();
    within(Duration::from_secs(5), store.token()).await.unwrap();
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_unavailable_until_there_is_one() {
    let settings = vec![
        "max_connections=6".to_owned(),
        "superuser_reserved_connections=1".to_owned(),
        "max_wal_senders=0".to_owned(),
    ];
    let server = Postgres::start(Options { settings, ..Options::default() });
    let options = PostgresOptions { pool_size: 1, ..options(&server) };
    let store = open(&options).await;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user(USER).password(PASSWORD).dbname("postgres");
    let admin = session(&server).await;
    let mut others = Vec::new();
    let why = until_it_works(async || {
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'syncline'";
        admin.query(end, &[]).await.unwrap();
        while let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await {
            others.push((client, tokio::spawn(connection)));
        }
        match within(Duration::from_secs(20), store.token()).await {
            Err(StoreError::Unavailable(why)) => Ok(why),
            // Its housekeeping has been faster than the others.
            answer => Err(StoreError::Unavailable(format!("{answer:?}"))),
        }
    })
    .await;
    assert!(why.contains("53300") && why.contains("max_connections"), "{why}");
    drop(others);
    until_it_works(async || store.token().await).await;
}

/// A file system of that size in memory, unmounted when it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let option = format!("size={size},mode=0777");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(folder.path()).output();
        let mounted = mounted.map_err(|error| error.to_string())?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).into_owned());
        }
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_it_is_unavailable_and_afterwards_nothing_is_missing() {
    let disk = match Small::mount("160m") {
        Ok(disk) => disk,
        Err(why) => {
            println!("skipped: a small file system can't be mounted here, as it takes root: {why}");
            return;
        }
    };
    let settings = vec!["max_wal_size=64MB".to_owned(), "min_wal_size=32MB".to_owned()];
    let folder = Some(disk.path().to_owned());
    let mut server = Postgres::start(Options { folder, settings, ..Options::default() });
    let store = Store::new(open(&options(&server)).await).await;
    let ballast = disk.path().join("ballast");
    let mut done = Vec::new();
    let fill = |number: u64| {
        // What is left is given to someone else, so that the tables can't grow.
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast);
        if number == 300 {
            let _ = file.and_then(|mut file| std::io::copy(&mut std::io::repeat(0), &mut file));
        }
    };
    let mut why = None;
    for number in 0..20_000 {
        fill(number);
        let one = event(&format!("k{number}"), &("x".repeat(2000) + &number.to_string()), None);
        match store.inner.claim(&[store.request(number, &one)]).await {
            Ok(claims) if matches!(claims[..], [Claim::Granted(_)]) => {}
            other => {
                why = Some(assert_unavailable(other));
                break;
            }
        }
        match store.inner.complete(&[store.completion(number, &one, applied(&one, Some(&"r".repeat(4000))))]).await {
            Ok(_) => done.push(one),
            other => {
                why = Some(assert_unavailable(other));
                break;
            }
        }
    }
    let why = why.expect("the disk never got full");
    assert!(done.len() >= 300, "{} {why}", done.len());
    println!("after {} completions: {why}", done.len());
    std::fs::remove_file(&ballast).unwrap();
    // A full disk may have stopped the server itself, when it could not write its log.
    if server.try_sql("postgres", "SELECT 1").is_err() {
        server.kill();
        server.restart();
    }
    until_it_works(async || store.inner.token().await).await;
    for one in &done {
        assert!(matches!(store.claim(1_000_000, one).await, Claim::Duplicate { .. }));
    }
    drop(server);
}

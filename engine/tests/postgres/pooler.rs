//! Through PgBouncer in transaction mode.

use std::process::{Child, Command, Stdio};

use syncline_engine::state::PostgresOptions;
use syncline_engine::state::suite;
use syncline_server_tests::postgres::{PASSWORD, USER};
use syncline_server_tests::process::free_port;

use super::{open, options, shared, until_it_works};

struct Bouncer(Child, #[allow(dead_code, reason = "kept until the process has ended")] tempfile::TempDir);

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PgBouncer: apt-get install pgbouncer"]
async fn it_keeps_the_contract_through_a_pooler_in_transaction_mode() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let (config, users) = (folder.path().join("config"), folder.path().join("users"));
    std::fs::write(&users, format!("\"{USER}\" \"{}\"\n", PASSWORD.replace('"', "\"\""))).unwrap();
    let server = shared().port();
    let text = format!(
        "[databases]\npostgres = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 3\n",
        users.display()
    );
    std::fs::write(&config, text).unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everyone).unwrap();
    let mut command = Command::new("pgbouncer");
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if is_root {
        command.args(["--user", "postgres"]);
    }
    let child = command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _bouncer = Bouncer(child.expect("apt-get install pgbouncer"), folder);
    let through = |lease| PostgresOptions { hosts: vec![format!("127.0.0.1:{port}")], lease, ..options(shared()) };
    let first = through(std::time::Duration::from_secs(60));
    until_it_works(async || syncline_engine::state::PostgresStore::open(first.clone(), super::secrets()).await).await;
    suite::run(async |lease| open(&through(lease)).await).await;
    suite::is_shared(open(&first).await, open(&first).await).await;
    suite::keeps_notes(open(&first).await).await;
    suite::shares_budgets(async || open(&first).await).await;
}

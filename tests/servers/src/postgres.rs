//! A real `PostgreSQL`: `initdb` and `postgres` from the operating system's packages, in a folder of its own, on a free
//! port of the loopback interface. It ends when it is dropped, and also when the test's process ends in any way.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::process::{children, free_port, signal, wait_for};

/// The superuser.
pub const USER: &str = "postgres";
/// Its password.
pub const PASSWORD: &str = "pässword 'of' the \\ superuser";

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether what is committed survives a loss of power. Without it tests are faster; a killed process loses nothing
    /// either way.
    pub fsync: bool,
    /// Whether it speaks TLS, with a certificate for `localhost` and 127.0.0.1. The role `certified` then logs in with
    /// [`Postgres::client_certificate`] alone.
    pub tls: bool,
    /// More settings, each as `name=value`.
    pub settings: Vec<String>,
    /// Where its folder is put, instead of among the temporary ones.
    pub folder: Option<PathBuf>,
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    options: Options,
    port: u16,
    /// A shell that starts the server, and kills it when its standard input ends.
    keeper: Option<Child>,
}

impl Postgres {
    /// Sets one up and starts it.
    ///
    /// # Panics
    /// When it can't be started, as where `PostgreSQL` isn't installed.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let server = Self::in_folder(options);
        let password = server.folder.path().join("password");
        fs::write(&password, PASSWORD).expect("the password's file");
        own(&password);
        let mut initdb = command("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--username", USER]);
        run(initdb.arg("--pwfile").arg(&password).arg("-D").arg(server.data()));
        if server.options.tls {
            server.write_certificates();
        }
        server.started()
    }

    /// A standby that follows this server, in a folder of its own. It can be read only.
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = Self::in_folder(Options { tls: false, ..self.options.clone() });
        let mut backup = command("pg_basebackup");
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-h", "127.0.0.1", "-U", USER]);
        backup.args(["-p", &self.port.to_string()]).arg("-D").arg(standby.data()).env("PGPASSWORD", PASSWORD);
        run(&mut backup);
        standby.started()
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as `localhost:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The certificate of the authority that has signed the server's.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for the role `certified` and its key.
    #[must_use]
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("client.pem"), self.folder.path().join("client-key.pem"))
    }

    /// Runs SQL as the superuser, and gives what `psql` prints, without headers.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql("postgres", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same in that database.
    ///
    /// # Errors
    /// What `psql` says when it fails.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = command("psql");
        psql.args(["--no-psqlrc", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER]);
        psql.args(["-p", &self.port.to_string(), "-d", database, "-f", "-"]);
        psql.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().map_err(|error| missing("psql", &error))?;
        let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(sql.as_bytes()));
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if written.is_err() || !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Kills it with all its processes, as a loss of power would.
    pub fn kill(&mut self) {
        // The parent first, so that it doesn't see its children die and begin to recover.
        let pids = self.pids();
        signal("KILL", &pids);
        self.keeper_ended();
        let gone = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
        wait_for("the end of the server's processes", PATIENCE, || {
            pids.iter().all(gone).then_some(()).ok_or_else(|| "some are there".to_owned())
        });
    }

    /// Starts it again, on the same port and folder.
    pub fn restart(&mut self) {
        self.begin();
        self.wait_until_ready();
    }

    /// Stops all its processes where they are.
    pub fn suspend(&self) {
        signal("STOP", &self.pids());
    }

    /// Lets them go on.
    pub fn resume(&self) {
        signal("CONT", &self.pids());
    }

    /// What it has written to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn in_folder(options: Options) -> Self {
        let folder = match &options.folder {
            Some(parent) => TempDir::new_in(parent),
            None => TempDir::new(),
        };
        let folder = folder.expect("a temporary folder");
        own(folder.path());
        Self { folder, options, port: free_port(), keeper: None }
    }

    fn started(mut self) -> Self {
        self.begin();
        self.wait_until_ready();
        self
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn begin(&mut self) {
        let mut keeper = as_owner("sh");
        // The server ends with the shell's input, since then nobody is left to use it, and its folder goes with it.
        let script = r#"folder=$1; server=$2; shift 2; "$server" "$@" </dev/null &
            read -r word; kill -QUIT $!; wait; [ "$word" = keep ] || rm -rf "$folder""#;
        keeper.args(["-c", script, "sh"]).arg(self.folder.path()).arg(program("postgres")).arg("-D").arg(self.data());
        let sync = if self.options.fsync { "on" } else { "off" };
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("fsync={sync}"),
            "max_connections=40".to_owned(),
            "shared_buffers=32MB".to_owned(),
        ];
        if self.options.tls {
            settings.extend(["ssl=on".to_owned(), format!("ssl_ca_file={}", self.ca_file().display())]);
        }
        settings.extend(self.options.settings.iter().cloned());
        for setting in &settings {
            keeper.args(["-c", setting]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.expect("the log");
        keeper.stdin(Stdio::piped()).stdout(log.try_clone().expect("the log")).stderr(log);
        self.keeper = Some(keeper.spawn().expect("a shell"));
    }

    fn wait_until_ready(&mut self) {
        wait_for("PostgreSQL", PATIENCE, || {
            self.try_sql("postgres", "SELECT 1").map_err(|error| format!("{error}\n{}", self.log()))
        });
    }

    /// The server's first process and its children.
    fn pids(&self) -> Vec<u32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let first: Option<u32> = file.lines().next().and_then(|line| line.trim().parse().ok());
        first.into_iter().flat_map(|pid| std::iter::once(pid).chain(children(pid))).collect()
    }

    fn keeper_ended(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut input) = keeper.stdin.take() {
                let _ = input.write_all(b"keep\n");
            }
            let _ = keeper.wait();
        }
    }

    fn write_certificates(&self) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "the tests' authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("a CA");
        fs::write(self.ca_file(), authority.pem()).expect("the authority's file");
        let (client, client_key) = self.client_certificate();
        let server = ["server.crt", "server.key"].map(|name| self.data().join(name));
        for (names, common_name, [certificate_file, key_file]) in
            [(vec!["localhost", "127.0.0.1"], "server", server), (vec![], "certified", [client, client_key])]
        {
            let key = KeyPair::generate().expect("a key");
            let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
            let mut params = CertificateParams::new(names).expect("names");
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, common_name);
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            for (path, pem) in [(certificate_file, certificate.pem()), (key_file, key.serialize_pem())] {
                fs::write(&path, pem).expect("a certificate's file");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
                own(&path);
            }
        }
        let access = self.data().join("pg_hba.conf");
        let others = fs::read_to_string(&access).expect("pg_hba.conf");
        fs::write(&access, format!("hostssl all certified 127.0.0.1/32 cert\n{others}")).expect("pg_hba.conf");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that was suspended has to hear it.
        signal("CONT", &self.pids());
        self.keeper_ended();
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Where Debian and its like put the programs.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort_by_key(|path| path.iter().rev().nth(2).and_then(|version| version.to_str()?.parse::<u32>().ok()));
    found.pop().unwrap_or_else(|| name.into())
}

fn command(name: &str) -> Command {
    as_owner(program(name))
}

/// The server refuses to run as root: then it runs as the user that its package has made.
fn as_owner(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C");
    command
}

fn owner() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("/proc").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.unwrap_or_else(|| panic!("there is no user `postgres`; {INSTALL}"));
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
    Some((numbers.next()?, numbers.next()?))
}

fn own(path: &Path) {
    if let Some((user, group)) = owner() {
        chown(path, Some(user), Some(group)).expect("a change of owner");
    }
}

fn run(command: &mut Command) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{}", missing(&name, &error)));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

const INSTALL: &str = "these tests need a real PostgreSQL: apt-get install postgresql";

fn missing(program: &str, error: &std::io::Error) -> String {
    format!("{program} can't be started ({error}); {INSTALL}")
}

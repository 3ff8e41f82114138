//! Runs the children of each library in turn, and puts what they report together.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::libraries::Library;
use crate::measure::{Checked, Line};
use crate::report::{Opened, Report};
use crate::{Arguments, Claims, Failure, Setting, kill, process, report, tear};

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let all = [Library::Fjall, Library::Redb, Library::RedbQuickRepair, Library::Canopydb];
    let libraries = if arguments.library.is_empty() { &all } else { arguments.library.as_slice() };
    let mut reports = Vec::new();
    for library in libraries {
        let folder = arguments.folder.join(format!("store-bench-{}", library.name()));
        process::remove(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let report = measure(*library, &folder, arguments)?;
        process::remove(&folder)?;
        report.print_json()?;
        reports.push(report);
    }
    report::print_table(&reports, &arguments.setting);
    Ok(())
}

fn measure(library: Library, folder: &Path, arguments: &Arguments) -> Result<Report, Failure> {
    let setting = &arguments.setting;
    let mut report = Report { library: library.name(), ..Report::default() };
    let store = folder.join("store");

    eprintln!("{}: writing {} keys", library.name(), setting.keys);
    let mut writer = Running::start("write", library, &store, &[], setting)?;
    let mut durable = Vec::new();
    while let Some(line) = writer.next() {
        match line {
            Line::Durable(batch) => durable.push(batch),
            Line::Written(written) => {
                report.written = written;
                break;
            }
            _ => {}
        }
    }
    report.while_in_use = check(library, &store, &[0], folder, setting)?;
    // The kill comes in the midst of writing.
    durable.extend(writer.kill_after(Duration::from_secs(3))?.durable);

    eprintln!("{}: opening after the kill", library.name());
    report.after_kill = check(library, &store, &durable, folder, setting)?;
    report.after_kill_again = check(library, &store, &durable, folder, setting)?;
    process::remove(&store)?;

    eprintln!("{}: killing", library.name());
    kill::run(library, folder, arguments.kills, setting, &mut report)?;

    eprintln!("{}: tearing", library.name());
    tear::run(library, folder, arguments.tears, setting, &mut report)?;

    eprintln!("{}: expiring", library.name());
    let mut expiring = Running::start("expire", library, &store, &[], setting)?;
    while let Some(line) = expiring.next() {
        if let Line::Expired(expired) = line {
            report.expired = Some(expired);
        }
    }
    if report.expired.is_none() {
        return Err(expiring.last_words()?.into());
    }
    Ok(report)
}

/// Opens a store in a child and looks whether these batches are there.
pub(crate) fn check(
    library: Library,
    store: &Path,
    durable: &[u64],
    scratch: &Path,
    setting: &Setting,
) -> Result<Opened, Failure> {
    let list = scratch.join("durable");
    std::fs::write(&list, durable.iter().map(|batch| format!("{batch}\n")).collect::<String>())?;
    let mut child = Running::start("check", library, store, &[list.as_os_str()], setting)?;
    let mut checked: Option<Checked> = None;
    while let Some(line) = child.next() {
        if let Line::Checked(found) = line {
            checked = Some(found);
        }
    }
    Ok(match checked {
        Some(checked) => Opened::Yes(checked),
        None => Opened::No(child.last_words()?),
    })
}

/// A child and what it says.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Line>,
    input: Option<ChildStdin>,
    errors: PathBuf,
}

/// What came of a child until it was killed.
pub(crate) struct Killed {
    pub(crate) durable: Vec<u64>,
    /// For so long it had said nothing.
    pub(crate) silent: Duration,
}

impl Running {
    pub(crate) fn start(
        task: &str,
        library: Library,
        store: &Path,
        more: &[&OsStr],
        setting: &Setting,
    ) -> Result<Self, Failure> {
        let errors = store.with_extension("errors");
        let claims = if setting.claims == Claims::Stored { "stored" } else { "memory" };
        let mut child = Command::new(std::env::current_exe()?)
            .args([task, &library.name()])
            .arg(store)
            .args(more)
            .args(["--keys", &setting.keys.to_string(), "--batch", &setting.batch.to_string()])
            .args(["--in-flight", &setting.in_flight.to_string(), "--cache-mib", &setting.cache_mib.to_string()])
            .args(["--claims", claims])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors)?)
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let input = child.stdin.take();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // A kill may cut the last line.
            let lines = output.map_while(Result::ok).map_while(|line| serde_json::from_str(&line).ok());
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Ok(Self { child, lines, input, errors })
    }

    /// The next line, or nothing at the end.
    pub(crate) fn next(&mut self) -> Option<Line> {
        self.lines.recv().ok()
    }

    /// Asks for one step more.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("no input")?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    /// Kills it with SIGKILL, so long from now. It must not have ended before.
    pub(crate) fn kill_after(mut self, time: Duration) -> Result<Killed, Failure> {
        let until = Instant::now() + time;
        let mut killed = Killed { durable: Vec::new(), silent: Duration::ZERO };
        let mut last = Instant::now();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    last = Instant::now();
                    killed.durable.extend(line.batch());
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(self.last_words()?.into()),
            }
        }
        killed.silent = last.elapsed();
        self.child.kill()?;
        self.child.wait()?;
        killed.durable.extend(self.lines.iter().filter_map(|line| line.batch()));
        Ok(killed)
    }

    /// How a child ended that has reported nothing: its panic, or else its error.
    fn last_words(&mut self) -> Result<String, Failure> {
        let status = self.child.wait()?;
        let text = std::fs::read_to_string(&self.errors)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let words = match lines.iter().position(|line| line.contains("panicked at")) {
            Some(at) => lines.into_iter().skip(at).take(2).collect::<Vec<_>>().join(" "),
            None => lines.last().copied().unwrap_or("it said nothing").to_owned(),
        };
        Ok(if status.code().is_none() { format!("{status}: {words}") } else { words })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child that has ended can't be killed; all others must not outlive a failed run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Processes: free ports, signals, and waiting for something to be so.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

/// A port of the loopback interface that nobody listens on just now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Sends a signal, such as `STOP`, to processes. One that has ended already is passed over.
pub fn signal(name: &str, pids: &[u32]) {
    for pid in pids {
        let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).output().expect("kill");
        let is_there = std::path::Path::new(&format!("/proc/{pid}")).exists();
        assert!(sent.status.success() || !is_there, "kill -{name} {pid}: {}", String::from_utf8_lossy(&sent.stderr));
    }
}

/// The processes that `parent` has started, directly.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name stands in parentheses and can hold anything; state and parent follow it.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent)
    };
    pids.filter(is_child).collect()
}

/// Asks again and again until there is something, at most that long; `what` is for the message.
pub fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "{what}: not within {patience:?}; last: {last}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

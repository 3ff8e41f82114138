//! A process of its own for tests that need environment variables: setting them in this one would
//! change other tests', and is unsafe.

use std::process::Stdio;

use tokio::process::Command;

const MARK: &str = "SYNCLINE_TRANSPORT_CHILD";

/// Runs the test `name` in a process with these variables. True in that process, where the test is
/// to go on; false in this one, where it has passed.
pub(crate) async fn is_child(name: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "there is no test `{name}`:\n{stdout}");
    false
}

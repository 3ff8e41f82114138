//! Starting the program as people do.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// The program with nothing but these variables.
pub(crate) fn service(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_servicenow-service"));
    command.env_clear().envs(variables.iter().copied()).args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    service(variables, arguments).output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The JSON objects of the standard output, one a line.
pub(crate) fn objects(output: &Output) -> Vec<serde_json::Value> {
    out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The program, while the test's own servers go on.
pub(crate) async fn in_peace(variables: &[(&str, String)], arguments: &[&str]) -> Output {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut command = service(&variables, arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What points the program at a CRM.
pub(crate) fn crm_variables(base_url: &str, password: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SERVICENOW_BASE_URL", base_url.to_owned()),
        ("SERVICENOW_USERNAME", "svc.sync".to_owned()),
        ("SERVICENOW_PASSWORD", password.to_owned()),
    ]
}

//! The catalogue of faults in `docs/reliability.md`: complete, and its tests exist.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/reliability.md")).unwrap()
}

/// The tests that a text names in backticks, as file and function.
fn tests(text: &str) -> Vec<(&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect()
}

/// The cells of each row of the catalogue: number, fault, what holds, test, figure.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|cells| cells[0].parse::<u32>().is_ok()).collect()
}

#[test]
fn every_fault_of_the_catalogue_has_a_test_or_a_reason() {
    let page = page();
    let rows = rows(&page);
    let numbers: Vec<u32> = rows.iter().map(|cells| cells[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=86).collect::<Vec<_>>());
    for cells in &rows {
        assert_eq!(cells.len(), 5, "{cells:?}");
        let reason = cells[3].starts_with("None: ") || cells[3].contains("**open**");
        assert!(reason || !tests(cells[3]).is_empty(), "row {} has neither a test nor a reason", cells[0]);
        assert!(reason || !cells[2].is_empty(), "row {} doesn't say what holds", cells[0]);
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    let tests = tests(&page);
    assert!(tests.len() >= 150, "{}", tests.len());
    for (file, name) in tests {
        let code = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(code.contains(&format!("fn {name}(")), "{file} has no test `{name}`");
    }
}

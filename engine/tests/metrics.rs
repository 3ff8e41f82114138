//! The names of the metrics are a contract: dashboards and alarms are built on them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

/// The words in `text` that look like names of metrics.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    text.split(|letter| !is_part(letter))
        .filter(|word| word.starts_with("syncline_") && word.matches('_').count() >= 2)
        .map(str::to_owned)
        .collect()
}

fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &std::fs::read_to_string(path).unwrap();
        }
    }
    all
}

#[test]
fn the_metrics_are_those_of_the_documentation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = sources(&root.join("src")) + &sources(&root.join("service/src"));
    let quoted: BTreeSet<_> = names(&code).into_iter().filter(|name| code.contains(&format!("\"{name}\""))).collect();
    let documented = names(&std::fs::read_to_string(root.join("../docs/operating.md")).unwrap());
    assert!(quoted.len() >= 15, "{quoted:?}");
    assert_eq!(quoted, documented);
    let described: BTreeSet<_> = code
        .split("describe_")
        .skip(1)
        .filter_map(|call| call.split('"').nth(1))
        .filter(|name| name.starts_with("syncline_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(quoted, described, "describe_metrics() describes every metric");
}

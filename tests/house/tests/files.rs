//! What may be where: sizes of files, the connectors' common form, words that a layer must not know.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files below `folder` (relative to the root) with that ending, without what is built.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | "book") && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_source_file_has_more_than_500_lines() {
    let sources = files(".", ".rs");
    assert!(sources.len() > 50);
    for path in sources {
        let lines = read(&path).lines().count();
        assert!(lines <= 500, "{} has {lines} lines: split it by responsibility", path.display());
    }
}

#[test]
fn connectors_have_the_same_files() {
    let connectors: Vec<_> =
        std::fs::read_dir(root().join("connectors")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(connectors.len() >= 3);
    for connector in connectors {
        for file in [
            "Cargo.toml",
            "README.md",
            "src/lib.rs",
            "src/config.rs",
            "schemas",
            "fixtures/subject.json",
            "tests/conformance.rs",
        ] {
            assert!(connector.join(file).exists(), "{} has no {file}", connector.display());
        }
        let sends = read(&connector.join("fixtures/subject.json")).contains("\"refuses\"");
        for file in ["src/encode.rs", "src/interpret.rs", "src/model.rs"] {
            assert_eq!(connector.join(file).exists(), !sends, "{}/{file}", connector.display());
        }
    }
}

#[test]
fn engine_and_service_know_no_vendor() {
    for path in files("engine", ".rs").into_iter().chain(files("sdk/src", ".rs")) {
        let code = read(&path);
        // Tests and documentation may give examples.
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        if path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            let line = line.to_ascii_lowercase();
            let comment = line.trim_start().starts_with("//");
            let help = line.contains("use syncline_servicenow as _;") || line.contains("acme.service-now.com");
            let vendor = ["servicenow", "service-now", "salesforce", "hubspot"].iter().any(|name| line.contains(name));
            assert!(!vendor || comment || help, "{}:{}: a vendor's name: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn the_core_is_pure() {
    let forbidden = [
        "tokio",
        "rdkafka",
        "reqwest",
        "async ",
        ".await",
        "Instant",
        "SystemTime::now",
        "Mutex",
        "RwLock",
        "Atomic",
        "std::thread",
        "std::fs",
        "std::net",
        "std::env",
        "println!",
        "tracing::",
        "metrics::",
        "fastrand::u",
        "HashMap::new",
        "HashSet::new",
    ];
    for path in files("engine/src/core", ".rs") {
        for (number, line) in read(&path).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in forbidden {
                assert!(!line.contains(word), "{}:{}: `{word}` in the core: {line}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn what_a_newcomer_needs_is_there() {
    for file in
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE", ".ci/run"]
    {
        assert!(root().join(file).exists(), "{file}");
    }
    let readme = read(&root().join("README.md"));
    for command in ["cargo run --release -p servicenow-service -- demo", "cargo test --workspace"] {
        assert!(readme.contains(command), "the README's command `{command}`");
    }
    for file in ["rust-toolchain", "rust-toolchain.toml"] {
        assert!(!root().join(file).exists(), "any stable toolchain will do");
    }
}

#[test]
fn the_book_has_all_its_pages() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    let mut pages = 0;
    for link in summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        pages += 1;
        assert!(root().join("docs").join(link).exists(), "SUMMARY.md names {link}");
    }
    assert!(pages >= 6);
    for page in files("docs", ".md") {
        let name = page.strip_prefix(root().join("docs")).unwrap().to_string_lossy().into_owned();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "SUMMARY.md does not name {name}");
    }
}

/// The texts that are given as reason codes in `code`.
fn reason_codes(code: &str) -> Vec<String> {
    let mut codes = Vec::new();
    for call in ["Reason::new(", "reason(", "invalid(", "unproven(", "reject("] {
        for rest in code.split(call).skip(1) {
            // The code is the first text among the arguments, if it is a literal.
            let arguments = rest.split([';', ')']).next().unwrap_or_default();
            codes.extend(arguments.split('"').nth(1).map(str::to_owned));
        }
    }
    codes.retain(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    codes
}

#[test]
fn every_reason_code_is_documented() {
    let documented = read(&root().join("docs/reason-codes.md"));
    let mut codes = 0;
    for folder in ["sdk/src", "engine/src", "connectors"] {
        for path in files(folder, ".rs") {
            let tests = ["tests", "simulation", "conformance"];
            let is_test = |part: std::path::Component<'_>| tests.iter().any(|test| part.as_os_str() == *test);
            if path.components().any(is_test) || path.ends_with("tests.rs") {
                continue;
            }
            let code = read(&path);
            for code in reason_codes(code.split("#[cfg(test)]").next().unwrap_or_default()) {
                codes += 1;
                assert!(
                    documented.contains(&format!("`{code}`")),
                    "{}: `{code}` is not in reason-codes.md",
                    path.display()
                );
            }
        }
    }
    assert!(codes >= 35, "{codes}");
}

//! Who may depend on whom. A wrong dependency fails here, not in a review.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

fn metadata() -> Metadata {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new().manifest_path(root).other_options(vec!["--locked".to_owned()]).exec().unwrap()
}

/// The names of all packages that `package` is built from or with, itself included.
fn reached(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let names: BTreeMap<&PackageId, String> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let nodes: BTreeMap<&PackageId, _> =
        metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let start = metadata.workspace_packages().into_iter().find(|found| found.name.as_str() == package);
    let mut open = vec![&start.unwrap_or_else(|| panic!("no package {package}")).id];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let wanted = |kind: DependencyKind| kind != DependencyKind::Development;
            let deps = nodes[id].deps.iter();
            open.extend(deps.filter(|dep| dep.dep_kinds.iter().any(|kind| wanted(kind.kind))).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| names[id].clone()).collect()
}

fn assert_reaches_none(metadata: &Metadata, package: &str, forbidden: &[&str]) {
    let reached = reached(metadata, package);
    for name in forbidden {
        assert!(!reached.contains(*name), "{package} must not depend on {name}, however indirectly");
    }
}

const ASYNC_AND_IO: [&str; 7] = ["tokio", "rdkafka", "reqwest", "hyper", "async-trait", "futures-util", "mio"];

#[test]
fn the_sdk_is_small_and_has_no_io() {
    let metadata = metadata();
    let reached = reached(&metadata, "syncline-sdk");
    assert!(reached.len() <= 30, "{} packages: {reached:?}", reached.len());
    assert_reaches_none(&metadata, "syncline-sdk", &ASYNC_AND_IO);
}

#[test]
fn connectors_see_the_sdk_only() {
    let metadata = metadata();
    let mut connectors = 0;
    for package in metadata.workspace_packages() {
        if package.manifest_path.as_str().contains("/connectors/") {
            connectors += 1;
            assert_reaches_none(&metadata, &package.name, &ASYNC_AND_IO);
            assert_reaches_none(&metadata, &package.name, &["syncline-engine", "syncline-service", "syncline-fakes"]);
        }
    }
    assert!(connectors >= 3);
}

#[test]
fn the_engine_knows_no_connector_and_no_service() {
    let metadata = metadata();
    let connectors = ["syncline-servicenow", "syncline-salesforce", "syncline-hubspot"];
    for package in ["syncline-engine", "syncline-service", "syncline-conformance", "syncline-sdk"] {
        assert_reaches_none(&metadata, package, &connectors);
        assert_reaches_none(&metadata, package, &["syncline-fakes"]);
    }
    assert_reaches_none(&metadata, "syncline-engine", &["syncline-service", "axum", "clap"]);
}

/// A schema that refers to an address must not make us call it.
#[test]
fn the_schema_validator_can_neither_fetch_nor_read() {
    let metadata = metadata();
    let package = metadata.packages.iter().find(|package| package.name.as_str() == "jsonschema").unwrap();
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let features = &nodes.iter().find(|node| node.id == package.id).unwrap().features;
    assert!(!features.iter().any(|feature| feature.starts_with("resolve-")), "{features:?}");
}

#[test]
fn every_package_keeps_the_workspace_rules() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} does not inherit the lints", package.name);
        assert_eq!(package.license.as_deref(), Some("MIT OR Apache-2.0"), "{}", package.name);
        assert!(package.rust_version.is_some() && package.description.is_some(), "{}", package.name);
    }
}

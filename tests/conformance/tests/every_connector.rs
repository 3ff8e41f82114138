//! Every connector of this workspace passes the suite, and none is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use syncline_conformance::{Subject, run};
use syncline_hubspot as _;
use syncline_salesforce as _;
use syncline_sdk::Registration;
use syncline_servicenow as _;

fn connectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../connectors")
}

#[test]
fn every_linked_connector_conforms() {
    for registration in Registration::all() {
        // A kind without fixtures fails here.
        let subject = Subject::load(connectors().join(registration.kind)).unwrap_or_else(|error| {
            panic!("the connector `{}` of {} has no fixtures: {error}", registration.kind, registration.crate_name)
        });
        assert_eq!(subject.kind(), registration.kind, "the fixtures of another connector");
        run(&subject).assert();
    }
}

#[test]
fn every_connector_folder_is_linked() {
    let folders: BTreeSet<String> = fs::read_dir(connectors())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let linked: BTreeSet<String> =
        Registration::all().iter().map(|registration| registration.kind.to_owned()).collect();
    assert_eq!(folders, linked, "name the new connector in this test with `use ... as _;`");
}

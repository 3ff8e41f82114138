//! The rules that every connector keeps, on this one.

use syncline_servicenow as _;

#[test]
fn conforms() {
    syncline_conformance::assert_conforms(env!("CARGO_MANIFEST_DIR"));
}

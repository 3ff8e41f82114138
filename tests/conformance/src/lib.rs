//! Runs the conformance suite over every linked connector: see `tests/every_connector.rs`.

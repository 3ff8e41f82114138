//! Runs the conformance suite over every linked connector.

//! Tests of the house's walls: dependencies, files, docs.

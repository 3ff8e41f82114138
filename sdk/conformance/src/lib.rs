//! The suite of rules that every Syncline connector passes.

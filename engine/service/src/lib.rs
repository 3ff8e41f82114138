//! The host that turns linked connectors into a program.

//! Tests against Kafka: the mock cluster, or a real one.

//! The sync engine: order, delivery, retry, idempotency and dead letters.

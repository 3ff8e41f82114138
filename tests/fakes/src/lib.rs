//! CRMs that can refuse, with ledgers, for tests and demos.

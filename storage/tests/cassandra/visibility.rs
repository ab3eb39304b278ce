//! The visibility index on a real server: its contract, and what is its own.

use std::sync::Arc;

use perdure_storage::{
    suite::Backend,
    visibility::{VisibilityIndex, cassandra::CassandraIndex, suite::IndexBackend},
};

use crate::server::{Keyspace, address};

impl IndexBackend for Keyspace {
    const CASES: u32 = 30;

    async fn open(&self) -> Arc<dyn VisibilityIndex> {
        Arc::new(CassandraIndex::open(&self.config(address())).await.unwrap())
    }

    fn runtime(&self) -> tokio::runtime::Runtime {
        Backend::runtime(self)
    }
}

perdure_storage::visibility_suite!(contract, Keyspace::new());

//! What every simulated shard starts with.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use engine::{limits::Limits, trigger::Namespace};
use proto::time::Timestamp;
use shard::{
    config::Config,
    namespaces::{Entry, Namespaces},
    shard::Setup,
};
use storage::{
    memory::MemoryStore,
    shard::{Lease, ShardStore},
    visibility::attributes::Schema,
};

use crate::{random::Random, world::NAMESPACE};

pub(crate) fn setup(lease: &Lease, leased_at: Timestamp, store: &MemoryStore, random: &mut Random) -> Setup {
    let entry = Entry {
        namespace: Namespace {
            name: "default".to_owned(),
            retention: Duration::from_secs(86_400),
        },
        schema: Schema::new("default", BTreeMap::new()),
    };
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&random.next().to_le_bytes());
    let config = Config {
        audit_period_seconds: NonZeroU32::new(60).expect("not zero"),
        ..Config::default()
    };
    Setup {
        id: lease.shard,
        batch: lease.batch,
        batch_limits: store.limits(),
        leased_at,
        lease_trust: Some(Duration::ZERO),
        seed,
        config: Arc::new(config),
        limits: Arc::new(Limits::default()),
        namespaces: Namespaces::new([(NAMESPACE, entry)].into()),
        quarantine: Arc::default(),
    }
}

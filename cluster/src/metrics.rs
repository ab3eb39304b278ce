//! What a node counts of its shards' coming and going, and of what it feeds to the index.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use membership::view::View;
use proto::metrics::{Counter, Family, Gauge, Histogram, Metric, Sample, Scale};
use storage::{metrics::Disk, visibility::Update};

use crate::rpc::metrics::Calls;

const CONTROLLER: &[(&str, &str)] = &[("service_name", "history"), ("operation", "ShardController")];
const HISTORY: &[(&str, &str)] = &[("service_name", "history"), ("namespace", "_unknown_")];
const TASK: &[&str] = &["operation", "task_type"];

proto::metrics! {
    /// The metrics of a node.
    pub struct Metrics {
        /// Times that the node took up a shard.
        acquire_shards_count: Counter = Metric::official("acquire_shards_count", CONTROLLER);
        /// How long it took to take up a shard.
        acquire_shards_latency: Histogram =
            Metric::official("acquire_shards_latency", CONTROLLER).histogram(Scale::Time);
        /// Shards that began to run on the node.
        sharditem_created_count: Counter = Metric::official("sharditem_created_count", CONTROLLER);
        /// Shards that ended on the node.
        sharditem_removed_count: Counter = Metric::official("sharditem_removed_count", CONTROLLER);
        /// Records that the index of runs confirmed, by what they say of the run.
        task_requests: Family<Counter> = Metric::official("task_requests", HISTORY).by(TASK);
        /// From a record being durable in its shard to the index having it.
        task_latency_queue: Family<Histogram> =
            Metric::official("task_latency_queue", HISTORY).histogram(Scale::Time).by(TASK);
        /// Shards that run on the node.
        shards: Gauge = Metric::own("perdure_shards").gauge();
        /// Changes of the cluster's nodes that this one heard of: they came, left, failed, or are about to.
        membership_changed_count: Counter = Metric::official("membership_changed_count", CONTROLLER);
        /// Changes of who owns what: nodes that own came or went.
        ring_changes: Counter = Metric::own("perdure_ring_changes_total");
        /// Leases of shards taken.
        lease_changes: Counter = Metric::own("perdure_lease_changes_total");
        /// Shards that were split.
        splits: Counter = Metric::own("perdure_shard_splits_total");
        /// Pairs of shards that were merged.
        merges: Counter = Metric::own("perdure_shard_merges_total");
        /// Splits and merges that had to begin anew.
        changes_failed: Counter = Metric::own("perdure_shard_changes_failed_total");
        /// Splits and merges that the node is about.
        changes_under_way: Gauge = Metric::own("perdure_shard_changes_under_way").gauge();
        /// How long the calls of a range were parked by its split or merge.
        change_parked: Histogram =
            Metric::own("perdure_shard_change_parked_seconds").histogram(Scale::Time);
    }
}

/// All that a node counts.
#[derive(Debug, Default)]
pub struct NodeMetrics {
    pub node: Metrics,
    pub shards: Arc<shard::metrics::Metrics>,
    pub queues: Arc<matching::metrics::Metrics>,
    pub store: Arc<storage::metrics::Calls>,
    pub(crate) calls: Arc<Calls>,
    pub gossip: Arc<membership::metrics::Metrics>,
    /// The series of records that the index confirms, by what they say.
    indexed: OnceLock<[(Arc<Counter>, Arc<Histogram>); INDEXED.len()]>,
}

impl NodeMetrics {
    pub(crate) fn new(gossip: Arc<membership::metrics::Metrics>) -> Self {
        Self {
            gossip,
            ..Self::default()
        }
    }

    /// What is said of each metric, in the order of the samples.
    #[must_use]
    pub fn table() -> Vec<&'static Metric> {
        let tables = [
            shard::metrics::Metrics::TABLE,
            matching::metrics::Metrics::TABLE,
            storage::metrics::Calls::TABLE,
            Disk::TABLE,
            Metrics::TABLE,
            Calls::TABLE,
            membership::metrics::Metrics::TABLE,
        ];
        tables.into_iter().flatten().collect()
    }

    /// The index has confirmed a record after this long.
    pub(crate) fn indexed(&self, update: &Update, took: Duration) {
        let kind = match update {
            Update::Delete { .. } => 0,
            Update::Upsert(record) if record.close.is_some() => 1,
            Update::Upsert(record) if record.version <= 1 => 2,
            Update::Upsert(_) => 3,
        };
        let (count, latency) = &self.indexed.get_or_init(|| INDEXED.map(|kind| self.series(kind)))[kind];
        count.inc();
        latency.record(took);
    }

    fn series(&self, operation: &str) -> (Arc<Counter>, Arc<Histogram>) {
        let labels = [operation, operation];
        (
            self.node.task_requests.with(&labels),
            self.node.task_latency_queue.with(&labels),
        )
    }

    /// `disk` is what the node's store has counted.
    #[must_use]
    pub fn samples(&self, disk: &storage::metrics::Snapshot) -> Vec<Sample> {
        let mut samples = self.shards.samples();
        samples.extend(self.queues.samples());
        samples.extend(self.store.samples());
        samples.extend(Disk::of(disk).samples());
        samples.extend(self.node.samples());
        samples.extend(self.calls.samples());
        samples.extend(self.gossip.samples());
        samples
    }
}

impl Metrics {
    /// The node sees other members than before.
    pub(crate) fn placed(&self, before: &View, view: &View) {
        self.membership_changed_count.inc();
        let owners = |view: &View| -> Vec<_> {
            let owners = view.members().iter().filter(|member| member.may_own());
            owners.map(|member| member.profile.id.clone()).collect()
        };
        if owners(before) != owners(view) {
            self.ring_changes.inc();
        }
    }

    pub(crate) fn took_up(&self, took: Duration) {
        self.acquire_shards_count.inc();
        self.acquire_shards_latency.record(took);
        self.sharditem_created_count.inc();
        self.lease_changes.inc();
        self.shards.add(1);
    }

    pub(crate) fn ended(&self) {
        self.sharditem_removed_count.inc();
        self.shards.add(-1);
    }
}

/// What records say of runs.
const INDEXED: [&str; 4] = [
    "VisibilityTaskDeleteExecution",
    "VisibilityTaskCloseExecution",
    "VisibilityTaskStartExecution",
    "VisibilityTaskUpsertExecution",
];

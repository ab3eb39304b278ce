//! Metrics: what a store counts. Plain atomics; whoever exports them reads a snapshot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proto::metrics::{Counter as Count, Family, Histogram, Metric, Scale};

const STORE: &[(&str, &str)] = &[("service_name", "history"), ("namespace", "_unknown_")];
const INDEX: &[(&str, &str)] = &[("service_name", "history")];
const OPERATION: &[&str] = &["operation"];

proto::metrics! {
    /// The calls to a node's store and to its index, under the names that Temporal's dashboards plot (reference 9.2).
    pub struct Calls {
        /// Calls to the store.
        persistence_requests: Family<Count> = Metric::official("persistence_requests", STORE).by(OPERATION);
        /// How long calls to the store took.
        persistence_latency: Family<Histogram> =
            Metric::official("persistence_latency", STORE).histogram(Scale::Time).by(OPERATION);
        /// Calls to the store that failed.
        persistence_errors: Family<Count> = Metric::official("persistence_errors", STORE).by(OPERATION);
        /// Calls to the store that failed, by error.
        persistence_error_with_type: Family<Count> =
            Metric::official("persistence_error_with_type", STORE).by(&["operation", "error_type"]);
        /// Calls to the index of runs.
        visibility_persistence_requests: Family<Count> =
            Metric::official("visibility_persistence_requests", INDEX).by(OPERATION);
        /// How long calls to the index took.
        visibility_persistence_latency: Family<Histogram> =
            Metric::official("visibility_persistence_latency", INDEX).histogram(Scale::Time).by(OPERATION);
        /// Calls to the index that failed.
        visibility_persistence_errors: Family<Count> =
            Metric::official("visibility_persistence_errors", INDEX).by(OPERATION);
    }
}

proto::metrics! {
    /// What a node's store does beneath the calls to it.
    pub struct Disk {
        /// Writes that merged the batches of shards which were waiting.
        merged_writes: Count = Metric::own("perdure_store_merged_writes_total");
        /// Syncs that made something durable; those of the store's own tables are not among them.
        fsyncs: Count = Metric::own("perdure_store_fsyncs_total");
        /// Bytes of batches, keys and values, before the store adds its own.
        bytes: Count = Metric::own("perdure_store_batch_bytes_total");
    }
}

impl Disk {
    /// Shows what a store has counted.
    #[must_use]
    pub fn of(counts: &Snapshot) -> Self {
        let disk = Self::default();
        disk.merged_writes.add(counts.groups);
        disk.fsyncs.add(counts.fsyncs);
        disk.bytes.add(counts.bytes);
        disk
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one store, since it was opened.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The counters at one moment; each is read on its own, so they may differ by operations under way.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Metrics {
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Relaxed),)* }
            }
        }

        impl Snapshot {
            /// Returns each counter's name and value, in a fixed order.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Returns what was counted after `earlier`.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }
        }
    };
}

counters! {
    /// Shard batches that were written.
    commits,
    /// Shard batches that had landed before and were sent again.
    resent,
    /// Shard batches refused because a newer lease exists.
    fenced,
    /// Shard batches and leases whose outcome was left unknown or that did not fit.
    gave_up,
    /// Writes to the disk that merged the waiting batches, leases and registry writes.
    groups,
    /// Syncs of the journal and of the high-water mark; the engine's own for its tables are not among them.
    fsyncs,
    /// Time inside the engine's write and sync, in microseconds.
    write_us,
    /// Looks at an engine that was too far behind with its tables to take a write; two milliseconds each.
    stalls,
    /// Rows, history nodes and removals written.
    rows,
    /// Bytes of batches written, keys and values, before the engine adds its own.
    bytes,
    /// Leases taken.
    acquires,
    /// Rows read by key.
    loads,
    /// Ranges of rows read.
    scans,
    /// Ranges of histories read.
    histories,
    /// Registry entries and pages read.
    registry_reads,
    /// Registry writes applied.
    registry_writes,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(crate) fn inc(&self) {
        self.add(1);
    }
}

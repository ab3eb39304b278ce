//! Export: carries what a shard has tallied to the node's metrics, once for each turn of its shell.

use std::{collections::HashMap, sync::Arc};

use proto::{
    ids::NamespaceId,
    metrics::{Counter, Gauge},
};

use super::{
    Metrics,
    series::{InNamespace, task_type},
};
use crate::{namespaces::Namespaces, tally::Tally};

/// Carries a shard's tally to the node's metrics. Belongs to the shard's shell.
#[derive(Debug)]
pub(crate) struct Export {
    metrics: Arc<Metrics>,
    namespaces: HashMap<NamespaceId, InNamespace>,
    runs: CacheSeries,
    currents: CacheSeries,
    shown: Levels,
}

/// The series of one kind of look at the cache.
#[derive(Debug)]
struct CacheSeries {
    requests: Arc<Counter>,
    misses: Arc<Counter>,
}

/// What this shard has added to the node's gauges.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) stage_bytes: usize,
    pub(crate) resident_runs: usize,
    pub(crate) cache_bytes: usize,
}

impl Drop for Export {
    fn drop(&mut self) {
        self.show(Levels::default());
    }
}

impl Export {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        let cache = |operation| CacheSeries {
            requests: metrics.cache_requests.with(&[operation]),
            misses: metrics.cache_miss.with(&[operation]),
        };
        Self {
            namespaces: HashMap::new(),
            runs: cache("HistoryCacheGetOrCreate"),
            currents: cache("HistoryCacheGetOrCreateCurrent"),
            shown: Levels::default(),
            metrics,
        }
    }

    /// Brings the node's gauges up to the shard's levels.
    pub(crate) fn show(&mut self, levels: Levels) {
        let metrics = &self.metrics;
        let change = |gauge: &Gauge, from: usize, to: usize| {
            if from != to {
                gauge.add(level(to) - level(from));
            }
        };
        let (shown, runs) = (self.shown, levels.resident_runs);
        change(&metrics.stage_bytes, shown.stage_bytes, levels.stage_bytes);
        change(&metrics.resident_runs, shown.resident_runs, runs);
        change(&metrics.cache_usage, shown.resident_runs, runs);
        change(&metrics.cache_bytes, shown.cache_bytes, levels.cache_bytes);
        self.shown = levels;
    }

    /// Takes the tally's contents; the tally keeps its memory for the next turn.
    pub(crate) fn count(&mut self, tally: &mut Tally, namespaces: &Namespaces) {
        let metrics = &*self.metrics;
        self.runs.requests.add(std::mem::take(&mut tally.runs_wanted));
        self.runs.misses.add(std::mem::take(&mut tally.runs_missed));
        self.currents
            .requests
            .add(std::mem::take(&mut tally.currents_wanted));
        self.currents
            .misses
            .add(std::mem::take(&mut tally.currents_missed));
        metrics.evictions.add(std::mem::take(&mut tally.evicted));
        for batch in tally.batches.drain(..) {
            metrics.batch_transitions.record_value(batch.transitions);
            metrics.batch_bytes.record_value(batch.bytes);
        }
        for waited in tally.durable.drain(..) {
            metrics.receipt_to_durable.record(waited);
        }
        for kind in tally.stale.drain(..) {
            metrics.stale_tickets.with(&[task_type(kind)]).inc();
        }
        for (namespace, done) in tally.done.drain(..) {
            let series = self.namespaces.entry(namespace).or_insert_with(|| {
                let found = namespaces.find(namespace);
                InNamespace::new(metrics, found.map_or("", |entry| &entry.namespace.name))
            });
            series.count(metrics, done);
        }
    }
}

fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

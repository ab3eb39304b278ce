//! Quarantine: runs that ended their shard several times are left alone, so that the shard's other runs go on.
//!
//! Known to one process only, and on purpose: a new release, which may bring the cure, and another node, whose memory
//! may be sound, try them again. What that costs is three panics of the shard, each a short pause, for each process.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use proto::ids::RunKey;

/// Panics over one run after which it is left alone.
const PANICS_MAX: u32 = 3;
/// Runs whose panics are counted.
const RUNS_MAX: usize = 10_000;

/// The runs over which shards of this node have panicked.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    panics: HashMap<RunKey, u32>,
    runs: Arc<BTreeSet<RunKey>>,
}

impl Quarantine {
    /// Counts a panic. Tells whether the run is left alone from here on.
    pub(crate) fn count(&mut self, run: RunKey) -> bool {
        if self.panics.len() >= RUNS_MAX && !self.panics.contains_key(&run) {
            // Whoever is among them panics again soon.
            self.panics.clear();
        }
        let panics = self.panics.entry(run.clone()).or_default();
        *panics += 1;
        if *panics < PANICS_MAX || self.runs.len() >= RUNS_MAX {
            return false;
        }
        self.panics.remove(&run);
        Arc::make_mut(&mut self.runs).insert(run)
    }

    pub(crate) fn runs(&self) -> Arc<BTreeSet<RunKey>> {
        Arc::clone(&self.runs)
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::{NamespaceId, RunId, WorkflowKey};

    use super::*;

    fn run(id: u8) -> RunKey {
        let workflow = WorkflowKey {
            namespace_id: NamespaceId::from_bytes([7; 16]),
            workflow_id: "order".into(),
        };
        workflow.run(RunId::from_bytes([id; 16]))
    }

    #[test]
    fn run_is_left_alone_after_its_third_panic() {
        let mut quarantine = Quarantine::default();
        let counted: Vec<_> = [1, 1, 2, 1].map(|id| quarantine.count(run(id))).to_vec();
        assert_eq!(counted, [false, false, false, true]);
        assert_eq!(*quarantine.runs(), BTreeSet::from([run(1)]));
    }
}

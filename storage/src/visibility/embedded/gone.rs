//! Gone: which runs were deleted lately, so that a late update does not bring one back.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use proto::ids::{NamespaceId, RunId};

/// Runs whose late updates are still refused.
const GONE_MAX: usize = 65_536;

/// The last deleted runs and their versions.
///
/// A late update comes from a delivery that was under way, so what a restart forgets nobody sends any more: an
/// outbox is sent again in its order.
#[derive(Default)]
pub(super) struct Gone {
    versions: HashMap<(NamespaceId, RunId), u64>,
    order: VecDeque<(NamespaceId, RunId)>,
}

impl Gone {
    pub(super) fn add(&mut self, run: (NamespaceId, RunId), version: u64) {
        match self.versions.entry(run) {
            Entry::Occupied(mut gone) => {
                let newest = version.max(*gone.get());
                gone.insert(newest);
            }
            Entry::Vacant(entry) => {
                entry.insert(version);
                self.order.push_back(run);
            }
        }
        if self.order.len() > GONE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }

    /// Whether the run was deleted at the version or a later one.
    pub(super) fn covers(&self, run: (NamespaceId, RunId), version: u64) -> bool {
        self.versions.get(&run).is_some_and(|gone| version <= *gone)
    }
}

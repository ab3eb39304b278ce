//! What shards know of namespaces: a snapshot that the node replaces when one changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use engine::trigger::Namespace;
use proto::ids::NamespaceId;
use storage::visibility::attributes::Schema;

/// What a shard needs to know of one namespace.
#[derive(Clone, Debug)]
pub struct Entry {
    pub namespace: Namespace,
    /// Types of the search attributes, for visibility records.
    pub schema: Schema,
}

/// All namespaces, by id.
#[derive(Clone, Debug)]
pub struct Namespaces {
    entries: Arc<HashMap<NamespaceId, Arc<Entry>>>,
    /// Stands for a namespace that is gone.
    gone: Arc<Entry>,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl Namespaces {
    #[must_use]
    pub fn new(entries: HashMap<NamespaceId, Entry>) -> Self {
        let entries = entries.into_iter().map(|(id, entry)| (id, Arc::new(entry)));
        let gone = Entry {
            namespace: Namespace::default(),
            schema: Schema::new("", BTreeMap::default()),
        };
        Self {
            entries: Arc::new(entries.collect()),
            gone: Arc::new(gone),
        }
    }

    #[must_use]
    pub fn find(&self, id: NamespaceId) -> Option<&Entry> {
        self.entries.get(&id).map(|entry| &**entry)
    }

    /// Returns the namespace that has the name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<NamespaceId> {
        let mut entries = self.entries.iter();
        entries
            .find(|(_, entry)| entry.namespace.name == name)
            .map(|(id, _)| *id)
    }

    /// Returns the namespace, or one without a name and with default retention if it is gone.
    pub(crate) fn entry(&self, id: NamespaceId) -> Arc<Entry> {
        Arc::clone(self.entries.get(&id).unwrap_or(&self.gone))
    }
}

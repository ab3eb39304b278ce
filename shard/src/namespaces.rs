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
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Arc<HashMap<NamespaceId, Entry>>);

impl Namespaces {
    #[must_use]
    pub fn new(entries: HashMap<NamespaceId, Entry>) -> Self {
        Self(Arc::new(entries))
    }

    #[must_use]
    pub fn find(&self, id: NamespaceId) -> Option<&Entry> {
        self.0.get(&id)
    }

    /// Returns the namespace that has the name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<NamespaceId> {
        let mut entries = self.0.iter();
        entries
            .find(|(_, entry)| entry.namespace.name == name)
            .map(|(id, _)| *id)
    }

    /// Returns the namespace, or one without a name and with default retention if it is gone.
    pub(crate) fn entry(&self, id: NamespaceId) -> Entry {
        self.0.get(&id).cloned().unwrap_or_else(|| Entry {
            namespace: Namespace::default(),
            schema: Schema::new("", BTreeMap::default()),
        })
    }
}

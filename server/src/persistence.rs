//! Persistence: the store that nodes share, in the shape of the official server's file.
//!
//! ```yaml
//! persistence:
//!   defaultStore: main
//!   visibilityStore: lists
//!   numHistoryShards: 64
//!   datastores:
//!     main:
//!       cassandra: { hosts: "10.0.0.1,10.0.0.2", keyspace: perdure, user: perdure, passwordFile: /run/secret }
//!     lists:
//!       cassandra: { hosts: "10.0.0.1,10.0.0.2", keyspace: perdure_visibility }
//! ```

use std::{collections::BTreeMap, fmt, num::NonZeroU32, sync::Arc};

use serde::Deserialize;
use storage::{
    cassandra::{CassandraStore, config::CassandraConfig},
    visibility::cassandra::CassandraIndex,
};

use crate::run::Stores;

pub use storage::cassandra::OpenError;

/// The section as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersistenceFile {
    default_store: String,
    /// The default store if it is left out.
    #[serde(default)]
    visibility_store: Option<String>,
    /// Counts only when a cluster is first set up.
    #[serde(default)]
    num_history_shards: Option<NonZeroU32>,
    datastores: BTreeMap<String, Datastore>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Datastore {
    cassandra: CassandraConfig,
}

/// The stores that are used, with names resolved and settings checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    main: CassandraConfig,
    visibility: CassandraConfig,
    shards: Option<NonZeroU32>,
}

impl PersistenceFile {
    pub(crate) fn resolve(self) -> Result<Persistence, String> {
        let find = |name: &str| {
            let found = self.datastores.get(name);
            found.map(|store| store.cassandra.clone()).ok_or_else(|| {
                let known: Vec<_> = self.datastores.keys().map(String::as_str).collect();
                format!(
                    "find datastore {name} of persistence: there is {}",
                    known.join(", ")
                )
            })
        };
        for (name, store) in &self.datastores {
            let checked = store.cassandra.validate();
            checked.map_err(|error| format!("use datastore {name}: {error}"))?;
        }
        let visibility = self.visibility_store.as_ref().unwrap_or(&self.default_store);
        Ok(Persistence {
            main: find(&self.default_store)?,
            visibility: find(visibility)?,
            shards: self.num_history_shards,
        })
    }
}

impl Persistence {
    /// How many shards a new cluster begins with, if the section says so.
    pub(crate) fn shards(&self) -> Option<NonZeroU32> {
        self.shards
    }

    pub(crate) async fn open(&self) -> Result<Stores, OpenError> {
        let store = Arc::new(CassandraStore::open(&self.main).await?);
        let visibility = Arc::new(CassandraIndex::open(&self.visibility).await?);
        Ok(Stores {
            shards: store.clone(),
            registry: store,
            visibility,
            embedded: None,
        })
    }

    /// The settings of each keyspace, once.
    pub(crate) fn keyspaces(self) -> Vec<CassandraConfig> {
        if self.main == self.visibility {
            vec![self.main]
        } else {
            vec![self.main, self.visibility]
        }
    }
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "keyspace {} of Cassandra at {}",
            self.main.keyspace, self.main.hosts
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Persistence, String> {
        let file: PersistenceFile = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        file.resolve()
    }

    #[test]
    fn stores_are_found_by_their_names() {
        let found = resolve(
            "{defaultStore: a, visibilityStore: b, numHistoryShards: 3, datastores: \
             {a: {cassandra: {hosts: h}}, b: {cassandra: {hosts: h, keyspace: k, maxConns: 4}}}}",
        )
        .expect("resolved");
        assert_eq!(found.shards().map(NonZeroU32::get), Some(3));
        assert_eq!(found.to_string(), "keyspace perdure of Cassandra at h");
        let names: Vec<_> = found
            .keyspaces()
            .into_iter()
            .map(|config| config.keyspace)
            .collect();
        assert_eq!(names, ["perdure", "k"]);
        let same = resolve("{defaultStore: a, datastores: {a: {cassandra: {hosts: h}}}}").expect("resolved");
        assert_eq!(same.keyspaces().len(), 1);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (text, said) in [
            (
                "{defaultStore: x, datastores: {a: {cassandra: {hosts: h}}}}",
                "find datastore x",
            ),
            (
                "{defaultStore: a, visibilityStore: y, datastores: {a: {cassandra: {hosts: h}}}}",
                "find datastore y",
            ),
            (
                "{defaultStore: a, datastores: {a: {cassandra: {hosts: ''}}}}",
                "use datastore a",
            ),
            ("{defaultStore: a, datastores: {a: {sql: {}}}}", "sql"),
            (
                "{defaultStore: a, datastores: {a: {cassandra: {host: h}}}}",
                "host",
            ),
            (
                "{defaultStore: a, numHistoryShards: 0, datastores: {a: {cassandra: {hosts: h}}}}",
                "zero",
            ),
            ("{datastores: {a: {cassandra: {hosts: h}}}}", "defaultStore"),
        ] {
            let refused = resolve(text).expect_err(text);
            assert!(refused.contains(said), "{refused}");
        }
    }
}

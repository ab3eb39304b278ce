//! Persistence, in a build without Cassandra: its settings are refused.

use std::{convert::Infallible, fmt, num::NonZeroU32};

use serde::{Deserialize, Deserializer, de};

use crate::run::Stores;

/// Never read: the settings are refused.
#[derive(Debug)]
pub struct PersistenceFile(Infallible);

/// Never made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence(Infallible);

/// Never happens.
pub type OpenError = Infallible;

impl<'de> Deserialize<'de> for PersistenceFile {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom(
            "this build keeps its data in a folder only: it was made without the feature cassandra",
        ))
    }
}

impl PersistenceFile {
    pub(crate) fn resolve(self) -> Result<Persistence, String> {
        match self.0 {}
    }
}

impl Persistence {
    pub(crate) fn shards(&self) -> Option<NonZeroU32> {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "as in a build with Cassandra")]
    pub(crate) async fn open(&self) -> Result<Stores, OpenError> {
        match self.0 {}
    }
}

impl fmt::Display for Persistence {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

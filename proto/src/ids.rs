//! Identifiers: what they name, how they are written, and where a workflow's key falls in the key space.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use crate::time::Timestamp;

const NANOS_PER_MILLI: i64 = 1_000_000;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes the id from 16 random bytes, as a version 4 UUID.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id! {
    /// A namespace, whatever its name is at the moment.
    NamespaceId
}
uuid_id! {
    /// One workflow execution.
    RunId
}

impl RunId {
    /// Makes the id of a run that begins at the time, as a version 7 UUID: ids sort by the millisecond.
    #[must_use]
    pub fn at(now: Timestamp, random: [u8; 16]) -> Self {
        let millis = u64::try_from(now.nanos() / NANOS_PER_MILLI).unwrap_or(0);
        let [tail @ .., _, _, _, _, _, _] = random;
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("id is not a UUID")]
pub struct InvalidId;

/// The id that a client gives a workflow; unique among the running workflows of a namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(Arc<str>);

impl WorkflowId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for WorkflowId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for WorkflowId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// All runs of one workflow id; the unit that falls into one shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowKey {
    pub namespace_id: NamespaceId,
    pub workflow_id: WorkflowId,
}

impl WorkflowKey {
    /// Returns where the workflow stands in the 64-bit key space.
    ///
    /// The hash is part of the stored format: it must never change.
    #[must_use]
    pub fn position(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(self.namespace_id.as_bytes());
        hash.update(self.workflow_id.as_str().as_bytes());
        hash.digest()
    }

    #[must_use]
    pub fn run(&self, run_id: RunId) -> RunKey {
        RunKey {
            workflow: self.clone(),
            run_id,
        }
    }
}

/// One run of a workflow id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    pub workflow: WorkflowKey,
    pub run_id: RunId,
}

/// A shard: a range of the key space with one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a task queue hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TaskKind {
    Workflow = 1,
    Activity = 2,
}

/// A task queue of one kind; a sticky queue is a queue of its own with a name that a worker chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    pub namespace_id: NamespaceId,
    pub kind: TaskKind,
    pub sticky: bool,
    pub name: Arc<str>,
}

/// A node and the number of times it has started; never an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    pub name: Arc<str>,
    pub generation: u64,
}

/// Returns the `n`th 16 bytes of the sequence that `seed` starts; the first is the seed itself.
#[must_use]
pub fn derive(seed: [u8; 16], n: u32) -> [u8; 16] {
    if n == 0 {
        return seed;
    }
    let mut hash = Xxh3::new();
    hash.update(&seed);
    hash.update(&n.to_le_bytes());
    hash.digest128().to_le_bytes()
}

/// Returns a 128-bit hash of the text, to remember it by. Part of the stored format.
#[must_use]
pub fn fingerprint(text: &str) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_part_of_the_stored_format() {
        let key = WorkflowKey {
            namespace_id: NamespaceId::from_bytes([7; 16]),
            workflow_id: WorkflowId::from("order-1"),
        };
        assert_eq!(key.position(), 2_885_011_136_017_288_010);
    }

    #[test]
    fn run_id_reads_what_it_writes() {
        let id = RunId::from_random([9; 16]);
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert_eq!("order".parse::<RunId>(), Err(InvalidId));
    }

    #[test]
    fn run_ids_sort_by_time() {
        let at = |millis: i64, random| RunId::at(Timestamp::from_nanos(millis * NANOS_PER_MILLI), random);
        let id = at(1_700_000_000_000, [255; 16]);
        assert_eq!(id.to_string(), "018bcfe5-6800-7fff-bfff-ffffffffffff");
        assert!(id < at(1_700_000_000_001, [0; 16]));
        assert_ne!(id, at(1_700_000_000_000, [254; 16]));
    }
}

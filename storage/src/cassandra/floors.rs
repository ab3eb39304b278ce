//! Floors: below which key a table of a shard has no row, so that scans do not walk over what was removed there.
//!
//! Wake-ups and ready tasks are removed where the next ones are looked for, at the beginning of their tables, and
//! each leaves a tombstone for a day. The owner of a shard knows every row that is written: it learns the floor from
//! its scans, lowers it by its writes, and stores it beside the fence, in the batch that it is true of, for the next
//! owner. What is known goes with the lease.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};
use proto::ids::ShardId;

use crate::{
    batch::{Batch, Table},
    shard::Lease,
};

/// The tables whose rows go from the beginning.
const TABLES: [Table; 2] = [Table::Wakeup, Table::Ready];
/// A floor is kept to so many bytes: a shorter key is a lower one.
const KEY_BYTES_MAX: usize = 40;
/// Batches after which a floor that rose is stored; one that fell is stored at once.
const STORED_EVERY: u64 = 16;

/// Scans of one table that are learnt from at the same time.
const SCANS_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Floors {
    shards: Mutex<HashMap<ShardId, Known>>,
}

/// What the owner of a shard knows.
struct Known {
    epoch: u64,
    floors: [Floor; TABLES.len()],
    /// What the fence's row has.
    stored: Bytes,
}

#[derive(Clone, Debug, Default)]
struct Floor {
    /// No row is below.
    key: Bytes,
    /// Scans under way, each with the lowest key written since it began.
    scans: Vec<(u64, Option<Bytes>)>,
    next_scan: u64,
}

/// A scan from the beginning of a table, from which the floor is learnt.
pub(super) struct Learning {
    shard: ShardId,
    epoch: u64,
    table: usize,
    number: u64,
}

impl Floors {
    /// The lease was taken; `stored` is what the row of the fence had.
    pub(super) fn begin(&self, lease: &Lease, stored: &[u8]) {
        let known = Known {
            epoch: lease.epoch,
            floors: decode(stored),
            stored: Bytes::copy_from_slice(stored),
        };
        self.shards().insert(lease.shard, known);
    }

    /// The lease has ended, as far as this node knows.
    pub(super) fn end(&self, lease: &Lease) {
        let mut shards = self.shards();
        if shards
            .get(&lease.shard)
            .is_some_and(|known| known.epoch == lease.epoch)
        {
            shards.remove(&lease.shard);
        }
    }

    /// A batch is about to be sent: lowers the floors by what it writes. Returns what is to be stored with it.
    pub(super) fn written(&self, lease: &Lease, batch: &Batch) -> Option<Bytes> {
        let mut shards = self.shards();
        let known = shards.get_mut(&lease.shard)?;
        if known.epoch != lease.epoch {
            return None;
        }
        for write in batch.writes.iter().filter(|write| write.value.is_some()) {
            if let Some(table) = place(write.table) {
                known.floors[table].lower(&write.key);
            }
        }
        let floors = encode(&known.floors);
        let fell = known
            .floors
            .iter()
            .zip(decode(&known.stored))
            .any(|(now, stored)| now.key < stored.key);
        let rose = floors != known.stored && batch.number.is_multiple_of(STORED_EVERY);
        (fell || rose).then_some(floors)
    }

    /// The batch that stored this has landed.
    pub(super) fn stored(&self, lease: &Lease, stored: Bytes) {
        if let Some(known) = self.shards().get_mut(&lease.shard)
            && known.epoch == lease.epoch
        {
            known.stored = stored;
        }
    }

    /// A scan begins. Returns from where to read, and what to tell when it has ended.
    pub(super) fn scan(&self, shard: ShardId, table: Table, from: &[u8]) -> (Bytes, Option<Learning>) {
        let mut shards = self.shards();
        let (Some(known), Some(table)) = (shards.get_mut(&shard), place(table)) else {
            return (Bytes::copy_from_slice(from), None);
        };
        let floor = &mut known.floors[table];
        if *from > *floor.key {
            return (Bytes::copy_from_slice(from), None);
        }
        if floor.scans.len() >= SCANS_MAX {
            // Its reader has gone.
            floor.scans.remove(0);
        }
        let number = floor.next_scan;
        floor.next_scan += 1;
        floor.scans.push((number, None));
        let learning = Learning {
            shard,
            epoch: known.epoch,
            table,
            number,
        };
        (floor.key.clone(), Some(learning))
    }

    /// The scan has ended: no row was there below this key, or none at all. `None` if it tells nothing.
    pub(super) fn scanned(&self, learning: Learning, found: Option<&[u8]>) {
        let mut shards = self.shards();
        let Some(known) = shards.get_mut(&learning.shard) else {
            return;
        };
        if known.epoch != learning.epoch {
            return;
        }
        let floor = &mut known.floors[learning.table];
        let Some(at) = floor
            .scans
            .iter()
            .position(|(number, _)| *number == learning.number)
        else {
            return;
        };
        let (_, lowest) = floor.scans.swap_remove(at);
        if let Some(found) = found {
            let found = short(found);
            floor.key = lowest.map_or(found.clone(), |lowest| lowest.min(found));
        }
    }

    fn shards(&self) -> MutexGuard<'_, HashMap<ShardId, Known>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that no row is above.
pub(super) const NO_ROW: [u8; KEY_BYTES_MAX] = [u8::MAX; KEY_BYTES_MAX];

impl Floor {
    fn lower(&mut self, key: &[u8]) {
        let key = short(key);
        for (_, lowest) in &mut self.scans {
            let next = lowest
                .take()
                .map_or(key.clone(), |lowest| lowest.min(key.clone()));
            *lowest = Some(next);
        }
        if key < self.key {
            self.key = key;
        }
    }
}

fn place(table: Table) -> Option<usize> {
    TABLES.iter().position(|known| *known == table)
}

fn short(key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&key[..key.len().min(KEY_BYTES_MAX)])
}

fn encode(floors: &[Floor; TABLES.len()]) -> Bytes {
    let mut bytes = BytesMut::new();
    for floor in floors {
        // A floor has 40 bytes at most.
        bytes.put_u8(u8::try_from(floor.key.len()).unwrap_or(0));
        bytes.put_slice(&floor.key);
    }
    bytes.freeze()
}

/// Reads what was stored; what is missing or malformed is no floor at all.
fn decode(mut bytes: &[u8]) -> [Floor; TABLES.len()] {
    let mut floors: [Floor; TABLES.len()] = Default::default();
    for floor in &mut floors {
        let Some((&length, rest)) = bytes.split_first() else {
            break;
        };
        let Some((key, rest)) = rest.split_at_checked(usize::from(length)) else {
            break;
        };
        floor.key = Bytes::copy_from_slice(key);
        bytes = rest;
    }
    floors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Write;

    const SHARD: ShardId = ShardId(1);

    fn lease(epoch: u64) -> Lease {
        Lease {
            shard: SHARD,
            epoch,
            batch: 0,
        }
    }

    fn batch(number: u64, keys: &[&'static [u8]]) -> Batch {
        let write = |key: &&'static [u8]| Write {
            table: Table::Wakeup,
            key: Bytes::from_static(key),
            value: Some(Bytes::new()),
        };
        Batch {
            number,
            writes: keys.iter().map(write).collect(),
            ..Batch::default()
        }
    }

    fn from(floors: &Floors) -> Bytes {
        floors.scan(SHARD, Table::Wakeup, b"").0
    }

    fn learn(floors: &Floors, found: &[u8]) {
        let (_, learning) = floors.scan(SHARD, Table::Wakeup, b"");
        floors.scanned(learning.unwrap(), Some(found));
    }

    #[test]
    fn scans_raise_and_writes_lower() {
        let floors = Floors::default();
        assert_eq!(from(&floors), "");
        floors.begin(&lease(1), b"");
        learn(&floors, b"m");
        assert_eq!(from(&floors), "m");
        assert_eq!(floors.scan(SHARD, Table::Ready, b"").0, "");
        assert_eq!(floors.scan(SHARD, Table::Wakeup, b"x").0, "x");
        floors.written(&lease(1), &batch(1, &[b"z", b"f"]));
        assert_eq!(from(&floors), "f");
        learn(&floors, &NO_ROW);
        floors.written(&lease(1), &batch(2, &[b"p"]));
        assert_eq!(from(&floors), "p");
        floors.end(&lease(1));
        assert_eq!(from(&floors), "");
    }

    #[test]
    fn a_write_during_a_scan_counts() {
        let floors = Floors::default();
        floors.begin(&lease(1), b"");
        let (_, learning) = floors.scan(SHARD, Table::Wakeup, b"");
        floors.written(&lease(1), &batch(1, &[b"c", b"e"]));
        floors.scanned(learning.unwrap(), Some(b"m"));
        assert_eq!(from(&floors), "c");
        // A scan that told nothing leaves no trace.
        let (_, learning) = floors.scan(SHARD, Table::Wakeup, b"");
        floors.scanned(learning.unwrap(), None);
        assert_eq!(from(&floors), "c");
    }

    #[test]
    fn what_is_stored_is_true_of_its_batch() {
        let floors = Floors::default();
        floors.begin(&lease(1), b"");
        learn(&floors, b"m");
        assert_eq!(floors.written(&lease(1), &batch(1, &[b"x"])), None);
        let risen = floors.written(&lease(1), &batch(STORED_EVERY, &[])).unwrap();
        floors.stored(&lease(1), risen.clone());
        assert_eq!(floors.written(&lease(1), &batch(STORED_EVERY * 2, &[])), None);
        // The next owner begins with it.
        let next = Floors::default();
        next.begin(&lease(2), &risen);
        assert_eq!(from(&next), "m");
        // A write below it is stored with its own batch.
        let fallen = next.written(&lease(2), &batch(70, &[b"b"])).unwrap();
        assert_eq!(decode(&fallen)[0].key, "b");
        assert_eq!(next.written(&lease(1), &batch(71, &[b"a"])), None);
    }

    #[test]
    fn what_cannot_be_read_is_no_floor() {
        for bytes in [&b""[..], b"\x05ab", b"\x01"] {
            let floors = decode(bytes);
            assert!(floors.iter().all(|floor| floor.key.is_empty()), "{bytes:?}");
        }
    }
}

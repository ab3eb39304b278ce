//! Plan: what of a batch its conditional statement carries, and what is written before it.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use proto::ids::ShardId;

use super::{
    cold::{CLOSED, ColdRow, DEBTS, HISTORY},
    landed::Mark,
    shards::kind,
    tails::{Known, RIDE_BYTES_MAX, TAILS, Tail, tail_key},
};
use crate::{
    batch::{Batch, HistoryKey, Table},
    shard::Lease,
};

/// What a commit writes, and where.
pub(super) struct Plan {
    /// Rows of the shard's partition, by kind and key; the later write of a row stays.
    pub(super) hot: BTreeMap<(i8, Bytes), Option<Bytes>>,
    /// Histories whose tails leave the shard's partition.
    pub(super) leaving: Vec<Bytes>,
    /// Debts whose rows this batch removes.
    pub(super) paid: Vec<Bytes>,
    /// What the fence's row is to have of [`super::floors`].
    pub(super) floors: Option<Bytes>,
    /// Rows of `run_data`, by partition.
    pub(super) cold: BTreeMap<Bytes, Vec<ColdRow>>,
    pub(super) debts: Vec<Bytes>,
    /// The tails as they are once the batch has landed; `None` where the run is over.
    pub(super) tails: Vec<(Bytes, Option<Tail>)>,
    pub(super) mark: Mark,
}

/// What a batch does to one history.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) nodes: BTreeMap<i64, Bytes>,
    /// The run's state leaves the shard's partition.
    pub(super) closes: bool,
}

impl Draft {
    /// Whether the history begins with this batch: then nothing of it is stored.
    pub(super) fn begins(&self) -> bool {
        self.nodes.contains_key(&1)
    }
}

/// Returns what a batch does to histories that it does not forget, by their ids.
pub(super) fn drafts(batch: &Batch) -> BTreeMap<Bytes, Draft> {
    let mut drafts: BTreeMap<Bytes, Draft> = BTreeMap::new();
    for node in &batch.history {
        let draft = drafts.entry(history_id(&node.history)).or_default();
        draft.nodes.insert(node.first_event_id, node.events.clone());
    }
    for write in &batch.writes {
        if write.table == Table::Closed
            && write.value.is_some()
            && let Some(id) = run_id(&write.key)
        {
            drafts.entry(id).or_default().closes = true;
        }
    }
    for history in &batch.forget {
        drafts.remove(&history_id(history));
    }
    drafts
}

/// Divides a batch, given its drafts and the tails of those histories.
pub(super) fn plan(
    lease: &Lease,
    batch: Batch,
    drafts: BTreeMap<Bytes, Draft>,
    mut known: Known,
    paid: Vec<Bytes>,
    floors: Option<Bytes>,
) -> Plan {
    let mut plan = Plan {
        hot: BTreeMap::new(),
        leaving: Vec::new(),
        paid,
        floors,
        cold: BTreeMap::new(),
        debts: Vec::new(),
        tails: Vec::new(),
        mark: Mark::new(lease, batch.number),
    };
    for key in &plan.paid {
        plan.hot.insert((DEBTS, key.clone()), None);
    }
    let mut closed = BTreeMap::new();
    for write in batch.writes {
        if write.table == Table::Closed {
            closed.insert(write.key, write.value);
        } else {
            plan.hot.insert((kind(write.table), write.key), write.value);
        }
    }
    let mut room = if known.may_ride { RIDE_BYTES_MAX } else { 0 };
    for (id, draft) in drafts {
        let tail = known.tails.remove(&id).unwrap_or_default();
        plan.place(id, draft, tail, &mut room);
    }
    for (key, value) in closed {
        match value {
            Some(value) => {
                let row = ColdRow {
                    kind: CLOSED,
                    seq: 0,
                    key: closed_key(lease.shard, &key),
                    value,
                };
                plan.cold.entry(closed_id(&key)).or_default().push(row);
            }
            None => plan.owe(CLOSED, &key),
        }
    }
    for history in batch.forget {
        let id = history_id(&history);
        plan.owe(HISTORY, &id);
        plan.tails.push((id.clone(), None));
        plan.leaving.push(id);
    }
    plan
}

impl Plan {
    /// Decides where the new nodes of a history go: into the batch while there is room, else all of its tail moves.
    fn place(&mut self, id: Bytes, draft: Draft, tail: Tail, room: &mut usize) {
        let had_tail = !tail.is_empty();
        let new: usize = draft.nodes.values().map(Bytes::len).sum();
        let whole = tail.with(&draft.nodes);
        if !draft.closes && new <= *room && whole.is_small() {
            *room -= new;
            for (first_event_id, events) in draft.nodes {
                let key = tail_key(&id, first_event_id);
                self.hot.insert((TAILS, key), Some(events));
            }
            self.tails.push((id, Some(whole)));
            return;
        }
        if had_tail {
            self.leaving.push(id.clone());
        }
        let rows = whole.into_nodes().map(|(seq, value)| ColdRow {
            kind: HISTORY,
            seq,
            key: Bytes::new(),
            value,
        });
        self.cold.entry(id.clone()).or_default().extend(rows);
        let rest = (!draft.closes).then(Tail::default);
        self.tails.push((id, rest));
    }

    fn owe(&mut self, kind: i8, target: &[u8]) {
        let mut key = BytesMut::with_capacity(9 + target.len());
        key.put_i8(kind);
        key.put_u64(self.mark.batch);
        key.put_slice(target);
        let key = key.freeze();
        self.hot.insert((DEBTS, key.clone()), Some(Bytes::new()));
        self.debts.push(key);
    }
}

pub(super) fn history_id(history: &HistoryKey) -> Bytes {
    let mut id = BytesMut::with_capacity(32);
    id.put_slice(history.namespace_id.as_bytes());
    id.put_slice(history.run_id.as_bytes());
    id.freeze()
}

/// Returns what names the history of a run's state: the end of its key.
fn run_id(key: &[u8]) -> Option<Bytes> {
    const RUN_KEY: usize = 40;
    (key.len() == RUN_KEY).then(|| Bytes::copy_from_slice(&key[8..]))
}

/// Returns the partition of a closed run: its history's.
pub(super) fn closed_id(key: &[u8]) -> Bytes {
    run_id(key).unwrap_or_else(|| {
        let mut id = BytesMut::with_capacity(1 + key.len());
        id.put_u8(u8::MAX);
        id.put_slice(key);
        id.freeze()
    })
}

pub(super) fn closed_key(shard: ShardId, key: &[u8]) -> Bytes {
    let mut row = BytesMut::with_capacity(4 + key.len());
    row.put_u32(shard.0);
    row.put_slice(key);
    row.freeze()
}

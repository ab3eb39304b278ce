//! Simulation: splits and merges among owners that commit, are replaced and do not know it, and carriers that die
//! between any two steps. At any time every row that was acknowledged is where the map says, and no other.

mod carriers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use futures::FutureExt;
use proto::ids::{NodeId, ShardId};
use storage::{
    batch::Table, error::CommitError, memory::MemoryStore, registry::RegistryError, shard::ShardStore,
};

use super::*;
use crate::{
    map::{ShardMap, change::Serve},
    maps::{self, Stored},
};

const SEEDS: u64 = 100;
const STEPS: u32 = 2_000;
/// Steps between two looks at everything.
const LOOK_EVERY: u32 = 7;
/// Different rows of each table: few, so that they are often written again.
const KEYS: u64 = 24;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("small")
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }
}

/// The memory store is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("ready at once")
}

fn somebody() -> NodeId {
    NodeId {
        name: "a".into(),
        generation: 1,
    }
}

/// Serves a shard, as it believes.
struct Owner {
    lease: Lease,
    batch: u64,
    /// Whoever copies, and which parent this is there.
    follower: Option<(u64, usize)>,
    drains: bool,
}

/// Takes a shard up.
enum TakeUp {
    Leased(Lease),
    Read(Lease, Stored),
}

/// Makes a change.
struct Carrier {
    id: u64,
    map: Stored,
    parents: Vec<ShardId>,
    children: Vec<ShardId>,
    leases: Vec<Option<Lease>>,
    copy: Copy,
    /// What is to be done, in any order.
    todo: Vec<Output>,
    /// What was done and is not heard of yet.
    answers: Vec<Input>,
    /// What the parents said, in order.
    heard: VecDeque<Input>,
}

struct World {
    random: Random,
    store: MemoryStore,
    owners: Vec<Owner>,
    taking: Vec<TakeUp>,
    carrier: Option<Carrier>,
    carriers: u64,
    rows: BTreeMap<(Table, Bytes), Bytes>,
    values: u64,
    done: (u32, u32),
    served: BTreeSet<ShardId>,
}

fn position(n: u64) -> u64 {
    n * (u64::MAX / KEYS) + 7
}

fn key(table: Table, n: u64, at: u8) -> Bytes {
    let position = position(n).to_be_bytes();
    let mut key = match table {
        Table::Wakeup => vec![at; 8],
        Table::Ready => [vec![1; 18], vec![0, 1, at], vec![0; 9]].concat(),
        Table::Run | Table::Current | Table::Outbox | Table::Closed => Vec::new(),
    };
    key.extend_from_slice(&position);
    key.extend_from_slice(&[9; 32]);
    key.into()
}

impl World {
    fn new(seed: u64) -> Self {
        // Small batches, so that a page takes several.
        let store = MemoryStore::with_limits(BatchLimits {
            bytes: 1_000,
            writes: 8,
        });
        now(maps::read_or_make(&store, 3)).expect("a map");
        let mut world = Self {
            random: Random(seed),
            store,
            owners: Vec::new(),
            taking: Vec::new(),
            carrier: None,
            carriers: 0,
            rows: BTreeMap::new(),
            values: 0,
            done: (0, 0),
            served: BTreeSet::new(),
        };
        for shard in world.map().map.shards().collect::<Vec<_>>() {
            world.acquire(shard);
        }
        while !world.taking.is_empty() {
            world.take_up();
        }
        world
    }

    fn map(&self) -> Stored {
        now(maps::read(&self.store)).expect("read").expect("a map")
    }

    fn change(&self, from: &Stored, to: ShardMap) -> Result<Stored, RegistryError> {
        now(maps::write(&self.store, to, from.version()))
    }

    fn step(&mut self) {
        match self.random.below(1_000) {
            0..350 => self.commit(),
            350..800 => self.carry(),
            800..900 => self.hear(),
            900..940 => self.begin(),
            940..955 => self.wish(),
            955..957 => self.carrier = None,
            957..960 => {
                let shards: Vec<_> = self.map().map.shards().collect();
                let shard = shards[self.random.below(shards.len())];
                // An owner that goes in good order, or one that is thought to be dead.
                if self.random.one_in(2) {
                    self.owners.retain(|owner| owner.lease.shard != shard);
                }
                self.acquire(shard);
            }
            960..985 => self.take_up(),
            985..995 => self.serve_again(),
            _ => self.sweep(),
        }
    }

    /// Somebody takes a lease; it serves when it has looked at the map.
    fn acquire(&mut self, shard: ShardId) {
        let lease = now(self.store.acquire(shard, &somebody())).expect("lease");
        self.taking.push(TakeUp::Leased(lease));
    }

    /// As `Router::may_serve`, a step at a time.
    fn take_up(&mut self) {
        if self.taking.is_empty() {
            return;
        }
        let place = self.random.below(self.taking.len());
        match self.taking.swap_remove(place) {
            TakeUp::Leased(lease) => {
                let map = self.map();
                self.taking.push(TakeUp::Read(lease, map));
            }
            TakeUp::Read(lease, read) => {
                let serves = match read.map.serve(lease.shard) {
                    Serve::No => return,
                    Serve::Yes => true,
                    Serve::After(withdrawn) => self.change(&read, withdrawn).is_ok(),
                };
                if serves {
                    self.owners.push(Owner {
                        batch: lease.batch,
                        lease,
                        follower: None,
                        drains: false,
                    });
                } else {
                    self.taking.push(TakeUp::Leased(lease));
                }
            }
        }
    }

    /// A shard that nobody serves is taken up; one that is drained to be replaced, seldom: it is known where it is.
    fn serve_again(&mut self) {
        if self.carrier.is_some() && !self.random.one_in(8) {
            return;
        }
        for shard in self.map().map.shards().collect::<Vec<_>>() {
            let served = self
                .owners
                .iter()
                .any(|owner| owner.lease.shard == shard && !owner.drains);
            if !served && self.random.one_in(2) {
                self.acquire(shard);
            }
        }
    }

    /// Some owner commits some rows, if its lease is still the newest.
    fn commit(&mut self) {
        if self.owners.is_empty() {
            return;
        }
        let place = self.random.below(self.owners.len());
        let owner = &self.owners[place];
        let Some((start, last)) = self.map().map.range(owner.lease.shard) else {
            // It does not know; the range is what it was.
            let empty = Batch {
                number: owner.batch + 1,
                ..Batch::default()
            };
            let refused = now(self.store.commit(&owner.lease, empty));
            assert!(
                matches!(refused, Err(CommitError::Fenced)),
                "a retired shard commits: {refused:?}"
            );
            self.owners.swap_remove(place);
            return;
        };
        if owner.drains {
            return;
        }
        let mut writes = Vec::new();
        for _ in 0..=self.random.below(4) {
            let n = self.random.next() % KEYS;
            if (start..=last).contains(&position(n)) {
                self.write(n, &mut writes);
            }
        }
        let owner = &mut self.owners[place];
        owner.batch += 1;
        let batch = Batch {
            number: owner.batch,
            writes: writes.clone(),
            ..Batch::default()
        };
        match now(self.store.commit(&owner.lease, batch)) {
            Ok(()) => {
                let batch = owner.batch;
                for write in &writes {
                    let row = (write.table, write.key.clone());
                    match &write.value {
                        Some(value) => drop(self.rows.insert(row, value.clone())),
                        None => drop(self.rows.remove(&row)),
                    }
                }
                let follower = owner.follower;
                if let (Some((id, parent)), Some(carrier)) = (follower, &mut self.carrier)
                    && carrier.id == id
                {
                    carrier.heard.push_back(Input::Committed {
                        parent,
                        batch,
                        writes,
                    });
                }
            }
            Err(CommitError::Fenced) => drop(self.owners.swap_remove(place)),
            Err(error @ CommitError::GaveUp(_)) => panic!("{error}"),
        }
    }

    fn write(&mut self, n: u64, writes: &mut Vec<Write>) {
        self.values += 1;
        let mut set = |table, at, present: bool| {
            let value = present.then(|| Bytes::from(self.values.to_string()));
            let key = key(table, n, at);
            writes.push(Write { table, key, value });
        };
        let at = u8::try_from(self.random.next() % 4).expect("small");
        let present = !self.random.one_in(3);
        match self.random.below(5) {
            0 => set(Table::Run, 0, present),
            1 => set(Table::Current, 0, present),
            2 => set(Table::Outbox, 0, present),
            3 => set(Table::Ready, at, present),
            _ => {
                // A run has one wake-up; one that is closed has one until it is removed.
                for other in 0..4 {
                    set(Table::Wakeup, other, present && other == at);
                }
                set(Table::Closed, 0, present);
            }
        }
    }

    fn wish(&mut self) {
        let map = self.map();
        let shards: Vec<_> = map.map.shards().collect();
        let place = self.random.below(shards.len());
        let wanted = match shards.get(place + 1) {
            Some(next) if self.random.one_in(2) => map.map.want_merge(shards[place], *next),
            _ => map.map.want_split(shards[place], None),
        };
        if let Ok(wanted) = wanted {
            self.change(&map, wanted).expect("nobody else writes");
        } else if self.random.one_in(10) && map.map.change.is_some() {
            self.change(&map, map.map.cancel()).expect("nobody else writes");
        }
    }

    fn sweep(&mut self) {
        let map = self.map();
        let Some(shard) = map.map.garbage.first().copied().map(ShardId) else {
            return;
        };
        let lease = now(self.store.acquire(shard, &somebody())).expect("lease");
        let (mut spot, mut number) = (Some(Spot::default()), lease.batch);
        while let Some(from) = spot {
            let rows = now(moving::read(&self.store, shard, &from, 3)).expect("rows");
            spot = rows.next;
            number += 1;
            let gone = |write: Write| Write { value: None, ..write };
            let batch = Batch {
                number,
                writes: rows.writes.into_iter().rev().map(gone).collect(),
                ..Batch::default()
            };
            now(self.store.commit(&lease, batch)).expect("swept");
            if self.random.one_in(9) {
                return;
            }
        }
        self.change(&map, map.map.cleaned(shard))
            .expect("nobody else writes");
        for table in Table::ALL {
            // A copy that ended early may leave closed runs whose wake-ups were not copied yet.
            if table != Table::Closed || self.served.contains(&shard) {
                assert_eq!(self.stored(shard, table), [], "{shard} is swept");
            }
        }
    }

    fn stored(&self, shard: ShardId, table: Table) -> Vec<((Table, Bytes), Bytes)> {
        let rows = now(self.store.scan(shard, table, b"", None, usize::MAX)).expect("rows");
        rows.into_iter()
            .map(|row| ((table, row.key), row.value))
            .collect()
    }

    fn check(&mut self) {
        let map = self.map();
        self.served.extend(map.map.shards());
        assert!(map.map.is_sound());
        let mut stored = BTreeMap::new();
        for shard in map.map.shards() {
            for table in Table::ALL {
                stored.extend(self.stored(shard, table));
            }
        }
        assert_eq!(stored, self.rows);
    }
}

#[test]
fn nothing_is_lost_whoever_dies_whenever() {
    let mut done = (0, 0);
    for seed in 0..SEEDS {
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for step in 0..STEPS {
                let before = world.done;
                world.step();
                if step % LOOK_EVERY == 0 || world.done != before {
                    world.check();
                }
            }
            world.done
        });
        let ran = ran.unwrap_or_else(|panic| {
            println!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
        done = (done.0 + ran.0, done.1 + ran.1);
    }
    assert!(done.0 > 100 && done.1 > 50, "few were made: {done:?}");
}

#[test]
fn a_copy_that_cannot_follow_gives_up() {
    let mut copy = Copy::new(1, &[(0, u64::MAX)], BatchLimits::default());
    let lease = Lease {
        shard: ShardId(1),
        epoch: 1,
        batch: 0,
    };
    let mut out = Vec::new();
    let began = Input::Began {
        parent: 0,
        lease: lease.clone(),
        batch: 0,
    };
    copy.handle(began, &mut out);
    copy.handle(Input::Detached { parent: 0 }, &mut out);
    let above = NUMBERS_APART;
    let wanted = [
        Output::Detach { parent: 0, lease },
        Output::Lease { child: 0, above },
    ];
    assert_eq!(out, wanted);
    let lease = Lease {
        shard: ShardId(2),
        epoch: 1,
        batch: NUMBERS_APART,
    };
    copy.handle(Input::Leased { child: 0, lease }, &mut out);
    assert!(matches!(out[..], [_, _, Output::Read { .. }]), "{out:?}");
    out.clear();
    for batch in 1..3 {
        assert_eq!(out, []);
        let row = Write {
            table: Table::Run,
            key: key(Table::Run, 1, 0),
            value: Some(vec![0; KEPT_BYTES_MAX / 2].into()),
        };
        let writes = vec![row];
        copy.handle(
            Input::Committed {
                parent: 0,
                batch,
                writes,
            },
            &mut out,
        );
    }
    assert_eq!(out, [Output::GiveUp("more is committed than can be copied")]);
}

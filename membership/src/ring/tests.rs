use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn names(of: impl IntoIterator<Item = u32>) -> Vec<Arc<str>> {
    of.into_iter().map(|n| format!("node-{n}").into()).collect()
}

fn owners(ring: &Ring, shards: u32) -> Vec<Option<&str>> {
    (0..shards)
        .map(|shard| ring.owner_of_shard(ShardId(shard)).map(|name| &**name))
        .collect()
}

/// What nodes of different releases must agree on: if this fails after an upgrade of a dependency, a rolling
/// upgrade would let two nodes believe in different owners. Do not adapt it; keep the old hash.
#[test]
fn owners_are_the_same_for_ever() {
    let ring = Ring::new(names(1..=5));
    let digits: String = owners(&ring, 64)
        .into_iter()
        .map(|owner| owner.and_then(|name| name.chars().last()).unwrap_or('-'))
        .collect();
    assert_eq!(digits, GOLDEN);
    let queue = ring.owners(b"queue/orders", 5);
    let queue: Vec<&str> = queue.into_iter().map(|name| &**name).collect();
    assert_eq!(queue, GOLDEN_QUEUE);
    assert_eq!(ring.fingerprint(), GOLDEN_FINGERPRINT);
}

const GOLDEN: &str = "3124433423442414331114423254234224441522435124213352443514252251";
const GOLDEN_QUEUE: [&str; 5] = ["node-2", "node-3", "node-1", "node-4", "node-5"];
const GOLDEN_FINGERPRINT: u64 = 11_533_034_183_842_669_690;

/// The hash below the ring, apart from what we make of it (reference/dependencies 6).
#[test]
fn the_library_places_as_it_always_did() {
    let mut ring: HashRing<(&str, u32)> = HashRing::new();
    let nodes = ["a", "b", "c"];
    ring.batch_add(
        nodes
            .iter()
            .flat_map(|&node| (0..4).map(move |number| (node, number)))
            .collect(),
    );
    let owners: String = (0..12_u32)
        .map(|key| ring.get(&key).map_or("-", |(node, _)| node))
        .collect();
    assert_eq!(owners, GOLDEN_LIBRARY);
}

const GOLDEN_LIBRARY: &str = "bbbccbabbccc";

#[test]
fn an_empty_ring_has_no_owners() {
    let ring = Ring::new([]);
    assert_eq!(ring.owner(b"key"), None);
    assert!(ring.owners(b"key", 3).is_empty());
}

#[test]
fn load_is_even_within_a_fifth() {
    const SHARDS: u32 = 4_096;
    for nodes in [2, 3, 5, 10] {
        let ring = Ring::new(names(0..nodes));
        let mut load: BTreeMap<&str, u32> = BTreeMap::new();
        for owner in owners(&ring, SHARDS).into_iter().flatten() {
            *load.entry(owner).or_default() += 1;
        }
        let fair = SHARDS / nodes;
        for (name, &shards) in &load {
            assert!(
                shards.abs_diff(fair) * 4 < fair,
                "{name} of {nodes} has {shards}, fair is {fair}"
            );
        }
    }
}

proptest! {
    #[test]
    fn the_order_of_nodes_does_not_matter(nodes in prop::collection::btree_set(0_u32..50, 1..10), seed: u64) {
        let sorted: Vec<u32> = nodes.into_iter().collect();
        let mut shuffled = sorted.clone();
        let at = usize::try_from(seed).unwrap_or_default() % sorted.len();
        shuffled.rotate_left(at);
        shuffled.reverse();
        let (one, other) = (Ring::new(names(sorted)), Ring::new(names(shuffled)));
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(owners(&one, 256), owners(&other, 256));
    }

    #[test]
    fn only_the_share_of_the_node_that_comes_or_goes_moves(nodes in 1_u32..12, newcomer in 100_u32..200) {
        const SHARDS: u32 = 1_024;
        let before = Ring::new(names(0..nodes));
        let after = Ring::new(names((0..nodes).chain([newcomer])));
        let newcomer: Arc<str> = format!("node-{newcomer}").into();
        let (was, is) = (owners(&before, SHARDS), owners(&after, SHARDS));
        let mut moved = 0;
        for (was, is) in was.iter().zip(&is) {
            if was != is {
                prop_assert_eq!(*is, Some(&*newcomer), "a shard moves to the newcomer or not at all");
                moved += 1;
            }
        }
        let fair = SHARDS / (nodes + 1);
        prop_assert!(moved > 0 && moved < fair * 3 / 2 + 16, "moved {}, fair is {}", moved, fair);
        // Seen the other way round: when a node goes, each of its shards goes to the next of its owners.
        for shard in (0..SHARDS).map(ShardId) {
            let order = after.owners_of_shard(shard, usize::MAX);
            let heir = order.iter().find(|name| ****name != *newcomer);
            prop_assert_eq!(before.owner_of_shard(shard), heir.copied());
        }
    }

    #[test]
    fn the_next_owners_are_distinct_and_start_with_the_owner(nodes in 1_u32..9, key: [u8; 8], count in 0_usize..12) {
        let ring = Ring::new(names(0..nodes));
        let next = ring.owners(&key, count);
        prop_assert_eq!(next.len(), count.min(ring.names().len()));
        prop_assert_eq!(next.first().copied(), if count > 0 { ring.owner(&key) } else { None });
        let mut distinct = next.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), next.len());
    }
}

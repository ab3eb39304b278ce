//! Simulation, of one shard and of a cluster. Seeded: the same seed gives the same run.
//!
//! One shard: its owners one after another and sometimes at once, and its queues, over a store that fails, loses rows
//! and takes little at a time, with messages that get lost, come late, twice and out of order, and crashes.
//!
//! A cluster: three to five nodes with their gossip, leases, shards and queues, clocks that differ, partitions,
//! pauses, crashes, nodes that leave and come back, and a store that is slow, cut off or does not answer. Shards are
//! split and merged meanwhile.
//!
//! `PERDURE_SEEDS` and `PERDURE_CLUSTER_SEEDS` set how many seeds run, `PERDURE_SEED` and `PERDURE_CLUSTER_SEED` run a
//! single one. A seed that fails prints itself.

#[path = "sim/client.rs"]
mod client;
#[path = "sim/mail.rs"]
mod mail;
#[path = "sim/nodes/mod.rs"]
mod nodes;
#[path = "sim/owners.rs"]
mod owners;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/records.rs"]
mod records;
#[path = "sim/requests.rs"]
mod requests;
#[path = "sim/setup.rs"]
mod setup;
#[path = "sim/tickets.rs"]
mod tickets;
#[path = "sim/worker.rs"]
mod worker;
#[path = "sim/world.rs"]
mod world;

use std::cell::Cell;

use world::World;

/// Seeds that a plain `cargo test` tries; `cargo xtask test` tries more in an optimised build.
const SEEDS: u64 = 300;
const CLUSTER_SEEDS: u64 = 20;

#[test]
fn faults_lose_nothing_and_stop_nothing() {
    try_seeds("PERDURE_SEED", SEEDS, |seed| {
        World::new(seed).run();
    });
}

#[test]
fn a_cluster_loses_nothing_and_heals() {
    let (seeds, splits, merges) = (Cell::new(0), Cell::new(0), Cell::new(0));
    try_seeds("PERDURE_CLUSTER_SEED", CLUSTER_SEEDS, |seed| {
        let (_, made) = nodes::World::new(seed).run();
        seeds.set(seeds.get() + 1);
        splits.set(splits.get() + made[0]);
        merges.set(merges.get() + made[1]);
    });
    let (seeds, splits, merges) = (seeds.get(), splits.get(), merges.get());
    println!("{seeds} seeds, {splits} splits, {merges} merges");
    let enough = splits >= seeds && merges >= seeds / 2;
    assert!(
        enough || u64::from(seeds) < CLUSTER_SEEDS,
        "few splits and merges are made"
    );
}

#[test]
fn same_seed_gives_the_same_run() {
    for seed in [1, 7, 42] {
        assert_eq!(World::new(seed).run(), World::new(seed).run(), "seed {seed}");
    }
    let cluster = |seed| nodes::World::new(seed).run();
    assert_eq!(cluster(3), cluster(3));
    assert_ne!(cluster(3), cluster(4));
}

/// Tries the one seed that the variable names, or as many as its plural says.
fn try_seeds(variable: &str, seeds: u64, run: impl Fn(u64)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    if let Some(seed) = number(variable) {
        run(seed);
        return;
    }
    for seed in 0..number(&format!("{variable}S")).unwrap_or(seeds) {
        let run = std::panic::AssertUnwindSafe(|| run(seed));
        // The panic itself has been printed.
        let result = std::panic::catch_unwind(run);
        assert!(
            result.is_ok(),
            "seed {seed} failed: run it alone with {variable}={seed}"
        );
    }
}

//! Simulation: one shard, its owners one after another and sometimes at once, and its queues over a store that fails,
//! loses rows and takes little at a time, with messages that get lost, come late, twice and out of order, and crashes.
//! Seeded: the same seed gives the same run.
//!
//! `PERDURE_SEEDS` sets how many seeds run, `PERDURE_SEED` runs a single one. A seed that fails prints itself.

#[path = "sim/client.rs"]
mod client;
#[path = "sim/mail.rs"]
mod mail;
#[path = "sim/owners.rs"]
mod owners;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/worker.rs"]
mod worker;
#[path = "sim/world.rs"]
mod world;

use world::World;

/// Seeds that a plain `cargo test` tries; `cargo xtask test` tries 10,000 in an optimised build.
const SEEDS: u64 = 300;

#[test]
fn faults_lose_nothing_and_stop_nothing() {
    if let Ok(seed) = std::env::var("PERDURE_SEED") {
        let seed = seed.parse().expect("PERDURE_SEED is a number");
        return run(seed);
    }
    let seeds =
        std::env::var("PERDURE_SEEDS").map_or(SEEDS, |n| n.parse().expect("PERDURE_SEEDS is a number"));
    for seed in 0..seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed} failed: run it alone with PERDURE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn same_seed_gives_the_same_run() {
    for seed in [1, 7, 42] {
        assert_eq!(World::new(seed).run(), World::new(seed).run(), "seed {seed}");
    }
}

fn run(seed: u64) {
    World::new(seed).run();
}

//! Simulation: cores with a network of loss, delay, duplicates and partitions between them, on one seeded clock.
//!
//! Each seed draws a cluster, a story of faults and a network. Then everything heals, and within a bound all nodes
//! that run must see the same: each other, in the right life and state.
//! `PERDURE_SEEDS` sets how many seeds run, `PERDURE_SEED` runs a single one. A seed that fails prints itself.

mod network;
mod story;
mod world;

use std::{collections::BTreeSet, time::Duration};

use membership::{config::Timing, view::State};

use crate::{
    network::{Link, Network},
    world::World,
};

const SEEDS: u64 = 120;

fn seeds() -> Vec<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    match number("PERDURE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("PERDURE_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// Returns a cluster on a faultless network whose nodes know each other.
fn settled(seed: u64, nodes: usize) -> World {
    let mut world = World::new(seed, Timing::default(), Network::lan());
    for node in 0..nodes {
        world.start(node);
    }
    world.run_until_settled(Duration::from_secs(20));
    world
}

#[test]
fn after_any_faults_all_views_become_equal() {
    let mut slowest = (Duration::ZERO, 0);
    for seed in seeds() {
        let healed_in = story::tell(seed);
        slowest = slowest.max((healed_in, seed));
    }
    println!("slowest to heal: {:?} (seed {})", slowest.0, slowest.1);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let traces: BTreeSet<u64> = (0..3).map(|_| story::trace(7)).collect();
    assert_eq!(traces.len(), 1);
    assert_ne!(story::trace(7), story::trace(8));
}

#[test]
fn a_dead_node_is_known_as_dead_in_3_to_5_seconds() {
    for seed in 0..20 {
        let mut world = settled(seed, 5);
        world.crash(2);
        let took = world.run_until_settled(Duration::from_secs(10));
        println!("seed {seed}: {took:?}");
        assert!(
            took > Duration::from_secs(2) && took < Duration::from_millis(5_500),
            "seed {seed}: {took:?}"
        );
    }
}

#[test]
fn a_quiet_network_never_suspects_anybody_for_long() {
    for loss in [0.0, 0.05] {
        let network = Network {
            loss,
            ..Network::lan()
        };
        let mut world = World::new(3, Timing::default(), network);
        for node in 0..7 {
            world.start(node);
        }
        world.run_until_settled(Duration::from_secs(20));
        world.run_for(Duration::from_secs(600));
        assert_eq!(world.failures_seen(), 0, "loss {loss}");
    }
}

#[test]
fn a_restarted_node_replaces_its_former_life_at_once() {
    let mut world = settled(5, 5);
    world.crash(1);
    world.start(1);
    let took = world.run_until_settled(Duration::from_secs(10));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(
        world.failures_seen(),
        0,
        "nobody had to find out that the former life was dead"
    );
}

#[test]
fn a_node_that_leaves_is_gone_without_being_missed() {
    let mut world = settled(9, 5);
    world.set_leaving(4, true);
    let took = world.run_until_settled(Duration::from_secs(10));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(world.state_of(4, 0), Some(State::Leaving));
    world.leave(4);
    let took = world.run_until_settled(Duration::from_secs(10));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(world.failures_seen(), 0);
    assert_eq!(world.lost_seen(), 0);
}

#[test]
fn one_way_deafness_is_bridged_by_others() {
    let mut world = settled(11, 4);
    // 0 and 1 do not hear each other; 2 and 3 hear both.
    world.cut(Link { from: 0, to: 1 });
    world.cut(Link { from: 1, to: 0 });
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.failures_seen(), 0);
    assert!(world.is_settled());
}

#[test]
fn both_halves_of_a_split_cluster_find_each_other_again() {
    for seed in 0..20 {
        let mut world = settled(seed, 6);
        world.split(&[0, 1, 2]);
        world.run_for(Duration::from_secs(120));
        assert_eq!(world.members_seen_by(0), 3, "seed {seed}");
        assert_eq!(world.members_seen_by(5), 3, "seed {seed}");
        world.heal();
        let took = world.run_until_settled(Duration::from_secs(30));
        assert!(took < Duration::from_secs(20), "seed {seed}: {took:?}");
        assert_eq!(world.lost_seen(), 0, "seed {seed}");
    }
}

#[test]
fn a_node_that_slept_comes_back_and_blames_nobody() {
    let mut world = settled(13, 5);
    world.pause(3, Duration::from_secs(60));
    world.run_for(Duration::from_secs(61));
    // The four that were awake took it for dead; it took nobody for dead.
    assert_eq!(world.failures_seen_by(3), 0);
    world.run_until_settled(Duration::from_secs(20));
}

#[test]
fn an_older_life_of_a_name_is_told_to_stop() {
    let mut world = settled(17, 3);
    world.split(&[0]);
    world.run_for(Duration::from_secs(30));
    // While 0 is cut off another process of its name starts, elsewhere.
    let zombie = world.start_again_elsewhere(0);
    world.run_for(Duration::from_secs(30));
    world.heal();
    world.run_for(Duration::from_secs(30));
    assert!(world.is_superseded(zombie));
    world.run_until_settled(Duration::from_secs(20));
    assert!(world.owns_nothing(zombie), "its last view gives it nothing");
}

#[test]
fn replayed_datagrams_change_nothing() {
    let mut world = World::new(19, Timing::default(), Network::lan());
    world.record();
    for node in 0..4 {
        world.start(node);
    }
    world.run_until_settled(Duration::from_secs(20));
    world.set_leaving(1, true);
    world.run_for(Duration::from_secs(5));
    world.leave(1);
    world.crash(2);
    world.run_until_settled(Duration::from_secs(20));
    let before = world.views();
    world.replay_everything();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.views(), before);
    // A restarted receiver has no memory of what it saw. It may believe in a dead member until a probe tells,
    // and no longer.
    world.crash(3);
    world.start(3);
    world.run_until_settled(Duration::from_secs(20));
    world.replay_everything();
    let took = world.run_until_settled(Duration::from_secs(20));
    assert!(took < Duration::from_secs(8), "{took:?}");
}

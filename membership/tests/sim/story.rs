//! Stories: what happens to a cluster, drawn from a seed.

use std::time::Duration;

use membership::config::Timing;

use crate::{
    network::{Link, Network},
    world::World,
};

/// How long after the faults all nodes must see the same. The longest way: an announcement is lost at the last
/// moment, the next comes after `announce_max`, then both sides have to come back from the dead.
const HEALED_WITHIN: Duration = Duration::from_secs(45);

/// Tells the seed's story and returns how long it took to heal.
pub(crate) fn tell(seed: u64) -> Duration {
    let mut world = happen(seed);
    world.heal();
    world.run_until_settled(HEALED_WITHIN)
}

/// Returns a hash of all views that came up on the way.
pub(crate) fn trace(seed: u64) -> u64 {
    let mut world = happen(seed);
    world.heal();
    world.run_for(Duration::from_secs(30));
    world.trace()
}

fn happen(seed: u64) -> World {
    let mut world = World::new(seed, Timing::default(), Network::lan());
    world.network = Network {
        loss: [0.0, 0.02, 0.1, 0.3][world.dice.below(4)],
        duplicates: [0.0, 0.05, 0.3][world.dice.below(3)],
        delay: (
            Duration::from_micros(50),
            Duration::from_millis([1, 20, 200][world.dice.below(3)]),
        ),
    };
    let nodes = 3 + world.dice.below(5);
    // Either all start at once, or one after the other while things go wrong.
    let storm = world.dice.chance(0.5);
    for node in 0..nodes {
        world.start(node);
        if !storm {
            world.run_for(Duration::from_millis(700));
        }
    }
    for _ in 0..3 + world.dice.below(8) {
        happening(&mut world, nodes);
        let pause = world.dice.below(12_000);
        world.run_for(Duration::from_millis(pause as u64));
    }
    // Somebody must be left to agree with somebody.
    for node in 0..2 {
        if world.running(node).is_none() {
            world.start(node);
        }
    }
    world
}

fn happening(world: &mut World, nodes: usize) {
    let node = world.dice.below(nodes);
    let other = world.dice.below(nodes);
    match world.dice.below(10) {
        0 | 1 => {
            let count = 1 + world.dice.below(nodes - 1);
            let first = world.dice.below(nodes);
            let some: Vec<usize> = (0..count).map(|n| (first + n) % nodes).collect();
            world.split(&some);
        }
        2 => world.cut(Link {
            from: node,
            to: other,
        }),
        3 => {
            let network = world.network;
            world.heal();
            world.network = network;
        }
        4 => {
            if world.running(node).is_some() {
                let span = Duration::from_millis(200 + world.dice.below(15_000) as u64);
                world.pause(node, span);
            }
        }
        5 => {
            if world.running(node).is_some() {
                let leaving = world.dice.chance(0.7);
                world.set_leaving(node, leaving);
            }
        }
        6 => {
            if world.running(node).is_some() {
                world.leave(node);
            }
        }
        7 => {
            if world.running(node).is_some() {
                world.crash(node);
            }
        }
        // A restart, mostly at once: the others still believe in the former life.
        _ => {
            if world.running(node).is_some() {
                world.crash(node);
            }
            world.start(node);
        }
    }
}

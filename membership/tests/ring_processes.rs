//! The ring across processes: every process finds the same owners, in whatever order it learnt of the members.

use std::{fmt::Write, net::SocketAddr, process::Command};

use membership::{
    ring::Ring,
    view::{Member, Profile, State, View},
};
use proto::{
    ids::{NodeId, ShardId},
    time::Timestamp,
};

const ORDER: &str = "PERDURE_TEST_RING_ORDER";
const MARK: &str = "owners:";

fn member(number: u64) -> Member {
    let address = SocketAddr::from(([10, 0, 0, 1], 6_933));
    Member {
        profile: Profile {
            id: NodeId {
                name: format!("node-{number}").into(),
                generation: number,
            },
            gossip: address,
            peer: address,
            client: address,
            software: "0.1.0".into(),
            started: Timestamp::from_seconds(1),
        },
        state: match number {
            3 => State::Leaving,
            5 => State::Suspect,
            _ => State::Alive,
        },
    }
}

fn described(order: &str) -> String {
    let members = order
        .split(',')
        .map(|number| member(number.parse().expect("a number")))
        .collect();
    let view = View::new(1, "node-1".into(), members, 0);
    let ring = Ring::of(&view);
    let mut text = format!("{MARK}{:x}/{:x}", view.fingerprint(), ring.fingerprint());
    for shard in 0..1_024 {
        let owner = ring.owner_of_shard(ShardId(shard)).expect("an owner");
        write!(text, " {owner}").expect("memory");
    }
    text
}

/// What the other processes run; alone it has nothing to do.
#[test]
fn child() {
    if let Ok(order) = std::env::var(ORDER) {
        println!("\n{}", described(&order));
    }
}

#[test]
fn every_process_finds_the_same_owners() {
    let here = described("1,2,3,4,5,6");
    assert!(!here.contains(" node-3"), "a leaving node owns nothing");
    assert!(here.contains(" node-5"), "a suspect keeps what it has");
    for order in ["6,5,4,3,2,1", "3,6,1,5,2,4", "2,2,4,6,1,3,5"] {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["child", "--exact", "--nocapture"])
            .env(ORDER, order)
            .output()
            .expect("a process");
        let text = String::from_utf8(child.stdout).expect("text");
        let there = text.lines().find(|line| line.starts_with(MARK));
        assert_eq!(there, Some(here.as_str()), "{order}: {text}");
    }
}

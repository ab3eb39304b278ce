//! Agents with real sockets on the loopback interface.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use membership::{
    agent::{Agent, Ended},
    config::{Config, Seed, Timing},
    error::StartError,
    ring::Ring,
    secret::SecretKey,
    view::{Profile, State, View},
};
use proto::{ids::NodeId, time::Timestamp};

/// Far beyond what anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: SecretKey = SecretKey::from_bytes([7; 32]);

fn config(ip: &str, seeds: &[SocketAddr]) -> Config {
    Config {
        bind: SocketAddr::new(ip.parse().expect("an address"), 0),
        seeds: seeds.iter().copied().map(Seed::Address).collect(),
        keys: vec![KEY],
        timing: Timing::fast(),
        ..Config::default()
    }
}

fn profile(name: &str, generation: u64) -> Profile {
    let address = ([127, 0, 0, 1], 7_233).into();
    Profile {
        id: NodeId {
            name: name.into(),
            generation,
        },
        gossip: address,
        peer: address,
        client: address,
        software: "0.1.0".into(),
        started: Timestamp::from_seconds(1),
    }
}

fn start(name: &str, generation: u64, config: Config) -> Agent {
    Agent::start(config, profile(name, generation)).expect("an agent")
}

/// Starts nodes a, b, c, ... on addresses of their own; the first is the seed of all. Each test has a network of
/// its own, so that nobody takes a port that it gives up for a while.
fn cluster(network: u8, count: u8) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for number in 0..count {
        let seeds: Vec<SocketAddr> = agents.first().map(Agent::local_address).into_iter().collect();
        let name = char::from(b'a' + number).to_string();
        agents.push(start(
            &name,
            1,
            config(&format!("127.0.{network}.{}", number + 1), &seeds),
        ));
    }
    agents
}

async fn sees(agent: &Agent, what: &str, condition: impl Fn(&View) -> bool) -> Arc<View> {
    let mut views = agent.watch();
    let seen = tokio::time::timeout(PATIENCE, views.wait_for(|view| condition(view))).await;
    match seen {
        Ok(Ok(view)) => Arc::clone(&view),
        Ok(Err(_)) => panic!("{} ended and never saw: {what}", agent.view().me()),
        Err(_) => panic!(
            "{} never saw: {what}; it sees {:?}",
            agent.view().me(),
            agent.view()
        ),
    }
}

fn names(view: &View) -> String {
    view.members().iter().map(|member| &**member.name()).collect()
}

async fn all_see(agents: &[Agent], who: &str) {
    for agent in agents {
        sees(agent, who, |view| names(view) == who && quiet(view)).await;
    }
}

fn quiet(view: &View) -> bool {
    view.members().iter().all(|member| member.state != State::Suspect)
}

#[tokio::test]
async fn five_find_each_other_and_agree_on_owners() {
    let agents = cluster(1, 5);
    all_see(&agents, "abcde").await;
    let views: Vec<Arc<View>> = agents.iter().map(Agent::view).collect();
    assert!(
        views
            .windows(2)
            .all(|pair| pair[0].fingerprint() == pair[1].fingerprint())
    );
    let ring = |view: &Arc<View>| Ring::of(view).owner(b"queue").cloned();
    assert!(views.windows(2).all(|pair| ring(&pair[0]) == ring(&pair[1])));
    assert_eq!(
        views[0].member("c").map(|member| member.profile.gossip),
        Some(agents[2].local_address())
    );
}

#[tokio::test]
async fn a_killed_node_is_lost_and_comes_back_in_its_next_life() {
    let mut agents = cluster(2, 3);
    all_see(&agents, "abc").await;
    let killed = agents.pop().expect("c");
    let address = killed.local_address();
    killed.stop();
    all_see(&agents, "ab").await;
    assert_eq!(agents[0].view().lost(), 1);
    let mut again = config("127.0.2.3", &[agents[0].local_address()]);
    again.bind = address;
    agents.push(start("c", 2, again));
    all_see(&agents, "abc").await;
    let view = sees(&agents[0], "the next life", |view| {
        view.member("c")
            .is_some_and(|member| member.profile.id.generation == 2)
    });
    assert_eq!(view.await.lost(), 0);
}

#[tokio::test]
async fn a_node_drains_then_leaves() {
    let mut agents = cluster(3, 3);
    all_see(&agents, "abc").await;
    let leaver = agents.pop().expect("c");
    leaver.set_leaving(true).await.expect("running");
    for agent in &agents {
        let view = sees(agent, "c leaving", |view| {
            view.member("c")
                .is_some_and(|member| member.state == State::Leaving)
        })
        .await;
        assert!(!Ring::of(&view).names().contains(&"c".into()));
    }
    assert_eq!(leaver.leave().await, Ended::Left);
    assert!(leaver.set_leaving(true).await.is_err(), "it has ended");
    assert_eq!(leaver.leave().await, Ended::Left);
    all_see(&agents, "ab").await;
    for agent in &agents {
        assert_eq!(agent.view().lost(), 0);
    }
}

#[tokio::test]
async fn a_seed_that_starts_last_is_found() {
    let first = start("a", 1, config("127.0.6.1", &[]));
    let address = first.local_address();
    first.stop();
    let b = start("b", 1, config("127.0.6.2", &[address]));
    let c = start("c", 1, config("127.0.6.3", &[address]));
    let mut late = config("127.0.6.1", &[address]);
    late.bind = address;
    let a = start("a", 2, late);
    all_see(&[a, b, c], "abc").await;
}

#[tokio::test]
async fn seeds_may_be_named_and_come_later() {
    let a = start("a", 1, config("127.0.0.1", &[]));
    let b = start("b", 1, config("127.0.0.1", &[]));
    let seed = format!("localhost:{}", a.local_address().port());
    b.join(vec![seed.parse().expect("a seed")])
        .await
        .expect("running");
    all_see(&[a, b], "ab").await;
}

#[tokio::test]
async fn another_key_or_another_cluster_is_not_let_in() {
    let agents = cluster(4, 2);
    all_see(&agents, "ab").await;
    let seeds = [agents[0].local_address()];
    let mut wrong_key = config("127.0.0.1", &seeds);
    wrong_key.keys = vec![SecretKey::from_bytes([8; 32])];
    let mut no_key = config("127.0.0.1", &seeds);
    no_key.keys.clear();
    let mut foreign = config("127.0.0.1", &seeds);
    foreign.cluster_name = "other".to_owned();
    let strangers = [
        start("x", 1, wrong_key),
        start("y", 1, no_key),
        start("z", 1, foreign),
    ];
    let metrics = agents[0].metrics();
    let turned_away = async {
        let dropped = |reason| metrics.dropped.with(&[reason]).value();
        while dropped("unauthenticated") < 4 || dropped("cluster") < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, turned_away)
        .await
        .expect("they knock");
    for stranger in &strangers {
        assert_eq!(stranger.view().members().len(), 1);
    }
    assert_eq!(names(&agents[0].view()), "ab");
}

#[tokio::test]
async fn a_key_is_changed_while_nodes_run() {
    let new = SecretKey::from_bytes([9; 32]);
    let mut knows_both = config("127.0.0.1", &[]);
    knows_both.keys = vec![KEY, new.clone()];
    let a = start("a", 1, knows_both);
    let mut sends_new = config("127.0.0.2", &[a.local_address()]);
    sends_new.keys = vec![new, KEY];
    let b = start("b", 1, sends_new);
    all_see(&[a, b], "ab").await;
}

#[tokio::test]
async fn ipv6_works() {
    let a = start("a", 1, config("::1", &[]));
    let b = start("b", 1, config("::1", &[a.local_address()]));
    assert!(b.local_address().is_ipv6());
    all_see(&[a, b], "ab").await;
}

/// Binds all addresses and advertises one. The port is known only when it is bound, so it is bound twice.
fn dual_stack() -> Option<(Agent, u16)> {
    let mut dual = config("::", &[]);
    dual.advertise = Some(([127, 0, 0, 1], 1).into());
    let probe = start("probe", 1, dual.clone());
    let port = probe.local_address().port();
    probe.stop();
    dual.bind.set_port(port);
    dual.advertise = Some(([127, 0, 0, 1], port).into());
    let agent = Agent::start(dual, profile("a", 1)).ok()?;
    Some((agent, port))
}

#[tokio::test]
async fn an_ipv6_socket_reaches_ipv4_where_they_are_advertised_so() {
    let (a, port) = (0..10)
        .find_map(|_| dual_stack())
        .expect("a port that stays free");
    let b = start("b", 1, config("127.0.0.2", &[([127, 0, 0, 1], port).into()]));
    all_see(&[a, b], "ab").await;
}

#[tokio::test]
async fn the_older_of_two_with_one_name_ends() {
    let mut agents = cluster(5, 2);
    all_see(&agents, "ab").await;
    let older = agents.pop().expect("b");
    let newer = start("b", 2, config("127.0.0.3", &[agents[0].local_address()]));
    let ended = tokio::time::timeout(PATIENCE, older.ended()).await;
    assert_eq!(ended, Ok(Ended::Superseded { generation: 2 }));
    assert!(!Ring::of(&older.view()).names().contains(&"b".into()));
    sees(&newer, "both", |view| names(view) == "ab").await;
}

#[tokio::test]
async fn a_taken_address_is_refused() {
    let a = start("a", 1, config("127.0.0.1", &[]));
    let mut taken = config("127.0.0.1", &[]);
    taken.bind = a.local_address();
    let refused = Agent::start(taken, profile("b", 1)).map(|_| ());
    assert!(matches!(refused, Err(StartError::Bind { .. })), "{refused:?}");
}

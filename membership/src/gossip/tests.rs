use proptest::prelude::*;
use proto::{ids::NodeId, time::Timestamp};

use super::*;
use crate::secret::SecretKey;

fn address(node: u8) -> SocketAddr {
    ([10, 0, 0, node], 6_933).into()
}

fn parts(node: u8, generation: u64) -> Parts {
    Parts {
        profile: Profile {
            id: NodeId {
                name: format!("node-{node}").into(),
                generation,
            },
            gossip: address(node),
            peer: address(node),
            client: address(node),
            software: "0.1.0".into(),
            started: Timestamp::from_seconds(1),
        },
        config: Config {
            bind: address(node),
            allow_plaintext: true,
            ..Config::default()
        },
        seed: [node * 16 + u8::try_from(generation).expect("few"); 32],
        metrics: Arc::default(),
    }
}

fn core(node: u8) -> Gossip {
    Gossip::new(parts(node, 1)).expect("sound parts")
}

fn handle(core: &mut Gossip, input: Input<'_>, now: Moment) -> Vec<Output> {
    let mut out = Vec::new();
    core.handle(input, now, &mut out);
    out
}

fn sent(out: &[Output]) -> Vec<(SocketAddr, Vec<u8>)> {
    out.iter()
        .filter_map(|output| match output {
            Output::Send { to, bytes } => Some((*to, bytes.clone())),
            Output::View(_) | Output::Left | Output::Superseded { .. } => None,
        })
        .collect()
}

/// Carries datagrams between the two until none is under way.
fn talk(a: &mut Gossip, b: &mut Gossip, mut under_way: Vec<(SocketAddr, Vec<u8>)>, now: Moment) {
    while let Some((to, bytes)) = under_way.pop() {
        let core = if to == a.me().gossip { &mut *a } else { &mut *b };
        if to == core.me().gossip {
            under_way.extend(sent(&handle(core, Input::Datagram(&bytes), now)));
        }
    }
}

fn pair() -> (Gossip, Gossip) {
    let (mut a, mut b) = (core(1), core(2));
    let out = handle(&mut a, Input::Seeds(vec![address(2)]), Moment::ZERO);
    talk(&mut a, &mut b, sent(&out), Moment::ZERO);
    assert_eq!((a.view().members().len(), b.view().members().len()), (2, 2));
    (a, b)
}

#[test]
fn starts_alone_and_idle() {
    let core = core(1);
    assert_eq!(core.view().members().len(), 1);
    assert_eq!(core.next_deadline(), None, "nobody to probe, nobody to look for");
}

#[test]
fn a_node_is_not_its_own_seed() {
    let mut a = core(1);
    assert_eq!(handle(&mut a, Input::Seeds(vec![address(1)]), Moment::ZERO), []);
    assert_eq!(a.next_deadline(), None);
}

#[test]
fn announces_to_a_seed_until_it_answers() {
    let mut a = core(1);
    handle(&mut a, Input::Seeds(vec![address(2)]), Moment::ZERO);
    for _ in 0..5 {
        let now = a.next_deadline().expect("goes on");
        let out = sent(&handle(&mut a, Input::Tick, now));
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].0, address(2));
    }
}

#[test]
fn two_find_each_other_with_all_that_they_say() {
    let (a, b) = pair();
    assert_eq!(a.view(), b.view());
    assert_eq!(a.view().fingerprint(), b.view().fingerprint());
    assert_eq!(
        a.view().member("node-2").map(|m| &m.profile),
        Some(&parts(2, 1).profile)
    );
}

/// Hears of another from a third one, which is not there any more.
fn hears(a: &mut Gossip, of: &Identity, state: foca::State) -> Vec<Output> {
    let suspect = foca::Member::new(of.clone(), 0, state);
    let mut finder = core(3);
    let me = finder.foca.identity().clone();
    let header = foca::Header {
        src: me,
        src_incarnation: 0,
        dst: a.me().clone(),
        message: foca::Message::Gossip,
    };
    let mut content = Vec::new();
    foca::Codec::encode_header(&mut finder.wire, &header, &mut content).expect("encoded");
    content.extend_from_slice(&[0, 1]);
    foca::Codec::encode_member(&mut finder.wire, &suspect, &mut content).expect("encoded");
    let heard = finder.envelope.seal(Kind::Swim, &content);
    handle(a, Input::Datagram(&heard), Moment::ZERO)
}

fn hears_of_a_suspect(a: &mut Gossip, suspect: &Identity) {
    hears(a, suspect, foca::State::Suspect);
    // It tells that to others until it is old news; all of it gets lost.
    for _ in 0..limits::TRANSMISSIONS {
        a.foca.gossip(&mut a.effects).expect("gossip");
    }
    a.effects.sends.clear();
}

#[test]
fn a_death_that_the_dead_denies_is_told_to_nobody() {
    let (mut a, mut b) = pair();
    let out = hears(&mut a, b.me(), foca::State::Down);
    let said = a.view().member("node-2").map(|member| member.state);
    assert_eq!((said, a.view().lost()), (Some(State::Suspect), 0));
    talk(&mut a, &mut b, sent(&out), Moment::ZERO);
    let mut now = Moment::ZERO;
    while now < limits::SUSPICION * 4 {
        now = a
            .next_deadline()
            .expect("goes on")
            .min(b.next_deadline().expect("goes on"));
        let mut out = handle(&mut a, Input::Tick, now);
        out.extend(handle(&mut b, Input::Tick, now));
        talk(&mut a, &mut b, sent(&out), now);
        assert!(a.view().member("node-2").is_some(), "after {now:?}");
    }
    let said = a.view().member("node-2").map(|member| member.state);
    // Who had said so is not there any more.
    assert_eq!((said, a.view().lost()), (Some(State::Alive), 1));
}

#[test]
fn a_death_that_nobody_denies_is_told_after_a_moment() {
    let (mut a, b) = pair();
    hears(&mut a, b.me(), foca::State::Down);
    let mut now = Moment::ZERO;
    while a.view().member("node-2").is_some() {
        now = a.next_deadline().expect("goes on");
        handle(&mut a, Input::Tick, now);
    }
    assert_eq!((now, a.view().lost()), (limits::PROBE_TIMEOUT, 1));
}

#[test]
fn a_suspect_that_does_not_refute_is_given_up() {
    let (mut a, b) = pair();
    hears_of_a_suspect(&mut a, b.me());
    let mut now = Moment::ZERO;
    while a.view().member("node-2").is_some() {
        assert!(now < limits::SUSPICION * 4, "for ever");
        now = a.next_deadline().expect("goes on");
        handle(&mut a, Input::Tick, now);
    }
}

#[test]
fn a_suspect_whose_finder_has_died_is_told_and_refutes() {
    let (mut a, mut b) = pair();
    hears_of_a_suspect(&mut a, b.me());
    let state = |a: &Gossip| a.view().member("node-2").map(|member| member.state);
    assert_eq!(state(&a), Some(State::Suspect));
    let mut now = Moment::ZERO;
    while state(&a) == Some(State::Suspect) {
        assert!(now < limits::SUSPICION * 2, "for ever");
        now = [a.next_deadline(), b.next_deadline()]
            .into_iter()
            .flatten()
            .min()
            .expect("goes on");
        for node in [1, 2] {
            let core = if node == 1 { &mut a } else { &mut b };
            let out = handle(core, Input::Tick, now);
            talk(&mut a, &mut b, sent(&out), now);
        }
    }
    assert_eq!(state(&a), Some(State::Alive));
}

#[test]
fn leaving_is_told_and_taken_back() {
    let (mut a, mut b) = pair();
    for (leaving, state) in [(true, State::Leaving), (false, State::Alive)] {
        let out = handle(&mut a, Input::SetLeaving(leaving), Moment::ZERO);
        assert_eq!(a.view().member("node-1").map(|m| m.state), Some(state));
        talk(&mut a, &mut b, sent(&out), Moment::ZERO);
        assert_eq!(b.view().member("node-1").map(|m| m.state), Some(state));
        assert_eq!(
            handle(&mut a, Input::SetLeaving(leaving), Moment::ZERO),
            [],
            "said already"
        );
    }
}

#[test]
fn goodbye_is_said_several_times_then_all_is_quiet() {
    let (mut a, mut b) = pair();
    let mut out = handle(&mut a, Input::Leave, Moment::ZERO);
    let mut rounds = 0;
    while let Some(now) = a.next_deadline() {
        out.extend(handle(&mut a, Input::Tick, now));
        rounds += 1;
    }
    assert_eq!(rounds, limits::LEAVE_ROUNDS);
    assert_eq!(out.last(), Some(&Output::Left));
    assert!(sent(&out).len() > rounds as usize);
    // The last of them alone is enough.
    let (to, bytes) = sent(&out).pop().expect("a goodbye");
    assert_eq!(to, address(2));
    handle(&mut b, Input::Datagram(&bytes), Moment::ZERO);
    assert_eq!((b.view().members().len(), b.view().lost()), (1, 0));
    assert_eq!(b.metrics.members_left.value(), 1);
    assert_eq!(handle(&mut a, Input::SetLeaving(true), Moment::ZERO), []);
}

#[test]
fn alone_it_leaves_at_once() {
    let mut a = core(1);
    assert_eq!(
        handle(&mut a, Input::Leave, Moment::ZERO).last(),
        Some(&Output::Left)
    );
}

#[test]
fn an_older_life_learns_of_its_successor_from_anyone() {
    let (mut a, mut b) = pair();
    let mut successor = Gossip::new(parts(1, 2)).expect("sound parts");
    let out = handle(&mut successor, Input::Seeds(vec![address(2)]), Moment::ZERO);
    talk(&mut successor, &mut b, sent(&out), Moment::ZERO);
    assert_eq!(
        b.view().member("node-1").map(|m| m.profile.id.generation),
        Some(2)
    );
    // The older one does not know yet and probes.
    let mut under_way = Vec::new();
    while under_way.is_empty() {
        let now = a.next_deadline().expect("it probes");
        under_way = sent(&handle(&mut a, Input::Tick, now));
    }
    let answers = sent(&handle(&mut b, Input::Datagram(&under_way[0].1), Moment::ZERO));
    let last = handle(&mut a, Input::Datagram(&answers[0].1), Moment::ZERO);
    assert_eq!(last.last(), Some(&Output::Superseded { generation: 2 }));
    assert_eq!(a.view().member("node-1").map(Member::may_own), Some(false));
    assert_eq!(a.next_deadline(), None);
    assert_eq!(b.metrics.superseded_told.value(), 1);
}

#[test]
fn nobody_is_superseded_by_an_older_life() {
    let (mut a, _) = pair();
    let older = Start {
        generation: 0,
        at: Timestamp::from_seconds(9),
    };
    let content = wire::encode_successor("node-1", older).expect("room");
    let bytes = Envelope::new("perdure".into(), &[], [9; 16]).seal(Kind::Superseded, &content);
    assert_eq!(handle(&mut a, Input::Datagram(&bytes), Moment::ZERO), []);
    assert!(a.next_deadline().is_some());
}

#[test]
fn members_beyond_the_limit_are_not_taken_in() {
    let mut a = core(1);
    for number in 0..limits::MEMBERS_MAX + 5 {
        let mut other = parts(2, 1);
        other.profile.id.name = format!("many-{number}").into();
        other.seed[..8].copy_from_slice(&number.to_le_bytes());
        let mut other = Gossip::new(other).expect("sound parts");
        let out = handle(&mut other, Input::Seeds(vec![address(1)]), Moment::ZERO);
        handle(&mut a, Input::Datagram(&sent(&out)[0].1), Moment::ZERO);
    }
    assert_eq!(a.view().members().len(), 1 + limits::MEMBERS_MAX);
    assert_eq!(a.metrics.dropped.with(&["full"]).value(), 5);
}

#[test]
fn what_is_dropped_is_counted() {
    let (mut a, mut b) = pair();
    let mut keyed = parts(3, 1);
    keyed.config.keys = vec![SecretKey::from_bytes([1; 32])];
    let mut keyed = Gossip::new(keyed).expect("sound parts");
    let mut foreign = parts(4, 1);
    foreign.config.cluster_name = "other".to_owned();
    let mut foreign = Gossip::new(foreign).expect("sound parts");
    for stranger in [&mut keyed, &mut foreign] {
        let out = handle(stranger, Input::Seeds(vec![address(1)]), Moment::ZERO);
        handle(&mut a, Input::Datagram(&sent(&out)[0].1), Moment::ZERO);
    }
    let out = handle(&mut b, Input::SetLeaving(true), Moment::ZERO);
    let (_, bytes) = sent(&out).remove(0);
    handle(&mut a, Input::Datagram(&bytes), Moment::ZERO);
    handle(&mut a, Input::Datagram(&bytes), Moment::ZERO);
    handle(&mut a, Input::Datagram(&[9; 60]), Moment::ZERO);
    handle(&mut a, Input::Datagram(&[1; 10]), Moment::ZERO);
    handle(&mut a, Input::Datagram(&[1; 1_500]), Moment::ZERO);
    let reasons = [
        "unauthenticated",
        "cluster",
        "replayed",
        "version",
        "malformed",
        "oversized",
    ];
    let dropped = reasons.map(|reason| a.metrics.dropped.with(&[reason]).value());
    assert_eq!(dropped, [1; 6]);
    assert_eq!(a.view().members().len(), 2);
}

#[test]
fn refuses_a_name_that_cannot_be() {
    let mut wrong = parts(1, 1);
    wrong.profile.id.name = "a b".into();
    assert_eq!(
        Gossip::new(wrong).map(|_| ()),
        Err(ConfigError::NodeName("a b".to_owned()))
    );
}

proptest! {
    /// Whatever a neighbour with the key sends: no panic, and the node stays in its own view.
    #[test]
    fn any_content_from_a_neighbour_is_survived(
        contents in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 1..8),
    ) {
        let (mut a, _) = pair();
        let mut neighbour = Envelope::new("perdure".into(), &[], [9; 16]);
        for (swim, content) in contents {
            let kind = if swim { Kind::Swim } else { Kind::Superseded };
            let bytes = neighbour.seal(kind, &content);
            handle(&mut a, Input::Datagram(&bytes), Moment::ZERO);
            prop_assert!(a.view().member("node-1").is_some());
        }
    }

    /// Damaged messages of foca itself reach deeper.
    #[test]
    fn damaged_messages_are_survived(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), ticks in 0_usize..12,
    ) {
        let (mut a, mut b) = pair();
        let mut out = handle(&mut b, Input::SetLeaving(true), Moment::ZERO);
        for _ in 0..ticks {
            if let Some(now) = b.next_deadline() {
                out.extend(handle(&mut b, Input::Tick, now));
            }
        }
        let mut neighbour = Envelope::new("perdure".into(), &[], [9; 16]);
        for (_, bytes) in sent(&out) {
            let Ok((kind, mut content)) = Envelope::new("perdure".into(), &[], [8; 16]).open(&bytes) else {
                continue;
            };
            for (at, byte) in &damages {
                let place = at.index(content.len());
                content[place] = *byte;
            }
            let bytes = neighbour.seal(kind, &content);
            handle(&mut a, Input::Datagram(&bytes), Moment::ZERO);
            if let Some(now) = a.next_deadline() {
                handle(&mut a, Input::Tick, now);
            }
            prop_assert!(a.view().member("node-1").is_some());
        }
    }
}

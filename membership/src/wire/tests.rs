use proptest::prelude::*;

use super::*;
use crate::view::Profile;

fn profile(name: &str) -> Profile {
    Profile {
        id: proto::ids::NodeId {
            name: name.into(),
            generation: 3,
        },
        gossip: ([10, 0, 0, 1], 6_933).into(),
        peer: ([10, 0, 0, 1], 7_000).into(),
        client: "[fd00::1]:7233".parse().expect("an address"),
        software: "0.1.0".into(),
        started: Timestamp::from_seconds(1_700_000_000),
    }
}

fn wire() -> Wire {
    Wire { me: "b".into() }
}

fn header(dst: Identity, message: Message<Identity>) -> Header<Identity> {
    Header {
        src: Identity::new(&profile("a")),
        src_incarnation: 2,
        dst,
        message,
    }
}

fn bytes_of(header: &Header<Identity>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire().encode_header(header, &mut bytes).expect("room");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Version 1 of the envelope holds these bytes. Another layout is another version.
#[test]
fn bytes_are_those_of_version_1() {
    let b = Identity::new(&profile("b"));
    let ping = bytes_of(&header(b.clone(), Message::Ping(7)));
    assert_eq!(hex(&ping), GOLDEN_PING);
    let asks = Message::PingReq {
        target: Identity::new(&profile("c")),
        probe_number: 9,
    };
    assert_eq!(hex(&bytes_of(&header(b.clone(), asks))), GOLDEN_PING_REQ);
    let announce = header(Identity::stranger(NOWHERE), Message::Announce);
    assert_eq!(hex(&bytes_of(&announce)), GOLDEN_ANNOUNCE);
    let mut member = Vec::new();
    let news = Member::new(b.in_phase(Phase::Leaving), 5, State::Suspect);
    wire().encode_member(&news, &mut member).expect("room");
    assert_eq!(hex(&member), GOLDEN_MEMBER);
}

const GOLDEN_PING: &str = "016103fd0000546cfc392f2f00000a000001fb151b000a000001fb581b01fd000000000000000000000000000001fb411c05302e312e30000201016203fd0000546cfc392f2f000007";
const GOLDEN_PING_REQ: &str = "016103fd0000546cfc392f2f00000a000001fb151b000a000001fb581b01fd000000000000000000000000000001fb411c05302e312e30000201016203fd0000546cfc392f2f0002016303fd0000546cfc392f2f00000a000001fb151b09";
const GOLDEN_ANNOUNCE: &str = "016103fd0000546cfc392f2f00000a000001fb151b000a000001fb581b01fd000000000000000000000000000001fb411c05302e312e3000020006";
const GOLDEN_MEMBER: &str = "016203fd0000546cfc392f2f01000a000001fb151b000a000001fb581b01fd000000000000000000000000000001fb411c05302e312e30010501";

#[test]
fn reads_what_it_writes() {
    let c = Identity::new(&profile("c")).in_phase(Phase::Leaving);
    let probe_number = 200;
    for message in [
        Message::Ping(1),
        Message::Ack(255),
        Message::PingReq {
            target: c.clone(),
            probe_number,
        },
        Message::IndirectPing {
            origin: c.clone(),
            probe_number,
        },
        Message::IndirectAck {
            target: c.clone(),
            probe_number,
        },
        Message::ForwardedAck {
            origin: c.clone(),
            probe_number,
        },
        Message::Announce,
        Message::Feed,
        Message::Gossip,
        Message::Broadcast,
        Message::TurnUndead,
    ] {
        let written = header(Identity::new(&profile("b")), message);
        let bytes = bytes_of(&written);
        let read = wire().decode_header(&*bytes).expect("our own bytes");
        assert_eq!(read, written);
        assert_eq!(read.src.card, written.src.card);
        assert_eq!(read.src.gossip, written.src.gossip);
        if let Message::PingReq { target, .. } = read.message {
            assert_eq!(target.gossip, c.gossip);
        }
    }
    let mut bytes = Vec::new();
    wire()
        .encode_member(&Member::new(c.clone(), 9, State::Down), &mut bytes)
        .expect("room");
    let read = wire().decode_member(&*bytes).expect("our own bytes");
    assert_eq!(read, Member::new(c.clone(), 9, State::Down));
    assert_eq!(read.id().card, c.card);
}

#[test]
fn an_announcement_to_whoever_listens_is_for_the_reader() {
    let bytes = bytes_of(&header(Identity::stranger(NOWHERE), Message::Announce));
    assert_eq!(
        *wire().decode_header(&*bytes).expect("announcement").dst.name,
        *"b"
    );
    let bytes = bytes_of(&header(Identity::stranger(NOWHERE), Message::Feed));
    assert!(wire().decode_header(&*bytes).is_err(), "only announcements may");
}

#[test]
fn leaves_the_buffer_clean_when_there_is_no_room() {
    let member = Member::alive(Identity::new(&profile("a")));
    let mut buffer = [0xee; 20];
    let mut room = &mut buffer[..];
    assert!(matches!(
        wire().encode_member(&member, &mut room),
        Err(WireError::NoRoom)
    ));
    assert_eq!(buffer, [0xee; 20]);
}

#[test]
fn the_longest_member_leaves_room_for_others() {
    let mut longest = profile(&"n".repeat(limits::NODE_NAME_BYTES_MAX));
    let address = SocketAddr::from((std::net::Ipv6Addr::from([0xff; 16]), u16::MAX));
    longest.gossip = address;
    longest.peer = address;
    longest.client = address;
    longest.software = "v".repeat(limits::SOFTWARE_BYTES_MAX).into();
    longest.id.generation = u64::MAX;
    longest.started = Timestamp::MAX;
    let mut id = Identity::new(&longest);
    id.stamp.revision = u32::MAX;
    let mut bytes = Vec::new();
    wire()
        .encode_member(&Member::new(id.clone(), u16::MAX, State::Suspect), &mut bytes)
        .expect("room");
    let ask = Message::PingReq {
        target: id.clone(),
        probe_number: 255,
    };
    let head = bytes_of(&Header {
        src: id.clone(),
        src_incarnation: u16::MAX,
        dst: id,
        message: ask,
    });
    assert!(
        head.len() + 2 * bytes.len() < 1_200,
        "{} {}",
        head.len(),
        bytes.len()
    );
}

#[test]
fn names_that_nobody_has_are_refused() {
    for name in [
        "",
        "a b",
        "a/b",
        "ä",
        &"n".repeat(limits::NODE_NAME_BYTES_MAX + 1),
    ] {
        let id = Identity {
            name: name.into(),
            ..Identity::new(&profile("a"))
        };
        let mut bytes = Vec::new();
        wire()
            .encode_member(&Member::alive(id), &mut bytes)
            .expect("room");
        assert!(wire().decode_member(&*bytes).is_err(), "{name:?}");
    }
}

/// A length that bincode without a limit would try to allocate.
#[test]
fn a_hostile_length_is_refused() {
    let mut bytes = vec![0xfd];
    bytes.extend_from_slice(&u64::MAX.to_le_bytes());
    assert!(wire().decode_header(&*bytes).is_err());
    assert!(wire().decode_member(&*bytes).is_err());
    assert!(decode_successor(&bytes).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire().packet(&bytes);
        let _ = decode_successor(&bytes);
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(
        at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = bytes_of(&header(Identity::new(&profile("b")), Message::Gossip));
        bytes.extend_from_slice(&2_u16.to_be_bytes());
        for name in ["c", "d"] {
            wire().encode_member(&Member::alive(Identity::new(&profile(name))), &mut bytes).expect("room");
        }
        prop_assert_eq!(wire().packet(&bytes).expect("sound").news.len(), 2);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = wire().packet(&bytes);
        prop_assert!(wire().packet(&bytes[..cut.index(bytes.len())]).is_err() || cut.index(bytes.len()) > 0);
    }
}

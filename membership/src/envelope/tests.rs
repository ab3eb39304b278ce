use proptest::prelude::*;

use super::*;

const ONE: SecretKey = SecretKey::from_bytes([1; 32]);
const TWO: SecretKey = SecretKey::from_bytes([2; 32]);

fn envelope(cluster: &str, keys: &[SecretKey], session: u8) -> Envelope {
    Envelope::new(cluster.into(), keys, [session; 16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_those_of_version_1() {
    let plain = envelope("eu", &[], 0xaa).seal(Kind::Swim, b"hello");
    assert_eq!(
        hex(&plain),
        format!(
            "0100{}{}026575{}{}",
            "aa".repeat(16),
            "00".repeat(8),
            "01",
            hex(b"hello")
        )
    );
    let mut sealing = envelope("eu", &[ONE], 0xaa);
    sealing.counter = 0x0102;
    let sealed = sealing.seal(Kind::Superseded, b"hello");
    assert_eq!(hex(&sealed), GOLDEN_SEALED);
}

const GOLDEN_SEALED: &str =
    "0101aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0201000000000000317373e55869e939f185ee7c07f23e8ed7373b62ea0fba62f3";

#[test]
fn opens_what_a_neighbour_sealed() {
    for keys in [&[][..], &[ONE]] {
        let bytes = envelope("eu", keys, 1).seal(Kind::Swim, b"content");
        let opened = envelope("eu", keys, 2).open(&bytes);
        assert_eq!(opened, Ok((Kind::Swim, b"content".to_vec())));
    }
}

#[test]
fn content_is_not_readable_on_the_way() {
    let bytes = envelope("eu-secret", &[ONE], 1).seal(Kind::Swim, b"node-secret");
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
}

#[test]
fn keys_are_changed_in_three_steps() {
    // Old everywhere; the new one behind it; the new one first; the old one gone.
    let steps: [&[SecretKey]; 4] = [&[ONE], &[ONE, TWO], &[TWO, ONE], &[TWO]];
    for pair in steps.windows(2) {
        for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let bytes = envelope("eu", from, 1).seal(Kind::Swim, b"content");
            assert!(envelope("eu", to, 2).open(&bytes).is_ok());
        }
    }
}

#[test]
fn drops_what_is_not_for_it_and_says_why() {
    let sealed = envelope("eu", &[ONE], 1).seal(Kind::Swim, b"content");
    let plain = envelope("eu", &[], 1).seal(Kind::Swim, b"content");
    let open = |keys: &[SecretKey], bytes: &[u8]| envelope("eu", keys, 2).open(bytes).expect_err("dropped");
    assert_eq!(open(&[TWO], &sealed), Dropped::Unauthenticated);
    assert_eq!(open(&[], &sealed), Dropped::Unauthenticated);
    assert_eq!(open(&[ONE], &plain), Dropped::Unauthenticated);
    let mut other_version = plain.clone();
    other_version[0] = 2;
    assert_eq!(open(&[], &other_version), Dropped::Version(2));
    let mut other_mode = plain.clone();
    other_mode[1] = 7;
    assert_eq!(open(&[], &other_mode), Dropped::Malformed);
    assert_eq!(open(&[], &plain[..20]), Dropped::Malformed);
    assert_eq!(open(&[ONE], &sealed[..30]), Dropped::Malformed);
    assert_eq!(
        open(&[], &[1; limits::DATAGRAM_BYTES_MAX + 1]),
        Dropped::Oversized
    );
    let foreign = envelope("us", &[ONE], 1).seal(Kind::Swim, b"content");
    assert_eq!(open(&[ONE], &foreign), Dropped::Cluster("us".to_owned()));
}

#[test]
fn a_datagram_counts_once_and_never_at_home() {
    let mut sender = envelope("eu", &[ONE], 1);
    let (first, second) = (sender.seal(Kind::Swim, b"1"), sender.seal(Kind::Swim, b"2"));
    let mut receiver = envelope("eu", &[ONE], 2);
    assert!(receiver.open(&second).is_ok());
    assert!(receiver.open(&first).is_ok(), "it was only overtaken");
    assert_eq!(receiver.open(&first), Err(Dropped::Replayed));
    assert_eq!(sender.open(&first), Err(Dropped::Replayed));
}

#[test]
fn a_full_datagram_is_as_long_as_allowed() {
    let longest = "c".repeat(limits::CLUSTER_NAME_BYTES_MAX);
    for keys in [&[][..], &[ONE]] {
        let mut sender = envelope(&longest, keys, 1);
        let content = vec![7; sender.room()];
        let bytes = sender.seal(Kind::Swim, &content);
        assert_eq!(bytes.len(), limits::DATAGRAM_BYTES_MAX);
        assert_eq!(
            envelope(&longest, keys, 2).open(&bytes),
            Ok((Kind::Swim, content))
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_dropped_by_a_sealed_envelope(bytes in prop::collection::vec(any::<u8>(), 0..1_500)) {
        prop_assert!(envelope("eu", &[ONE], 2).open(&bytes).is_err());
        let _ = envelope("eu", &[], 2).open(&bytes);
    }

    #[test]
    fn one_changed_byte_opens_nothing(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut bytes = envelope("eu", &[ONE], 1).seal(Kind::Swim, b"content");
        let place = at.index(bytes.len());
        bytes[place] ^= change;
        prop_assert!(envelope("eu", &[ONE], 2).open(&bytes).is_err());
    }
}

use super::*;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7233);
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn section(yaml: &str) -> Result<Section, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn settings(yaml: &str) -> Result<Settings, String> {
    section(yaml)?.resolve(LISTEN).map_err(|error| error.to_string())
}

fn refused(yaml: &str, wanted: &str) {
    let error = settings(yaml).expect_err("refused");
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn an_empty_section_is_a_node_on_loopback_named_as_its_host() {
    let settings = settings("{}").expect("valid");
    assert_eq!(settings.node, host_name());
    assert_eq!(settings.gossip.bind.to_string(), "127.0.0.1:6933");
    assert_eq!(settings.rpc.bind.to_string(), "127.0.0.1:7234");
    assert!(settings.gossip.seeds.is_empty() && settings.rpc.advertise.is_none());
}

#[test]
fn a_broadcast_address_is_told_with_the_ports_that_are_bound() {
    let yaml = format!(
        "node: a\nbroadcastAddress: 'fd00::1'\nmaxJoinDuration: 3s\nkeys: [{KEY}]\n\
         gossip: {{bind: '[::]:6933'}}\nrpc: {{bind: '[::]:7001', advertise: '[fd00::2]:9'}}\n"
    );
    let settings = settings(&yaml).expect("valid");
    assert_eq!(
        settings.gossip.advertise,
        Some("[fd00::1]:6933".parse().expect("address"))
    );
    assert_eq!(
        settings.rpc.advertise,
        Some("[fd00::2]:9".parse().expect("address"))
    );
    assert_eq!(
        settings.frontend.advertise,
        Some("[fd00::1]:7233".parse().expect("address"))
    );
    assert_eq!(settings.max_join_duration, Duration::from_secs(3));
}

#[test]
fn seeds_are_one_name_or_a_list() {
    let one = section("seeds: perdure.internal").expect("valid").seeds;
    assert_eq!(one, ["perdure.internal:6933".parse::<Seed>().expect("seed")]);
    let many = section("seeds: ['127.0.0.1:1', '[::1]:2']").expect("valid").seeds;
    assert_eq!(many.len(), 2);
    let error = section("seeds: 'a:b:c'").expect_err("refused");
    assert!(error.contains("a:b:c"), "{error}");
}

#[test]
fn what_cannot_work_is_refused() {
    refused("nod: a", "nod");
    refused("rpc: {bin: '127.0.0.1:1'}", "bin");
    refused("node: 'a b'", "\"a b\" is no name");
    refused("gossip: {bind: '192.0.2.1:6933'}", "needs a key");
    refused(
        "rpc: {bind: '0.0.0.0:7234'}",
        "set rpc.advertise or broadcastAddress",
    );
    refused("keys: [abc]", "64 hex digits");
    refused("keyEnv: PERDURE_NO_SUCH_KEY", "PERDURE_NO_SUCH_KEY is not set");
    refused(&format!("keys: [{KEY}]\nkeyEnv: X"), "only one of");
}

#[test]
fn keys_are_read_from_a_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("keys");
    let yaml = format!("keyFile: '{}'", path.display());
    refused(&yaml, "No such file");
    fs::write(&path, "\n").expect("written");
    refused(&yaml, "there is none");
    fs::write(&path, format!("{KEY}\n{}\n", KEY.replace('0', "f"))).expect("written");
    assert_eq!(settings(&yaml).expect("valid").gossip.keys.len(), 2);
}

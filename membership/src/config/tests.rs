use super::*;

fn read(text: &str) -> Result<Config, String> {
    let config: Config = serde_json::from_str(text).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

fn refused(text: &str) -> String {
    read(text).expect_err(text)
}

#[test]
fn defaults_and_the_fast_profile_are_sound() {
    assert_eq!(read("{}"), Ok(Config::default()));
    assert_eq!(Timing::fast().check(), Ok(()));
}

#[test]
fn reads_what_an_operator_writes() {
    let key = "0f".repeat(32);
    let config = read(&format!(
        r#"{{"clusterName": "prod-eu", "bind": "0.0.0.0:7000", "advertise": "10.0.0.7:7000",
            "seeds": ["10.0.0.8:7000", "[::1]:7001", "::1", "perdure.internal", "node-2:7002"],
            "keys": ["{key}"], "timing": {{"probePeriod": "2s", "suspicion": "1500ms"}}}}"#
    ))
    .expect("config");
    assert_eq!(config.timing.probe_period, Duration::from_secs(2));
    assert_eq!(config.timing.suspicion, Duration::from_millis(1_500));
    let seeds: Vec<String> = config.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(
        seeds,
        [
            "10.0.0.8:7000",
            "[::1]:7001",
            "[::1]:6933",
            "perdure.internal:6933",
            "node-2:7002"
        ]
    );
}

#[test]
fn refuses_what_cannot_work_and_says_why() {
    let key = "0f".repeat(32);
    for (text, why) in [
        (r#"{"cluster": "a"}"#.to_owned(), "unknown field `cluster`"),
        (r#"{"clusterName": "a b"}"#.to_owned(), "check clusterName"),
        (r#"{"clusterName": ""}"#.to_owned(), "check clusterName"),
        (r#"{"bind": "10.0.0.1:7000"}"#.to_owned(), "needs a key"),
        (r#"{"advertise": "10.0.0.1:7000"}"#.to_owned(), "needs a key"),
        (
            format!(r#"{{"bind": "0.0.0.0:7000", "keys": ["{key}"]}}"#),
            "cannot send to 0.0.0.0:7000",
        ),
        (
            format!(r#"{{"advertise": "10.0.0.1:0", "keys": ["{key}"]}}"#),
            "port that is not 0",
        ),
        (
            format!(r#"{{"advertise": "[fd00::1]:1", "keys": ["{key}"]}}"#),
            "bind an IPv6 address",
        ),
        (r#"{"keys": ["abc"]}"#.to_owned(), "want 64 hex digits"),
        (
            format!(r#"{{"keys": ["{key}", "{key}", "{key}", "{key}", "{key}"]}}"#),
            "5 given, at most 4",
        ),
        (r#"{"seeds": [":1"]}"#.to_owned(), "read seed"),
        (r#"{"seeds": ["a:b"]}"#.to_owned(), "read seed"),
        (r#"{"seeds": ["a:0"]}"#.to_owned(), "read seed"),
        (r#"{"seeds": ["http://a"]}"#.to_owned(), "read seed"),
        (r#"{"timing": {"probePeriod": "1"}}"#.to_owned(), "read time"),
        (
            r#"{"timing": {"suspicion": "0s"}}"#.to_owned(),
            "check timing.suspicion",
        ),
        (
            r#"{"timing": {"probeTimeout": "600ms"}}"#.to_owned(),
            "more than half of probePeriod",
        ),
        (
            r#"{"timing": {"announceMin": "1m"}}"#.to_owned(),
            "more than announceMax",
        ),
        (
            r#"{"timing": {"syncPeriod": "18446744073709551615s"}}"#.to_owned(),
            "read time",
        ),
    ] {
        let said = refused(&text);
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn plaintext_beyond_loopback_only_on_request() {
    assert!(read(r#"{"bind": "10.0.0.1:7000", "allowPlaintext": true}"#).is_ok());
    assert!(read(r#"{"bind": "[::1]:7000"}"#).is_ok());
}

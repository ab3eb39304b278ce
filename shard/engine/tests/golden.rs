//! Golden scripts: each file under `golden/` tells a story of triggers, and what the engine gave to each.
//!
//! `UPDATE_EXPECT=1 cargo test -p perdure-engine --test golden` writes what it gives today; read the difference.
//! With `GOLDEN_HISTORIES=folder` the histories are written there as JSON, for SDKs to replay.
//!
//! A script's marks: an event is its id, its type and its attributes; `+` and `-` a row of a ready task that comes
//! or goes; `->` a delivery to another run; `! wN:` the answer to the caller of the N-th trigger, which had to wait;
//! `=` the reply; `@` when the run must be looked at next, printed where it changes. Times count from the test's
//! beginning; the clock moves by `wait` (the run is woken) and `sleep` (it is not). A trigger is for the newest run,
//! unless `run-N:` names another one.

mod support;

use std::{env, fs, panic, path::Path};

use support::{json, script};

#[test]
fn scripts_give_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    let only = env::var("GOLDEN_ONLY").unwrap_or_default();
    let failed: Vec<_> = paths
        .iter()
        .filter(|path| path.to_string_lossy().contains(&only))
        .filter(|path| panic::catch_unwind(|| check(path)).is_err())
        .filter_map(|path| path.file_stem())
        .collect();
    assert!(failed.is_empty(), "these scripts fail: {failed:?}");
}

#[expect(
    clippy::print_stdout,
    reason = "an assertion inside the world does not know whose script it fails"
)]
fn check(path: &Path) {
    let name = path
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    println!("script {name}");
    let script = fs::read_to_string(path).expect("the script can be read");
    let (played, world) = script::play(&script);
    if let Some(folder) = env::var_os("GOLDEN_HISTORIES") {
        for (index, known) in world.runs.iter().enumerate() {
            let path = Path::new(&folder).join(format!("{name}.{}.json", index + 1));
            json::write_history(&path, &known.history).expect("the history can be written");
        }
    }
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, played).expect("the script can be written");
        return;
    }
    assert_eq!(
        script, played,
        "{name}: run with UPDATE_EXPECT=1 and read the difference"
    );
}

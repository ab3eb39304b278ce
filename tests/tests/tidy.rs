//! Tidy: the arrows between crates, and the names that may stand only where they belong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Which crate of ours may know which: arrows point down only. A new one needs an ADR.
const ARROWS: [(&str, &[&str]); 14] = [
    ("proto", &[]),
    ("storage", &["proto"]),
    ("matching", &["proto"]),
    ("membership", &["proto"]),
    ("shard/engine", &["proto"]),
    ("shard", &["proto", "engine", "storage"]),
    (
        "cluster",
        &["proto", "engine", "shard", "matching", "membership", "storage"],
    ),
    (
        "frontend",
        &["proto", "engine", "shard", "cluster", "matching", "storage"],
    ),
    (
        "server",
        &[
            "proto",
            "shard",
            "cluster",
            "frontend",
            "matching",
            "membership",
            "storage",
        ],
    ),
    ("tools/load", &["proto"]),
    (
        "tests",
        &[
            "proto",
            "engine",
            "shard",
            "matching",
            "membership",
            "cluster",
            "frontend",
            "storage",
        ],
    ),
    ("tests/cassandra", &[]),
    ("tests/cluster", &[]),
    ("xtask", &[]),
];

/// Libraries, and the only places that may name them.
const NAMES: [(&str, &[&str]); 9] = [
    (
        "foca",
        &[
            "membership/src/gossip",
            "membership/src/identity.rs",
            "membership/src/wire",
        ],
    ),
    ("bincode", &["membership/src/wire.rs"]),
    ("hashring", &["membership/src/ring"]),
    (
        "actix",
        &[
            "shard/src/actor.rs",
            "shard/src/handle.rs",
            "matching/src/actor.rs",
            "matching/src/handle.rs",
            "matching/tests/",
            "matching/examples/",
            "cluster/src/threads.rs",
        ],
    ),
    (
        "tonic",
        &["frontend/", "proto/", "cluster/src/rpc/", "tools/load/", "tests/"],
    ),
    (
        "fjall",
        &["storage/src/embedded", "storage/tests/", "storage/examples/"],
    ),
    ("rusqlite", &["storage/src/visibility/embedded"]),
    (
        "scylla",
        &[
            "storage/src/cassandra",
            "storage/src/visibility/cassandra",
            "storage/tests/cassandra",
        ],
    ),
    (
        "axum",
        &[
            "frontend/src/http",
            "frontend/tests/",
            "server/src/admin/pages.rs",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a parent")
        .to_path_buf()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        if path.is_dir() {
            let foreign = name.starts_with('.') || name == "target" || name == "node_modules";
            if !foreign {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Returns the text without comments and strings, as far as one line shows.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[test]
fn arrows_point_down() {
    let ours: BTreeSet<&str> = [
        "proto",
        "storage",
        "matching",
        "membership",
        "engine",
        "shard",
        "cluster",
        "frontend",
        "server",
    ]
    .into();
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("manifest");
        let known = manifest
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| ours.contains(name));
        for name in known {
            assert!(allowed.contains(&name), "{folder} may not know {name}");
        }
    }
}

#[test]
fn every_crate_is_in_the_list_and_keeps_the_lints() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    let members = manifest
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .expect("members");
    for member in members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|m| !m.is_empty())
    {
        assert!(
            ARROWS.iter().any(|(folder, _)| *folder == member),
            "{member} has no arrows"
        );
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).expect("manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{member} does not keep the workspace's lints"
        );
    }
}

#[test]
fn names_stand_where_they_belong() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mut broken: BTreeMap<String, &str> = BTreeMap::new();
    for file in &files {
        let path = file
            .strip_prefix(root())
            .expect("below the root")
            .to_string_lossy()
            .into_owned();
        if path.ends_with("tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(file).expect("readable source");
        for (name, places) in NAMES {
            let used = text.lines().any(|line| {
                let line = code(line);
                line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"))
            });
            if used && !places.iter().any(|place| path.starts_with(place)) {
                broken.insert(path.clone(), name);
            }
        }
    }
    assert!(broken.is_empty(), "names in the wrong place: {broken:#?}");
}

#[test]
fn the_engine_is_pure() {
    let mut files = Vec::new();
    sources(&root().join("shard/engine/src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("readable source");
        for banned in [
            "async fn",
            "SystemTime",
            "Instant::now",
            "std::fs",
            "tokio::",
            "getrandom",
            "thread::",
        ] {
            let found = text.lines().map(code).any(|line| line.contains(banned));
            assert!(!found, "{} names {banned}", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    // Unit tests in a file of their own say it by their place.
    let tests = |file: &PathBuf| file.iter().any(|part| part == "tests" || part == "tests.rs");
    for file in files.into_iter().filter(|file| !tests(file)) {
        let text = fs::read_to_string(&file).expect("readable source");
        assert!(
            text.starts_with("//!") || text.starts_with("#!["),
            "{} has no first line that says what it is",
            file.display()
        );
    }
}

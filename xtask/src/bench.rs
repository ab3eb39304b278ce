//! The bench page: our server against the official one, in memory and with a file.

use std::process::Command;

use crate::{profile, root, run};

/// `cargo xtask bench [options of perdure-load bench]`.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    let (server, load) = profile::build()?;
    let compat = root().join("tests/compat");
    run(Command::new("sh").arg(compat.join("setup.sh")))?;
    // From the project's folder, so that the page names no folder of this machine.
    let official = "tests/compat/.venv/bin/temporal server start-dev --headless --ip 127.0.0.1 --port {port} --log-level error";
    let ours = server.strip_prefix(root()).unwrap_or(&server).display();
    run(Command::new(load)
        .arg("bench")
        .arg("--ours")
        .arg(format!(
            "{ours} server --log-level warn --listen 127.0.0.1:{{port}} --http-listen 127.0.0.1:{{http}} --data-dir {{dir}}"
        ))
        .arg("--peer")
        .arg(format!("official-memory={official}"))
        .arg("--peer")
        .arg(format!("official-file={official} --db-filename {{dir}}/db"))
        .args(args)
        .current_dir(root()))
}

//! A server whose disk takes no more: what is said of errors of the store.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tokio::process::Command;

use crate::{check::Check, stage::Stage};

/// Beyond this the server writes no file from then on.
const FILE_BYTES_MAX: &str = "1";

/// Starts a server that survives a write over its limit; the signal that comes with it is ignored.
pub(crate) async fn start(program: &Path, directory: &Path) -> Result<Stage, String> {
    let program =
        fs::canonicalize(program).map_err(|error| format!("find {}: {error}", program.display()))?;
    let script = directory.join("perdure.sh");
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", program.display());
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&script, text))
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
        .map_err(|error| format!("write {}: {error}", script.display()))?;
    Stage::start_with(&script, directory, &[]).await
}

pub(crate) async fn play(stage: &mut Stage, check: &mut Check<'_>) -> Result<(), String> {
    let moved = [
        "persistence_errors{operation=\"UpdateWorkflowExecution\"}",
        "persistence_error_with_type{operation=\"UpdateWorkflowExecution\"}",
        "shard_closed_count",
        "sharditem_removed_count",
        "service_errors{operation=\"StartWorkflowExecution\"}",
    ];
    let step = check
        .begin("the disk takes no more", &moved, &["workflow_success"])
        .await?;
    let pid = stage.pid().ok_or("the server is gone")?.to_string();
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={FILE_BYTES_MAX}")])
        .status()
        .await;
    let limited = limited.map_err(|error| format!("start prlimit: {error}"))?;
    if !limited.success() {
        return Err(format!("prlimit ends with {limited}"));
    }
    if stage.start_workflow("lost").await.is_ok() {
        return Err("a start was acknowledged that no disk has".to_owned());
    }
    check.end(step).await
}

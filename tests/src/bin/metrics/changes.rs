//! Shards that are split and merged by `perdure admin`, as an operator has it done.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use tokio::process::Command;

use crate::check::Check;

/// Splits a shard of the node that shows the pages, and merges what became of it.
pub(crate) async fn play(program: &Path, pages: &str, check: &mut Check<'_>) -> Result<(), String> {
    let failed = ["perdure_shard_changes_failed_total"];
    let before = shards(program, pages).await?;
    let parent = before.first().ok_or("no shards")?.to_string();
    let moved = [
        "perdure_shard_splits_total",
        "perdure_shard_change_parked_seconds",
        "perdure_lease_changes_total",
    ];
    let step = check.begin("a shard is split", &moved, &failed).await?;
    admin(program, pages, &["shard", "split", &parent]).await?;
    check.end(step).await?;

    let after = shards(program, pages).await?;
    let children: Vec<_> = after.difference(&before).map(u64::to_string).collect();
    let [left, right] = &*children else {
        return Err(format!("{parent} of {before:?} was split into {children:?}"));
    };
    let step = check
        .begin("shards are merged", &["perdure_shard_merges_total"], &failed)
        .await?;
    admin(program, pages, &["shard", "merge", left, right]).await?;
    check.end(step).await?;
    let merged = shards(program, pages).await?;
    if merged.len() == before.len() && !merged.contains(&before.first().copied().unwrap_or_default()) {
        return Ok(());
    }
    Err(format!("{before:?} became {merged:?}"))
}

/// The shards of the whole cluster.
async fn shards(program: &Path, pages: &str) -> Result<BTreeSet<u64>, String> {
    let page = admin(program, pages, &["--output", "json", "shards"]).await?;
    let page: Value = serde_json::from_str(&page).map_err(|error| format!("read {page:?}: {error}"))?;
    let shards = page["shards"].as_array().ok_or("no shards are shown")?;
    Ok(shards
        .iter()
        .filter_map(|shard| shard["shard"].as_u64())
        .collect())
}

async fn admin(program: &Path, pages: &str, words: &[&str]) -> Result<String, String> {
    let done = Command::new(program)
        .args(["admin", "--address", pages])
        .args(words)
        .output()
        .await;
    let done = done.map_err(|error| format!("start {}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(said);
    }
    Err(format!(
        "{words:?}: {said}{}",
        String::from_utf8_lossy(&done.stderr)
    ))
}

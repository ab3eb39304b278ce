//! Shards that are split and merged by `perdure admin`, as an operator has it done.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use tokio::process::Command;

use crate::{check::Check, prometheus::get};

/// Splits a shard of the node that shows the pages, and merges what became of it.
pub(crate) async fn play(program: &Path, pages: &str, check: &mut Check<'_>) -> Result<(), String> {
    let failed = ["perdure_shard_changes_failed_total"];
    let before = shards(pages).await?;
    let parent = before.first().ok_or("no shards")?.to_string();
    let moved = [
        "perdure_shard_splits_total",
        "perdure_shard_change_parked_seconds",
        "perdure_lease_changes_total",
    ];
    let step = check.begin("a shard is split", &moved, &failed).await?;
    admin(program, pages, &["split", &parent]).await?;
    check.end(step).await?;

    let after = shards(pages).await?;
    let children: Vec<_> = after.difference(&before).map(u64::to_string).collect();
    let [left, right] = &*children else {
        return Err(format!("{parent} of {before:?} was split into {children:?}"));
    };
    let step = check
        .begin("shards are merged", &["perdure_shard_merges_total"], &failed)
        .await?;
    admin(program, pages, &["merge", left, right]).await?;
    check.end(step).await?;
    let merged = shards(pages).await?;
    if merged.len() == before.len() && !merged.contains(&before.first().copied().unwrap_or_default()) {
        return Ok(());
    }
    Err(format!("{before:?} became {merged:?}"))
}

/// The shards of the whole cluster.
async fn shards(pages: &str) -> Result<BTreeSet<u64>, String> {
    let page = get(pages, "/admin/shards").await?;
    let page: Value = serde_json::from_str(&page).map_err(|error| format!("read {page:?}: {error}"))?;
    let shards = page["shards"].as_array().ok_or("no shards are shown")?;
    Ok(shards
        .iter()
        .filter_map(|shard| shard["shard"].as_u64())
        .collect())
}

async fn admin(program: &Path, pages: &str, words: &[&str]) -> Result<(), String> {
    let done = Command::new(program)
        .args(["admin", "--address", pages, "shard"])
        .args(words)
        .output()
        .await;
    let done = done.map_err(|error| format!("start {}: {error}", program.display()))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!(
        "{words:?}: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    ))
}

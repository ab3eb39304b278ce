//! Splits and merges of shards under steady load: some that nobody disturbs, then some during which the node that makes
//! them is killed at a random moment. The cluster goes on with them by itself.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::process::Command;

use crate::{
    fleet::Fleet,
    random::{Random, number_of},
};

/// How often the cluster is asked how far a change is: what is looked for takes a fraction of a second.
const LOOK: Duration = Duration::from_millis(10);
/// How long a node has to begin with what is wanted.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);
/// How long a change may take, also if its node dies.
const DONE_WITHIN: Duration = Duration::from_secs(120);
/// From a change until all rows of shards that are gone are deleted.
const SWEPT_WITHIN: Duration = Duration::from_secs(90);

/// What is made of which shards.
#[derive(Clone, Debug)]
pub(super) struct Change {
    what: &'static str,
    parents: Vec<u64>,
}

/// Splits and merges, and how long those took that nobody disturbed.
pub(super) struct Splits {
    random: Random,
    made: u32,
    longest: Duration,
}

impl Change {
    pub(super) fn name(&self) -> String {
        let parents: Vec<_> = self.parents.iter().map(u64::to_string).collect();
        format!("{} {}", self.what, parents.join("+"))
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["shard".to_owned(), self.what.to_owned()];
        arguments.extend(self.parents.iter().map(u64::to_string));
        arguments.extend(["--within".to_owned(), DONE_WITHIN.as_secs().to_string()]);
        arguments
    }

    fn is_of(&self, change: &Value) -> bool {
        let parents = change["parents"].as_array();
        parents.is_some_and(|parents| {
            parents
                .iter()
                .filter_map(Value::as_u64)
                .eq(self.parents.iter().copied())
        })
    }
}

impl Splits {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed, number_of("splits")),
            made: 0,
            longest: Duration::from_millis(200),
        }
    }

    /// Chooses what is next: splits and merges in turn.
    pub(super) async fn choose(&mut self, fleet: &Fleet) -> Result<Change, String> {
        let shards = shards(fleet, None).await?;
        let ids: Vec<u64> = list(&shards["shards"])
            .iter()
            .filter_map(|shard| shard["shard"].as_u64())
            .collect();
        self.made += 1;
        let below = |random: &mut Random, end: usize| {
            usize::try_from(random.below(end.max(1) as u64)).unwrap_or_default()
        };
        let merges = self.made.is_multiple_of(2) && ids.len() > 1;
        let at = below(&mut self.random, ids.len() - usize::from(merges));
        let (what, count) = if merges { ("merge", 2) } else { ("split", 1) };
        let parents = ids.into_iter().skip(at).take(count).collect();
        Ok(Change { what, parents })
    }

    /// Makes a change that nobody disturbs. Returns what it took.
    pub(super) async fn make(&mut self, fleet: &Fleet, change: &Change) -> Result<String, String> {
        let before = parked(fleet)?.len();
        let began = Instant::now();
        let done = command(fleet, None, &change.arguments()).await?;
        self.longest = self.longest.max(began.elapsed());
        let parked = parked(fleet)?;
        let parked: Vec<_> = parked
            .iter()
            .skip(before)
            .map(|millis| format!("{millis} ms"))
            .collect();
        Ok(format!(
            "{}: became {} in {:.2} s, calls to the range were parked for {}",
            change.name(),
            done["children"],
            began.elapsed().as_secs_f64(),
            if parked.is_empty() {
                "a time that is not said yet".to_owned()
            } else {
                parked.join(", ")
            },
        ))
    }

    /// Wants the change and returns the node that makes it, at a random moment meanwhile or shortly after.
    pub(super) async fn begin(&mut self, fleet: &Fleet, change: &Change) -> Result<Victim, String> {
        let owner = owner(&shards(fleet, None).await?, change.parents[0]);
        let owner = owner.ok_or_else(|| format!("shard {} has no owner", change.parents[0]))?;
        let (began, arguments, others) = (Instant::now(), change.arguments(), fleet.clone());
        let but = owner.clone();
        let made = tokio::spawn(async move { command(&others, Some(&but), &arguments).await });
        let mut node = owner.clone();
        loop {
            let now = shards(fleet, Some(&owner)).await?;
            let under_way = &now["change"];
            if change.is_of(under_way) {
                if let Some(about) = under_way["node"].as_str() {
                    about.clone_into(&mut node);
                    break;
                }
            } else if made.is_finished() {
                break;
            }
            if began.elapsed() > BEGINS_WITHIN {
                return Err(format!("{}: no node begins: {under_way}", change.name()));
            }
            tokio::time::sleep(LOOK).await;
        }
        // It is under way already: most moments should find it so.
        tokio::time::sleep(self.random.duration(self.longest / 2)).await;
        let now = shards(fleet, Some(&node)).await?;
        let phase = if change.is_of(&now["change"]) {
            now["change"]["progress"]["phase"]
                .as_str()
                .unwrap_or("between two tries")
                .to_owned()
        } else {
            "made".to_owned()
        };
        Ok(Victim {
            node,
            phase,
            began,
            made,
        })
    }

    /// Waits until the change is made after all.
    pub(super) async fn end(change: &Change, victim: Victim) -> Result<String, String> {
        let done = victim.made.await.map_err(|error| error.to_string())?;
        let done = done.map_err(|error| format!("{} after a kill: {error}", change.name()))?;
        Ok(format!(
            "{}: {} was killed when its change was \"{}\"; it became {} {:.2} s after it was wanted",
            change.name(),
            victim.node,
            victim.phase,
            done["children"],
            victim.began.elapsed().as_secs_f64()
        ))
    }

    /// Waits until nothing is left of shards that are gone.
    pub(super) async fn swept(fleet: &Fleet) -> Result<String, String> {
        let began = Instant::now();
        loop {
            let now = shards(fleet, None).await?;
            if list(&now["garbage"]).is_empty() && now["change"].is_null() {
                let (shards, map) = (list(&now["shards"]), &now["map"]);
                let homeless = shards.iter().filter(|shard| list(&shard["runs_on"]).len() != 1);
                if homeless.count() == 0 {
                    let took = began.elapsed().as_secs_f64();
                    let count = shards.len();
                    return Ok(format!(
                        "{count} shards by map {map}, each on one node; what is gone was deleted after {took:.0} s"
                    ));
                }
            }
            if began.elapsed() > SWEPT_WITHIN {
                return Err(format!("shards that were split or merged are not gone: {now}"));
            }
            tokio::time::sleep(LOOK * 10).await;
        }
    }
}

/// A node that makes a change, and the command that waits for it.
pub(super) struct Victim {
    pub(super) node: String,
    phase: String,
    began: Instant,
    made: tokio::task::JoinHandle<Result<Value, String>>,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn owner(shards: &Value, shard: u64) -> Option<String> {
    let shard = list(&shards["shards"]).iter().find(|one| one["shard"] == shard)?;
    let node = &list(&shard["runs_on"]).first()?["node"];
    node.as_str().map(str::to_owned)
}

/// What the cluster says of its shards; not through that node.
async fn shards(fleet: &Fleet, but: Option<&str>) -> Result<Value, String> {
    command(fleet, but, &["shards".to_owned()]).await
}

/// Asks as an operator does, through any node but that one.
async fn command(fleet: &Fleet, but: Option<&str>, arguments: &[String]) -> Result<Value, String> {
    let (program, nodes) = fleet.operated();
    let node = nodes
        .iter()
        .find(|(name, _)| but != Some(name))
        .ok_or("nobody to ask")?;
    let mut command = Command::new(program);
    command.args(["admin", "--address", &node.1, "-o", "json"]);
    let output = command
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("run perdure admin: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("perdure admin {}: {}", arguments.join(" "), said.trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("read what perdure admin says: {error}"))
}

/// How long calls were parked by each change, as the nodes' logs say.
fn parked(fleet: &Fleet) -> Result<Vec<u64>, String> {
    const MARK: &str = "parked_ms";
    let mut found = Vec::new();
    for path in fleet.logs()? {
        let text = fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        for line in text.lines() {
            // It is the line's last field, and may be coloured.
            let digits = line.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next();
            if line.contains(MARK) {
                found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
            }
        }
    }
    Ok(found)
}

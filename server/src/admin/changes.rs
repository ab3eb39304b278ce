//! Changes: shards that are split or merged, for the operator who asks and for the node that is asked.

#![expect(clippy::print_stdout, reason = "a command answers on the terminal")]

use std::time::{Duration, Instant};

use cluster::{map::change::Change, split::ChangeError};
use hyper::Method;
use proto::ids::ShardId;
use serde_json::{Value, json};

use super::{
    client::{AskError, ask},
    command::{AdminArgs, AdminError, LOOK, Output, ShardAsk, escaped, list, progress, text},
    operator::{Operator, OperatorError},
};

impl Operator {
    pub(crate) async fn split(&self, shard: u32, at: Option<&str>) -> Result<Value, OperatorError> {
        let at = at.map(|at| {
            let digits = at.trim_start_matches("0x");
            let refused =
                |_| OperatorError::Refused(format!("{at} is no position: write up to 16 hexadecimal digits"));
            u64::from_str_radix(digits, 16).map_err(refused)
        });
        let map = self.router.want_split(ShardId(shard), at.transpose()?).await;
        let map = map.map_err(refused)?;
        Ok(json!({ "change": map.change.as_ref().map(|change| show(change, &[])) }))
    }

    pub(crate) async fn merge(&self, left: u32, right: u32) -> Result<Value, OperatorError> {
        let map = self.router.want_merge(ShardId(left), ShardId(right)).await;
        let map = map.map_err(refused)?;
        Ok(json!({ "change": map.change.as_ref().map(|change| show(change, &[])) }))
    }

    pub(crate) async fn cancel(&self) -> Result<Value, OperatorError> {
        let map = self.router.cancel_change().await.map_err(refused)?;
        Ok(json!({ "map": map.version }))
    }
}

fn refused(error: ChangeError) -> OperatorError {
    match error {
        ChangeError::Plan(error) => OperatorError::Refused(error.to_string()),
        error @ ChangeError::Older(_) => OperatorError::Refused(error.to_string()),
        ChangeError::Store(error) => OperatorError::Store(error.to_string()),
    }
}

/// Returns the change with what the node says that is about it.
pub(super) fn show(change: &Change, said: &[(String, Value)]) -> Value {
    let about = said.iter().find(|(_, report)| report["change"].is_object());
    json!({
        "parents": change.parents,
        "children": change.children,
        "at": (change.at != 0).then(|| format!("{:016x}", change.at)),
        "node": about.map(|(node, _)| node),
        "progress": about.map(|(_, report)| &report["change"]),
    })
}

/// Has shards split or merged, shows how far that is, and ends when it is done.
pub(super) async fn run(args: &AdminArgs, asked: &ShardAsk) -> Result<(), AdminError> {
    let (path, parents, within) = match asked {
        ShardAsk::Split { shard, at, within } => {
            let at = at
                .as_ref()
                .map_or_else(String::new, |at| format!("?at={}", escaped(at)));
            (format!("/admin/shards/{shard}/split{at}"), vec![*shard], *within)
        }
        ShardAsk::Merge { left, right, within } => (
            format!("/admin/shards/{left}/merge/{right}"),
            vec![*left, *right],
            *within,
        ),
        ShardAsk::Cancel => {
            let value = ask(args.address, Method::POST, "/admin/shards/cancel").await?;
            match args.output {
                Output::Json => println!("{value:#}"),
                Output::Table => println!("the change is taken back"),
            }
            return Ok(());
        }
    };
    let before = ask(args.address, Method::GET, "/admin/shards").await?;
    let range = range(&before, &parents);
    let within = Duration::from_secs(within);
    let began = Instant::now();
    ask(args.address, Method::POST, &path).await?;
    let mut shown = String::new();
    loop {
        match ask(args.address, Method::GET, "/admin/shards").await {
            Ok(value) => {
                let change = &value["change"];
                let ours = list(&change["parents"]).iter().eq(&parents);
                if !ours {
                    let seconds = began.elapsed().as_secs_f32();
                    return done(args.output, &value, &parents, range.as_ref(), seconds);
                }
                let line = describe(change);
                if line != shown {
                    progress(args.output, &line);
                    shown = line;
                }
            }
            // It may be starting anew.
            Err(AskError::Connect(..) | AskError::Broken(..)) if began.elapsed() < within => {}
            Err(error) => return Err(error.into()),
        }
        if began.elapsed() > within {
            return Err(AdminError::Unfinished(within));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the first and the last position of the shards.
fn range(value: &Value, shards: &[u32]) -> Option<(String, String)> {
    let find = |shard: &u32| list(&value["shards"]).iter().find(|one| one["shard"] == *shard);
    let (first, last) = (find(shards.first()?)?, find(shards.last()?)?);
    Some((text(&first["from"]), text(&last["to"])))
}

fn describe(change: &Value) -> String {
    let progress = &change["progress"];
    if progress.is_null() {
        return "waits for the node that has the shards".to_owned();
    }
    let mut line = format!(
        "{} {}: {} rows read",
        text(&change["node"]),
        text(&progress["phase"]),
        text(&progress["rows"])
    );
    if let Some(why) = progress["last_failure"].as_str() {
        line.push_str(&format!(
            "; begun anew {} times: {why}",
            text(&progress["failures"])
        ));
    }
    line
}

fn done(
    output: Output,
    value: &Value,
    parents: &[u32],
    range: Option<&(String, String)>,
    seconds: f32,
) -> Result<(), AdminError> {
    let shards = list(&value["shards"]);
    if parents
        .iter()
        .any(|parent| shards.iter().any(|shard| shard["shard"] == *parent))
    {
        return Err(AdminError::TakenBack);
    }
    let is_new = |shard: &&Value| {
        range.is_some_and(|(from, to)| text(&shard["from"]) >= *from && text(&shard["to"]) <= *to)
    };
    let children: Vec<&Value> = shards
        .iter()
        .filter(is_new)
        .map(|shard| &shard["shard"])
        .collect();
    match output {
        Output::Json => println!(
            "{}",
            json!({ "parents": parents, "children": children, "seconds": seconds })
        ),
        Output::Table => {
            let names = |shards: Vec<String>| shards.join(" and ");
            let parents = names(parents.iter().map(u32::to_string).collect());
            let children = names(children.into_iter().map(text).collect());
            println!("shard {parents} has become {children}, after {seconds:.1} s");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_how_far_it_is() {
        let change = Change {
            parents: vec![3],
            at: 255,
            children: vec![8, 9],
        };
        let said = [
            ("a".to_owned(), json!({ "change": null })),
            (
                "b".to_owned(),
                json!({ "change": { "phase": "copies", "rows": 7, "failures": 0 } }),
            ),
        ];
        let shown = show(&change, &said);
        assert_eq!(shown["at"], "00000000000000ff");
        assert_eq!(describe(&shown), "b copies: 7 rows read");
        assert_eq!(
            describe(&show(&change, &[])),
            "waits for the node that has the shards"
        );
    }

    #[test]
    fn a_change_is_done_when_its_parents_are_gone() {
        let value = json!({ "shards": [
            { "shard": 1, "from": "00", "to": "7f" },
            { "shard": 8, "from": "80", "to": "ff" },
        ]});
        let range = Some(("80".to_owned(), "ff".to_owned()));
        let end = |parents: &[u32]| done(Output::Json, &value, parents, range.as_ref(), 0.1);
        assert!(end(&[3, 4]).is_ok());
        assert!(matches!(end(&[1]), Err(AdminError::TakenBack)));
    }
}

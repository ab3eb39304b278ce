//! Holds what the store keeps of each shard's writers against what nodes said of themselves: nobody wrote behind
//! another's back. Pure.

use std::collections::BTreeMap;

use proto::ids::ShardId;
use storage::cassandra::writers::Writers;

/// What nodes believed, by shard and epoch: the last batch that each of them held for durable.
pub(crate) type Beliefs = BTreeMap<(ShardId, u64), BTreeMap<String, u64>>;

/// Checks all shards; gives how many epochs and how many marks of batches were held against each other, or the first
/// sign of two writers.
pub(crate) fn check(stored: &BTreeMap<ShardId, Writers>, beliefs: &Beliefs) -> Result<Checked, String> {
    let mut checked = Checked::default();
    for (shard, writers) in stored {
        in_turn(writers).map_err(|problem| format!("{shard}: {problem}"))?;
        checked.epochs += writers.begun.len();
        checked.marks += writers.marks.len();
    }
    for ((shard, epoch), nodes) in beliefs {
        let writers = stored
            .get(shard)
            .ok_or_else(|| format!("{shard}: nodes held it, and the store does not know it"))?;
        believed(writers, *epoch, nodes).map_err(|problem| format!("{shard}: {problem}"))?;
        checked.beliefs += nodes.len();
    }
    Ok(checked)
}

/// What was held against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub epochs: usize,
    /// Batches that wrote outside their shard's partition.
    pub marks: usize,
    pub beliefs: usize,
}

/// Epochs follow one another, and each batch was written under the epoch whose turn it was.
fn in_turn(writers: &Writers) -> Result<(), String> {
    let (mut before, mut last) = (0, 0);
    for (epoch, begun) in &writers.begun {
        if *begun < last {
            return Err(format!(
                "epoch {epoch} began after batch {begun}, epoch {before} already after {last}"
            ));
        }
        (before, last) = (*epoch, *begun);
    }
    if writers.epoch != before {
        return Err(format!(
            "the newest epoch is {}, the last one that began {before}",
            writers.epoch
        ));
    }
    if writers.batch < last {
        return Err(format!(
            "the last batch is {}, and epoch {before} began after {last}",
            writers.batch
        ));
    }
    let mut landed: BTreeMap<u64, u64> = BTreeMap::new();
    for (epoch, batch) in &writers.marks {
        let Some(begun) = writers.begun.get(epoch) else {
            return Err(format!(
                "batch {batch} was written under epoch {epoch}, which never began"
            ));
        };
        if batch <= begun {
            return Err(format!(
                "batch {batch} was written under epoch {epoch}, which began after {begun}"
            ));
        }
        if *batch <= writers.last_of(*epoch)
            && let Some(other) = landed.insert(*batch, *epoch)
        {
            return Err(format!(
                "batch {batch} landed under epoch {other} and under {epoch}"
            ));
        }
    }
    Ok(())
}

/// One node at most held the epoch, and what it believed durable has landed.
fn believed(writers: &Writers, epoch: u64, nodes: &BTreeMap<String, u64>) -> Result<(), String> {
    if nodes.len() > 1 {
        return Err(format!("epoch {epoch} was held by {nodes:?}"));
    }
    if !writers.begun.contains_key(&epoch) {
        return Err(format!("epoch {epoch} was held by {nodes:?} and never began"));
    }
    let last = writers.last_of(epoch);
    match nodes.iter().find(|(_, batch)| **batch > last) {
        None => Ok(()),
        Some((node, batch)) => Err(format!(
            "{node} held batch {batch} of epoch {epoch} for durable, and only {last} has landed under it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn writers() -> Writers {
        Writers {
            epoch: 4,
            batch: 30,
            begun: [(1, 0), (2, 10), (4, 20)].into(),
            // The second one of epoch 1 was fenced.
            marks: [(1, 4), (1, 11), (2, 11), (2, 20), (4, 30)].into(),
        }
    }

    fn beliefs(epoch: u64, nodes: &[(&str, u64)]) -> Beliefs {
        let nodes = nodes.iter().map(|(node, batch)| ((*node).to_owned(), *batch));
        [((SHARD, epoch), nodes.collect())].into()
    }

    fn problem(change: impl FnOnce(&mut Writers), beliefs: &Beliefs) -> String {
        let mut writers = writers();
        change(&mut writers);
        check(&[(SHARD, writers)].into(), beliefs).map_or_else(|problem| problem, |_| String::new())
    }

    #[test]
    fn writers_in_turn_are_fine() {
        let checked = check(&[(SHARD, writers())].into(), &beliefs(2, &[("node-1", 20)]));
        let wanted = Checked {
            epochs: 3,
            marks: 5,
            beliefs: 1,
        };
        assert_eq!(checked, Ok(wanted));
    }

    #[test]
    fn two_writers_are_found() {
        let none = Beliefs::new();
        let cases = [
            (
                problem(|it| it.begun.extend([(3, 25)]), &none),
                "already after 25",
            ),
            (problem(|it| it.epoch = 5, &none), "the newest epoch is 5"),
            (problem(|it| it.batch = 19, &none), "the last batch is 19"),
            (problem(|it| it.marks.extend([(3, 25)]), &none), "never began"),
            (
                problem(|it| it.marks.extend([(4, 20)]), &none),
                "which began after 20",
            ),
            (
                problem(|_| {}, &beliefs(2, &[("node-1", 12), ("node-2", 12)])),
                "was held by",
            ),
            (problem(|_| {}, &beliefs(3, &[("node-1", 12)])), "never began"),
            (
                problem(|_| {}, &beliefs(1, &[("node-1", 11)])),
                "only 10 has landed",
            ),
            (
                problem(|_| {}, &beliefs(4, &[("node-1", 31)])),
                "only 30 has landed",
            ),
        ];
        for (found, wanted) in cases {
            assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
        }
    }
}

//! The same load against two servers in turn, and the ratios with their spread.
//!
//! Rounds alternate who goes first, so that a drift of the machine falls on both.

use std::{fmt, slice, sync::Arc};

use serde::Serialize;

use crate::{
    cli::LoadArgs,
    drive::Stop,
    run::{Target, run},
    summary::Summary,
    text::Contender,
};

/// Smallest, middle and largest of some numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// `None` when there is no finite value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values[..] {
            [] => None,
            [min, ..] => {
                let median = if values.len() % 2 == 1 {
                    values[middle]
                } else {
                    (values[middle - 1] + values[middle]) / 2.0
                };
                Some(Self {
                    min,
                    median,
                    max: values[values.len() - 1],
                })
            }
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} / {} / {}",
            short(self.min),
            short(self.median),
            short(self.max)
        )
    }
}

/// One figure for both servers and how much better A is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub figure: &'static str,
    pub a: Option<Spread>,
    pub b: Option<Spread>,
    /// Round by round; above 1 means that A is better.
    pub ratio: Option<Spread>,
}

/// The whole comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub scenario: String,
    pub pace: String,
    pub names: [String; 2],
    pub lines: Vec<Line>,
    pub rounds: Vec<[Summary; 2]>,
}

/// How a figure is read, and whether more of it is better.
type Figure = (&'static str, fn(&Summary) -> Option<f64>, bool);

const FIGURES: [Figure; 13] = [
    ("workflows/s", |run| Some(run.workflows_per_s), true),
    (
        "operations/s",
        |run| (run.operations_per_s > 0.0).then_some(run.operations_per_s),
        true,
    ),
    (
        "CPU ms/workflow",
        |run| {
            run.server
                .filter(|_| run.window_workflows > 0)
                .map(|server| server.cpu_ms_per_workflow)
        },
        false,
    ),
    (
        "p50 ms",
        |run| (run.latency_ms.count > 0).then_some(run.latency_ms.p50),
        false,
    ),
    (
        "p99 ms",
        |run| (run.latency_ms.count > 0).then_some(run.latency_ms.p99),
        false,
    ),
    (
        "resident MiB",
        |run| run.server.map(|server| server.rss_mib),
        false,
    ),
    (
        "written B/workflow",
        |run| run.server.map(|server| server.written_bytes_per_workflow),
        false,
    ),
    (
        "fsyncs/workflow",
        |run| run.server.and_then(|server| server.fsyncs_per_workflow),
        false,
    ),
    ("filled/s", |run| run.filled.map(|filled| filled.per_s), true),
    (
        "asleep CPU ms/s",
        |run| run.asleep.map(|asleep| asleep.server_cpu_ms_per_s),
        false,
    ),
    (
        "asleep written B/s",
        |run| run.asleep.map(|asleep| asleep.server_written_bytes_per_s),
        false,
    ),
    (
        "asleep B each",
        |run| run.asleep.map(|asleep| asleep.server_bytes_per_workflow),
        false,
    ),
    (
        "harness CPU ms/wf",
        |run| Some(run.harness.cpu_ms_per_workflow),
        false,
    ),
];

/// Runs the rounds; stops between runs when told.
pub(crate) async fn compare(
    load: &LoadArgs,
    a: &Contender,
    b: &Contender,
    rounds: usize,
    stop: Arc<Stop>,
) -> Result<Comparison, String> {
    let rounds = in_turn(load, &[a, b], rounds, stop).await?;
    Ok(Comparison::between(&[a, b], &rounds, 1))
}

/// Runs the load against each server in turn, a summary of each for each round; who goes first changes from round to
/// round.
pub(crate) async fn in_turn(
    load: &LoadArgs,
    sides: &[&Contender],
    rounds: usize,
    stop: Arc<Stop>,
) -> Result<Vec<Vec<Summary>>, String> {
    let target = |side: &&Contender| {
        let addresses = slice::from_ref(&side.target);
        Target::new(&side.name, addresses, &side.pids, side.pages.as_ref())
    };
    let targets: Vec<Target> = sides.iter().map(target).collect();
    let mut done = Vec::new();
    for round in 0..rounds.max(1) {
        let mut runs = vec![None; targets.len()];
        for at in 0..targets.len() {
            if stop.is_told() {
                break;
            }
            let side = (round + at) % targets.len();
            let summary = run(load, &targets[side], true, stop.clone()).await?.summary;
            eprintln!("round {} {}: {}", round + 1, targets[side].name, brief(&summary));
            runs[side] = Some(summary);
        }
        done.extend(runs.into_iter().collect::<Option<Vec<Summary>>>());
    }
    if done.is_empty() {
        return Err("stopped before a round was whole".to_owned());
    }
    Ok(done)
}

fn brief(summary: &Summary) -> String {
    let cpu = summary.server.map_or(String::new(), |server| {
        format!(", {:.2} ms CPU", server.cpu_ms_per_workflow)
    });
    let clean = if summary.is_clean() { "" } else { ", NOT CLEAN" };
    format!(
        "{:.1}/s{cpu}, p50 {:.1} p99 {:.1} ms{clean}",
        summary.workflows_per_s, summary.latency_ms.p50, summary.latency_ms.p99
    )
}

impl Comparison {
    /// Compares the first of the servers with another one.
    pub(crate) fn between(sides: &[&Contender], rounds: &[Vec<Summary>], other: usize) -> Self {
        let names = [0, other].map(|side| sides[side].name.clone());
        let pair = |round: &Vec<Summary>| [0, other].map(|side| round[side].clone());
        Self::of(names, rounds.iter().map(pair).collect())
    }

    /// From whole rounds, at least one.
    fn of(names: [String; 2], rounds: Vec<[Summary; 2]>) -> Self {
        let line = |(figure, read, more_is_better): Figure| {
            let ratio = |[a, b]: &[Summary; 2]| {
                let (a, b) = (read(a)?, read(b)?);
                Some(if more_is_better { a / b } else { b / a })
            };
            let line = Line {
                figure,
                a: Spread::of(rounds.iter().filter_map(|[a, _]| read(a))),
                b: Spread::of(rounds.iter().filter_map(|[_, b]| read(b))),
                ratio: Spread::of(rounds.iter().filter_map(ratio)),
            };
            (line.a.is_some() || line.b.is_some()).then_some(line)
        };
        let lines = FIGURES.into_iter().filter_map(line).collect();
        let (scenario, pace) = (rounds[0][0].scenario.clone(), rounds[0][0].pace.clone());
        Self {
            scenario,
            pace,
            names,
            lines,
            rounds,
        }
    }

    /// What the servers call their versions.
    pub(crate) fn versions(&self) -> [&str; 2] {
        self.rounds.first().map_or([""; 2], |round| {
            [0, 1].map(|side| round[side].server_version.as_str())
        })
    }

    /// A run was too short for its latencies.
    pub(crate) fn is_rough(&self) -> bool {
        self.rounds.iter().flatten().any(|run| run.rough)
    }

    /// The most that other processes took in any run, cores.
    pub(crate) fn others_cores(&self) -> f64 {
        self.rounds
            .iter()
            .flatten()
            .map(|run| run.others_cores)
            .fold(0.0, f64::max)
    }

    pub(crate) fn is_disturbed(&self) -> bool {
        self.rounds.iter().flatten().any(Summary::is_disturbed)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.rounds.iter().flatten().all(Summary::is_clean)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.names;
        writeln!(
            f,
            "{}, {}, {} rounds; min / median / max",
            self.scenario,
            self.pace,
            self.rounds.len()
        )?;
        let title = format!("{a} better by");
        write!(f, "{:<20}{a:>30}{b:>30}{title:>26}", "")?;
        for line in &self.lines {
            let show = |spread: &Option<Spread>| spread.map_or("-".to_owned(), |spread| spread.to_string());
            write!(
                f,
                "\n{:<20}{:>30}{:>30}{:>26}",
                line.figure,
                show(&line.a),
                show(&line.b),
                show(&line.ratio)
            )?;
        }
        if self.is_disturbed() {
            write!(
                f,
                "\nDISTURBED: other processes took up to {} cores",
                short(self.others_cores())
            )?;
        }
        if self.is_rough() {
            write!(
                f,
                "\nROUGH: a window was too short for its latency; give it a longer --duration"
            )?;
        }
        if !self.is_clean() {
            write!(f, "\nNOT CLEAN: a run lost something; see --json")?;
        }
        Ok(())
    }
}

/// Three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_of_odd_and_even_counts() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Some(Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            })
        );
        assert_eq!(
            Spread::of([4.0, 1.0]),
            Some(Spread {
                min: 1.0,
                median: 2.5,
                max: 4.0
            })
        );
        assert_eq!(Spread::of([f64::INFINITY]), None);
    }

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!(
            [0.0, 0.1234, 1.234, 12.34, 1234.5].map(short),
            ["0", "0.123", "1.23", "12.3", "1234"]
        );
    }
}

//! Writes the bench down as tables, into the marked part of a document that people write the rest of.

use std::{fmt::Write as _, fs, path::Path};

use super::{Bench, Compared};
use crate::{
    compare::{Comparison, Line, Spread, short},
    output,
};

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// Replaces the marked part of the document, or writes a new one.
pub(crate) fn write(path: &Path, bench: &Bench) -> Result<(), String> {
    let before = fs::read_to_string(path).unwrap_or_else(|_| format!("# Benchmarks\n\n{BEGIN}\n{END}\n"));
    output::write(path, &replaced(&before, &tables(bench)))
}

fn replaced(document: &str, tables: &str) -> String {
    match (document.split_once(BEGIN), document.split_once(END)) {
        (Some((head, _)), Some((_, tail))) => format!("{head}{BEGIN}\n\n{tables}\n{END}{tail}"),
        _ => format!("{document}\n{BEGIN}\n\n{tables}\n{END}\n"),
    }
}

/// The machine, the ratios, the figures.
pub(crate) fn tables(bench: &Bench) -> String {
    let mut text = String::new();
    if bench.results.is_empty() {
        return text;
    }
    machine(&mut text, bench);
    for at in 0..bench.servers.len() - 1 {
        ratios(&mut text, bench, at);
    }
    figures(&mut text, bench);
    asleep(&mut text, bench);
    commands(&mut text, bench);
    honesty(&mut text, bench);
    text
}

fn machine(text: &mut String, bench: &Bench) {
    let host = &bench.host;
    let rounds = bench.comparisons().map(|(_, one)| one.rounds.len()).max();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Measured {} in {} minutes, on {} cores of {} with {:.0} GiB, Linux {}, data on {}.\n\
         Each scenario: all servers started fresh, {} rounds each in turn.",
        host.date,
        bench.took_s.div_ceil(60),
        host.cores,
        host.cpu,
        host.memory_gib,
        host.kernel,
        host.file_system,
        rounds.unwrap_or(0)
    );
    let fresh: Vec<String> = bench
        .servers
        .iter()
        .enumerate()
        .map(|(at, (name, _))| {
            let all = bench.results.iter().filter_map(|result| result.fresh_mib.get(at));
            let median = Spread::of(all.copied()).map_or(0.0, |spread| spread.median);
            format!("{name} {} MiB", short(median))
        })
        .collect();
    let _ = writeln!(
        text,
        "\nIn memory two seconds after a fresh start: {}.",
        fresh.join(", ")
    );
}

fn ratios(text: &mut String, bench: &Bench, at: usize) {
    let of_peer = |result: &'_ Compared| result.comparisons.get(at).cloned();
    let Some(first) = bench.results.first().and_then(of_peer) else {
        return;
    };
    let ([ours, peer], versions) = (&first.names, first.versions());
    let _ = write!(
        text,
        "\n### {ours} and {peer}\n\n\
         How many times better {ours} (answers as {}) is than {peer} ({}): median of the rounds (least to most).\n\n\
         | Scenario | Throughput | CPU per workflow | p50 | p99 |\n|---|---|---|---|---|\n",
        versions[0], versions[1]
    );
    for result in &bench.results {
        let Some(comparison) = result.comparisons.get(at) else {
            continue;
        };
        let ratio = |figure| ratio(line(comparison, figure));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            result.label,
            ratio("workflows/s"),
            ratio("CPU ms/workflow"),
            ratio("p50 ms"),
            ratio("p99 ms")
        );
    }
}

fn figures(text: &mut String, bench: &Bench) {
    let names: Vec<&str> = bench.servers.iter().map(|(name, _)| name.as_str()).collect();
    let _ = write!(
        text,
        "\n### The figures themselves\n\nMedians, {}. Memory is at the end of the window; the harness column is what \
         the load itself cost. Syncs are told by {} alone.\n\n\
         | Scenario | workflows/s | CPU ms | p50 ms | p99 ms | MiB resident | KiB written | syncs | harness CPU ms |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        names.join(" / "),
        names.first().unwrap_or(&"")
    );
    for result in &bench.results {
        let all = |figure, scale| all(&result.comparisons, figure, scale);
        let syncs = result
            .comparisons
            .first()
            .and_then(|one| line(one, "fsyncs/workflow")?.a);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            result.label,
            all("workflows/s", 1.0),
            all("CPU ms/workflow", 1.0),
            all("p50 ms", 1.0),
            all("p99 ms", 1.0),
            all("resident MiB", 1.0),
            all("written B/workflow", 1024.0),
            syncs.map_or("–".to_owned(), |spread| short(spread.median)),
            all("harness CPU ms/wf", 1.0)
        );
    }
}

fn asleep(text: &mut String, bench: &Bench) {
    let extras = [
        "filled/s",
        "asleep CPU ms/s",
        "asleep written B/s",
        "asleep B each",
    ];
    for result in &bench.results {
        let has = |figure: &&&str| {
            let mut lines = result.comparisons.iter().filter_map(|one| line(one, figure));
            lines.next().is_some()
        };
        for figure in extras.iter().filter(has) {
            let figures = all(&result.comparisons, figure, 1.0);
            let _ = write!(text, "\n{}: {figure} {figures}.\n", result.label);
        }
    }
}

fn commands(text: &mut String, bench: &Bench) {
    text.push_str("\n### How\n\n```\n");
    for (name, command) in &bench.servers {
        let _ = writeln!(text, "{name}: {command}");
    }
    text.push('\n');
    for result in &bench.results {
        let _ = writeln!(text, "{}: {}", result.label, result.args);
    }
    text.push_str("```\n");
}

fn honesty(text: &mut String, bench: &Bench) {
    let others = bench
        .comparisons()
        .map(|(_, one)| one.others_cores())
        .fold(0.0, f64::max);
    let _ = write!(
        text,
        "\nOther processes took at most {} cores during any run.\n",
        short(others)
    );
    let labels = |is: fn(&Comparison) -> bool| {
        let mut labels: Vec<&str> = bench
            .comparisons()
            .filter(|(_, one)| is(one))
            .map(|(label, _)| label)
            .collect();
        labels.dedup();
        labels.join("; ")
    };
    let disturbed = labels(Comparison::is_disturbed);
    if !disturbed.is_empty() {
        let _ = write!(
            text,
            "\nDISTURBED, so that their figures say little: {disturbed}.\n"
        );
    }
    let rough = labels(Comparison::is_rough);
    if !rough.is_empty() {
        let _ = write!(
            text,
            "\nRough, since a window was short for the latency: {rough}.\n"
        );
    }
    for failed in &bench.failed {
        let _ = write!(text, "\nNOT MEASURED: {failed}.\n");
    }
    let unclean = labels(|one| !one.is_clean());
    let verdict = if unclean.is_empty() {
        "Every run was clean: each workflow that was started ended exactly once, and the server agreed."
            .to_owned()
    } else {
        format!("NOT CLEAN: {unclean}.")
    };
    let _ = write!(text, "\n{verdict}\n");
}

fn line<'a>(comparison: &'a Comparison, figure: &str) -> Option<&'a Line> {
    comparison.lines.iter().find(|line| line.figure == figure)
}

fn ratio(line: Option<&Line>) -> String {
    let show = |Spread { min, median, max }| format!("**{}** ({}–{})", short(median), short(min), short(max));
    line.and_then(|line| line.ratio).map_or("–".to_owned(), show)
}

/// The figure of all servers, ours first.
fn all(comparisons: &[Comparison], figure: &str, divisor: f64) -> String {
    let show =
        |spread: Option<Spread>| spread.map_or("–".to_owned(), |spread| short(spread.median / divisor));
    let ours = comparisons.first().and_then(|one| line(one, figure)?.a);
    let others = comparisons
        .iter()
        .map(|one| line(one, figure).and_then(|line| line.b));
    let shown: Vec<String> = std::iter::once(ours).chain(others).map(show).collect();
    shown.join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_part_is_replaced() {
        let document = format!("# Title\n\nwords\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let written = replaced(&document, "new");
        assert_eq!(
            written,
            format!("# Title\n\nwords\n\n{BEGIN}\n\nnew\n{END}\n\nmore\n")
        );
        assert_eq!(replaced(&written, "new"), written);
        assert_eq!(replaced("x", "new"), format!("x\n{BEGIN}\n\nnew\n{END}\n"));
    }

    #[test]
    fn ratios_show_their_spread() {
        let spread = Spread {
            min: 9.0,
            median: 10.0,
            max: 12.0,
        };
        let line = Line {
            figure: "p50 ms",
            a: Some(spread),
            b: None,
            ratio: Some(spread),
        };
        assert_eq!(ratio(Some(&line)), "**10.0** (9.00–12.0)");
        assert_eq!(ratio(None), "–");
    }
}

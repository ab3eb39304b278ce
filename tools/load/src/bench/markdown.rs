//! Writes the bench down as tables, into the marked part of a document that people write the rest of.

use std::{fmt::Write as _, fs, path::Path};

use super::Bench;
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
    let Some(first) = bench.results.first() else {
        return text;
    };
    let [ours, peer] = &first.comparison.names;
    let versions = first.comparison.versions();
    let host = &bench.host;
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{} (answers as {}) against {} ({}), measured {}, on {} cores of {} with {:.0} GiB, Linux {}, data on {}.\n\
         Each scenario: both servers started fresh, {} rounds each in turn.\n\n\
         How many times better {} is: median of the rounds (least to most).\n\n\
         | Scenario | Throughput | CPU per workflow | p50 | p99 |\n|---|---|---|---|---|\n",
        ours,
        versions[0],
        peer,
        versions[1],
        host.date,
        host.cores,
        host.cpu,
        host.memory_gib,
        host.kernel,
        host.file_system,
        first.comparison.rounds.len(),
        ours
    );
    for result in &bench.results {
        let ratio = |figure| ratio(line(&result.comparison, figure));
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
    figures(&mut text, bench, ours, peer);
    commands(&mut text, bench, ours, peer);
    text
}

fn figures(text: &mut String, bench: &Bench, ours: &str, peer: &str) {
    let _ = write!(
        text,
        "\nThe figures themselves, medians, {ours} / {peer}. Memory is at the end of the window; the harness \
         column is what the load itself cost.\n\n\
         | Scenario | workflows/s | CPU ms | p50 ms | p99 ms | MiB resident | KiB written | harness CPU ms |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for result in &bench.results {
        let both = |figure, scale| both(line(&result.comparison, figure), scale);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            result.label,
            both("workflows/s", 1.0),
            both("CPU ms/workflow", 1.0),
            both("p50 ms", 1.0),
            both("p99 ms", 1.0),
            both("resident MiB", 1.0),
            both("written B/workflow", 1024.0),
            both("harness CPU ms/wf", 1.0)
        );
    }
    let extras = [
        "filled/s",
        "asleep CPU ms/s",
        "asleep written B/s",
        "asleep B each",
    ];
    for result in &bench.results {
        for line in extras
            .iter()
            .filter_map(|figure| line(&result.comparison, figure))
        {
            let _ = write!(
                text,
                "\n{}: {} {}.\n",
                result.label,
                line.figure,
                both(Some(line), 1.0)
            );
        }
    }
}

fn commands(text: &mut String, bench: &Bench, ours: &str, peer: &str) {
    let [our_command, peer_command] = &bench.commands;
    let _ = write!(text, "\n```\n{ours}: {our_command}\n{peer}: {peer_command}\n\n");
    for result in &bench.results {
        let _ = writeln!(text, "{}: {}", result.label, result.args);
    }
    text.push_str("```\n");
    let rough: Vec<&str> = bench
        .results
        .iter()
        .filter(|result| result.comparison.is_rough())
        .map(|result| result.label)
        .collect();
    let others = bench
        .results
        .iter()
        .map(|result| result.comparison.others_cores())
        .fold(0.0, f64::max);
    let _ = write!(
        text,
        "\nOther processes took at most {} cores during any run.\n",
        short(others)
    );
    if !rough.is_empty() {
        let _ = write!(
            text,
            "\nRough, since a window was short for the latency: {}.\n",
            rough.join("; ")
        );
    }
    let unclean: Vec<&str> = bench
        .results
        .iter()
        .filter(|result| !result.comparison.is_clean())
        .map(|result| result.label)
        .collect();
    let verdict = if unclean.is_empty() {
        "Every run was clean: each workflow that was started ended exactly once, and the server agreed."
            .to_owned()
    } else {
        format!("NOT CLEAN: {}.", unclean.join("; "))
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

fn both(line: Option<&Line>, divisor: f64) -> String {
    let Some(line) = line else { return "–".to_owned() };
    let show =
        |spread: Option<Spread>| spread.map_or("–".to_owned(), |spread| short(spread.median / divisor));
    format!("{} / {}", show(line.a), show(line.b))
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
        assert_eq!(both(Some(&line), 1.0), "10.0 / –");
        assert_eq!(ratio(None), "–");
    }
}

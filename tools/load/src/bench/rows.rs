//! The scenarios of the bench and how hard each is driven.

/// One line of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub name: &'static str,
    pub label: &'static str,
    args: &'static str,
    /// One round will do: what it shows is not a matter of chance, and it takes long.
    pub once: bool,
}

const fn row(name: &'static str, label: &'static str, args: &'static str) -> Row {
    Row {
        name,
        label,
        args,
        once: false,
    }
}

const fn once(name: &'static str, label: &'static str, args: &'static str) -> Row {
    Row {
        once: true,
        ..row(name, label, args)
    }
}

pub(crate) const ROWS: &[Row] = &[
    row("noop", "No-op, 64 in flight", "--scenario noop --concurrency 64"),
    row("noop-rate", "No-op, 20/s", "--scenario noop --rate 20"),
    row(
        "activity",
        "One activity, 64 in flight",
        "--scenario activity --concurrency 64",
    ),
    row(
        "activity-rate",
        "One activity, 20/s",
        "--scenario activity --rate 20",
    ),
    row(
        "sequential",
        "10 activities in sequence, 8 in flight",
        "--scenario sequential --concurrency 8",
    ),
    row(
        "parallel",
        "10 activities in parallel, 8 in flight",
        "--scenario parallel --concurrency 8",
    ),
    row(
        "signal",
        "Start, signal, complete, 64 in flight",
        "--scenario signal --concurrency 64",
    ),
    row(
        "signal-with-start",
        "Signal-with-start, 64 in flight",
        "--scenario signal-with-start --concurrency 64",
    ),
    row(
        "signals",
        "1,000 signals into one workflow, 16 callers",
        "--scenario signals --concurrency 1 --workflows 2",
    ),
    row(
        "timer",
        "Timer of 1 s, 64 in flight",
        "--scenario timer --concurrency 64",
    ),
    row(
        "children",
        "5 children, 8 in flight",
        "--scenario children --concurrency 8",
    ),
    row(
        "chain",
        "Continue as new twice, 16 in flight",
        "--scenario chain --concurrency 16",
    ),
    row(
        "update",
        "One update, 16 in flight",
        "--scenario update --concurrency 16",
    ),
    row(
        "query",
        "One query, 16 in flight",
        "--scenario query --concurrency 16",
    ),
    row(
        "large-payload",
        "One activity, 256 KiB payloads, 4 in flight",
        "--scenario large-payload --concurrency 4",
    ),
    row(
        "large-history",
        "History of 1,000 events, 4 in flight",
        "--scenario large-history --concurrency 4",
    ),
    row(
        "no-sticky",
        "10 activities, no sticky cache",
        "--scenario sequential --concurrency 8 --no-sticky",
    ),
    row(
        "backlog",
        "Backlog of 500, drained",
        "--scenario backlog --workflows 500",
    ),
    once(
        "sleepers",
        "1,000 sleepers",
        "--scenario sleepers --workflows 1000 --idle 5s --leave",
    ),
    once(
        "timers",
        "100,000 open timers, 100 in each workflow",
        "--scenario sleepers --timers 100 --workflows 1000 --idle 5s --leave --drain 120s",
    ),
];

impl Row {
    /// The options of a run; `seconds` long unless the row is bounded by a number of workflows.
    pub(crate) fn command_line(&self, seconds: u64) -> String {
        let bounded = self.args.contains("--workflows");
        let bound = if bounded {
            String::new()
        } else {
            format!(" --duration {seconds}s")
        };
        format!("{}{bound} --warm-up 1s", self.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}

//! The table of metrics in the documentation is made from the code: `cargo xtask metrics-table` writes it, this test
//! fails when it is stale.

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use frontend::metrics::Metrics;
use proto::metrics::{Kind, Metric, Scale};

const PAGE: &str = "docs/metrics.md";
const BEGIN: &str = "<!-- metrics: begin -->";
const END: &str = "<!-- metrics: end -->";
/// Set to write the page instead of looking at it.
const WRITE: &str = "PERDURE_WRITE_DOCS";

#[test]
fn the_documented_table_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let page = fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("begin mark");
    let (_, tail) = rest.split_once(END).expect("end mark");
    let wanted = format!("{head}{BEGIN}\n\n{}\n{END}{tail}", tables());
    if env::var_os(WRITE).is_some() {
        fs::write(&path, wanted).expect("page written");
    } else {
        assert!(
            page == wanted,
            "{PAGE} is stale: `cargo xtask metrics-table` writes it"
        );
    }
}

#[test]
fn each_metric_says_what_it_is() {
    let mut seen = BTreeSet::new();
    for about in Metrics::table() {
        let name = about.name;
        assert!(
            about.help.ends_with('.') && !about.help.starts_with(' '),
            "{name}: {:?}",
            about.help
        );
        assert!(seen.insert((name, about.constant)), "{name} is there twice");
        let own = name.starts_with("perdure_");
        assert!(own != about.official, "{name}: our own names begin with perdure_");
        let counter = name.ends_with("_total");
        assert!(
            !own || counter == (about.kind == Kind::Counter),
            "{name}: our counters, and nothing else, end with _total"
        );
        let labels = about
            .labels
            .iter()
            .chain(about.constant.iter().map(|(label, _)| label));
        for label in labels {
            assert!(
                label.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{name}: {label}"
            );
        }
    }
}

fn tables() -> String {
    let mut metrics = Metrics::table();
    metrics.sort_by_key(|about| (about.name, about.constant));
    let (official, own): (Vec<_>, Vec<_>) = metrics.into_iter().partition(|about| about.official);
    format!(
        "### Under official names\n\n{}\n### Our own\n\n{}",
        table(&official),
        table(&own)
    )
}

fn table(metrics: &[&Metric]) -> String {
    let mut text = "| metric | kind | labels | what it is |\n|---|---|---|---|\n".to_owned();
    for about in metrics {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            about.name,
            kind(about.kind),
            labels(about),
            about.help
        );
    }
    text
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(Scale::Time) => "histogram, seconds",
        Kind::Histogram(Scale::Count) => "histogram",
        Kind::Histogram(Scale::Bytes) => "histogram, bytes",
    }
}

fn labels(about: &Metric) -> String {
    let constant = about
        .constant
        .iter()
        .map(|(name, value)| format!("`{name}=\"{value}\"`"));
    let own = about.labels.iter().map(|name| format!("`{name}`"));
    constant.chain(own).collect::<Vec<_>>().join(" ")
}

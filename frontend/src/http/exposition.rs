//! The text format in which Prometheus reads metrics (version 0.0.4).

use std::{collections::BTreeMap, fmt::Write};

use proto::metrics::{Kind, Metric, Sample, Series, Snapshot, Value};

/// Writes the samples; those of one name stand together, as the format wants it.
pub(super) fn text(samples: &[Sample]) -> String {
    let mut by_name: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(sample.about.name).or_default().push(sample);
    }
    let mut text = String::new();
    for (name, samples) in by_name {
        let about = samples[0].about;
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} {}\n# TYPE {name} {}",
            about.help,
            kind(about)
        );
        for sample in samples {
            for series in &sample.series {
                write_series(&mut text, sample.about, series);
            }
        }
    }
    text
}

fn kind(about: &Metric) -> &'static str {
    match about.kind {
        Kind::Histogram(_) => "histogram",
        // Official names break the rules of the format for counters and gauges: a name tells nothing of the kind.
        Kind::Counter | Kind::Gauge if about.official => "untyped",
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    }
}

fn write_series(text: &mut String, about: &Metric, series: &Series) {
    let constant = about.constant.iter().copied();
    let own = about.labels.iter().copied();
    let own = own.zip(series.labels.iter().map(AsRef::as_ref));
    // Values hold letters, digits and underscores alone: nothing is to be escaped.
    let labels: Vec<String> = constant
        .chain(own)
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    let labels = labels.join(",");
    let _ = match &series.value {
        Value::Counter(count) => writeln!(text, "{}{} {count}", about.name, braced(&labels)),
        Value::Gauge(level) => writeln!(text, "{}{} {level}", about.name, braced(&labels)),
        Value::Histogram(snapshot) => {
            write_histogram(text, about.name, &labels, snapshot);
            Ok(())
        }
    };
}

fn write_histogram(text: &mut String, name: &str, labels: &str, snapshot: &Snapshot) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut cumulated = 0;
    for (bound, count) in &snapshot.buckets {
        cumulated += count;
        let bound = if *bound == f64::MAX {
            "+Inf".to_owned()
        } else {
            bound.to_string()
        };
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {cumulated}");
    }
    let (braced, sum) = (braced(labels), snapshot.sum);
    let _ = writeln!(text, "{name}_sum{braced} {sum}\n{name}_count{braced} {cumulated}");
}

fn braced(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::metrics::{Counter, Family, Histogram, Measure, Scale};

    use super::*;

    const CALLS: Metric = Metric::official("calls", &[("service_name", "frontend")])
        .by(&["operation"])
        .help("Calls.");
    const SHARDS: Metric = Metric::official("calls", &[("service_name", "history")]).help("Calls.");
    const TURNS: Metric = Metric::own("turns_total").help("Turns.");
    const WAITS: Metric = Metric::own("waits_seconds").histogram(Scale::Time).help("Waits.");

    fn sample(about: &'static Metric, measure: &impl Measure) -> Sample {
        Sample {
            about,
            series: measure.series(),
        }
    }

    #[test]
    fn samples_of_one_name_stand_together() {
        let (calls, shards, turns) = (
            Family::<Counter>::new(&CALLS),
            Counter::new(&SHARDS),
            Counter::new(&TURNS),
        );
        calls.with(&["Poll"]).add(2);
        shards.add(3);
        let samples = [
            sample(&CALLS, &calls),
            sample(&TURNS, &turns),
            sample(&SHARDS, &shards),
        ];
        let expected = "\
# HELP calls Calls.
# TYPE calls untyped
calls{service_name=\"frontend\",operation=\"Poll\"} 2
calls{service_name=\"history\"} 3
# HELP turns_total Turns.
# TYPE turns_total counter
turns_total 0
";
        assert_eq!(text(&samples), expected);
    }

    #[test]
    fn buckets_are_cumulated() {
        let waits = Histogram::new(Scale::Time);
        for millis in [1, 3, 2_000_000] {
            waits.record(Duration::from_millis(millis));
        }
        let text = text(&[sample(&WAITS, &waits)]);
        for line in [
            "# TYPE waits_seconds histogram",
            "waits_seconds_bucket{le=\"0.001\"} 1",
            "waits_seconds_bucket{le=\"0.005\"} 2",
            "waits_seconds_bucket{le=\"1000\"} 2",
            "waits_seconds_bucket{le=\"+Inf\"} 3",
            "waits_seconds_sum 2000.004",
            "waits_seconds_count 3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }
}

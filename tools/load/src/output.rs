//! Writes results to the terminal and to files.

use std::{
    fmt::{Display, Write as _},
    fs,
    io::{Write as _, stdout},
    path::Path,
};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Prints a result; a reader that left early is no error.
pub(crate) fn say(result: impl Display) {
    let _ = writeln!(stdout(), "{result}");
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| format!("encode JSON: {error}"))?;
    write(path, &text)
}

/// HdrHistogram's percentile text, which its plotters read; milliseconds.
pub(crate) fn write_hdr(path: &Path, latency_us: &Histogram<u64>) -> Result<(), String> {
    write(path, &percentile_text(latency_us))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))
}

fn percentile_text(latency_us: &Histogram<u64>) -> String {
    let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    let ms = |micros: u64| micros as f64 / 1e3;
    let mut total = 0;
    for step in latency_us.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = ms(step.value_iterated_to());
        let inverse = if quantile < 1.0 {
            format!("{:14.2}", 1.0 / (1.0 - quantile))
        } else {
            "inf".into()
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{value:12.3} {quantile:.12} {total:10} {inverse}");
    }
    let (mean, deviation) = (latency_us.mean() / 1e3, latency_us.stdev() / 1e3);
    let (max, count) = (ms(latency_us.max()), latency_us.len());
    let _ = writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder;

    #[test]
    fn the_percentile_text_ends_at_the_maximum() {
        let mut histogram = recorder::histogram();
        (1..=100).for_each(|ms| histogram.saturating_record(ms * 1000));
        let text = percentile_text(&histogram);
        assert!(text.contains("#[Max     =      100"), "{text}");
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(last.contains("1.000000000000        100 inf"), "{last}");
    }
}

//! The report of one run: a page that needs nothing but a browser.
//!
//! Pure: takes a result, gives text.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::{
    chart::{Chart, Scale, Series, seconds_ticks},
    summary::{Point, Summary},
};

const PAGE: &str = include_str!("report.html");
/// Largest "one in so many" that the distribution's axis shows.
const NINES_MAX: f64 = 6.0;

/// The page.
pub(crate) fn page(summary: &Summary, latency_us: &Histogram<u64>) -> String {
    let title = format!("{}, {}", summary.scenario, summary.pace);
    let subtitle = format!(
        "{} (server {}), payload {} B, warm-up {:.0} s, window {:.1} s",
        summary.targets.join(", "),
        summary.server_version,
        summary.payload_bytes,
        summary.warm_up_s,
        summary.window_s
    );
    let charts: String = charts(summary, latency_us).iter().map(Chart::svg).collect();
    PAGE.replace("{{title}}", &escape(&title))
        .replace("{{subtitle}}", &escape(&subtitle))
        .replace("{{tiles}}", &tiles(summary))
        .replace("{{calls}}", &calls(summary))
        .replace("{{verdict}}", &verdict(summary))
        .replace("{{charts}}", &charts)
}

fn tiles(summary: &Summary) -> String {
    let latency = &summary.latency_ms;
    let mut tiles = vec![
        (format!("{:.1}", summary.workflows_per_s), "workflows/s"),
        (format!("{:.1}", latency.p50), "p50 ms"),
        (format!("{:.1}", latency.p99), "p99 ms"),
        (format!("{:.1}", latency.max), "max ms"),
    ];
    if let Some(server) = &summary.server {
        tiles.push((
            format!("{:.2}", server.cpu_ms_per_workflow),
            "server CPU ms/workflow",
        ));
        tiles.push((format!("{:.0}", server.rss_mib), "server MiB resident"));
        tiles.push((
            format!("{:.0}", server.written_bytes_per_workflow),
            "bytes written/workflow",
        ));
    }
    tiles.push((
        format!("{:.2}", summary.harness.cpu_ms_per_workflow),
        "harness CPU ms/workflow",
    ));
    tiles
        .iter()
        .map(|(value, name)| format!("<div><b>{value}</b><span>{name}</span></div>"))
        .collect()
}

fn charts(summary: &Summary, latency_us: &Histogram<u64>) -> Vec<Chart> {
    let ticks_x = seconds_ticks(summary.points.last().map_or(1.0, |point| point.at_s));
    let line = |name, colour, read: fn(&Point) -> f64| Series {
        name,
        colour,
        points: summary
            .points
            .iter()
            .map(|point| (point.at_s, read(point)))
            .collect(),
    };
    let over_time = |title, unit, scale, series| Chart {
        title,
        unit,
        scale,
        series,
        ticks_x: ticks_x.clone(),
    };
    let mut charts = vec![
        over_time(
            "Throughput",
            "per second",
            Scale::Linear,
            vec![
                line("ended", 1, |point| point.interval.closed as f64),
                line("started", 4, |point| point.interval.started as f64),
                line("errors", 3, |point| point.interval.errors as f64),
            ],
        ),
        over_time(
            "Latency",
            "ms, of those ended in that second",
            Scale::Log,
            vec![
                line("p50", 1, |point| point.interval.latency_ms.p50),
                line("p99", 2, |point| point.interval.latency_ms.p99),
                line("max", 3, |point| point.interval.latency_ms.max),
            ],
        ),
        distribution(latency_us),
        over_time(
            "CPU",
            "cores",
            Scale::Linear,
            vec![
                line("server", 1, |point| point.server_cores),
                line("harness", 2, |point| point.harness_cores),
            ],
        ),
        over_time(
            "In flight",
            "workflows",
            Scale::Linear,
            vec![line("in flight", 1, |point| point.in_flight as f64)],
        ),
    ];
    if summary.server.is_some() {
        let memory = vec![line("server", 1, |point| point.server_rss_mib)];
        charts.insert(4, over_time("Memory", "MiB resident", Scale::Linear, memory));
    }
    charts
}

/// Latency by percentile, the axis stretched towards the rare.
fn distribution(latency_us: &Histogram<u64>) -> Chart {
    let nines = |quantile: f64| (-(1.0 - quantile).log10()).min(NINES_MAX);
    let points = latency_us
        .iter_quantiles(10)
        .map(|step| {
            (
                nines(step.quantile_iterated_to()),
                step.value_iterated_to() as f64 / 1e3,
            )
        })
        .filter(|(nines, _)| *nines < NINES_MAX);
    let points: Vec<_> = points.collect();
    let end = points.last().map_or(0.0, |point| point.0);
    let ticks = [
        (0.0, "0 %"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
    ];
    let rare = [(4.0, "99.99 %"), (5.0, "99.999 %")];
    let ticks_x = ticks.into_iter().chain(rare).filter(|(at, _)| *at <= end);
    Chart {
        title: "Latency distribution",
        unit: "ms by percentile",
        scale: Scale::Log,
        series: vec![Series {
            name: "latency",
            colour: 1,
            points,
        }],
        ticks_x: ticks_x.map(|(at, label)| (at, label.to_owned())).collect(),
    }
}

fn calls(summary: &Summary) -> String {
    let mut rows = String::new();
    for calls in &summary.calls {
        let latency = &calls.latency_ms;
        let ms = |value: f64| {
            if latency.count == 0 {
                "–".to_owned()
            } else {
                format!("{value:.1}")
            }
        };
        let errors: Vec<String> = calls
            .errors
            .iter()
            .map(|(code, errors)| format!("{} {code}: {}", errors.count, escape(&errors.first)))
            .collect();
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"bad\">{}</td></tr>",
            calls.rpc,
            calls.calls,
            ms(latency.p50),
            ms(latency.p99),
            ms(latency.max),
            errors.join("<br>")
        );
    }
    rows
}

fn verdict(summary: &Summary) -> String {
    let verdict = &summary.verdict;
    let class = if summary.is_clean() { "" } else { " class=\"bad\"" };
    format!(
        "<b{class}>{}</b>: {} started, {} ended, {} missing, {} ended twice, {} wrong, {} not started.",
        if summary.is_clean() { "Clean" } else { "Not clean" },
        verdict.started,
        verdict.completed,
        verdict.missing,
        verdict.duplicated,
        verdict.wrong,
        verdict.not_started
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder;

    #[test]
    fn the_distribution_runs_from_the_fastest_to_the_slowest() {
        let mut histogram = recorder::histogram();
        (1..=1000).for_each(|ms| histogram.saturating_record(ms * 1000));
        let chart = distribution(&histogram);
        let points = &chart.series[0].points;
        assert!(points.is_sorted());
        assert!(points.first().is_some_and(|point| point.1 < 2.0));
        assert!(points.last().is_some_and(|point| point.1 > 990.0));
        assert_eq!(chart.ticks_x.len(), 5);
        assert!(distribution(&recorder::histogram()).svg().contains("<svg"));
    }

    #[test]
    fn texts_of_servers_are_escaped() {
        assert_eq!(escape("<b>&\""), "&lt;b&gt;&amp;&quot;");
    }
}

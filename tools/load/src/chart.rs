//! Draws line charts as SVG text. Pure; `report` puts them on a page.

use std::fmt::Write as _;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// One line of a chart; NaN leaves a gap.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub name: &'static str,
    /// 1 to 4: which of the page's colours.
    pub colour: u8,
    pub points: Vec<(f64, f64)>,
}

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten; values at or below zero are left out.
    Log,
}

/// A chart with a legend; `ticks_x` are positions and their labels.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub title: &'static str,
    pub unit: &'static str,
    pub scale: Scale,
    pub series: Vec<Series>,
    pub ticks_x: Vec<(f64, String)>,
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let frame = Frame::of(self);
        let mut svg = format!(
            "<figure><figcaption>{} <small>{}</small>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             data-x0=\"{}\" data-x1=\"{}\" data-left=\"{LEFT}\" data-right=\"{}\">",
            self.title,
            self.unit,
            self.legend(),
            frame.x.0,
            frame.x.1,
            WIDTH - RIGHT,
        );
        self.grid(&frame, &mut svg);
        for series in &self.series {
            let path = path(series, &frame);
            let data: Vec<String> = series
                .points
                .iter()
                .map(|(x, y)| format!("{x:.4},{y:.4}"))
                .collect();
            let _ = write!(
                svg,
                "<path class=\"s{}\" d=\"{path}\" data-name=\"{}\" data-points=\"{}\"/>",
                series.colour,
                series.name,
                data.join(" ")
            );
        }
        svg.push_str("<line class=\"cursor\" y1=\"10\" y2=\"194\"/></svg></figure>");
        svg
    }

    fn legend(&self) -> String {
        let entry =
            |series: &Series| format!("<span class=\"key s{}\">{}</span>", series.colour, series.name);
        self.series.iter().map(entry).collect()
    }

    fn grid(&self, frame: &Frame, svg: &mut String) {
        for value in frame.ticks_y() {
            let y = frame.y_at(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                number(value)
            );
        }
        for (value, label) in &self.ticks_x {
            let x = frame.x_at(*value);
            let y = HEIGHT - 8.0;
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"
            );
        }
    }
}

/// The values at the edges of the plot.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    scale: Scale,
}

impl Frame {
    fn of(chart: &Chart) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let shown = |y: &f64| y.is_finite() && (chart.scale == Scale::Linear || *y > 0.0);
        let values = || points().map(|point| point.1).filter(shown);
        let positions = points()
            .map(|point| point.0)
            .chain(chart.ticks_x.iter().map(|tick| tick.0));
        let x_min = positions.fold(f64::INFINITY, f64::min);
        let x_max = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let y_max = values().fold(0.0, f64::max);
        let y = match chart.scale {
            Scale::Linear => (0.0, nice_above(y_max)),
            Scale::Log => {
                let y_min = values().fold(f64::INFINITY, f64::min).min(y_max.max(1.0));
                let power = |value: f64| 10f64.powf(value);
                (
                    power(y_min.log10().floor()),
                    power(y_max.max(y_min * 2.0).log10().ceil()),
                )
            }
        };
        let x = if x_min < x_max { (x_min, x_max) } else { (0.0, 1.0) };
        Self {
            x,
            y,
            scale: chart.scale,
        }
    }

    fn x_at(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y_at(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.y.0) / (self.y.1 - self.y.0),
            Scale::Log => (value.log10() - self.y.0.log10()) / (self.y.1.log10() - self.y.0.log10()),
        };
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks_y(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => (0..=4).map(|step| self.y.1 * f64::from(step) / 4.0).collect(),
            Scale::Log => {
                let decades = (self.y.1.log10() - self.y.0.log10()).round() as i32;
                (0..=decades).map(|step| self.y.0 * 10f64.powi(step)).collect()
            }
        }
    }
}

fn path(series: &Series, frame: &Frame) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for (x, y) in &series.points {
        if !y.is_finite() || (frame.scale == Scale::Log && *y <= 0.0) {
            pen = 'M';
            continue;
        }
        let _ = write!(path, "{pen}{:.1} {:.1}", frame.x_at(*x), frame.y_at(*y));
        pen = 'L';
    }
    path
}

/// The next of 1, 2, 4, 6, 8 times a power of ten, so that four steps have round labels.
fn nice_above(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    let text = if value.abs() >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Round positions for an axis of seconds, about eight of them.
pub(crate) fn seconds_ticks(end_s: f64) -> Vec<(f64, String)> {
    let step = nice_above(end_s / 8.0).max(1.0);
    let count = (end_s / step) as u32;
    (0..=count)
        .map(|at| f64::from(at) * step)
        .map(|at| (at, format!("{}s", number(at))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale, points: Vec<(f64, f64)>) -> Chart {
        let series = vec![Series {
            name: "a",
            colour: 1,
            points,
        }];
        Chart {
            title: "t",
            unit: "u",
            scale,
            series,
            ticks_x: vec![],
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [0.0, 0.7, 1.0, 3.0, 163.0, 901.0].map(nice_above),
            [1.0, 0.8, 1.0, 4.0, 200.0, 1000.0]
        );
        let frame = Frame::of(&chart(Scale::Linear, vec![(0.0, 1.0), (10.0, 163.0)]));
        assert_eq!(frame.ticks_y(), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(
            (frame.x_at(10.0), frame.y_at(0.0)),
            (WIDTH - RIGHT, HEIGHT - BOTTOM)
        );
    }

    #[test]
    fn a_log_axis_has_a_line_per_decade() {
        let frame = Frame::of(&chart(Scale::Log, vec![(0.0, 0.5), (1.0, 2000.0)]));
        let ticks: Vec<String> = frame.ticks_y().into_iter().map(number).collect();
        assert_eq!(ticks, ["0.1", "1", "10", "100", "1000", "10000"]);
    }

    #[test]
    fn a_value_that_is_not_there_leaves_a_gap() {
        let chart = chart(Scale::Linear, vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)]);
        let drawn = path(&chart.series[0], &Frame::of(&chart));
        assert_eq!(drawn.matches('M').count(), 2);
        assert!(
            Chart {
                series: vec![],
                ..chart
            }
            .svg()
            .contains("<svg")
        );
    }
}

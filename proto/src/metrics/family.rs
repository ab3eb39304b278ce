//! Family: one metric under many labels. Who counts often looks its series up once and keeps it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use super::{Label, Measure, Metric, Series, Value};

/// What a label says whose value is one too many.
pub const OTHER: &str = "_tag_excluded_";
/// Labels whose values clients choose, and how many of them a metric tells apart.
const OPEN: [(&str, usize); 3] = [("namespace", 100), ("taskqueue", 300), ("workflow_type", 300)];
/// Series of one metric, however its labels combine. The rest is counted under [`OTHER`].
const SERIES_MAX: usize = 4_000;

/// One metric under many labels.
#[derive(Debug)]
pub struct Family<M> {
    about: &'static Metric,
    series: RwLock<Known<M>>,
}

#[derive(Debug)]
struct Known<M> {
    series: BTreeMap<Vec<Label>, Arc<M>>,
    /// The values of open labels, by the labels' places.
    shown: BTreeMap<usize, BTreeSet<Label>>,
}

impl<M: Measure> Family<M> {
    /// Returns the series under the labels, given in the order of the metric's definition. Takes a lock.
    #[must_use]
    pub fn with(&self, labels: &[&str]) -> Arc<M> {
        debug_assert_eq!(
            labels.len(),
            self.about.labels.len(),
            "labels of {}",
            self.about.name
        );
        let labels: Vec<Label> = labels.iter().map(|value| sanitised(value)).collect();
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.series.get(&labels) {
            return Arc::clone(series);
        }
        drop(known);
        let mut known = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let labels = self.bounded(&mut known, labels);
        let series = known.series.entry(labels);
        Arc::clone(series.or_insert_with(|| Arc::new(M::new(self.about))))
    }

    /// Replaces the values that are too many to be told apart.
    fn bounded(&self, known: &mut Known<M>, mut labels: Vec<Label>) -> Vec<Label> {
        let full = known.series.len() >= SERIES_MAX;
        for (place, (name, value)) in self.about.labels.iter().zip(&mut labels).enumerate() {
            let Some((_, max)) = OPEN.iter().find(|(open, _)| open == name) else {
                continue;
            };
            let shown = known.shown.entry(place).or_default();
            if full || (shown.len() >= *max && !shown.contains(value)) {
                *value = Label::Borrowed(OTHER);
            } else {
                shown.insert(value.clone());
            }
        }
        labels
    }
}

impl<M: Measure> Family<M> {
    /// Returns the sum over all series of what is counted: values of counters and gauges, entries of histograms.
    #[must_use]
    pub fn value(&self) -> i64 {
        let value = |series: Series| match series.value {
            Value::Counter(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Value::Gauge(level) => level,
            Value::Histogram(snapshot) => {
                let count = snapshot.buckets.iter().map(|(_, count)| count).sum::<u64>();
                i64::try_from(count).unwrap_or(i64::MAX)
            }
        };
        self.series().into_iter().map(value).sum()
    }
}

impl<M: Measure> Measure for Family<M> {
    fn new(about: &'static Metric) -> Self {
        Self {
            about,
            series: RwLock::new(Known {
                series: BTreeMap::new(),
                shown: BTreeMap::new(),
            }),
        }
    }

    fn series(&self) -> Vec<Series> {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let one = |(labels, measure): (&Vec<Label>, &Arc<M>)| {
            let value = measure.series().pop()?.value;
            let labels = labels.clone();
            Some(Series { labels, value })
        };
        known.series.iter().filter_map(one).collect()
    }
}

/// Writes a value as the official server does: what is neither a letter nor a digit becomes an underscore.
fn sanitised(value: &str) -> Label {
    if value.is_empty() {
        return Label::Borrowed("_unknown_");
    }
    let keep = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    Label::Owned(value.chars().map(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::{super::Counter, *};

    const QUEUES: Metric = Metric::own("queues").by(&["namespace", "taskqueue", "operation"]);

    #[test]
    fn series_are_kept_apart_by_their_labels_as_the_official_server_writes_them() {
        let family = Family::<Counter>::new(&QUEUES);
        family.with(&["temporal-system", "my queue.a", "Poll"]).inc();
        family.with(&["temporal-system", "my queue.a", "Poll"]).inc();
        family.with(&["", "b", "Poll"]).inc();
        let series = family.series();
        assert_eq!(series[0].labels, ["_unknown_", "b", "Poll"]);
        assert_eq!(series[1].labels, ["temporal_system", "my_queue_a", "Poll"]);
        assert_eq!(series[1].value, Value::Counter(2));
        assert_eq!(family.value(), 3);
    }

    #[test]
    fn names_that_clients_choose_are_bounded_and_the_rest_share_one() {
        let family = Family::<Counter>::new(&QUEUES);
        for at in 0..1_000 {
            family.with(&["default", &format!("q{at}"), "Poll"]).inc();
        }
        let series = family.series();
        assert_eq!(series.len(), 301);
        let rest = series.iter().find(|series| series.labels[1] == OTHER);
        assert_eq!(rest.map(|series| series.value.clone()), Some(Value::Counter(700)));
        assert_eq!(family.value(), 1_000);
    }

    #[test]
    fn series_are_bounded_however_labels_combine() {
        let family = Family::<Counter>::new(&QUEUES);
        for at in 0..10_000 {
            let (namespace, queue) = (format!("n{}", at % 90), format!("q{}", at / 90));
            family.with(&[&namespace, &queue, "Poll"]).inc();
        }
        assert_eq!(family.series().len(), SERIES_MAX + 1);
        assert_eq!(family.value(), 10_000);
    }
}

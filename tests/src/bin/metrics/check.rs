//! Expectations: what a step must move, and what it must leave alone.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{prometheus::Prometheus, table::Table};

/// From something happening to Prometheus knowing it.
const SEEN_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// Holds metrics to what happened.
pub(crate) struct Check<'a> {
    prometheus: &'a Prometheus,
    table: &'a Table,
    proven: BTreeSet<String>,
}

/// A step under way: what was there before it.
pub(crate) struct Step {
    name: &'static str,
    begun: Instant,
    grows: Vec<(String, f64)>,
    stays: Vec<(String, f64)>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(prometheus: &'a Prometheus, table: &'a Table) -> Self {
        Self {
            prometheus,
            table,
            proven: BTreeSet::new(),
        }
    }

    /// Takes what another has proven for proven.
    pub(crate) fn also(&mut self, other: Self) {
        self.proven.extend(other.proven);
    }

    /// Begins a step that is to move the metrics of the first list and none of the second.
    pub(crate) async fn begin(
        &mut self,
        name: &'static str,
        grows: &[&str],
        stays: &[&str],
    ) -> Result<Step, String> {
        self.prometheus.settle().await?;
        let begun = Instant::now();
        let mut step = Step {
            name,
            begun,
            grows: Vec::new(),
            stays: Vec::new(),
        };
        for (list, into) in [(grows, &mut step.grows), (stays, &mut step.stays)] {
            for selector in list {
                let (_, selector) = self.table.selector(selector)?;
                let before = self.prometheus.sum(&selector).await?;
                into.push((selector, before));
            }
        }
        for selector in grows {
            self.proven.insert(self.table.selector(selector)?.0);
        }
        Ok(step)
    }

    /// Ends the step: waits until everything has moved, then looks at what must not have.
    pub(crate) async fn end(&self, step: Step) -> Result<(), String> {
        let deadline = Instant::now() + SEEN_MAX;
        for (selector, before) in &step.grows {
            while self.prometheus.sum(selector).await? <= *before {
                if Instant::now() > deadline {
                    return Err(format!("{}: {selector} stays at {before}", step.name));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.prometheus.settle().await?;
        for (selector, before) in &step.stays {
            let after = self.prometheus.sum(selector).await?;
            if after > *before {
                return Err(format!(
                    "{}: {selector} moves from {before} to {after}",
                    step.name
                ));
            }
        }
        println!("ok {} ({:.1} s)", step.name, step.begun.elapsed().as_secs_f32());
        Ok(())
    }

    /// Waits until the level is what it must be.
    pub(crate) async fn level(&mut self, selector: &str, wanted: f64) -> Result<(), String> {
        self.wait(selector, &format!("is {wanted}"), |level| {
            (level - wanted).abs() < 0.5
        })
        .await
    }

    /// Waits until there is something.
    pub(crate) async fn some(&mut self, selector: &str) -> Result<(), String> {
        self.wait(selector, "is above nothing", |level| level > 0.0).await
    }

    async fn wait(
        &mut self,
        selector: &str,
        wanted: &str,
        is_reached: impl Fn(f64) -> bool,
    ) -> Result<(), String> {
        let (name, selector) = self.table.selector(selector)?;
        let deadline = Instant::now() + SEEN_MAX;
        loop {
            let level = self.prometheus.sum(&selector).await?;
            if is_reached(level) {
                self.proven.insert(name);
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{selector} {wanted}? It is {level}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns the documented metrics that no step was about, but those.
    pub(crate) fn unproven(&self, but: impl Iterator<Item = &'static str>) -> Vec<&str> {
        let but: BTreeSet<_> = but.collect();
        let is_open = |name: &&str| !self.proven.contains(*name) && !but.contains(name);
        self.table.names().filter(is_open).collect()
    }
}

//! The documented table, which another test holds to the code.

use std::{collections::BTreeMap, fs, path::Path};

/// Whether each documented metric is a histogram, by name.
pub(crate) struct Table(BTreeMap<String, bool>);

impl Table {
    pub(crate) fn read() -> Result<Self, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let page = fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let row = |line: &str| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((name.to_owned(), rest.starts_with("histogram")))
        };
        let metrics: BTreeMap<_, _> = page.lines().filter_map(row).collect();
        if metrics.is_empty() {
            return Err(format!("{} has no table", path.display()));
        }
        Ok(Self(metrics))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the name of a selector such as `polls{kind="x"}`, and the selector of what can be summed up: of a
    /// histogram the number of its entries.
    pub(crate) fn selector(&self, selector: &str) -> Result<(String, String), String> {
        let (name, labels) = selector.split_at(selector.find('{').unwrap_or(selector.len()));
        let histogram = self
            .0
            .get(name)
            .ok_or_else(|| format!("{name} is not documented"))?;
        let suffix = if *histogram { "_count" } else { "" };
        Ok((name.to_owned(), format!("{name}{suffix}{labels}")))
    }
}

//! A mix of scenarios with weights, and who gets which. Pure.

use clap::ValueEnum;

use crate::{
    scenario::{Numbers, Scenario, Shape},
    schedule::mix,
};

/// What the workflows of a load are: of one scenario, or of several by weight.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    shapes: Vec<Shape>,
    weights: Vec<f64>,
}

impl Mix {
    pub(crate) fn one(shape: Shape) -> Self {
        Self {
            shapes: vec![shape],
            weights: vec![1.0],
        }
    }

    /// From what [`parse`] read.
    pub(crate) fn of(parts: &[(Scenario, f64)], numbers: &Numbers) -> Self {
        let shapes = parts
            .iter()
            .map(|(scenario, _)| scenario.shape(numbers))
            .collect();
        Self {
            shapes,
            weights: parts.iter().map(|(_, weight)| *weight).collect(),
        }
    }

    /// What the workflow of this number is.
    pub(crate) fn shape(&self, number: u64) -> &Shape {
        &self.shapes[pick(&self.weights, number)]
    }

    pub(crate) fn any(&self, has: impl Fn(&Shape) -> bool) -> bool {
        self.shapes.iter().any(has)
    }

    /// Bytes of each payload; the same for all parts.
    pub(crate) fn payload(&self) -> usize {
        self.shapes[0].payload
    }
}

/// Reads a flat YAML map of scenario to weight: `noop: 60`.
pub(crate) fn parse(text: &str) -> Result<Vec<(Scenario, f64)>, String> {
    let mut parts = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() || line == "---" {
            continue;
        }
        let wanted = || format!("read mix line {line:?}: want SCENARIO: WEIGHT");
        let (name, weight) = line.split_once(':').ok_or_else(wanted)?;
        let scenario = Scenario::from_str(name.trim(), false).map_err(|_| wanted())?;
        let weight: f64 = weight.trim().parse().map_err(|_| wanted())?;
        if !weight.is_finite() || weight < 0.0 {
            return Err(wanted());
        }
        if matches!(
            scenario,
            Scenario::Sleepers | Scenario::Backlog | Scenario::LargePayload
        ) {
            return Err(format!("{} needs a run of its own", scenario.name()));
        }
        parts.push((scenario, weight));
    }
    if parts.iter().map(|part| part.1).sum::<f64>() <= 0.0 {
        return Err("a mix needs a weight above zero".to_owned());
    }
    Ok(parts)
}

/// Which part the workflow of this number is: always the same, and by weight over many.
pub(crate) fn pick(weights: &[f64], number: u64) -> usize {
    let total: f64 = weights.iter().sum();
    let mut at = (mix(number) >> 11) as f64 / (1u64 << 53) as f64 * total;
    for (index, weight) in weights.iter().enumerate() {
        at -= weight;
        if at < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_flat_map() {
        let parts = parse("# mostly small\nnoop: 60\nlarge-history: 0.5 # rarely\n\n");
        assert_eq!(
            parts,
            Ok(vec![(Scenario::Noop, 60.0), (Scenario::LargeHistory, 0.5)])
        );
        for bad in [
            "",
            "noop",
            "nope: 1",
            "noop: x",
            "noop: -1",
            "sleepers: 1",
            "noop: 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn picks_by_weight_and_always_the_same() {
        let weights = [3.0, 1.0, 0.0];
        let picks: Vec<usize> = (0..4000).map(|number| pick(&weights, number)).collect();
        let first = picks.iter().filter(|pick| **pick == 0).count();
        assert!((2850..3150).contains(&first), "{first}");
        assert!(!picks.contains(&2));
        assert_eq!(pick(&[1.0], 9), 0);
    }
}

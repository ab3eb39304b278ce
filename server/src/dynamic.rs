//! Dynamic settings: limits by the names that the official server gives them, on the command line or in the file.

use std::fmt;

use matching::config::read_duration;
use serde::Deserialize;

use crate::config::ConfigError;

/// The value of a dynamic setting, as the file has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Flag(bool),
    Number(i64),
    Fraction(f64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Fraction(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// Where dynamic settings go.
pub(crate) struct Targets<'a> {
    pub(crate) frontend: &'a mut frontend::config::Config,
    pub(crate) cluster: &'a mut cluster::config::Config,
}

/// Takes a setting; says whether it means something here. One that means nothing is no error: the official server
/// takes any name, too.
pub(crate) fn set(targets: &mut Targets<'_>, key: &str, value: &str) -> Result<bool, ConfigError> {
    // Written as JSON, as a text is on the command line of the official server.
    let value = value.trim_matches('"');
    let invalid = |wanted: &str| ConfigError::Invalid(format!("{key} wants {wanted}, not {value}"));
    let limits = &mut targets.cluster.limits;
    let of_runs = limits.set(key, value).map_err(|_| invalid("a whole number"))?
        || read_duration(value).is_some_and(|span| limits.set_span(key, span));
    let of_calls = targets
        .frontend
        .set(key, value)
        .map_err(|error| ConfigError::Invalid(error.to_string()))?;
    Ok(of_runs || of_calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        key: &str,
        value: &str,
    ) -> (
        Result<bool, String>,
        frontend::config::Config,
        cluster::config::Config,
    ) {
        let mut frontend = frontend::config::Config::default();
        let mut cluster = cluster::config::Config::default();
        let mut targets = Targets {
            frontend: &mut frontend,
            cluster: &mut cluster,
        };
        let taken = set(&mut targets, key, value).map_err(|error| error.to_string());
        (taken, frontend, cluster)
    }

    #[test]
    fn settings_go_where_they_count() {
        let (taken, frontend, _) = take("frontend.rps", "5");
        assert_eq!(taken, Ok(true));
        assert_eq!(frontend.rps.map(std::num::NonZeroU32::get), Some(5));
        let (taken, _, cluster) = take("limit.historyCount.suggestContinueAsNew", "50");
        assert_eq!(taken, Ok(true));
        assert_eq!(cluster.limits.suggest_events, 50);
        // What requests may carry, commands may.
        let (taken, frontend, cluster) = take("limit.blobSize.error", "100");
        assert_eq!(taken, Ok(true));
        assert_eq!(
            (frontend.sizes.blob_bytes_max, cluster.limits.blob_bytes),
            (100, 100)
        );
        let (taken, frontend, cluster) = take("history.defaultWorkflowTaskTimeout", "\"3s\"");
        assert_eq!(taken, Ok(true));
        assert_eq!(
            frontend.sizes.task_timeout_default,
            cluster.limits.task_timeout_default
        );
    }

    #[test]
    fn others_are_told() {
        assert_eq!(take("system.enableNexus", "true").0, Ok(false));
        assert_eq!(
            take("frontend.namespaceRPS", "many").0,
            Err("frontend.namespaceRPS wants a whole number above zero, not many".to_owned())
        );
        assert_eq!(
            take("limit.blobSize.error", "much").0,
            Err("limit.blobSize.error wants a whole number, not much".to_owned())
        );
        assert!(take("history.defaultWorkflowTaskTimeout", "soon").0.is_err());
    }
}

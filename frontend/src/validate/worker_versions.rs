//! What workers say of their version (reference 2.24): checked, though tasks are not routed by it yet.

use proto::temporal::{
    common::v1::{WorkerVersionCapabilities, WorkerVersionStamp},
    deployment::v1::WorkerDeploymentOptions,
    enums::v1::{VersioningBehavior, WorkerVersioningMode},
};

use crate::{error::Error, limits};

/// Checks the capabilities of a worker that polls.
pub(crate) fn capabilities(given: Option<&WorkerVersionCapabilities>) -> Result<(), Error> {
    given.map_or(Ok(()), |given| build(given.use_versioning, &given.build_id))
}

/// Checks the stamp of a worker that completes a workflow task.
pub(crate) fn stamp(given: Option<&WorkerVersionStamp>) -> Result<(), Error> {
    given.map_or(Ok(()), |given| build(given.use_versioning, &given.build_id))
}

/// Checks the deployment that a worker says it belongs to.
pub(crate) fn deployment(given: Option<&WorkerDeploymentOptions>) -> Result<(), Error> {
    let Some(given) = given else { return Ok(()) };
    let is_versioned = given.worker_versioning_mode() == WorkerVersioningMode::Versioned;
    if is_versioned && (given.deployment_name.is_empty() || given.build_id.is_empty()) {
        return Err(Error::invalid(
            "Deployment name and build id must be set together.",
        ));
    }
    Ok(())
}

/// Checks how a workflow is to follow versions; only the workers of one say it.
pub(crate) fn behavior(behavior: i32, deployment: Option<&WorkerDeploymentOptions>) -> Result<(), Error> {
    let is_versioned = deployment
        .is_some_and(|deployment| deployment.worker_versioning_mode() == WorkerVersioningMode::Versioned);
    if behavior != i32::from(VersioningBehavior::Unspecified) && !is_versioned {
        return Err(Error::invalid(
            "versioning behavior cannot be specified without deployment options being set with versioned mode",
        ));
    }
    Ok(())
}

fn build(is_used: bool, build_id: &str) -> Result<(), Error> {
    if is_used && build_id.is_empty() {
        return Err(Error::invalid(
            "WorkerVersionStamp must be present if UseVersioning is true.",
        ));
    }
    if build_id.len() > limits::BUILD_ID_BYTES_MAX {
        return Err(Error::invalid(
            "Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(result: Result<(), Error>) -> String {
        result.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn builds_are_refused_in_official_words() {
        let long = "x".repeat(256);
        let table = [
            (
                true,
                "",
                "WorkerVersionStamp must be present if UseVersioning is true.",
            ),
            (
                false,
                long.as_str(),
                "Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID.",
            ),
            (false, &long[1..], "ok"),
            (true, "b", "ok"),
        ];
        for (is_used, build_id, expected) in table {
            assert_eq!(shown(build(is_used, build_id)), expected);
        }
    }

    #[test]
    fn only_a_versioned_worker_names_a_behavior() {
        let versioned = WorkerDeploymentOptions {
            deployment_name: "d".to_owned(),
            build_id: "b".to_owned(),
            worker_versioning_mode: WorkerVersioningMode::Versioned.into(),
        };
        let pinned = i32::from(VersioningBehavior::Pinned);
        assert_eq!(shown(behavior(pinned, Some(&versioned))), "ok");
        assert_eq!(shown(behavior(0, None)), "ok");
        assert!(behavior(pinned, None).is_err());
        let unnamed = WorkerDeploymentOptions {
            build_id: String::new(),
            ..versioned
        };
        assert_eq!(
            shown(deployment(Some(&unnamed))),
            "Deployment name and build id must be set together."
        );
    }
}

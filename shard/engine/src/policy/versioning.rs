//! Versioning overrides (reference 2.24): which are refused. They are kept; tasks are not routed by version yet.

use proto::temporal::{
    deployment::v1::WorkerDeploymentVersion,
    enums::v1::VersioningBehavior,
    workflow::v1::{
        VersioningOverride,
        versioning_override::{Override, PinnedOverrideBehavior},
    },
};

/// Why an override is refused, with the official server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Invalid(String),
    /// It pins to a version that is not in the queue.
    Absent(String),
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) | Refusal::Absent(message) => message,
        }
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::Invalid(message.into())
}

/// Checks an override for a workflow whose tasks are in the queue.
pub fn check(given: Option<&VersioningOverride>, task_queue: &str) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    match &given.r#override {
        Some(Override::Pinned(pinned)) => {
            let Some(version) = &pinned.version else {
                return Err(invalid("must provide version if override is pinned."));
            };
            if pinned.behavior() == PinnedOverrideBehavior::Unspecified {
                return Err(invalid(
                    "must specify pinned override behavior if override is pinned.",
                ));
            }
            Err(absent(version, task_queue))
        }
        Some(Override::OneTime(one_time)) => match &one_time.target_deployment_version {
            Some(version) => Err(absent(version, task_queue)),
            None => Err(invalid(
                "must provide target deployment version if override is one-time.",
            )),
        },
        Some(Override::AutoUpgrade(true)) => Ok(()),
        Some(Override::AutoUpgrade(false)) => Err(invalid("auto-upgrade override must be true")),
        None => check_behavior(given),
    }
}

/// No deployment has versions here, so none is in a queue: a workflow pinned to one would wait for ever.
fn absent(version: &WorkerDeploymentVersion, task_queue: &str) -> Refusal {
    let (name, build_id) = (&version.deployment_name, &version.build_id);
    Refusal::Absent(format!(
        "Pinned version '{name}:{build_id}' is not present in task queue '{task_queue}' of type 'Workflow'"
    ))
}

#[expect(deprecated, reason = "clients of before 1.28 override versions this way")]
fn check_behavior(given: &VersioningOverride) -> Result<(), Refusal> {
    match VersioningBehavior::try_from(given.behavior) {
        Ok(VersioningBehavior::Pinned) => check_pinned(given),
        Ok(VersioningBehavior::AutoUpgrade) => Ok(()),
        Ok(VersioningBehavior::Unspecified) => Err(invalid("override behavior is required")),
        Err(_) => {
            let behavior = given.behavior;
            Err(invalid(format!("override behavior {behavior} not recognized")))
        }
    }
}

#[expect(deprecated, reason = "clients of before 1.28 pin versions this way")]
fn check_pinned(given: &VersioningOverride) -> Result<(), Refusal> {
    if given.deployment.is_some() {
        return Ok(());
    }
    let version = &given.pinned_version;
    if version.is_empty() {
        return Err(invalid(
            "must provide deployment (deprecated) or pinned version if behavior is 'PINNED'",
        ));
    }
    if !version.contains('.') {
        return Err(invalid(format!(
            "invalid version string {version:?}, expected format is \"<deployment_name>.<build_id>\""
        )));
    }
    Ok(())
}

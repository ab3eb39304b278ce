//! Versioning overrides (reference 2.24). They are checked and kept; tasks are not routed by version yet.

use proto::temporal::{
    enums::v1::VersioningBehavior,
    workflow::v1::{VersioningOverride, versioning_override::Override},
};

use crate::error::Error;

pub(crate) fn check(given: Option<&VersioningOverride>) -> Result<(), Error> {
    let Some(given) = given else { return Ok(()) };
    match &given.r#override {
        Some(Override::Pinned(pinned)) => {
            let version = pinned.version.as_ref();
            let is_named = version.is_some_and(|v| !v.deployment_name.is_empty() && !v.build_id.is_empty());
            if is_named {
                Ok(())
            } else {
                Err(Error::invalid("must provide version if override is pinned."))
            }
        }
        Some(_) => Ok(()),
        None if given.behavior() == VersioningBehavior::Pinned => check_pinned(given),
        None => Ok(()),
    }
}

#[expect(deprecated, reason = "clients of before 1.28 pin versions this way")]
fn check_pinned(given: &VersioningOverride) -> Result<(), Error> {
    if given.deployment.is_some() {
        return Ok(());
    }
    let version = &given.pinned_version;
    if version.is_empty() {
        return Err(Error::invalid(
            "must provide deployment (deprecated) or pinned version if behavior is 'PINNED'",
        ));
    }
    if !version.contains('.') {
        return Err(Error::invalid(format!(
            "invalid version string {version:?}, expected format is \"<deployment_name>.<build_id>\""
        )));
    }
    Ok(())
}

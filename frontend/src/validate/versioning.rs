//! Versioning overrides of requests (reference 2.24).

use engine::policy::versioning::{self, Refusal};
use proto::temporal::workflow::v1::VersioningOverride;

use crate::error::Error;

/// Checks an override for a workflow whose tasks are in the queue.
pub(crate) fn check(given: Option<&VersioningOverride>, task_queue: &str) -> Result<(), Error> {
    versioning::check(given, task_queue).map_err(|refusal| match refusal {
        Refusal::Invalid(message) => Error::InvalidArgument(message),
        Refusal::Absent(message) => Error::FailedPrecondition(message),
    })
}

//! Priorities (reference 2.25).

use proto::temporal::common::v1::Priority;

use crate::{error::Error, limits};

pub(crate) fn check(priority: Option<&Priority>) -> Result<(), Error> {
    let Some(priority) = priority else { return Ok(()) };
    if priority.priority_key < 0 {
        return Err(Error::invalid("priority key can't be negative"));
    }
    if priority.fairness_key.len() > limits::FAIRNESS_KEY_BYTES_MAX {
        return Err(Error::invalid("fairness key length exceeds limit"));
    }
    if priority.fairness_weight < 0.0 {
        return Err(Error::invalid("must be greater than zero"));
    }
    Ok(())
}

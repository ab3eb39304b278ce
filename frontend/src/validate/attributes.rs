//! Search attributes that clients set: known names, values of the right type, limits (reference 4.3).

use std::fmt;

use proto::temporal::common::v1::SearchAttributes as ApiAttributes;
use storage::visibility::{
    attributes::{SearchAttributes, SystemAttribute},
    limits::AttributeLimits,
};

use crate::{error::Error, namespace::Namespace};

/// Why search attributes are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    Invalid(String),
    /// The namespace has none of a name.
    Unknown(String),
    /// In a workflow task it also ends the workflow.
    Size(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message) | Self::Unknown(message) | Self::Size(message) => f.write_str(message),
        }
    }
}

/// Checks the attributes of a request.
pub(crate) fn check(namespace: &Namespace, attributes: Option<&ApiAttributes>) -> Result<(), Error> {
    let Some(attributes) = attributes else {
        return Ok(());
    };
    find_problem(namespace, attributes).map_err(|problem| Error::invalid(problem.to_string()))
}

/// Checks the attributes against those that the namespace knows.
pub(crate) fn find_problem(namespace: &Namespace, attributes: &ApiAttributes) -> Result<(), Problem> {
    let limits = namespace.sizes.attributes;
    let Err(error) = SearchAttributes::parse(attributes, &namespace.schema, &limits) else {
        return Ok(());
    };
    let unbounded = AttributeLimits {
        value_bytes_max: usize::MAX,
        total_bytes_max: usize::MAX,
        ..limits
    };
    let is_size = SearchAttributes::parse(attributes, &namespace.schema, &unbounded).is_ok();
    let message = error.to_string();
    let is_known = |name: &String| {
        SystemAttribute::from_name(name).is_some() || namespace.schema.stored_type(name).is_some()
    };
    Err(if is_size {
        Problem::Size(message)
    } else if attributes.indexed_fields.keys().all(is_known) {
        Problem::Invalid(message)
    } else {
        Problem::Unknown(message)
    })
}

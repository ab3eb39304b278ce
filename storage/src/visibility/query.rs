//! Queries: the language of list filters, from its text to what the backends answer.

use super::{attributes::Schema, error::QueryError};

/// Which runs to list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {}

impl ListQuery {
    /// Reads the filter; the empty one matches all workflows.
    pub fn parse(text: &str, _schema: &Schema) -> Result<Self, QueryError> {
        if text.trim().is_empty() {
            Ok(Self {})
        } else {
            Err(QueryError::new("not supported"))
        }
    }
}

/// Which runs to count, and by what to divide them.
#[derive(Clone, Debug, PartialEq)]
pub struct CountQuery {}

impl CountQuery {
    /// Reads the filter with its GROUP BY; the empty one counts all workflows.
    pub fn parse(text: &str, _schema: &Schema) -> Result<Self, QueryError> {
        if text.trim().is_empty() {
            Ok(Self {})
        } else {
            Err(QueryError::new("not supported"))
        }
    }
}

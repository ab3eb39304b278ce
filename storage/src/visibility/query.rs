//! Queries: the language of list filters, from its text to the filter that the backends answer.
//!
//! `lexer` and `parser` make a text an `ast`; `binding` makes that a [`Filter`], whose meaning `matching` says.
//! The language and its messages are the official server's (reference 4.4), except that no message
//! names a Go type.

mod ast;
mod binding;
pub mod condition;
mod duration;
mod filter;
mod lexer;
mod matching;
mod parser;
mod words;

use std::ops::{Bound, RangeInclusive};

use proto::{temporal::enums::v1::WorkflowExecutionStatus, time::Timestamp};

pub use self::filter::{Field, Filter, Operand, Term, Test};
use self::{ast::Statement, parser::unsupported};
pub(super) use self::{binding::status_name, words::words};
use super::{
    attributes::{DIVISION, Schema, SystemAttribute},
    error::QueryError,
    limits::FILTER_DEPTH_MAX,
};

/// Which kind of executions a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division<'a> {
    /// Workflows, unless the query itself names the division.
    Workflows,
    /// One internal kind, whatever the query says.
    Named(&'a str),
}

/// Which runs to list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    pub filter: Filter,
}

/// Which runs to count, and by what to divide them.
#[derive(Clone, Debug, PartialEq)]
pub struct CountQuery {
    pub filter: Filter,
    pub group_by: Option<GroupBy>,
}

/// The attributes that a count may be divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    ExecutionStatus,
    NamespaceDivision,
}

/// What the calls that are older than queries can ask for besides a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    Anything,
    WorkflowId(String),
    WorkflowType(String),
    Status(WorkflowExecutionStatus),
}

impl ListQuery {
    /// Reads a query; the empty one lists everything in the division. A valid GROUP BY is ignored, as the
    /// official server does.
    pub fn parse(text: &str, schema: &Schema, division: Division<'_>) -> Result<Self, QueryError> {
        let (filter, _) = parse(text, schema, division)?;
        Ok(Self { filter })
    }

    /// The open workflows that started within the time.
    #[must_use]
    pub fn open(started: RangeInclusive<Timestamp>, only: Only) -> Self {
        let open = Filter::null(Field::System(SystemAttribute::CloseTime), false);
        Self {
            filter: workflows(open.and(within(SystemAttribute::StartTime, &started)), only),
        }
    }

    /// The closed workflows that closed within the time.
    #[must_use]
    pub fn closed(closed: RangeInclusive<Timestamp>, only: Only) -> Self {
        Self {
            filter: workflows(within(SystemAttribute::CloseTime, &closed), only),
        }
    }
}

impl CountQuery {
    /// Reads a query with its GROUP BY; the empty one counts everything in the division.
    pub fn parse(text: &str, schema: &Schema, division: Division<'_>) -> Result<Self, QueryError> {
        let (filter, group_by) = parse(text, schema, division)?;
        Ok(Self { filter, group_by })
    }
}

fn parse(
    text: &str,
    schema: &Schema,
    division: Division<'_>,
) -> Result<(Filter, Option<GroupBy>), QueryError> {
    let statement = parser::parse(text)?;
    let filter = match &statement.filter {
        Some(expr) => binding::bind(expr, false, schema)?,
        None => Filter::All(Vec::new()),
    };
    let depth = filter.depth();
    if depth > FILTER_DEPTH_MAX {
        return Err(QueryError::new(format!(
            "alternations of AND and OR {depth} exceed limit {FILTER_DEPTH_MAX}"
        )));
    }
    let group_by = group_by(&statement, schema)?;
    let filter = match division {
        Division::Workflows
            if group_by == Some(GroupBy::NamespaceDivision) || filter.mentions(&Field::division()) =>
        {
            filter
        }
        Division::Workflows => Filter::null(Field::division(), false).and(filter),
        Division::Named(name) => named(name).and(filter),
    };
    Ok((filter, group_by))
}

fn group_by(statement: &Statement, schema: &Schema) -> Result<Option<GroupBy>, QueryError> {
    if let Some(clause) = statement.unsupported {
        return Err(unsupported(clause));
    }
    let name = match statement.group_by.as_slice() {
        [] => return Ok(None),
        [name] => name,
        _ => return Err(unsupported("'GROUP BY' clause supports only a single field")),
    };
    match binding::field(name, schema)? {
        Field::System(SystemAttribute::ExecutionStatus) => Ok(Some(GroupBy::ExecutionStatus)),
        Field::Stored { name, .. } if name == DIVISION => Ok(Some(GroupBy::NamespaceDivision)),
        _ => Err(unsupported(&format!(
            "'GROUP BY' clause is not supported for search attribute {name}"
        ))),
    }
}

fn named(division: &str) -> Filter {
    Filter::one_of(Field::division(), vec![Operand::String(division.to_owned())])
}

fn within(attribute: SystemAttribute, times: &RangeInclusive<Timestamp>) -> Filter {
    let bound = |time: &Timestamp| Bound::Included(Operand::Int(time.nanos()));
    let test = Test::Range(bound(times.start()), bound(times.end()));
    Filter::Term(Term {
        field: Field::System(attribute),
        negated: false,
        test,
    })
}

fn workflows(filter: Filter, only: Only) -> Filter {
    let equals = |attribute, value| Filter::one_of(Field::System(attribute), vec![value]);
    let filter = Filter::null(Field::division(), false).and(filter);
    match only {
        Only::Anything => filter,
        Only::WorkflowId(id) => filter.and(equals(SystemAttribute::WorkflowId, Operand::String(id))),
        Only::WorkflowType(name) => filter.and(equals(SystemAttribute::WorkflowType, Operand::String(name))),
        Only::Status(status) => {
            let number = Operand::Int(i64::from(i32::from(status)));
            filter.and(equals(SystemAttribute::ExecutionStatus, number))
        }
    }
}

#[cfg(test)]
mod tests;

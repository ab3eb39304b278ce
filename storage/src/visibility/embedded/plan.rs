//! Plan: by which index a query's rows are found.
//!
//! Rows come either in the lists' order, which stops when a page is full, or by what one of the filter's
//! conditions finds, sorted. Which one is cheaper depends on how many rows the condition finds, so that is
//! counted first, to a limit. The rest of the filter is tested row by row.

use std::ops::Bound;

use proto::ids::NamespaceId;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::{
    super::{
        attributes::SystemAttribute,
        query::{Field, Filter, Operand, Term, Test},
    },
    schema::OPEN,
    source::{Source, sources},
    sql::{Sql, condition},
};

/// When a condition's rows are looked up and sorted instead of going through the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// Rows that are cheap to look up and sort, whatever the order would cost.
    few: u64,
    /// How far rows are counted before a condition is taken for one that finds most of them.
    list_count_max: u64,
    count_count_max: u64,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            few: 2_000,
            list_count_max: 50_000,
            count_count_max: 200_000,
        }
    }
}

impl Costs {
    /// Always goes through the order, so that tests with few rows do so too.
    #[cfg(test)]
    pub(super) const fn order_only() -> Self {
        Self {
            few: 0,
            list_count_max: 0,
            count_count_max: 0,
        }
    }
}

/// How much earlier than its start a run may seem to close, by clocks that differ: an hour, in nanoseconds.
const CLOCK_SLACK: i64 = 3_600 * 1_000_000_000;

/// What a query's rows are among, and how the rest is tested.
pub(super) struct Plan {
    pub(super) scope: Scope,
    /// The filter, as a condition on `e`.
    pub(super) condition: Sql,
    /// Between which close times all matching rows lie.
    pub(super) close_times: (i64, i64),
    /// A query for the numbers of rows, among which all matching ones are; without it rows are found in order.
    pub(super) source: Option<Source>,
    /// Whether to go through the table as it lies, which is faster than by any index if most of it is wanted.
    pub(super) whole_table: bool,
}

/// The scopes that a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    One(i64),
    /// All of the namespace's.
    Namespace(NamespaceId),
}

/// What the rows are found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Page(usize),
    Count,
}

impl Plan {
    /// Plans the query; `None` if no row can match.
    pub(super) fn new(
        connection: &Connection,
        namespace: NamespaceId,
        filter: &Filter,
        purpose: Purpose,
        costs: Costs,
    ) -> rusqlite::Result<Option<Self>> {
        let mut terms = match filter.clone() {
            Filter::All(filters) => filters,
            single => vec![single],
        };
        let Some(scope) = scope(connection, namespace, &mut terms)? else {
            return Ok(None);
        };
        let close_times = close_times(&terms);
        let sources = sources(connection, scope, &terms)?;
        let source = cheapest(connection, scope, sources, terms.len(), purpose, costs)?;
        let condition = condition(connection, &Filter::All(terms))?;
        let whole_table = purpose == Purpose::Count
            && source.is_none()
            && close_times.0 == i64::MIN
            && scope.runs(connection)? >= rows_max(connection)? / 2;
        Ok(Some(Self {
            scope,
            condition,
            close_times,
            source,
            whole_table,
        }))
    }
}

/// Returns the scope that the filter's division asks for, and takes that condition out.
fn scope(
    connection: &Connection,
    namespace: NamespaceId,
    terms: &mut Vec<Filter>,
) -> rusqlite::Result<Option<Scope>> {
    let division = Field::division();
    let asked = terms.iter().enumerate().find_map(|(i, filter)| match filter {
        Filter::Term(Term {
            field,
            negated: false,
            test,
        }) if *field == division => match test {
            Test::Null => Some((i, None)),
            Test::OneOf(values) => match values.as_slice() {
                [Operand::String(name)] => Some((i, Some(name.clone()))),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let Some((i, name)) = asked else {
        return Ok(Some(Scope::Namespace(namespace)));
    };
    terms.remove(i);
    let found = connection
        .query_row(
            "SELECT id FROM scope WHERE namespace = ? AND division IS ?",
            params![namespace.as_bytes(), name],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.map(Scope::One))
}

impl Scope {
    /// Returns the condition that the column names one of the scopes.
    pub(super) fn condition(self, column: &str) -> Sql {
        let mut sql = Sql::new(column);
        match self {
            Self::One(id) => sql.push(" = ").value(id),
            Self::Namespace(namespace) => sql
                .push(" IN (SELECT id FROM scope WHERE namespace = ")
                .value(namespace.as_bytes().to_vec())
                .push(")"),
        };
        sql
    }

    fn runs(self, connection: &Connection) -> rusqlite::Result<u64> {
        let mut sql = Sql::new("SELECT coalesce(sum(runs), 0) FROM tally WHERE ");
        sql.append(self.condition("scope"));
        number(connection, &sql)
    }
}

/// Returns how many rows the table has at most.
fn rows_max(connection: &Connection) -> rusqlite::Result<u64> {
    number(
        connection,
        &Sql::new("SELECT coalesce(max(id), 0) FROM execution"),
    )
}

/// Runs a query for one number that is not negative.
pub(super) fn number(connection: &Connection, sql: &Sql) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(&sql.text)?;
    let number: i64 = statement.query_row(params_from_iter(&sql.values), |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// Returns between which close times the matching rows lie, as far as single conditions tell.
fn close_times(terms: &[Filter]) -> (i64, i64) {
    let mut range = (i64::MIN, OPEN);
    for filter in terms {
        let Filter::Term(Term {
            field: Field::System(attribute),
            negated,
            test,
        }) = filter
        else {
            continue;
        };
        let (low, high) = match (attribute, test) {
            (SystemAttribute::CloseTime, Test::Null) if !negated => (OPEN, OPEN),
            (SystemAttribute::CloseTime, Test::Range(low, high)) if !negated => {
                let (low, high) = times(low, high);
                (low, high.min(OPEN - 1))
            }
            (SystemAttribute::StartTime, Test::Range(low, high)) if !negated => {
                (times(low, high).0.saturating_sub(CLOCK_SLACK), OPEN)
            }
            (SystemAttribute::ExecutionStatus, Test::OneOf(statuses)) if !negated => {
                match statuses.as_slice() {
                    // Running and Paused are the statuses of open runs.
                    statuses
                        if statuses
                            .iter()
                            .all(|status| matches!(status, Operand::Int(1 | 8))) =>
                    {
                        (OPEN, OPEN)
                    }
                    statuses
                        if statuses
                            .iter()
                            .all(|status| matches!(status, Operand::Int(2..=7))) =>
                    {
                        (i64::MIN, OPEN - 1)
                    }
                    _ => continue,
                }
            }
            (
                SystemAttribute::CloseTime
                | SystemAttribute::ExecutionDuration
                | SystemAttribute::HistoryLength
                | SystemAttribute::HistorySizeBytes
                | SystemAttribute::StateTransitionCount,
                test,
            ) if *test != Test::Null || *negated => (i64::MIN, OPEN - 1),
            _ => continue,
        };
        range = (range.0.max(low), range.1.min(high));
    }
    range
}

/// Returns between which whole nanoseconds, inclusive, a range of times lies.
fn times(low: &Bound<Operand>, high: &Bound<Operand>) -> (i64, i64) {
    let low = match low {
        Bound::Included(Operand::Int(low)) => *low,
        Bound::Excluded(Operand::Int(low)) => low.saturating_add(1),
        _ => i64::MIN,
    };
    let high = match high {
        Bound::Included(Operand::Int(high)) => *high,
        Bound::Excluded(Operand::Int(high)) => high.saturating_sub(1),
        _ => i64::MAX,
    };
    (low, high)
}

/// Returns the source that finds fewest rows, if it is cheaper than the order.
fn cheapest(
    connection: &Connection,
    scope: Scope,
    sources: Vec<Source>,
    terms: usize,
    purpose: Purpose,
    costs: Costs,
) -> rusqlite::Result<Option<Source>> {
    if sources.is_empty() {
        return Ok(None);
    }
    let mut limit = match purpose {
        Purpose::Page(_) => costs.list_count_max,
        Purpose::Count => costs.count_count_max,
    };
    // The only condition of a count needs no other.
    if let (Purpose::Count, [only], 1) = (purpose, sources.as_slice(), terms)
        && only.exact
        && limit > 0
    {
        return Ok(sources.into_iter().next());
    }
    let mut best = None;
    for source in sources {
        let rows = rows_up_to(connection, &source, limit)?;
        if rows < limit {
            limit = rows;
            best = Some((rows, source));
        }
    }
    let Some((rows, source)) = best else {
        return Ok(None);
    };
    let source = Source {
        exact: source.exact && terms == 1,
        ..source
    };
    let cheap = match purpose {
        _ if rows <= costs.few => true,
        Purpose::Count => rows < scope.runs(connection)? / 2,
        // In order a page is full after about `page * runs / rows` rows.
        Purpose::Page(page) => {
            rows.saturating_mul(rows)
                < scope
                    .runs(connection)?
                    .saturating_mul(u64::try_from(page).unwrap_or(1))
        }
    };
    Ok(cheap.then_some(source))
}

fn rows_up_to(connection: &Connection, source: &Source, limit: u64) -> rusqlite::Result<u64> {
    let mut sql = Sql::new("SELECT count(*) FROM (SELECT 1 FROM (");
    sql.append(source.sql.clone())
        .push(") LIMIT ")
        .value(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(")");
    number(connection, &sql)
}

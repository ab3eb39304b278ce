//! Sources: queries for the rows that a condition's index finds.

use rusqlite::{Connection, types::Value};

use super::{
    super::{
        attributes::{SystemAttribute, ValueType},
        query::{Field, Filter, Operand, Term, Test},
    },
    plan::Scope,
    sql::{Column, Sql, between, column, prefix_bounds},
};

/// Subqueries that one union may have.
const UNION_MAX: usize = 100;

/// A query for numbers of rows, called `id`.
pub(super) struct Source {
    pub(super) sql: Sql,
    /// Whether it finds exactly the rows that match the condition, each once.
    pub(super) exact: bool,
}

/// Returns the queries for rows that conditions of the filter give, each of them enough.
pub(super) fn sources(
    connection: &Connection,
    scope: Scope,
    terms: &[Filter],
) -> rusqlite::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for filter in terms {
        sources.extend(source(connection, scope, filter)?);
    }
    Ok(sources)
}

/// Returns a query for rows among which all are that match the filter, if an index finds them.
fn source(connection: &Connection, scope: Scope, filter: &Filter) -> rusqlite::Result<Option<Source>> {
    match filter {
        Filter::Term(term) if term.negated => match (&term.field, &term.test) {
            (Field::Stored { .. }, Test::Null) if term.field.value_type() != ValueType::Text => {
                posted(connection, scope, &term.field, None)
            }
            _ => Ok(None),
        },
        Filter::Term(Term { test: Test::Null, .. }) => Ok(None),
        Filter::Term(term) => match &term.field {
            Field::System(attribute) => indexed(connection, scope, *attribute, &term.test),
            Field::Stored { .. } => posted(connection, scope, &term.field, Some(&term.test)),
        },
        Filter::Any(filters) if filters.len() <= UNION_MAX => {
            let mut union = Sql::default();
            for filter in filters {
                let Some(source) = source(connection, scope, filter)? else {
                    return Ok(None);
                };
                if !union.text.is_empty() {
                    union.push(" UNION ");
                }
                union.push("SELECT id FROM (").append(source.sql).push(")");
            }
            Ok((!union.text.is_empty()).then_some(Source {
                sql: union,
                exact: false,
            }))
        }
        Filter::Any(_) => Ok(None),
        // One of them is enough; which one finds the fewest is not worth a count inside a union.
        Filter::All(filters) => {
            for filter in filters {
                if let Some(found) = source(connection, scope, filter)? {
                    return Ok(Some(Source {
                        exact: false,
                        ..found
                    }));
                }
            }
            Ok(None)
        }
    }
}

/// Returns the query for a condition on a column that has an index.
fn indexed(
    connection: &Connection,
    scope: Scope,
    attribute: SystemAttribute,
    test: &Test,
) -> rusqlite::Result<Option<Source>> {
    let (index, partial) = match attribute {
        SystemAttribute::WorkflowId | SystemAttribute::RootWorkflowId => ("execution_by_workflow", ""),
        SystemAttribute::RunId => ("execution_by_run", ""),
        SystemAttribute::WorkflowType => ("execution_by_type", ""),
        SystemAttribute::TaskQueue => ("execution_by_queue", ""),
        SystemAttribute::ParentWorkflowId => ("execution_by_parent", "e.parent_workflow_id IS NOT NULL AND "),
        SystemAttribute::ExecutionStatus => ("execution_by_failure", "e.status IN (3, 4, 5, 7, 8) AND "),
        _ => return Ok(None),
    };
    let is_failure = |status: &Operand| matches!(status, Operand::Int(3 | 4 | 5 | 7 | 8));
    match (attribute, test) {
        (SystemAttribute::ExecutionStatus, Test::OneOf(statuses)) if !statuses.iter().all(is_failure) => {
            return Ok(None);
        }
        (SystemAttribute::RunId, Test::Range(..) | Test::Prefix(_)) => return Ok(None),
        _ => {}
    }
    let field = Field::System(if attribute == SystemAttribute::RootWorkflowId {
        SystemAttribute::WorkflowId
    } else {
        attribute
    });
    let Some(column) = column(connection, &field)? else {
        return Ok(None);
    };
    if finds_nothing(&column, test) {
        return Ok(Some(nothing()));
    }
    let Some(wanted) = wanted(&column, &column.text, test) else {
        return Ok(None);
    };
    let mut sql = Sql::new(format!(
        "SELECT e.id FROM execution e INDEXED BY {index} WHERE {partial}"
    ));
    sql.append(scope.condition("e.scope"))
        .push(" AND ")
        .append(wanted);
    if attribute != SystemAttribute::RootWorkflowId {
        return Ok(Some(Source { sql, exact: true }));
    }
    // A run without another root is its own.
    sql.push(
        " AND e.root_workflow_id IS NULL UNION ALL SELECT e.id FROM execution e INDEXED BY execution_by_root \
         WHERE e.root_workflow_id IS NOT NULL AND ",
    );
    let Some(wanted) = self::wanted(&column, "e.root_workflow_id", test) else {
        return Ok(None);
    };
    sql.append(scope.condition("e.scope"))
        .push(" AND ")
        .append(wanted);
    Ok(Some(Source { sql, exact: true }))
}

/// Returns the query for a condition on an attribute that has postings; without a test, that it has a value.
fn posted(
    connection: &Connection,
    scope: Scope,
    field: &Field,
    test: Option<&Test>,
) -> rusqlite::Result<Option<Source>> {
    if *field == Field::division() {
        return Ok(None);
    }
    let Some(column) = column(connection, field)? else {
        return Ok(Some(nothing()));
    };
    if test.is_some_and(|test| finds_nothing(&column, test)) {
        return Ok(Some(nothing()));
    }
    let many = matches!(field.value_type(), ValueType::Text | ValueType::KeywordList);
    let distinct = if many { "DISTINCT " } else { "" };
    let mut sql = Sql::new(format!(
        "SELECT {distinct}p.execution AS id FROM posting p WHERE p.attribute = "
    ));
    sql.value(column.attribute.unwrap_or_default())
        .push(" AND ")
        .append(scope.condition("p.scope"));
    let mut exact = true;
    match test {
        None => {}
        Some(Test::Phrases(phrases)) => {
            // Of each phrase one word; the longest one is likely the rarest.
            let words = phrases
                .iter()
                .filter_map(|phrase| phrase.iter().max_by_key(|word| word.len()));
            sql.push(" AND p.value IN ")
                .list(words.map(|word| Value::Text(word.clone())));
            exact = phrases.iter().all(|phrase| phrase.len() == 1);
        }
        Some(test) => {
            let Some(wanted) = wanted(&column, "p.value", test) else {
                return Ok(None);
            };
            sql.push(" AND ").append(wanted);
        }
    }
    Ok(Some(Source { sql, exact }))
}

/// Whether no stored value can pass the test. SQLite refuses to follow an index to an empty list.
fn finds_nothing(column: &Column, test: &Test) -> bool {
    match test {
        Test::OneOf(values) => values.iter().all(|value| column.exact(value).is_none()),
        Test::Phrases(phrases) => phrases.iter().all(Vec::is_empty),
        Test::Null | Test::Range(..) | Test::Prefix(_) => false,
    }
}

/// Returns the query for no rows.
fn nothing() -> Source {
    Source {
        sql: Sql::new("SELECT 0 AS id WHERE 0"),
        exact: true,
    }
}

/// Returns the condition that an index can follow for a test.
fn wanted(column: &Column, text: &str, test: &Test) -> Option<Sql> {
    match test {
        Test::OneOf(values) => {
            let mut sql = Sql::new(format!("{text} IN "));
            sql.list(values.iter().filter_map(|value| column.exact(value)));
            Some(sql)
        }
        Test::Range(low, high) => {
            let (low, high) = column.bounds(low, high);
            Some(between(text, &low, &high))
        }
        Test::Prefix(prefix) => {
            let (low, high) = prefix_bounds(prefix);
            Some(between(text, &low, &high))
        }
        Test::Null | Test::Phrases(_) => None,
    }
}

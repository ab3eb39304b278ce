//! Reader: answers lists and counts on one connection.

use bytes::Bytes;
use proto::{ids::NamespaceId, temporal::enums::v1::WorkflowExecutionStatus};
use rusqlite::{Connection, params_from_iter};

use super::{
    super::{
        Count, Group, Page,
        attributes::{DIVISION, SearchValue, SystemAttribute},
        error::VisibilityError,
        query::{CountQuery, Field, Filter, GroupBy, ListQuery, Term, status_name},
        record::Record,
        token::Position,
    },
    plan::{Costs, Plan, Purpose, Scope, number},
    row::{COLUMNS, Rows},
    schema::OPEN,
    sql::{Sql, condition},
};

/// What a reader keeps between queries.
pub(super) struct Reader {
    rows: Rows,
    costs: Costs,
}

impl Reader {
    pub(super) fn new(costs: Costs) -> Self {
        Self {
            rows: Rows::default(),
            costs,
        }
    }

    pub(super) fn list(
        &mut self,
        connection: &mut Connection,
        namespace: NamespaceId,
        query: &ListQuery,
        page_size: usize,
        after: Option<Position>,
    ) -> Result<Page, VisibilityError> {
        // Planning and reading see one state.
        let transaction = connection.transaction()?;
        let Some(plan) = Plan::new(
            &transaction,
            namespace,
            &query.filter,
            Purpose::Page(page_size),
            self.costs,
        )?
        else {
            return Ok(Page::default());
        };
        let sql = list_sql(&plan, page_size, after);
        let mut statement = transaction.prepare(&sql.text)?;
        let mut rows = statement.query(params_from_iter(&sql.values))?;
        let mut records: Vec<Record> = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(self.rows.record(&transaction, namespace, row)?);
        }
        let next_page_token = match records.last() {
            Some(last) if records.len() == page_size => Position::of(last).to_bytes(),
            _ => Bytes::new(),
        };
        Ok(Page {
            records,
            next_page_token,
        })
    }

    pub(super) fn count(
        &mut self,
        connection: &mut Connection,
        namespace: NamespaceId,
        query: &CountQuery,
    ) -> Result<Count, VisibilityError> {
        let transaction = connection.transaction()?;
        let from = if is_tallied(&query.filter) {
            let mut from = Sql::new(" FROM tally e WHERE ");
            from.append(Scope::Namespace(namespace).condition("e.scope"))
                .push(" AND ");
            from.append(condition(&transaction, &query.filter)?);
            Some((from, "sum(e.runs)"))
        } else {
            let plan = Plan::new(&transaction, namespace, &query.filter, Purpose::Count, self.costs)?;
            match plan {
                Some(Plan {
                    source: Some(source), ..
                }) if source.exact && query.group_by.is_none() => {
                    let mut sql = Sql::new("SELECT count(*) FROM (");
                    sql.append(source.sql).push(")");
                    return Ok(Count {
                        total: number(&transaction, &sql)?,
                        groups: Vec::new(),
                    });
                }
                plan => plan.map(|plan| (rows_sql(&plan), "count(*)")),
            }
        };
        let Some((from, runs)) = from else {
            return Ok(Count::default());
        };
        match query.group_by {
            None => {
                let mut sql = Sql::new(format!("SELECT coalesce({runs}, 0)"));
                sql.append(from);
                Ok(Count {
                    total: number(&transaction, &sql)?,
                    groups: Vec::new(),
                })
            }
            Some(group_by) => Ok(groups(&transaction, group_by, runs, from)?),
        }
    }
}

/// Returns the rest of a SELECT, from FROM on, that finds the matching rows in no certain order.
fn rows_sql(plan: &Plan) -> Sql {
    let mut sql = match &plan.source {
        Some(source) => {
            let mut sql = Sql::new(" FROM (");
            sql.append(source.sql.clone())
                .push(") d CROSS JOIN execution e ON e.id = d.id WHERE ");
            sql
        }
        None if plan.whole_table => Sql::new(" FROM execution e NOT INDEXED WHERE "),
        None => Sql::new(" FROM execution e INDEXED BY execution_by_order WHERE "),
    };
    sql.append(plan.scope.condition("e.scope"));
    let (low, high) = plan.close_times;
    if low > i64::MIN || high < OPEN {
        sql.push(" AND e.close_time BETWEEN ")
            .value(low)
            .push(" AND ")
            .value(high);
    }
    sql.push(" AND ").append(plan.condition.clone());
    sql
}

fn list_sql(plan: &Plan, page_size: usize, after: Option<Position>) -> Sql {
    let mut sql = Sql::new(format!("SELECT {COLUMNS}"));
    sql.append(rows_sql(plan));
    if let Some(Position {
        close_time,
        start_time,
        run_id,
    }) = after
    {
        // The first condition is what the index follows; the second one leaves out what it begins with.
        sql.push(" AND (e.close_time, e.start_time) <= (")
            .value(close_time.nanos())
            .push(", ");
        sql.value(start_time.nanos())
            .push(") AND (e.close_time <> ")
            .value(close_time.nanos());
        sql.push(" OR e.start_time <> ").value(start_time.nanos());
        sql.push(" OR e.run > ")
            .value(run_id.as_bytes().to_vec())
            .push(")");
    }
    sql.push(" ORDER BY e.close_time DESC, e.start_time DESC, e.run LIMIT ");
    sql.value(i64::try_from(page_size).unwrap_or(i64::MAX));
    sql
}

/// Whether every condition is about what the tallies know.
fn is_tallied(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().all(is_tallied),
        Filter::Term(Term { field, .. }) => match field {
            Field::System(attribute) => {
                matches!(
                    attribute,
                    SystemAttribute::WorkflowType | SystemAttribute::ExecutionStatus
                )
            }
            Field::Stored { name, .. } => name == DIVISION,
        },
    }
}

fn groups(connection: &Connection, group_by: GroupBy, runs: &str, from: Sql) -> rusqlite::Result<Count> {
    let column = match group_by {
        GroupBy::ExecutionStatus => "e.status",
        GroupBy::NamespaceDivision => "coalesce((SELECT s.division FROM scope s WHERE s.id = e.scope), '')",
    };
    let mut sql = Sql::new(format!("SELECT {column}, {runs}"));
    sql.append(from).push(" GROUP BY 1");
    let mut statement = connection.prepare(&sql.text)?;
    let mut rows = statement.query(params_from_iter(&sql.values))?;
    let mut groups: Vec<(u64, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        let value = match group_by {
            GroupBy::ExecutionStatus => {
                let status = WorkflowExecutionStatus::try_from(row.get::<_, i32>(0)?).unwrap_or_default();
                status_name(status).to_owned()
            }
            GroupBy::NamespaceDivision => row.get(0)?,
        };
        groups.push((u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0), value));
    }
    groups.sort_by(|(left, left_name), (right, right_name)| {
        right.cmp(left).then_with(|| left_name.cmp(right_name))
    });
    Ok(Count {
        total: groups.iter().map(|(runs, _)| runs).sum(),
        groups: groups
            .into_iter()
            .map(|(count, value)| Group {
                value: SearchValue::Keyword(value),
                count,
            })
            .collect(),
    })
}

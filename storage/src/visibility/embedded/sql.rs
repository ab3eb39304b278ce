//! SQL: a filter as a condition on a row of `execution`, which is called `e`. Values are parameters, always.

use std::ops::Bound;

use proto::ids::RunId;
use rusqlite::{Connection, types::Value};

use super::{
    super::{
        attributes::{DIVISION, SystemAttribute, ValueType},
        query::{Field, Filter, Operand, Term, Test},
    },
    dictionary::find_attribute,
    row::{WORDS, between_blanks, ordered_bits},
    schema::OPEN,
};

/// A piece of SQL and the values of its parameters, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            values: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a parameter.
    pub(super) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.text.push('?');
        self.values.push(value.into());
        self
    }

    pub(super) fn append(&mut self, other: Self) -> &mut Self {
        self.text.push_str(&other.text);
        self.values.extend(other.values);
        self
    }

    /// Appends the values as parameters between parentheses.
    pub(super) fn list(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        self.push("(");
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.value(value);
        }
        self.push(")")
    }
}

/// Returns the condition that a row matches the filter.
pub(super) fn condition(connection: &Connection, filter: &Filter) -> rusqlite::Result<Sql> {
    match filter {
        Filter::All(filters) => joined(connection, filters, " AND ", true),
        Filter::Any(filters) => joined(connection, filters, " OR ", false),
        Filter::Term(term) => term_condition(connection, term),
    }
}

/// A parameter, since a constant would make SQLite drop other conditions, among them those of partial indexes.
fn constant(value: bool) -> Sql {
    let mut sql = Sql::default();
    sql.value(i64::from(value));
    sql
}

/// Joins conditions as a balanced tree, since SQLite limits how deep an expression may be.
fn joined(connection: &Connection, filters: &[Filter], word: &str, none: bool) -> rusqlite::Result<Sql> {
    match filters {
        [] => Ok(constant(none)),
        [only] => condition(connection, only),
        _ => {
            let (left, right) = filters.split_at(filters.len() / 2);
            let mut sql = Sql::new("(");
            sql.append(joined(connection, left, word, none)?);
            sql.push(word)
                .append(joined(connection, right, word, none)?)
                .push(")");
            Ok(sql)
        }
    }
}

fn term_condition(connection: &Connection, term: &Term) -> rusqlite::Result<Sql> {
    let Term { field, negated, test } = term;
    let Some(column) = column(connection, field)? else {
        // No run has ever had the attribute.
        let matches = if *test == Test::Null {
            !negated
        } else {
            *negated && field.absent_matches_negated()
        };
        return Ok(constant(matches));
    };
    if *test == Test::Null {
        return Ok(Sql::new(format!(
            "{} IS {}NULL",
            column.text,
            if *negated { "NOT " } else { "" }
        )));
    }
    let not = if *negated { "NOT " } else { "" };
    match test {
        Test::Phrases(phrases) => Ok(holds_phrase(&column, *negated, phrases)),
        Test::OneOf(values) if field.value_type() == ValueType::KeywordList => {
            Ok(holds_item(&column, *negated, values))
        }
        Test::OneOf(values) => {
            let values: Vec<_> = values.iter().filter_map(|value| column.exact(value)).collect();
            match (values.is_empty(), negated) {
                (true, false) => Ok(constant(false)),
                (true, true) => Ok(Sql::new(format!("{} IS NOT NULL", column.text))),
                (false, _) => {
                    let mut sql = Sql::new(format!("{} {not}IN ", column.text));
                    sql.list(values);
                    Ok(sql)
                }
            }
        }
        Test::Range(low, high) => {
            let mut sql = Sql::new(format!("{not}("));
            sql.append(column.range(low, high)).push(")");
            Ok(sql)
        }
        Test::Prefix(prefix) => {
            let mut sql = Sql::new(format!("{not}("));
            sql.append(column.prefix(prefix)).push(")");
            Ok(sql)
        }
        Test::Null => Ok(constant(false)),
    }
}

/// A text's words are kept between blanks, so a phrase is found as a part of them.
fn holds_phrase(column: &Column, negated: bool, phrases: &[Vec<String>]) -> Sql {
    let mut sql = Sql::new(if negated { "NOT (" } else { "(" });
    sql.append(constant(false));
    for phrase in phrases.iter().filter(|phrase| !phrase.is_empty()) {
        sql.push(&format!(" OR coalesce(instr({}, ", column.words()));
        sql.value(between_blanks(phrase.iter().cloned()))
            .push(") > 0, 0)");
    }
    sql.push(")");
    sql
}

/// A list's items are postings. The subquery's limit keeps SQLite from making it a join.
fn holds_item(column: &Column, negated: bool, values: &[Operand]) -> Sql {
    let mut sql = Sql::new("(SELECT 1 FROM posting p WHERE p.attribute = ");
    sql.value(column.attribute.unwrap_or_default());
    sql.push(" AND p.scope = e.scope AND p.execution = e.id AND p.value IN ");
    sql.list(values.iter().filter_map(|value| column.exact(value)));
    sql.push(if negated {
        " LIMIT 1) IS NULL"
    } else {
        " LIMIT 1) IS NOT NULL"
    });
    sql
}

/// Where a row has an attribute's value.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// An expression that is NULL without a value.
    pub(super) text: String,
    /// The attribute's number, if it rests in the row's JSON.
    pub(super) attribute: Option<i64>,
    pub(super) kind: ColumnKind,
}

/// How operands become what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Plain,
    /// An integer that orders as the double does.
    Double,
    /// The 16 bytes of a run's id, which queries write as text.
    Run,
}

/// Returns where a field's value is; `None` if no run has ever had the attribute.
pub(super) fn column(connection: &Connection, field: &Field) -> rusqlite::Result<Option<Column>> {
    let plain = |text: &str| Column {
        text: text.to_owned(),
        attribute: None,
        kind: ColumnKind::Plain,
    };
    let run = |text: &str| Column {
        text: text.to_owned(),
        attribute: None,
        kind: ColumnKind::Run,
    };
    Ok(Some(match field {
        Field::System(attribute) => match attribute {
            SystemAttribute::WorkflowId => plain("e.workflow_id"),
            SystemAttribute::RunId => run("e.run"),
            SystemAttribute::WorkflowType => plain("e.workflow_type"),
            SystemAttribute::TaskQueue => plain("e.task_queue"),
            SystemAttribute::ExecutionStatus => plain("e.status"),
            SystemAttribute::StartTime => plain("e.start_time"),
            SystemAttribute::ExecutionTime => plain("e.execution_time"),
            SystemAttribute::CloseTime => plain(&format!("nullif(e.close_time, {OPEN})")),
            SystemAttribute::ExecutionDuration => plain("e.execution_duration"),
            SystemAttribute::HistoryLength => plain("e.history_length"),
            SystemAttribute::HistorySizeBytes => plain("e.history_size"),
            SystemAttribute::StateTransitionCount => plain("e.state_transitions"),
            SystemAttribute::ParentWorkflowId => plain("e.parent_workflow_id"),
            SystemAttribute::ParentRunId => run("e.parent_run"),
            SystemAttribute::RootWorkflowId => plain("coalesce(e.root_workflow_id, e.workflow_id)"),
            SystemAttribute::RootRunId => run("coalesce(e.root_run, e.run)"),
        },
        Field::Stored { name, .. } if name == DIVISION => {
            plain("(SELECT s.division FROM scope s WHERE s.id = e.scope)")
        }
        Field::Stored { name, value_type } => {
            let Some(number) = find_attribute(connection, name, *value_type)? else {
                return Ok(None);
            };
            let double = *value_type == ValueType::Double;
            Column {
                text: format!("e.attributes ->> '$.{number}'"),
                attribute: Some(number),
                kind: if double {
                    ColumnKind::Double
                } else {
                    ColumnKind::Plain
                },
            }
        }
    }))
}

impl Column {
    fn words(&self) -> String {
        format!(
            "e.attributes ->> '$.{}{WORDS}'",
            self.attribute.unwrap_or_default()
        )
    }

    /// Returns what a value equal to the operand is stored as; `None` if none is.
    pub(super) fn exact(&self, operand: &Operand) -> Option<Value> {
        match (self.kind, operand) {
            (ColumnKind::Run, Operand::String(text)) => {
                let run: RunId = text.parse().ok()?;
                (run.to_string() == *text).then(|| Value::Blob(run.as_bytes().to_vec()))
            }
            (ColumnKind::Double, Operand::Int(number)) => {
                let (double, order) = nearest(*number);
                order.is_eq().then(|| Value::Integer(ordered_bits(double)))
            }
            _ => Some(self.stored(operand)),
        }
    }

    fn stored(&self, operand: &Operand) -> Value {
        match (self.kind, operand) {
            (ColumnKind::Double, Operand::Double(number)) => Value::Integer(ordered_bits(*number)),
            (_, Operand::String(text)) => Value::Text(text.clone()),
            (_, Operand::Int(number)) => Value::Integer(*number),
            (_, Operand::Double(number)) => Value::Real(*number),
            (_, Operand::Bool(flag)) => Value::Integer(i64::from(*flag)),
        }
    }

    fn range(&self, low: &Bound<Operand>, high: &Bound<Operand>) -> Sql {
        let text = if self.kind == ColumnKind::Run {
            run_text(&self.text)
        } else {
            self.text.clone()
        };
        let (low, high) = self.bounds(low, high);
        between(&text, &low, &high)
    }

    /// Returns the bounds in the terms of what is stored, of which a run's id is its text.
    pub(super) fn bounds(&self, low: &Bound<Operand>, high: &Bound<Operand>) -> (Bound<Value>, Bound<Value>) {
        // A double that lies beside the integer stands in for it: beside it from below, equal means less.
        let low = match low {
            Bound::Included(Operand::Int(number)) | Bound::Excluded(Operand::Int(number))
                if self.kind == ColumnKind::Double && nearest(*number).1.is_ne() =>
            {
                let (double, order) = nearest(*number);
                let value = Value::Integer(ordered_bits(double));
                if order.is_lt() {
                    Bound::Excluded(value)
                } else {
                    Bound::Included(value)
                }
            }
            low => low.as_ref().map(|low| self.bound(low)),
        };
        let high = match high {
            Bound::Included(Operand::Int(number)) | Bound::Excluded(Operand::Int(number))
                if self.kind == ColumnKind::Double && nearest(*number).1.is_ne() =>
            {
                let (double, order) = nearest(*number);
                let value = Value::Integer(ordered_bits(double));
                if order.is_lt() {
                    Bound::Included(value)
                } else {
                    Bound::Excluded(value)
                }
            }
            high => high.as_ref().map(|high| self.bound(high)),
        };
        (low, high)
    }

    fn bound(&self, operand: &Operand) -> Value {
        match (self.kind, operand) {
            (ColumnKind::Double, Operand::Int(number)) => Value::Integer(ordered_bits(nearest(*number).0)),
            _ => self.stored(operand),
        }
    }

    fn prefix(&self, prefix: &str) -> Sql {
        let text = if self.kind == ColumnKind::Run {
            run_text(&self.text)
        } else {
            self.text.clone()
        };
        let (low, high) = prefix_bounds(prefix);
        between(&text, &low, &high)
    }
}

/// Returns the double nearest to the integer, and how that compares with it.
fn nearest(number: i64) -> (f64, std::cmp::Ordering) {
    #[expect(clippy::cast_precision_loss, reason = "the difference is what is asked for")]
    let double = number as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "128 bits hold every double next to a 64-bit integer"
    )]
    let back = double as i128;
    (double, back.cmp(&i128::from(number)))
}

/// Returns between which texts those with the prefix lie.
pub(super) fn prefix_bounds(prefix: &str) -> (Bound<Value>, Bound<Value>) {
    let mut chars: Vec<char> = prefix.chars().collect();
    let mut high = Bound::Unbounded;
    while let Some(last) = chars.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            high = Bound::Excluded(Value::Text(chars.into_iter().collect()));
            break;
        }
    }
    (Bound::Included(Value::Text(prefix.to_owned())), high)
}

/// Returns the condition that the expression lies between the bounds; at least one is bounded.
pub(super) fn between(text: &str, low: &Bound<Value>, high: &Bound<Value>) -> Sql {
    let mut sql = Sql::default();
    let low = match low {
        Bound::Included(low) => Some((">=", low)),
        Bound::Excluded(low) => Some((">", low)),
        Bound::Unbounded => None,
    };
    let high = match high {
        Bound::Included(high) => Some(("<=", high)),
        Bound::Excluded(high) => Some(("<", high)),
        Bound::Unbounded => None,
    };
    for (i, (operator, value)) in low.into_iter().chain(high).enumerate() {
        let and = if i > 0 { " AND " } else { "" };
        sql.push(&format!("{and}{text} {operator} ")).value(value.clone());
    }
    sql
}

/// Writes a run's id as queries do.
fn run_text(column: &str) -> String {
    let part = |from: u8, length: u8| format!("substr(hex({column}), {from}, {length})");
    format!(
        "CASE WHEN {column} IS NOT NULL THEN lower({} || '-' || {} || '-' || {} || '-' || {} || '-' || {}) END",
        part(1, 8),
        part(9, 4),
        part(13, 4),
        part(17, 4),
        part(21, 12)
    )
}

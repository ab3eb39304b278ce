//! What a filter means: whether a record matches. Backends are held to this in tests.

use std::{borrow::Cow, cmp::Ordering, ops::Bound};

use super::{
    super::{
        attributes::{SearchValue, SystemAttribute},
        record::{Execution, Record},
    },
    filter::{Field, Filter, Operand, Term, Test},
    words::words,
};

impl Filter {
    /// Whether the record matches. The record's namespace is not looked at.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(record)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(record)),
            Self::Term(term) => term.matches(record),
        }
    }
}

impl Term {
    fn matches(&self, record: &Record) -> bool {
        let value = value(&self.field, record);
        if let Test::Null = self.test {
            return value.is_none() != self.negated;
        }
        match value {
            Some(value) => holds(&self.test, &value) != self.negated,
            None => self.negated && self.field.absent_matches_negated(),
        }
    }
}

/// An attribute's value, in the operands' terms.
enum Value<'a> {
    One(Operand),
    List(&'a [String]),
    Text(&'a str),
}

fn value<'a>(field: &Field, record: &'a Record) -> Option<Value<'a>> {
    match field {
        Field::System(attribute) => system_value(*attribute, record).map(Value::One),
        Field::Stored { name, value_type } => {
            let value = record.search_attributes.value(name)?;
            (value.value_type() == *value_type).then(|| stored_value(value))
        }
    }
}

fn stored_value(value: &SearchValue) -> Value<'_> {
    match value {
        SearchValue::Text(text) => Value::Text(text),
        SearchValue::KeywordList(items) => Value::List(items),
        SearchValue::Keyword(text) => Value::One(Operand::String(text.clone())),
        SearchValue::Int(number) => Value::One(Operand::Int(*number)),
        SearchValue::Double(number) => Value::One(Operand::Double(*number)),
        SearchValue::Bool(flag) => Value::One(Operand::Bool(*flag)),
        SearchValue::Datetime(datetime) => Value::One(Operand::Int(datetime.time().nanos())),
    }
}

fn system_value(attribute: SystemAttribute, record: &Record) -> Option<Operand> {
    let string = |text: Cow<'_, str>| Operand::String(text.into_owned());
    let workflow = |execution: &Execution| string(execution.workflow_id.as_str().into());
    let run = |execution: &Execution| string(execution.run_id.to_string().into());
    let close = record.close.as_ref();
    match attribute {
        SystemAttribute::WorkflowId => Some(string(record.workflow_id.as_str().into())),
        SystemAttribute::RunId => Some(string(record.run_id.to_string().into())),
        SystemAttribute::WorkflowType => Some(string(record.workflow_type.as_str().into())),
        SystemAttribute::TaskQueue => Some(string(record.task_queue.as_str().into())),
        SystemAttribute::ExecutionStatus => Some(Operand::Int(i64::from(i32::from(record.status)))),
        SystemAttribute::StartTime => Some(Operand::Int(record.start_time.nanos())),
        SystemAttribute::ExecutionTime => Some(Operand::Int(record.execution_time.nanos())),
        SystemAttribute::CloseTime => close.map(|close| Operand::Int(close.time.nanos())),
        SystemAttribute::ExecutionDuration => {
            close.map(|close| Operand::Int(close.execution_duration_nanos()))
        }
        SystemAttribute::HistoryLength => close.map(|close| Operand::Int(close.history_length)),
        SystemAttribute::HistorySizeBytes => close.map(|close| Operand::Int(close.history_size_bytes)),
        SystemAttribute::StateTransitionCount => {
            close.map(|close| Operand::Int(close.state_transition_count))
        }
        SystemAttribute::ParentWorkflowId => record.parent.as_ref().map(workflow),
        SystemAttribute::ParentRunId => record.parent.as_ref().map(run),
        SystemAttribute::RootWorkflowId => Some(workflow(&record.root)),
        SystemAttribute::RootRunId => Some(run(&record.root)),
    }
}

/// Whether the test holds of a single value.
pub(super) fn holds_of(test: &Test, value: &Operand) -> bool {
    holds(test, &Value::One(value.clone()))
}

fn holds(test: &Test, value: &Value<'_>) -> bool {
    match (test, value) {
        (Test::OneOf(operands), Value::One(value)) => operands
            .iter()
            .any(|operand| compare(value, operand) == Some(Ordering::Equal)),
        (Test::OneOf(operands), Value::List(items)) => items.iter().any(|item| {
            operands
                .iter()
                .any(|operand| matches!(operand, Operand::String(text) if text == item))
        }),
        (Test::Range(low, high), Value::One(value)) => above(value, low) && below(value, high),
        (Test::Prefix(prefix), Value::One(Operand::String(text))) => text.starts_with(prefix.as_str()),
        (Test::Phrases(phrases), Value::Text(text)) => {
            let words: Vec<_> = words(text).collect();
            phrases
                .iter()
                .any(|phrase| !phrase.is_empty() && words.windows(phrase.len()).any(|run| run == phrase))
        }
        _ => false,
    }
}

fn above(value: &Operand, low: &Bound<Operand>) -> bool {
    match low {
        Bound::Included(low) => compare(value, low).is_some_and(Ordering::is_ge),
        Bound::Excluded(low) => compare(value, low).is_some_and(Ordering::is_gt),
        Bound::Unbounded => true,
    }
}

fn below(value: &Operand, high: &Bound<Operand>) -> bool {
    match high {
        Bound::Included(high) => compare(value, high).is_some_and(Ordering::is_le),
        Bound::Excluded(high) => compare(value, high).is_some_and(Ordering::is_lt),
        Bound::Unbounded => true,
    }
}

/// Compares by value: numbers exactly, whatever their types; strings by their bytes.
fn compare(left: &Operand, right: &Operand) -> Option<Ordering> {
    match (left, right) {
        (Operand::String(left), Operand::String(right)) => Some(left.cmp(right)),
        (Operand::Int(left), Operand::Int(right)) => Some(left.cmp(right)),
        (Operand::Double(left), Operand::Double(right)) => left.partial_cmp(right),
        (Operand::Int(left), Operand::Double(right)) => compare_mixed(*left, *right),
        (Operand::Double(left), Operand::Int(right)) => compare_mixed(*right, *left).map(Ordering::reverse),
        (Operand::Bool(left), Operand::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn compare_mixed(int: i64, double: f64) -> Option<Ordering> {
    /// The first double above every 64-bit integer.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= BEYOND {
        return Some(Ordering::Less);
    }
    if double < -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was checked, and the fraction is looked at next"
    )]
    let whole = double.trunc() as i64;
    Some(
        int.cmp(&whole)
            .then_with(|| 0.0_f64.total_cmp(&(double.fract() + 0.0))),
    )
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::compare_mixed;

    #[test]
    fn integers_and_doubles_compare_exactly() {
        let table = [
            (1, 1.0, Equal),
            (1, 1.5, Less),
            (-1, -1.5, Greater),
            (0, -0.0, Equal),
            (0, -0.5, Greater),
            (i64::MAX, 9_223_372_036_854_775_807.0, Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Equal),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Greater),
            (i64::MIN, f64::MIN, Greater),
        ];
        for (int, double, ordering) in table {
            assert_eq!(compare_mixed(int, double), Some(ordering), "{int} and {double}");
        }
    }
}

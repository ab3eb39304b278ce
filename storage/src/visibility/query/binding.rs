//! Binding: resolves a query's names and checks its values' types, which makes it a filter.

use std::{collections::BTreeMap, ops::Bound};

use proto::temporal::enums::v1::WorkflowExecutionStatus;

use super::{
    super::{
        attributes::{Datetime, PREFIX, PredefinedAttribute, Schema, SystemAttribute, ValueType, show},
        error::QueryError,
    },
    ast::{Expr, Literal, Operator},
    duration,
    filter::{Field, Filter, Operand, Term, Test},
    matching::holds_of,
    parser::{invalid, unsupported},
    words::phrases,
};

/// Makes the expression a filter; `negated` asks for its opposite.
pub(super) fn bind(expr: &Expr, negated: bool, schema: &Schema) -> Result<Filter, QueryError> {
    let operands = |operands: &[Expr]| {
        operands
            .iter()
            .map(|operand| bind(operand, negated, schema))
            .collect::<Result<Vec<_>, _>>()
    };
    match expr {
        Expr::Not(operand) => bind(operand, !negated, schema),
        Expr::And(inner) if negated => Ok(any(operands(inner)?)),
        Expr::And(inner) => Ok(all(operands(inner)?)),
        Expr::Or(inner) if negated => Ok(all(operands(inner)?)),
        Expr::Or(inner) => Ok(any(operands(inner)?)),
        Expr::Null { name, negated: not } => Ok(Filter::null(field(name, schema)?, *not != negated)),
        Expr::Compare {
            name,
            operator,
            value,
        } => {
            let field = field(name, schema)?;
            let (test, not) = comparison(&field, name, *operator, value)?;
            Ok(term(field, not != negated, test))
        }
        Expr::In {
            name,
            negated: not,
            values,
        } => {
            let field = field(name, schema)?;
            let values = values
                .iter()
                .map(|value| operand(&field, name, value))
                .collect::<Result<_, _>>()?;
            if field.value_type() == ValueType::Text {
                return Err(unsupported_operator(
                    if *not { "NOT IN" } else { "IN" },
                    &field,
                    name,
                ));
            }
            Ok(term(field, *not != negated, Test::OneOf(values)))
        }
        Expr::Between {
            name,
            negated: not,
            low,
            high,
        } => {
            let field = field(name, schema)?;
            if matches!(
                field.value_type(),
                ValueType::Bool | ValueType::Text | ValueType::KeywordList
            ) {
                let value_type = field.value_type();
                return Err(invalid(&format!(
                    "cannot do range condition on search attribute '{name}' of type {value_type}"
                )));
            }
            let low = Bound::Included(operand(&field, name, low)?);
            let high = Bound::Included(operand(&field, name, high)?);
            Ok(term(field, *not != negated, Test::Range(low, high)))
        }
    }
}

/// Resolves a name. The prefix of a built-in one may be left out or added; a custom one stands before such
/// readings.
pub(super) fn field(name: &str, schema: &Schema) -> Result<Field, QueryError> {
    let exact = |name: &str| {
        SystemAttribute::from_name(name).map(Field::System).or_else(|| {
            let value_type = schema.stored_type(name)?;
            Some(Field::Stored {
                name: name.to_owned(),
                value_type,
            })
        })
    };
    let built_in = |name: &str| match PredefinedAttribute::from_name(name) {
        Some(attribute) => Some(Field::Stored {
            name: attribute.name.to_owned(),
            value_type: attribute.value_type,
        }),
        None if name == "ScheduleId" => Some(Field::System(SystemAttribute::WorkflowId)),
        None => SystemAttribute::from_name(name).map(Field::System),
    };
    exact(name)
        .or_else(|| built_in(name))
        .or_else(|| name.strip_prefix(PREFIX).and_then(built_in))
        .or_else(|| built_in(&format!("{PREFIX}{name}")))
        .ok_or_else(|| QueryError::new(format!("invalid search attribute: {name}")))
}

/// Returns the test that an operator asks for, and whether for its opposite.
fn comparison(
    field: &Field,
    name: &str,
    operator: Operator,
    value: &Literal,
) -> Result<(Test, bool), QueryError> {
    let value = operand(field, name, value)?;
    let refused = || unsupported_operator(operator.name(), field, name);
    if let (ValueType::Text, Operand::String(text)) = (field.value_type(), &value) {
        let phrases = phrases(text);
        return match operator {
            Operator::Equal | Operator::NotEqual if phrases.is_empty() => Err(invalid(&format!(
                "no tokens found filtering on Text type search attribute {name}"
            ))),
            Operator::Equal => Ok((Test::Phrases(phrases), false)),
            Operator::NotEqual => Ok((Test::Phrases(phrases), true)),
            _ => Err(refused()),
        };
    }
    let keyword = field.value_type() == ValueType::Keyword;
    match (operator, value) {
        (Operator::Equal, value) => Ok((Test::OneOf(vec![value]), false)),
        (Operator::NotEqual, value) => Ok((Test::OneOf(vec![value]), true)),
        (Operator::Unsupported(_), _) => Err(refused()),
        (Operator::StartsWith, Operand::String(prefix)) if keyword => Ok((Test::Prefix(prefix), false)),
        (Operator::NotStartsWith, Operand::String(prefix)) if keyword => Ok((Test::Prefix(prefix), true)),
        (Operator::StartsWith | Operator::NotStartsWith, Operand::Int(number)) if keyword => {
            let (operator, status) = (
                operator.name().to_lowercase(),
                status_of_number(number).map_or("", status_name),
            );
            Err(invalid(&format!(
                "right-hand side of \"{operator}\" operator must be a literal string (got: {status})"
            )))
        }
        (Operator::StartsWith | Operator::NotStartsWith, _) => Err(refused()),
        _ if field.value_type() == ValueType::KeywordList => Err(refused()),
        (Operator::Less, value) => Ok((Test::Range(Bound::Unbounded, Bound::Excluded(value)), false)),
        (Operator::LessOrEqual, value) => Ok((Test::Range(Bound::Unbounded, Bound::Included(value)), false)),
        (Operator::Greater, value) => Ok((Test::Range(Bound::Excluded(value), Bound::Unbounded), false)),
        (Operator::GreaterOrEqual, value) => {
            Ok((Test::Range(Bound::Included(value), Bound::Unbounded), false))
        }
    }
}

/// Reads a literal as a value that the field may be compared with.
fn operand(field: &Field, name: &str, literal: &Literal) -> Result<Operand, QueryError> {
    match field {
        Field::System(SystemAttribute::ExecutionStatus) => return status(name, literal),
        Field::System(SystemAttribute::ExecutionDuration) => return execution_duration(name, literal),
        _ => {}
    }
    let value_type = field.value_type();
    match (value_type, literal) {
        (ValueType::Text | ValueType::Keyword | ValueType::KeywordList, Literal::String(text)) => {
            Ok(Operand::String(text.clone()))
        }
        (ValueType::Int | ValueType::Double | ValueType::Datetime, Literal::Int(number)) => {
            Ok(Operand::Int(*number))
        }
        (ValueType::Int | ValueType::Double, Literal::Double(number)) => Ok(Operand::Double(*number)),
        (ValueType::Bool, Literal::Bool(flag)) => Ok(Operand::Bool(*flag)),
        (ValueType::Datetime, Literal::String(text)) => match Datetime::parse(text) {
            Some(datetime) => Ok(Operand::Int(datetime.time().nanos())),
            None => Err(invalid(&format!("unable to parse datetime '{text}'"))),
        },
        _ => Err(wrong_type(name, value_type, literal)),
    }
}

fn wrong_type(name: &str, value_type: ValueType, literal: &Literal) -> QueryError {
    let shown = match literal {
        Literal::String(text) => format!("{text:?} (type: string)"),
        Literal::Int(number) => format!("{number} (type: int64)"),
        Literal::Double(number) => format!("{} (type: float64)", show::double(*number)),
        Literal::Bool(flag) => format!("{flag} (type: bool)"),
    };
    invalid(&format!(
        "invalid value type for search attribute {name} of type {value_type}: {shown}"
    ))
}

/// Reads a status by its number or name; it is compared by its number, as the official server's SQL stores do.
fn status(name: &str, literal: &Literal) -> Result<Operand, QueryError> {
    let found = match literal {
        Literal::String(text) => status_of_name(text).ok_or_else(|| format!("'{text}'")),
        Literal::Int(number) => status_of_number(*number).ok_or_else(|| number.to_string()),
        Literal::Double(_) => {
            return Err(invalid(&format!(
                "unexpected value type float64 for search attribute {name}"
            )));
        }
        Literal::Bool(_) => {
            return Err(invalid(&format!(
                "unexpected value type bool for search attribute {name}"
            )));
        }
    };
    match found {
        Ok(status) => Ok(status_operand(status)),
        Err(shown) => Err(invalid(&format!("invalid {name} value {shown}"))),
    }
}

const STATUSES: [WorkflowExecutionStatus; 9] = [
    WorkflowExecutionStatus::Unspecified,
    WorkflowExecutionStatus::Running,
    WorkflowExecutionStatus::Completed,
    WorkflowExecutionStatus::Failed,
    WorkflowExecutionStatus::Canceled,
    WorkflowExecutionStatus::Terminated,
    WorkflowExecutionStatus::ContinuedAsNew,
    WorkflowExecutionStatus::TimedOut,
    WorkflowExecutionStatus::Paused,
];

fn status_of_number(number: i64) -> Option<WorkflowExecutionStatus> {
    i32::try_from(number)
        .ok()
        .and_then(|number| WorkflowExecutionStatus::try_from(number).ok())
}

fn status_of_name(name: &str) -> Option<WorkflowExecutionStatus> {
    STATUSES
        .into_iter()
        .find(|status| status_name(*status) == name || status.as_str_name() == name)
}

/// Returns a status's name in queries and group values.
pub(in crate::visibility) const fn status_name(status: WorkflowExecutionStatus) -> &'static str {
    match status {
        WorkflowExecutionStatus::Unspecified => "Unspecified",
        WorkflowExecutionStatus::Running => "Running",
        WorkflowExecutionStatus::Completed => "Completed",
        WorkflowExecutionStatus::Failed => "Failed",
        WorkflowExecutionStatus::Canceled => "Canceled",
        WorkflowExecutionStatus::Terminated => "Terminated",
        WorkflowExecutionStatus::ContinuedAsNew => "ContinuedAsNew",
        WorkflowExecutionStatus::TimedOut => "TimedOut",
        WorkflowExecutionStatus::Paused => "Paused",
    }
}

fn execution_duration(name: &str, literal: &Literal) -> Result<Operand, QueryError> {
    match literal {
        Literal::Int(nanos) => Ok(Operand::Int(*nanos)),
        Literal::String(text) => match duration::parse(text) {
            Some(nanos) => Ok(Operand::Int(nanos)),
            None => Err(invalid(&format!(
                "invalid duration value for search attribute {name}: {text}"
            ))),
        },
        Literal::Double(_) => Err(invalid(&format!(
            "unexpected value type float64 for search attribute {name}"
        ))),
        Literal::Bool(_) => Err(wrong_type(name, ValueType::Int, literal)),
    }
}

fn unsupported_operator(operator: &str, field: &Field, name: &str) -> QueryError {
    let value_type = field.value_type();
    unsupported(&format!(
        "operator '{operator}' not supported for {value_type} type search attribute '{name}'"
    ))
}

fn status_operand(status: WorkflowExecutionStatus) -> Operand {
    Operand::Int(i64::from(i32::from(status)))
}

/// Makes a term. A test of the status becomes the set of those that pass it, which is what indexes know.
fn term(field: Field, negated: bool, test: Test) -> Filter {
    if field == Field::System(SystemAttribute::ExecutionStatus) && test != Test::Null {
        let asked = STATUSES
            .into_iter()
            .map(status_operand)
            .filter(|status| holds_of(&test, status) != negated);
        return Filter::one_of(field, asked.collect());
    }
    Filter::Term(Term { field, negated, test })
}

/// Joins conditions of which all must hold.
fn all(filters: Vec<Filter>) -> Filter {
    let mut joined = Vec::with_capacity(filters.len());
    let mut refused = Values::default();
    for filter in filters {
        match filter {
            Filter::All(inner) => joined.extend(inner),
            Filter::Term(Term {
                field,
                negated: true,
                test: Test::OneOf(values),
            }) => refused.add(field, values),
            other => joined.push(other),
        }
    }
    joined.extend(refused.terms(true));
    Filter::All(joined)
}

/// Joins conditions of which one must hold.
fn any(filters: Vec<Filter>) -> Filter {
    let mut joined = Vec::with_capacity(filters.len());
    let mut wanted = Values::default();
    for filter in filters {
        match filter {
            Filter::Any(inner) => joined.extend(inner),
            Filter::Term(Term {
                field,
                negated: false,
                test: Test::OneOf(values),
            }) => wanted.add(field, values),
            other => joined.push(other),
        }
    }
    joined.extend(wanted.terms(false));
    match joined.pop() {
        Some(only) if joined.is_empty() => only,
        last => {
            joined.extend(last);
            Filter::Any(joined)
        }
    }
}

/// Values by the attribute that is compared with them: long chains of such comparisons are how clients write
/// lists, and a list is what the backends answer fast.
#[derive(Default)]
struct Values(BTreeMap<Field, Vec<Operand>>);

impl Values {
    fn add(&mut self, field: Field, values: Vec<Operand>) {
        self.0.entry(field).or_default().extend(values);
    }

    fn terms(self, negated: bool) -> impl Iterator<Item = Filter> {
        let term = move |(field, values)| {
            Filter::Term(Term {
                field,
                negated,
                test: Test::OneOf(values),
            })
        };
        self.0.into_iter().map(term)
    }
}

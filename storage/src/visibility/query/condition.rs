//! Conditions on things that are not runs, such as workers: the same language, over fields that the caller has.

use super::{
    super::{attributes::Datetime, error::QueryError},
    ast::{Expr, Literal, Operator},
    parser,
};
use proto::time::Timestamp;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// The empty text counts as absent.
    Text(&'a str),
    Time(Option<Timestamp>),
}

/// A condition that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Option<Expr>);

impl Condition {
    /// Reads a condition; the empty one holds of everything. Names are looked at only where it is asked.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let statement = parser::parse(text)?;
        if let Some(clause) = statement.unsupported {
            return Err(parser::unsupported(clause));
        }
        if !statement.group_by.is_empty() {
            return Err(parser::unsupported("'GROUP BY' clause"));
        }
        Ok(Self(statement.filter))
    }

    /// Whether the condition holds. A field that is not known, or is asked something that its kind does not know,
    /// makes it not hold, as in the official server.
    pub fn holds<'a>(&self, field: &impl Fn(&str) -> Option<Cell<'a>>) -> bool {
        match &self.0 {
            Some(expr) => evaluate(expr, field).unwrap_or(false),
            None => true,
        }
    }
}

/// Returns `None` where there is no answer.
fn evaluate<'a>(expr: &Expr, field: &impl Fn(&str) -> Option<Cell<'a>>) -> Option<bool> {
    match expr {
        Expr::And(all) => {
            for expr in all {
                if !evaluate(expr, field)? {
                    return Some(false);
                }
            }
            Some(true)
        }
        Expr::Or(any) => {
            for expr in any {
                if evaluate(expr, field)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        Expr::Compare {
            name,
            operator,
            value,
        } => match field(name)? {
            Cell::Text(text) => compare_text(text, *operator, value),
            Cell::Time(time) => compare_time(time, *operator, value),
        },
        Expr::Between {
            name,
            negated,
            low,
            high,
        } => {
            let Cell::Time(time) = field(name)? else {
                return None;
            };
            let within = compare_time(time, Operator::GreaterOrEqual, low)?
                && compare_time(time, Operator::LessOrEqual, high)?;
            Some(within != *negated)
        }
        Expr::Null { name, negated } => {
            let is_null = match field(name)? {
                Cell::Text(text) => text.is_empty(),
                Cell::Time(time) => time.is_none(),
            };
            Some(is_null != *negated)
        }
        Expr::Not(_) | Expr::In { .. } => None,
    }
}

fn compare_text(text: &str, operator: Operator, value: &Literal) -> Option<bool> {
    let Literal::String(value) = value else {
        return None;
    };
    match operator {
        Operator::Equal => Some(text == value),
        Operator::NotEqual => Some(text != value),
        Operator::StartsWith => Some(text.starts_with(value.as_str())),
        Operator::NotStartsWith => Some(!text.starts_with(value.as_str())),
        _ => None,
    }
}

fn compare_time(time: Option<Timestamp>, operator: Operator, value: &Literal) -> Option<bool> {
    let Literal::String(value) = value else {
        return None;
    };
    let value = Datetime::parse(value)?.time();
    let time = time?;
    match operator {
        Operator::Equal => Some(time == value),
        Operator::NotEqual => Some(time != value),
        Operator::Less => Some(time < value),
        Operator::LessOrEqual => Some(time <= value),
        Operator::Greater => Some(time > value),
        Operator::GreaterOrEqual => Some(time >= value),
        Operator::StartsWith | Operator::NotStartsWith | Operator::Unsupported(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(name: &str) -> Option<Cell<'static>> {
        match name {
            "Queue" => Some(Cell::Text("q1")),
            "Host" => Some(Cell::Text("")),
            "Start" => Some(Cell::Time(Some(Timestamp::from_seconds(100)))),
            "Beat" => Some(Cell::Time(None)),
            _ => None,
        }
    }

    #[test]
    fn conditions_hold_as_in_the_official_server() {
        let table = [
            ("", true),
            ("Queue = 'q1'", true),
            ("Queue != 'q1'", false),
            ("Queue STARTS_WITH 'q'", true),
            ("Queue NOT STARTS_WITH 'q'", false),
            ("Queue = 1", false),
            ("Queue > 'a'", false),
            ("Queue IN ('q1')", false),
            ("NOT Queue = 'x'", false),
            ("Queue = 'q1' AND Nobody = 'x'", false),
            ("Queue = 'q1' OR Nobody = 'x'", true),
            ("Nobody = 'x' OR Queue = 'q1'", false),
            ("Queue = 'q1' AND (Host = 'z' OR Queue = 'q1')", true),
            ("Host IS NULL", true),
            ("Queue IS NOT NULL", true),
            ("Beat IS NULL", true),
            ("Beat > '1970-01-01T00:00:00Z'", false),
            ("Start > '1970-01-01T00:00:00Z'", true),
            ("Start = 'yesterday'", false),
            (
                "Start BETWEEN '1970-01-01T00:00:00Z' AND '2020-01-01T00:00:00Z'",
                true,
            ),
        ];
        for (text, expected) in table {
            let condition = Condition::parse(text).expect(text);
            assert_eq!(condition.holds(&cells), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["'", "ORDER BY Queue", "GROUP BY Queue", "Queue = "] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}

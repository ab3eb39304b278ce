//! Filter: a query's condition with names resolved and types checked. Every backend answers this.
//!
//! Negation stands at the terms only, so AND and OR need no third truth value: a term about an attribute that
//! the run does not have is false, whether negated or not, with the exceptions that [`Term`] names.

use std::{fmt, ops::Bound};

use super::super::attributes::{DIVISION, SystemAttribute, ValueType};

/// Which runs match.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Runs that match all of them; every run if there are none.
    All(Vec<Filter>),
    /// Runs that match one of them; no run if there are none.
    Any(Vec<Filter>),
    Term(Term),
}

/// What is asked of one attribute.
///
/// A run without the attribute matches only [`Test::Null`], and the negated form of any other test if the
/// attribute is a Text or a KeywordList.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    pub field: Field,
    pub negated: bool,
    pub test: Test,
}

/// An attribute of a known type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    System(SystemAttribute),
    /// A custom or predefined one.
    Stored {
        name: String,
        value_type: ValueType,
    },
}

/// How an attribute's value is tested.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// There is no value.
    Null,
    /// The value, or one of the list's, is one of these. Never of a Text.
    OneOf(Vec<Operand>),
    /// The value lies between these; at least one is bounded. Never of a Text or a KeywordList.
    Range(Bound<Operand>, Bound<Operand>),
    /// The value begins with this. Only of a Keyword.
    Prefix(String),
    /// The text holds one of these sequences of words. Only of a Text.
    Phrases(Vec<Vec<String>>),
}

/// What a value is compared with. Times are nanoseconds since the epoch, durations nanoseconds, statuses the
/// API's numbers; an integer attribute may be compared with a double, and the other way round.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Filter {
    /// The runs that match this and the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut all = match self {
            Self::All(all) => all,
            single => vec![single],
        };
        match other {
            Self::All(more) => all.extend(more),
            single => all.push(single),
        }
        Self::All(all)
    }

    /// The runs whose attribute has no value, or has one.
    pub(super) fn null(field: Field, negated: bool) -> Self {
        Self::Term(Term {
            field,
            negated,
            test: Test::Null,
        })
    }

    pub(super) fn one_of(field: Field, values: Vec<Operand>) -> Self {
        Self::Term(Term {
            field,
            negated: false,
            test: Test::OneOf(values),
        })
    }

    /// How many ANDs and ORs stand within each other.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::All(filters) | Self::Any(filters) => 1 + filters.iter().map(Self::depth).max().unwrap_or(0),
            Self::Term(_) => 0,
        }
    }

    /// Whether some term is about the attribute.
    #[must_use]
    pub fn mentions(&self, field: &Field) -> bool {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().any(|filter| filter.mentions(field)),
            Self::Term(term) => term.field == *field,
        }
    }
}

impl Field {
    /// The namespace division.
    #[must_use]
    pub fn division() -> Self {
        Self::Stored {
            name: DIVISION.to_owned(),
            value_type: ValueType::Keyword,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::System(attribute) => attribute.name(),
            Self::Stored { name, .. } => name,
        }
    }

    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::System(attribute) => attribute.value_type(),
            Self::Stored { value_type, .. } => *value_type,
        }
    }

    /// Whether a negated term matches a run without the attribute.
    #[must_use]
    pub const fn absent_matches_negated(&self) -> bool {
        matches!(self.value_type(), ValueType::Text | ValueType::KeywordList)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (filters, word, nothing) = match self {
            Self::All(filters) => (filters, " AND ", "everything"),
            Self::Any(filters) => (filters, " OR ", "nothing"),
            Self::Term(term) => return fmt::Display::fmt(term, f),
        };
        if filters.is_empty() {
            return f.write_str(nothing);
        }
        for (i, filter) in filters.iter().enumerate() {
            if i > 0 {
                f.write_str(word)?;
            }
            match filter {
                Self::Term(term) => write!(f, "{term}")?,
                nested => write!(f, "({nested})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field.name())?;
        let not = if self.negated { " not" } else { "" };
        match &self.test {
            Test::Null => write!(f, "{not} null"),
            Test::OneOf(values) => write!(f, "{not} in [{}]", join(values)),
            Test::Range(low, high) => {
                write!(f, "{not} in ")?;
                match low {
                    Bound::Included(value) => write!(f, "[{value}")?,
                    Bound::Excluded(value) => write!(f, "({value}")?,
                    Bound::Unbounded => f.write_str("(")?,
                }
                match high {
                    Bound::Included(value) => write!(f, "..{value}]"),
                    Bound::Excluded(value) => write!(f, "..{value})"),
                    Bound::Unbounded => f.write_str("..)"),
                }
            }
            Test::Prefix(prefix) => write!(f, "{not} begins {prefix:?}"),
            Test::Phrases(phrases) => {
                let phrases: Vec<_> = phrases.iter().map(|phrase| phrase.join(" ")).collect();
                write!(f, "{not} holds {phrases:?}")
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "{text:?}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number:?}"),
            Self::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

fn join(values: &[Operand]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

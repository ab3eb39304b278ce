//! The query as it is written, before names and types are known.

/// A query's clauses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Statement {
    pub(super) filter: Option<Expr>,
    pub(super) group_by: Vec<String>,
    /// A clause that is not supported, where the text ends for the parser.
    pub(super) unsupported: Option<&'static str>,
}

/// A condition. AND and OR hold as many operands as stand side by side, so that long chains do not nest.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        name: String,
        operator: Operator,
        value: Literal,
    },
    In {
        name: String,
        negated: bool,
        values: Vec<Literal>,
    },
    Between {
        name: String,
        negated: bool,
        low: Literal,
        high: Literal,
    },
    Null {
        name: String,
        negated: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    StartsWith,
    NotStartsWith,
    /// One that the language knows and no type supports.
    Unsupported(&'static str),
}

impl Operator {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::StartsWith => "STARTS_WITH",
            Self::NotStartsWith => "NOT STARTS_WITH",
            Self::Unsupported(name) => name,
        }
    }
}

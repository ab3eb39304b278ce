//! Parser: tokens to the query as it is written. Recursive descent; only parentheses and NOT nest, to a limit.

use super::{
    super::{
        error::QueryError,
        limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX},
    },
    ast::{Expr, Literal, Operator, Statement},
    lexer::{Kind, Token, syntax_error, tokens},
};

const KEYWORDS: [&str; 24] = [
    "AND",
    "BETWEEN",
    "BY",
    "CASE",
    "ESCAPE",
    "EXISTS",
    "FALSE",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "IS",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OR",
    "ORDER",
    "REGEXP",
    "RLIKE",
    "SELECT",
    "STARTS_WITH",
    "TRUE",
    "UNION",
];

/// Whether the bare word is one of the language's own, in any case.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Parses a query; the empty one has no filter.
pub(super) fn parse(text: &str) -> Result<Statement, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(QueryError::new(format!(
            "query length {} exceeds limit {QUERY_BYTES_MAX}",
            text.len()
        )));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        terms: 0,
    };
    parser.statement()
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn statement(&mut self) -> Result<Statement, QueryError> {
        let mut statement = Statement::default();
        if self.is_at_end() && self.at == 0 {
            return Ok(statement);
        }
        if !self.begins_clause() {
            statement.filter = Some(self.or()?);
        }
        if self.take_word("GROUP") {
            self.expect_word("BY")?;
            statement.group_by.push(self.column()?);
            while self.take_sign(",") {
                statement.group_by.push(self.column()?);
            }
        }
        for (first, second, clause) in [
            ("HAVING", None, "'HAVING' clause"),
            ("ORDER", Some("BY"), "'ORDER BY' clause"),
            ("LIMIT", None, "'LIMIT' clause"),
        ] {
            if self.take_word(first) {
                if let Some(second) = second {
                    self.expect_word(second)?;
                }
                statement.unsupported = Some(clause);
                return Ok(statement);
            }
        }
        self.take_sign(";");
        if self.is_at_end() {
            Ok(statement)
        } else {
            Err(self.unexpected())
        }
    }

    fn or(&mut self) -> Result<Expr, QueryError> {
        let first = self.and()?;
        let mut operands = vec![first];
        while self.take_word("OR") || self.take_sign("||") {
            operands.push(self.and()?);
        }
        Ok(flat(operands, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr, QueryError> {
        let first = self.not()?;
        let mut operands = vec![first];
        while self.take_word("AND") || self.take_sign("&&") {
            operands.push(self.not()?);
        }
        Ok(flat(operands, Expr::And))
    }

    fn not(&mut self) -> Result<Expr, QueryError> {
        let mut negated = false;
        // Two NOTs are none, however many there are: they need no depth.
        while self.take_word("NOT") {
            negated = !negated;
        }
        let operand = self.primary()?;
        Ok(if negated {
            Expr::Not(Box::new(operand))
        } else {
            operand
        })
    }

    fn primary(&mut self) -> Result<Expr, QueryError> {
        if self.peek_sign("!") {
            return Err(unsupported("operator '!'"));
        }
        if !self.take_sign("(") {
            return self.condition();
        }
        self.depth += 1;
        if self.depth > QUERY_DEPTH_MAX {
            return Err(QueryError::new(format!(
                "nesting depth exceeds limit {QUERY_DEPTH_MAX}"
            )));
        }
        let inner = self.or()?;
        if !self.take_sign(")") {
            return Err(self.unexpected());
        }
        self.depth -= 1;
        if self.begins_operator() {
            return Err(invalid(
                "must be a column name but was an expression in parentheses",
            ));
        }
        Ok(inner)
    }

    /// Reads a column and what is asked of it.
    fn condition(&mut self) -> Result<Expr, QueryError> {
        self.count_term()?;
        let name = self.left_side()?;
        if self.take_word("IS") {
            return self.is(name);
        }
        let negated = self.take_word("NOT");
        if self.take_word("IN") {
            return Ok(Expr::In {
                name,
                negated,
                values: self.list()?,
            });
        }
        if self.take_word("BETWEEN") {
            let low = self.value()?;
            self.expect_word("AND")?;
            return Ok(Expr::Between {
                name,
                negated,
                low,
                high: self.value()?,
            });
        }
        let Some(operator) = self.operator(negated) else {
            return Err(if negated || !self.ends_condition() {
                self.unexpected()
            } else {
                invalid("incomplete expression")
            });
        };
        let value = self.value()?;
        if matches!(operator, Operator::Unsupported(_)) && self.take_word("ESCAPE") {
            self.value()?;
        }
        Ok(Expr::Compare {
            name,
            operator,
            value,
        })
    }

    fn is(&mut self, name: String) -> Result<Expr, QueryError> {
        let negated = self.take_word("NOT");
        if self.take_word("NULL") {
            return Ok(Expr::Null { name, negated });
        }
        if self.take_word("TRUE") || self.take_word("FALSE") {
            return Err(invalid(
                "'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'",
            ));
        }
        Err(self.unexpected())
    }

    fn operator(&mut self, negated: bool) -> Option<Operator> {
        let words = [
            ("STARTS_WITH", Operator::StartsWith, Operator::NotStartsWith),
            (
                "LIKE",
                Operator::Unsupported("LIKE"),
                Operator::Unsupported("NOT LIKE"),
            ),
            (
                "REGEXP",
                Operator::Unsupported("REGEXP"),
                Operator::Unsupported("NOT REGEXP"),
            ),
            (
                "RLIKE",
                Operator::Unsupported("REGEXP"),
                Operator::Unsupported("NOT REGEXP"),
            ),
        ];
        for (word, plain, inverse) in words {
            if self.take_word(word) {
                return Some(if negated { inverse } else { plain });
            }
        }
        let signs = [
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<", Operator::Less),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            (">=", Operator::GreaterOrEqual),
            ("<=>", Operator::Unsupported("<=>")),
        ];
        if negated {
            return None;
        }
        signs
            .into_iter()
            .find(|(sign, _)| self.take_sign(sign))
            .map(|(_, operator)| operator)
    }

    /// Reads what stands left of an operator, which must be a column.
    fn left_side(&mut self) -> Result<String, QueryError> {
        let token = self.peek();
        match &token.kind {
            Kind::String(_) | Kind::Number(_) => Err(invalid("must be a column name but was a value")),
            Kind::Word(word)
                if ["TRUE", "FALSE", "NULL", "CASE", "EXISTS"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(word)) =>
            {
                Err(unsupported(&format!(
                    "expression '{}'",
                    word.to_ascii_uppercase()
                )))
            }
            _ => {
                let name = self.column()?;
                match &self.peek().kind {
                    Kind::Sign("(") => Err(invalid("must be a column name but was a function call")),
                    Kind::Sign("+" | "-" | "*" | "/" | "&" | "|") => {
                        Err(invalid("must be a column name but was an arithmetic expression"))
                    }
                    _ => Ok(name),
                }
            }
        }
    }

    /// Reads a column's name; one with points in it is kept whole, and found nowhere.
    fn column(&mut self) -> Result<String, QueryError> {
        let mut name = self.name()?;
        while self.take_sign(".") {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }

    fn name(&mut self) -> Result<String, QueryError> {
        let token = self.peek();
        match &token.kind {
            Kind::Name(name) => {
                self.at += 1;
                Ok(name.clone())
            }
            Kind::Word(word) if !is_keyword(word) => {
                self.at += 1;
                Ok(word.clone())
            }
            Kind::String(_) | Kind::Number(_) => Err(invalid("must be a column name but was a value")),
            _ => Err(self.unexpected()),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, QueryError> {
        if !self.take_sign("(") {
            return Err(self.unexpected());
        }
        let mut values = vec![self.value()?];
        while self.take_sign(",") {
            self.count_term()?;
            values.push(self.value()?);
        }
        if self.take_sign(")") {
            Ok(values)
        } else {
            Err(self.unexpected())
        }
    }

    /// Reads what stands right of an operator, which must be a literal.
    fn value(&mut self) -> Result<Literal, QueryError> {
        let negative = match self.peek().kind {
            Kind::Sign("-") => Some(true),
            Kind::Sign("+") => Some(false),
            Kind::Sign("~") => return Err(unsupported("unary operator \"~\"")),
            _ => None,
        };
        self.at += usize::from(negative.is_some());
        let token = self.peek();
        let literal = match &token.kind {
            Kind::Number(text) => number(text, negative == Some(true)),
            Kind::Word(_) | Kind::String(_) | Kind::Name(_) | Kind::Sign("(") if negative.is_some() => {
                Err(invalid("unary operator not supported on what is not a number"))
            }
            Kind::String(text) => Ok(Literal::String(text.clone())),
            Kind::Sign("(") => Err(invalid("unexpected value in parentheses")),
            Kind::Name(_) | Kind::Word(_) => return self.word_value(),
            _ => return Err(self.unexpected()),
        }?;
        self.at += 1;
        if let Kind::Sign(sign @ ("+" | "-" | "*" | "/" | "&" | "|")) = self.peek().kind {
            return Err(invalid(&format!(
                "unexpected arithmetic operator '{sign}' in a value"
            )));
        }
        Ok(literal)
    }

    fn word_value(&mut self) -> Result<Literal, QueryError> {
        for (word, value) in [("TRUE", true), ("FALSE", false)] {
            if self.take_word(word) {
                return Ok(Literal::Bool(value));
            }
        }
        if self.peek_word("NULL") {
            return Err(invalid("unexpected value NULL (use IS NULL or IS NOT NULL)"));
        }
        if self.peek_word("CASE") || self.peek_word("SELECT") {
            return Err(invalid("unexpected expression as a value"));
        }
        let name = self.column()?;
        if self.peek_sign("(") {
            return Err(unsupported("nested func"));
        }
        if matches!(self.peek().kind, Kind::String(_) | Kind::Number(_)) {
            return Err(self.unexpected());
        }
        Err(unsupported(&format!(
            "column name on the right side of comparison expression (did you forget to quote \"{name}\"?)"
        )))
    }

    fn count_term(&mut self) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > QUERY_TERMS_MAX {
            return Err(QueryError::new(format!(
                "number of conditions and values exceeds limit {QUERY_TERMS_MAX}"
            )));
        }
        Ok(())
    }

    /// Whether a condition may end here.
    fn ends_condition(&self) -> bool {
        match &self.peek().kind {
            Kind::End | Kind::Sign(")" | ";" | "&&" | "||") => true,
            Kind::Word(_) => self.begins_clause() || self.peek_word("AND") || self.peek_word("OR"),
            _ => false,
        }
    }

    fn begins_clause(&self) -> bool {
        ["GROUP", "HAVING", "ORDER", "LIMIT"]
            .iter()
            .any(|word| self.peek_word(word))
    }

    fn begins_operator(&self) -> bool {
        let signs = ["=", "!=", "<>", "<", "<=", ">", ">=", "<=>"];
        let words = ["IS", "IN", "BETWEEN", "STARTS_WITH", "LIKE"];
        signs.iter().any(|sign| self.peek_sign(sign)) || words.iter().any(|word| self.peek_word(word))
    }

    fn peek(&self) -> &'a Token {
        // The last token is the end, and nothing steps over it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn is_at_end(&self) -> bool {
        self.peek().kind == Kind::End
    }

    fn peek_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, Kind::Word(text) if text.eq_ignore_ascii_case(word))
    }

    fn peek_sign(&self, sign: &str) -> bool {
        matches!(self.peek().kind, Kind::Sign(text) if text == sign)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.peek_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), QueryError> {
        if self.take_word(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> QueryError {
        syntax_error(self.peek())
    }
}

/// Joins operands; one alone stands for itself.
fn flat(mut operands: Vec<Expr>, join: impl Fn(Vec<Expr>) -> Expr) -> Expr {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        Some(last) => {
            operands.push(last);
            join(operands)
        }
        None => join(operands),
    }
}

/// Reads a number: an integer if 64 bits hold it, else a double.
fn number(text: &str, negative: bool) -> Result<Literal, QueryError> {
    let signed = if negative {
        format!("-{text}")
    } else {
        text.to_owned()
    };
    if let Ok(number) = signed.parse::<i64>() {
        return Ok(Literal::Int(number));
    }
    match signed.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Literal::Double(number)),
        _ => Err(invalid(&format!("unable to parse value \"{text}\""))),
    }
}

/// The expression means nothing.
pub(super) fn invalid(message: &str) -> QueryError {
    QueryError::new(format!("invalid expression: {message}"))
}

/// The expression means something that no backend does.
pub(super) fn unsupported(message: &str) -> QueryError {
    QueryError::new(format!("operation is not supported: {message}"))
}

//! The language: examples, limits and properties.

mod accepted;
mod refused;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{CountQuery, Division, ListQuery, Only, ast::Expr, binding::bind, parser::parse};
use crate::visibility::{
    arbitrary,
    attributes::{Schema, ValueType},
    limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX},
    record::Record,
};
use proto::{temporal::enums::v1::WorkflowExecutionStatus, time::Timestamp};

fn schema() -> Schema {
    let custom = [
        ("Bo", ValueType::Bool),
        ("Db", ValueType::Double),
        ("Dt", ValueType::Datetime),
        ("Kl", ValueType::KeywordList),
        ("Kw", ValueType::Keyword),
        ("Kw2", ValueType::Keyword),
        ("Nt", ValueType::Int),
        ("Tx", ValueType::Text),
        ("With Space", ValueType::Keyword),
        ("with-dash", ValueType::Keyword),
    ];
    Schema::new(
        "default",
        custom
            .map(|(name, value_type)| (name.to_owned(), value_type))
            .into(),
    )
}

fn shown(query: &str) -> String {
    match CountQuery::parse(query, &schema(), Division::Workflows) {
        Err(error) => error.to_string(),
        Ok(query) => {
            let filter = query.filter.to_string();
            let filter = filter
                .strip_prefix("TemporalNamespaceDivision null")
                .unwrap_or(&filter);
            let filter = filter.strip_prefix(" AND ").unwrap_or(filter);
            let groups = query
                .group_by
                .map(|group_by| format!(" BY {group_by:?}"))
                .unwrap_or_default();
            format!("{filter}{groups}")
        }
    }
}

/// Each line of `queries` is one.
fn check(queries: &str, expect: Expect) {
    let lines = queries
        .trim()
        .lines()
        .map(|query| format!("{}\n    {}\n", query.trim(), shown(query.trim())));
    expect.assert_eq(&lines.collect::<String>());
}

#[test]
fn groups() {
    check(
        r#"
        GROUP BY ExecutionStatus
        Kw = 'a' group by `ExecutionStatus`
        GROUP BY NamespaceDivision
        GROUP BY WorkflowType
        GROUP BY Kw
        GROUP BY Foo
        GROUP BY ExecutionStatus, WorkflowType
        GROUP BY ExecutionStatus ORDER BY ExecutionStatus
        GROUP BY ExecutionStatus HAVING count(*) > 1
        GROUP BY 'ExecutionStatus'
        GROUP
        GROUP BY
        Kw = 'a' GROUP BY ExecutionStatus LIMIT 1
        "#,
        expect![[r#"
            GROUP BY ExecutionStatus
                 BY ExecutionStatus
            Kw = 'a' group by `ExecutionStatus`
                Kw in ["a"] BY ExecutionStatus
            GROUP BY NamespaceDivision
                everything BY NamespaceDivision
            GROUP BY WorkflowType
                invalid query: operation is not supported: 'GROUP BY' clause is not supported for search attribute WorkflowType
            GROUP BY Kw
                invalid query: operation is not supported: 'GROUP BY' clause is not supported for search attribute Kw
            GROUP BY Foo
                invalid query: invalid search attribute: Foo
            GROUP BY ExecutionStatus, WorkflowType
                invalid query: operation is not supported: 'GROUP BY' clause supports only a single field
            GROUP BY ExecutionStatus ORDER BY ExecutionStatus
                invalid query: operation is not supported: 'ORDER BY' clause
            GROUP BY ExecutionStatus HAVING count(*) > 1
                invalid query: operation is not supported: 'HAVING' clause
            GROUP BY 'ExecutionStatus'
                invalid query: invalid expression: must be a column name but was a value
            GROUP
                invalid query: malformed SQL query: syntax error at position 33
            GROUP BY
                invalid query: malformed SQL query: syntax error at position 36
            Kw = 'a' GROUP BY ExecutionStatus LIMIT 1
                invalid query: operation is not supported: 'LIMIT' clause
        "#]],
    );
    assert!(ListQuery::parse("GROUP BY ExecutionStatus", &schema(), Division::Workflows).is_ok());
}

#[test]
fn limits() {
    let nested = |depth: usize| format!("{}Kw='a'{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(shown(&nested(QUERY_DEPTH_MAX)), r#"Kw in ["a"]"#);
    assert_eq!(
        shown(&nested(QUERY_DEPTH_MAX + 1)),
        "invalid query: nesting depth exceeds limit 256"
    );
    let many = |terms: usize| vec!["Kw='a'"; terms].join(" OR ");
    assert!(shown(&many(QUERY_TERMS_MAX)).starts_with("Kw in"));
    assert_eq!(
        shown(&many(QUERY_TERMS_MAX + 1)),
        "invalid query: number of conditions and values exceeds limit 10000"
    );
    assert_eq!(
        shown(&" ".repeat(QUERY_BYTES_MAX + 1)),
        "invalid query: query length 524289 exceeds limit 524288"
    );
}

/// Inputs on which a careless lexer or parser would go over its text again and again, or too deep.
#[test]
fn long_texts_take_one_pass() {
    for unit in [
        "(",
        "NOT ",
        "'",
        "`",
        "/*",
        "--",
        "/**/",
        "''",
        "Kw=",
        "Kw IN (",
        "- ",
        "1",
        ".",
        "é",
        "Kw='a' AND ",
    ] {
        let error = shown(&unit.repeat(QUERY_BYTES_MAX / unit.len()));
        assert!(
            error.starts_with("invalid query: ") || unit == "--" || unit == "/**/",
            "{unit}: {error:.100}"
        );
    }
}

#[test]
fn older_calls() {
    let times = Timestamp::from_nanos(1)..=Timestamp::from_nanos(9);
    let open = ListQuery::open(times.clone(), Only::WorkflowType("order".to_owned()));
    expect![[r#"TemporalNamespaceDivision null AND CloseTime null AND StartTime in [1..9] AND WorkflowType in ["order"]"#]].assert_eq(&open.filter.to_string());
    let closed = ListQuery::closed(times, Only::Status(WorkflowExecutionStatus::Failed));
    expect!["TemporalNamespaceDivision null AND CloseTime in [1..9] AND ExecutionStatus in [3]"]
        .assert_eq(&closed.filter.to_string());
}

/// Texts made of the language's pieces in any order, so that many get past the lexer.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "Kw",
        "Nt",
        "Kl",
        "Tx",
        "`Kw`",
        "Foo",
        "=",
        "!=",
        "<",
        "<=>",
        "IN",
        "NOT",
        "(",
        ")",
        ",",
        "'a'",
        "\"b\"",
        "1",
        "-1.5",
        "1e",
        "true",
        "NULL",
        "IS",
        "AND",
        "OR",
        "BETWEEN",
        "STARTS_WITH",
        "GROUP",
        "BY",
        "ORDER",
        ";",
        "'",
        "--",
        "/*",
        ".",
        "é",
        "ExecutionStatus",
        "'Running'",
        "ExecutionDuration",
        "'1h'",
        "Dt",
        "'2024-01-01T00:00:00Z'",
    ]);
    let blank = prop::sample::select(vec!["", " ", "\n"]);
    prop::collection::vec((piece, blank), 0..24).prop_map(|parts| {
        parts
            .into_iter()
            .map(|(piece, blank)| format!("{piece}{blank}"))
            .collect()
    })
}

/// What SQL makes of the expression: true, false, or neither, if a condition is about a value that is not there.
fn three_valued(expr: &Expr, record: &Record) -> Option<bool> {
    let all = |operands: &[Expr], decisive: bool| {
        let values: Vec<_> = operands
            .iter()
            .map(|operand| three_valued(operand, record))
            .collect();
        if values.contains(&Some(decisive)) {
            Some(decisive)
        } else if values.contains(&None) {
            None
        } else {
            Some(!decisive)
        }
    };
    match expr {
        Expr::Not(operand) => three_valued(operand, record).map(|value| !value),
        Expr::And(operands) => all(operands, false),
        Expr::Or(operands) => all(operands, true),
        condition => {
            let holds = |negated| {
                bind(condition, negated, &arbitrary::schema())
                    .expect("valid")
                    .matches(record)
            };
            match (holds(false), holds(true)) {
                (true, true) => unreachable!("a condition and its opposite both hold"),
                (false, false) => None,
                (holds, _) => Some(holds),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn negation_is_that_of_sql(text in arbitrary::query(), record in arbitrary::record()) {
        if let Some(expr) = parse(&text).expect("valid").filter {
            let filter = bind(&expr, false, &arbitrary::schema()).expect("valid");
            prop_assert_eq!(filter.matches(&record), three_valued(&expr, &record) == Some(true), "{}", filter);
        }
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        shown(&text);
    }

    #[test]
    fn any_pieces_are_answered(text in pieces()) {
        shown(&text);
    }
}

//! What clients send, and what becomes of it; measured on the official server.

use std::collections::BTreeMap;

use bytes::Bytes;
use expect_test::{Expect, expect};
use proto::temporal::common::v1 as common;

use super::super::{Schema, SearchAttributes, ValueType};
use crate::visibility::limits::AttributeLimits;

fn schema() -> Schema {
    let custom = [
        ("Bo", ValueType::Bool),
        ("Db", ValueType::Double),
        ("Dt", ValueType::Datetime),
        ("Kl", ValueType::KeywordList),
        ("Kw", ValueType::Keyword),
        ("Nt", ValueType::Int),
        ("Tx", ValueType::Text),
    ];
    Schema::new(
        "default",
        custom
            .map(|(name, value_type)| (name.to_owned(), value_type))
            .into(),
    )
}

fn payload(encoding: &'static str, data: &[u8]) -> common::Payload {
    common::Payload {
        metadata: BTreeMap::from([("encoding".to_owned(), encoding.into())]),
        data: Bytes::copy_from_slice(data),
        ..Default::default()
    }
}

fn one(name: &str, payload: common::Payload) -> common::SearchAttributes {
    common::SearchAttributes {
        indexed_fields: BTreeMap::from([(name.to_owned(), payload)]),
    }
}

fn outcome(attributes: &common::SearchAttributes) -> String {
    match SearchAttributes::parse(attributes, &schema(), &AttributeLimits::default()) {
        Err(error) => format!("refused: {error}"),
        Ok(parsed) => {
            assert_eq!(parsed, SearchAttributes::from_checked(attributes, &schema()));
            let api = parsed.to_api(&schema());
            let shown = api
                .indexed_fields
                .values()
                .map(|payload| String::from_utf8_lossy(&payload.data));
            shown.collect::<Vec<_>>().join("; ")
        }
    }
}

/// Each line of `input` is a name and JSON.
fn check(input: &str, expect: Expect) {
    let lines = input.trim().lines().map(|line| {
        let (name, json) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        format!(
            "{name} {json} -> {}\n",
            outcome(&one(name, payload("json/plain", json.as_bytes())))
        )
    });
    expect.assert_eq(&lines.collect::<String>());
}

#[test]
fn values_of_their_type() {
    check(
        r#"
        Kw "a"
        Kw  "a"
        Kw ["a"]
        Kw "\u00e9"
        Tx "hello world"
        Nt -5
        Nt [1]
        Db 5
        Db 1.0
        Db 1e3
        Db 1e30
        Bo true
        Dt "2024-01-01T00:00:00Z"
        Dt "2024-01-01T00:00:00.120000000+02:00"
        Dt "9999-01-01T00:00:00Z"
        Kl ["a", "a"]
        Kl ["a", null]
        TemporalChangeVersion ["a"]
        TemporalSchedulePaused true
        TemporalNamespaceDivision "a"
        "#,
        expect![[r#"
            Kw "a" -> "a"
            Kw  "a" -> "a"
            Kw ["a"] -> "a"
            Kw "\u00e9" -> "é"
            Tx "hello world" -> "hello world"
            Nt -5 -> -5
            Nt [1] -> 1
            Db 5 -> 5
            Db 1.0 -> 1
            Db 1e3 -> 1000
            Db 1e30 -> 1e+30
            Bo true -> true
            Dt "2024-01-01T00:00:00Z" -> "2024-01-01T00:00:00Z"
            Dt "2024-01-01T00:00:00.120000000+02:00" -> "2024-01-01T00:00:00.12+02:00"
            Dt "9999-01-01T00:00:00Z" -> "9999-01-01T00:00:00Z"
            Kl ["a", "a"] -> ["a","a"]
            Kl ["a", null] -> ["a",""]
            TemporalChangeVersion ["a"] -> ["a"]
            TemporalSchedulePaused true -> true
            TemporalNamespaceDivision "a" -> "a"
        "#]],
    );
}

#[test]
fn empty_values_unset() {
    check(
        "Kw null\nKw []\nKl []\nKl null",
        expect![[r#"
        Kw null -> 
        Kw [] -> 
        Kl [] -> 
        Kl null -> 
    "#]],
    );
    assert_eq!(outcome(&one("Kw", payload("binary/null", b""))), "");
}

#[test]
fn values_of_another_type() {
    check(
        r#"
        Kw 5
        Kw 1.5
        Kw true
        Kw {"a":1}
        Kw ["a","b"]
        Kw abc
        Kw "a" x
        Tx 5
        Nt 5.0
        Nt "5"
        Nt 1e3
        Nt 9223372036854775808
        Db "1.5"
        Db 1e999
        Bo "true"
        Bo 1
        Dt 5
        Dt ""
        Dt "2024-01-01"
        Kl "a"
        Kl ["a", 1]
        "#,
        expect![[r#"
            Kw 5 -> refused: invalid value for search attribute Kw of type Keyword: 5
            Kw 1.5 -> refused: invalid value for search attribute Kw of type Keyword: 1.5
            Kw true -> refused: invalid value for search attribute Kw of type Keyword: true
            Kw {"a":1} -> refused: invalid value for search attribute Kw of type Keyword: map[a:1]
            Kw ["a","b"] -> refused: invalid value for search attribute Kw of type Keyword: [a b]
            Kw abc -> refused: invalid value for search attribute Kw of type Keyword: value from <metadata:{key:"encoding" value:"json/plain"} data:"abc">
            Kw "a" x -> refused: invalid value for search attribute Kw of type Keyword: value from <metadata:{key:"encoding" value:"json/plain"} data:"\"a\" x">
            Tx 5 -> refused: invalid value for search attribute Tx of type Text: 5
            Nt 5.0 -> refused: invalid value for search attribute Nt of type Int: 5
            Nt "5" -> refused: invalid value for search attribute Nt of type Int: 5
            Nt 1e3 -> refused: invalid value for search attribute Nt of type Int: 1000
            Nt 9223372036854775808 -> refused: invalid value for search attribute Nt of type Int: 9.223372036854776e+18
            Db "1.5" -> refused: invalid value for search attribute Db of type Double: 1.5
            Db 1e999 -> refused: invalid value for search attribute Db of type Double: value from <metadata:{key:"encoding" value:"json/plain"} data:"1e999">
            Bo "true" -> refused: invalid value for search attribute Bo of type Bool: true
            Bo 1 -> refused: invalid value for search attribute Bo of type Bool: 1
            Dt 5 -> refused: invalid value for search attribute Dt of type Datetime: 5
            Dt "" -> refused: invalid value for search attribute Dt of type Datetime: 
            Dt "2024-01-01" -> refused: invalid value for search attribute Dt of type Datetime: 2024-01-01
            Kl "a" -> refused: invalid value for search attribute Kl of type KeywordList: a
            Kl ["a", 1] -> refused: invalid value for search attribute Kl of type KeywordList: [a 1]
        "#]],
    );
    assert_eq!(
        outcome(&one("Kw", payload("binary/plain", b"\"a\""))),
        "refused: invalid value for search attribute Kw of type Keyword: [34 97 34]"
    );
    assert_eq!(
        outcome(&one("Kw", common::Payload::default())),
        "refused: invalid value for search attribute Kw of type Keyword: value from <>"
    );
}

#[test]
fn names_that_clients_may_not_set() {
    check(
        "Foo \"a\"\nMemo \"a\"\nTemporalFoo \"a\"\nChangeVersion [\"a\"]\nTemporalKw \"a\"\nWorkflowId \"a\"\n\
         HistoryLength 1\nTemporalWorkerDeployment \"a\"",
        expect![[r#"
            Foo "a" -> refused: Namespace default has no mapping defined for search attribute Foo
            Memo "a" -> refused: Namespace default has no mapping defined for search attribute Memo
            TemporalFoo "a" -> refused: Namespace default has no mapping defined for search attribute TemporalFoo
            ChangeVersion ["a"] -> refused: Namespace default has no mapping defined for search attribute ChangeVersion
            TemporalKw "a" -> refused: Namespace default has no mapping defined for search attribute TemporalKw
            WorkflowId "a" -> refused: WorkflowId attribute can't be set in SearchAttributes
            HistoryLength 1 -> refused: HistoryLength attribute can't be set in SearchAttributes
            TemporalWorkerDeployment "a" -> refused: TemporalWorkerDeployment attribute can't be set in SearchAttributes
        "#]],
    );
}

#[test]
fn sizes_are_limited() {
    let keyword = |length: usize| payload("json/plain", format!("\"{}\"", "x".repeat(length)).as_bytes());
    assert_eq!(outcome(&one("Kw", keyword(2046))).len(), 2048);
    assert_eq!(
        outcome(&one("Kw", keyword(2047))),
        "refused: search attribute Kw value size 2049 exceeds size limit 2048"
    );

    let custom: BTreeMap<_, _> = (0..101)
        .map(|i| (format!("K{i:03}"), ValueType::Keyword))
        .collect();
    let many = Schema::new("default", custom);
    let refuse = |count: usize, length: usize| {
        let indexed_fields = (0..count)
            .map(|i| (format!("K{i:03}"), keyword(length)))
            .collect();
        let attributes = common::SearchAttributes { indexed_fields };
        SearchAttributes::parse(&attributes, &many, &AttributeLimits::default())
            .map_err(|error| error.to_string())
    };
    assert!(refuse(100, 1).is_ok());
    assert_eq!(
        refuse(101, 1),
        Err("number of search attributes 101 exceeds limit 100".to_owned())
    );
    assert!(refuse(20, 2000).is_ok());
    assert_eq!(
        refuse(21, 2000),
        Err("total size of search attributes 42861 exceeds size limit 40960".to_owned())
    );
}

#[test]
fn history_gets_types_and_loses_empty_values() {
    let mut attributes = one("Kw", payload("json/plain", b"\"a\""));
    attributes
        .indexed_fields
        .insert("Nt".to_owned(), payload("json/plain", b"null"));
    schema().complete(&mut attributes);
    let types = attributes
        .indexed_fields
        .iter()
        .map(|(name, payload)| (name.as_str(), &payload.metadata["type"]));
    assert_eq!(types.collect::<Vec<_>>(), [("Kw", &b"Keyword".to_vec())]);
}

//! Random records and queries from few values, so that they meet; for tests.

use std::time::Duration;

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*, sample::select};
use proto::{
    ids::{NamespaceId, RunId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::{
    attributes::{DIVISION, Datetime, Schema, SearchAttributes, SearchValue, ValueType},
    record::{Close, Execution, Record},
};

const STRINGS: [&str; 11] = [
    "",
    "a",
    "a\0b",
    "ab",
    "A",
    "b",
    "it's",
    "ü",
    "a%",
    "a\u{10ffff}",
    "\u{10ffff}",
];
const INTS: [i64; 9] = [
    i64::MIN,
    -5,
    -1,
    0,
    1,
    2,
    9_007_199_254_740_993,
    i64::MAX - 1,
    i64::MAX,
];
const DOUBLES: [f64; 9] = [
    -1e300,
    -1.5,
    -0.0,
    0.5,
    1.0,
    2.0,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_807.0,
    1e300,
];
const TEXTS: [&str; 6] = [
    "",
    "quick brown fox",
    "Fox-trot",
    "a brown quick",
    "!",
    "über fox brown",
];
const TIMES: [&str; 4] = [
    "1970-01-01T00:00:00.000000005Z",
    "1970-01-01T02:00:00+02:00",
    "0001-01-01T00:00:00Z",
    "2024-05-05T00:00:00.5Z",
];

pub(super) fn schema() -> Schema {
    let custom = [
        ("Bo", ValueType::Bool),
        ("Db", ValueType::Double),
        ("Dt", ValueType::Datetime),
        ("Kl", ValueType::KeywordList),
        ("Kw", ValueType::Keyword),
        ("Never", ValueType::Keyword),
        ("NeverList", ValueType::KeywordList),
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

pub(super) fn namespaces() -> [NamespaceId; 2] {
    [NamespaceId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16])]
}

fn run_id() -> impl Strategy<Value = RunId> {
    (0..12_u8).prop_map(|n| RunId::from_bytes([n.wrapping_mul(23); 16]))
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..6_i64).prop_map(Timestamp::from_nanos)
}

fn string() -> impl Strategy<Value = String> {
    select(&STRINGS[..]).prop_map(str::to_owned)
}

fn execution() -> impl Strategy<Value = Execution> {
    (string(), run_id()).prop_map(|(workflow, run_id)| Execution {
        workflow_id: workflow.into(),
        run_id,
    })
}

fn attributes() -> impl Strategy<Value = SearchAttributes> {
    (
        option::of(any::<bool>()),
        option::of(select(&DOUBLES[..])),
        option::of(select(&TIMES[..])),
        vec(string(), 0..3),
        option::of(string()),
        option::of(select(&INTS[..])),
        option::of(select(&TEXTS[..])),
        option::weighted(0.2, select(vec!["", "d1", "d2"])),
    )
        .prop_map(|(bo, db, dt, kl, kw, nt, tx, division)| {
            let dt = dt.and_then(Datetime::parse).map(SearchValue::Datetime);
            let values = [
                ("Bo", bo.map(SearchValue::Bool)),
                ("Db", db.map(SearchValue::Double)),
                ("Dt", dt),
                ("Kl", (!kl.is_empty()).then_some(SearchValue::KeywordList(kl))),
                ("Kw", kw.map(SearchValue::Keyword)),
                ("Nt", nt.map(SearchValue::Int)),
                ("Tx", tx.map(|text| SearchValue::Text(text.to_owned()))),
                (
                    DIVISION,
                    division.map(|name| SearchValue::Keyword(name.to_owned())),
                ),
            ];
            let mut attributes = SearchAttributes::default();
            for (name, value) in values {
                if let Some(value) = value {
                    attributes.insert(name, value);
                }
            }
            attributes
        })
}

/// What is left of a run's state: open, or closed some time after its start.
fn ending() -> impl Strategy<Value = (WorkflowExecutionStatus, Option<(i64, i64)>)> {
    use WorkflowExecutionStatus::{
        Canceled, Completed, ContinuedAsNew, Failed, Paused, Running, Terminated, TimedOut,
    };
    prop_oneof![
        select(vec![Running, Paused]).prop_map(|status| (status, None)),
        (
            select(vec![
                Completed,
                Failed,
                Canceled,
                Terminated,
                ContinuedAsNew,
                TimedOut
            ]),
            (0..4_i64, 0..4_i64)
        )
            .prop_map(|(status, close)| (status, Some(close))),
    ]
}

/// A record of one of few runs, at one of few versions.
pub(super) fn record() -> impl Strategy<Value = Record> {
    (
        (select(namespaces().to_vec()), run_id(), 1..8_u64),
        (string(), string(), string()),
        (time(), time(), ending()),
        (
            option::of(execution()),
            option::of(execution()),
            vec(any::<u8>(), 0..3),
        ),
        attributes(),
    )
        .prop_map(|(ids, names, times, others, search_attributes)| {
            let (namespace_id, run_id, version) = ids;
            let (workflow_id, workflow_type, task_queue) = names;
            let (start_time, execution_time, (status, ending)) = times;
            let (parent, root, memo) = others;
            let close = ending.map(|(after, count)| Close {
                time: start_time + Duration::from_nanos(after.unsigned_abs()),
                history_length: count,
                history_size_bytes: count * 100,
                state_transition_count: count,
                execution_duration: Duration::from_nanos(after.unsigned_abs()),
            });
            let own = Execution {
                workflow_id: workflow_id.as_str().into(),
                run_id,
            };
            Record {
                namespace_id,
                workflow_id: workflow_id.into(),
                run_id,
                version,
                workflow_type,
                task_queue,
                status,
                start_time,
                execution_time,
                close,
                parent,
                root: root.filter(|root| root.run_id != run_id).unwrap_or(own),
                memo: Bytes::from(memo),
                search_attributes,
            }
        })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Conditions of the language on one attribute, from an attribute's names and its values.
fn conditions(
    names: &'static [&'static str],
    values: impl Strategy<Value = String> + Clone + 'static,
    operators: &'static [&'static str],
    lists: bool,
    ranges: bool,
) -> BoxedStrategy<String> {
    let name = || select(names);
    let compare = (name(), select(operators), values.clone()).prop_map(|(n, o, v)| format!("{n} {o} {v}"));
    let null = (name(), select(vec!["IS NULL", "IS NOT NULL"])).prop_map(|(n, o)| format!("{n} {o}"));
    let mut all = vec![(4, compare.boxed()), (1, null.boxed())];
    let not = || select(vec!["", "NOT "]);
    if lists {
        let list = (name(), not(), vec(values.clone(), 1..4))
            .prop_map(|(n, not, values)| format!("{n} {not}IN ({})", values.join(", ")));
        all.push((2, list.boxed()));
    }
    if ranges {
        let range = (name(), not(), values.clone(), values)
            .prop_map(|(n, not, low, high)| format!("{n} {not}BETWEEN {low} AND {high}"));
        all.push((1, range.boxed()));
    }
    prop::strategy::Union::new_weighted(all).boxed()
}

fn condition() -> impl Strategy<Value = String> {
    const EQUAL: &[&str] = &["=", "!="];
    const ORDER: &[&str] = &["=", "!=", "<", "<=", ">", ">="];
    const KEYWORD: &[&str] = &["=", "!=", "<", "<=", ">", ">=", "STARTS_WITH", "NOT STARTS_WITH"];
    let strings = || string().prop_map(|text| quoted(&text)).boxed();
    let ids = run_id().prop_map(|run| quoted(&run.to_string()));
    let runs =
        prop_oneof![3 => ids, 1 => select(vec!["''", "'2'", "'2E2e'", "'zz'"]).prop_map(str::to_owned)];
    let int = || select(&INTS[..]).prop_map(|int| int.to_string());
    let double = || select(&DOUBLES[..]).prop_map(|double| format!("{double:e}"));
    let small = (0..6_i64).prop_map(|int| int.to_string());
    let times = prop_oneof![small.clone(), select(&TIMES[..]).prop_map(quoted)];
    let statuses = select(vec![
        "'Running'",
        "'Completed'",
        "'Failed'",
        "'Paused'",
        "5",
        "6",
        "0",
    ])
    .prop_map(str::to_owned);
    let texts = select(vec![
        "'fox'",
        "'brown fox'",
        "'quick-brown'",
        "'fox-trot nothing'",
        "'!'",
        "'ÜBER'",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        4 => conditions(&["Kw", "WorkflowId", "WorkflowType", "TaskQueue", "ParentWorkflowId", "RootWorkflowId", "Never"], strings(), KEYWORD, true, true),
        1 => conditions(&["RunId", "ParentRunId", "RootRunId"], runs, KEYWORD, true, true),
        2 => conditions(&["Nt", "Db"], prop_oneof![int(), double()], ORDER, true, true),
        1 => conditions(&["HistoryLength", "HistorySizeBytes", "StateTransitionCount", "ExecutionDuration"], small, ORDER, true, true),
        2 => conditions(&["StartTime", "ExecutionTime", "CloseTime", "Dt"], times, ORDER, true, true),
        1 => conditions(&["Bo"], select(vec!["true", "false"]).prop_map(str::to_owned), ORDER, true, false),
        2 => conditions(&["Kl", "NeverList"], strings(), EQUAL, true, false),
        1 => conditions(&["Tx"], texts, EQUAL, false, false),
        2 => conditions(&["ExecutionStatus"], statuses, ORDER, true, true),
        1 => conditions(&["TemporalNamespaceDivision"], select(vec!["'d1'", "'d2'", "''"]).prop_map(str::to_owned), KEYWORD, true, true),
    ]
}

/// A query of the language that is valid for [`schema`].
pub(super) fn query() -> impl Strategy<Value = String> {
    let nested = condition().prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("NOT {part}")),
        ]
    });
    prop_oneof![1 => Just(String::new()), 12 => nested]
}

//! Suite: the contract of [`VisibilityIndex`] as tests, expanded for each backend.
//!
//! A backend's test module says how to open it and calls [`visibility_suite!`](crate::visibility_suite!).

mod model;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use proto::{
    ids::{NamespaceId, RunId, WorkflowId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::{
    Page, Update, VisibilityIndex,
    arbitrary::schema,
    attributes::{SearchAttributes, SearchValue},
    error::VisibilityError,
    limits::{APPLY_UPDATES_MAX, FILTER_DEPTH_MAX, QUERY_TERMS_MAX},
    query::{CountQuery, Division, ListQuery},
    record::{Close, Execution, Record},
};

pub use self::model::answers_as_the_model_does;

/// How a backend is opened for one test.
pub trait IndexBackend {
    /// Random cases of the comparison with the reference model.
    const CASES: u32;

    fn open(&self) -> impl Future<Output = Arc<dyn VisibilityIndex>>;

    /// Makes the runtime that the test runs on.
    fn runtime(&self) -> tokio::runtime::Runtime;
}

/// Expands every test of the contract as a module `$name`; `$backend` makes an [`IndexBackend`].
#[macro_export]
macro_rules! visibility_suite {
    ($name:ident, $backend:expr) => {
        mod $name {
            use super::*;

            $crate::visibility_suite!(@tests $backend;
                answers_as_the_model_does,
                pages_are_stable_under_writes,
                foreign_page_tokens_are_refused,
                one_call_has_a_limit,
                a_namespace_is_deleted_whole_and_alone,
                conditions_of_two_indexes_meet,
                the_highest_version_stays,
                a_run_that_closes_is_listed_where_it_belongs,
                the_largest_queries_are_answered,
            );
        }
    };
    (@tests $backend:expr; $($test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                $crate::visibility::suite::$test(&$backend);
            }
        )*
    };
}

/// Ids that no other test of this process has; the store may be one that others use.
fn fresh_namespace() -> NamespaceId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&u64::from(std::process::id()).to_be_bytes());
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    NamespaceId::from_bytes(id)
}

fn run<B: IndexBackend, T>(backend: &B, test: impl AsyncFnOnce(Arc<dyn VisibilityIndex>) -> T) -> T {
    backend
        .runtime()
        .block_on(async { test(backend.open().await).await })
}

pub(super) async fn all_pages(
    index: &dyn VisibilityIndex,
    namespace: NamespaceId,
    query: &ListQuery,
    page_size: usize,
) -> Vec<Record> {
    let mut records = Vec::new();
    let mut token = Bytes::new();
    loop {
        let Page {
            records: page,
            next_page_token,
        } = index
            .list(namespace, query.clone(), page_size, token)
            .await
            .expect("list");
        assert!(page.len() <= page_size);
        assert_eq!(next_page_token.is_empty(), page.len() < page_size);
        records.extend(page);
        if next_page_token.is_empty() {
            return records;
        }
        token = next_page_token;
    }
}

/// An open run.
pub(super) fn open_run(namespace_id: NamespaceId, number: u8, version: u64, start_seconds: i64) -> Record {
    let run_id = RunId::from_bytes([number; 16]);
    let workflow_id = WorkflowId::from(format!("w{number}"));
    Record {
        namespace_id,
        workflow_id: workflow_id.clone(),
        run_id,
        version,
        workflow_type: "order".to_owned(),
        task_queue: "queue".to_owned(),
        status: WorkflowExecutionStatus::Running,
        start_time: Timestamp::from_seconds(start_seconds),
        execution_time: Timestamp::from_seconds(start_seconds),
        close: None,
        parent: None,
        root: Execution { workflow_id, run_id },
        memo: Bytes::new(),
        search_attributes: SearchAttributes::default(),
    }
}

pub(super) fn upsert(record: Record) -> Update {
    Update::Upsert(Box::new(record))
}

pub(super) fn everything() -> ListQuery {
    ListQuery::parse("", &schema(), Division::Workflows).expect("valid query")
}

/// The run, failed at the time.
fn close(record: Record, seconds: i64) -> Record {
    Record {
        status: WorkflowExecutionStatus::Failed,
        close: Some(Close {
            time: Timestamp::from_seconds(seconds),
            history_length: 5,
            history_size_bytes: 500,
            state_transition_count: 3,
            execution_duration: Duration::from_secs(10),
        }),
        ..record
    }
}

fn workflow_ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.workflow_id.as_str()).collect()
}

pub fn pages_are_stable_under_writes<B: IndexBackend>(backend: &B) {
    run(backend, async |index| {
        let namespace = fresh_namespace();
        index
            .apply(
                (1..=4)
                    .map(|n| upsert(open_run(namespace, n, 1, i64::from(n))))
                    .collect(),
            )
            .await
            .expect("apply");
        let first = index
            .list(namespace, everything(), 2, Bytes::new())
            .await
            .expect("first page");
        assert_eq!(workflow_ids(&first.records), ["w4", "w3"]);
        // One run comes before the place, the run at the place goes, one run comes behind it.
        let gone = Update::Delete(Box::new(open_run(namespace, 3, 2, 3)));
        index
            .apply(vec![
                upsert(open_run(namespace, 9, 1, 9)),
                gone,
                upsert(open_run(namespace, 10, 1, 0)),
            ])
            .await
            .expect("apply");
        let second = index
            .list(namespace, everything(), 2, first.next_page_token)
            .await
            .expect("second page");
        assert_eq!(workflow_ids(&second.records), ["w2", "w1"]);
        let third = index
            .list(namespace, everything(), 2, second.next_page_token)
            .await
            .expect("third page");
        assert_eq!(
            (workflow_ids(&third.records), third.next_page_token.len()),
            (vec!["w10"], 0)
        );
    });
}

pub fn foreign_page_tokens_are_refused<B: IndexBackend>(backend: &B) {
    run(backend, async |index| {
        for token in [&b"\xff"[..], b"page", b"\x08\x02", b"\x08\x01\x22\x01x"] {
            let listed = index
                .list(fresh_namespace(), everything(), 1, Bytes::from_static(token))
                .await;
            assert_eq!(listed, Err(VisibilityError::InvalidToken));
        }
    });
}

pub fn one_call_has_a_limit<B: IndexBackend>(backend: &B) {
    run(backend, async |index| {
        let updates = vec![upsert(open_run(fresh_namespace(), 1, 1, 1)); APPLY_UPDATES_MAX + 1];
        let limit = APPLY_UPDATES_MAX;
        assert_eq!(
            index.apply(updates).await,
            Err(VisibilityError::TooMany {
                updates: limit + 1,
                limit
            })
        );
    });
}

pub fn a_namespace_is_deleted_whole_and_alone<B: IndexBackend>(backend: &B) {
    run(backend, async |index| {
        let [removed, kept] = [fresh_namespace(), fresh_namespace()];
        let many: Vec<_> = (0..2_000_u32)
            .map(|n| {
                let mut record = open_run(removed, 0, 1, i64::from(n));
                let mut id = [0; 16];
                id[..4].copy_from_slice(&n.to_be_bytes());
                record.run_id = RunId::from_bytes(id);
                record
                    .search_attributes
                    .insert("Kw", SearchValue::Keyword("a".to_owned()));
                record
            })
            .collect();
        let others = many.iter().take(3).cloned().map(|record| Record {
            namespace_id: kept,
            ..record
        });
        index.apply(others.map(upsert).collect()).await.expect("apply");
        index
            .apply(many.into_iter().map(upsert).collect())
            .await
            .expect("apply");
        index.delete_namespace(removed).await.expect("delete");
        for (namespace, left) in [(removed, 0), (kept, 3)] {
            for text in ["", "Kw = 'a'", "TaskQueue = 'queue'"] {
                let query = CountQuery::parse(text, &schema(), Division::Workflows).expect("valid query");
                assert_eq!(
                    index.count(namespace, query).await.map(|count| count.total),
                    Ok(left),
                    "{text}"
                );
            }
        }
    });
}

/// Cases that went wrong once: a union that did not drop duplicates, and an index that SQLite would not follow
/// beside a condition that is never true.
pub fn conditions_of_two_indexes_meet<B: IndexBackend>(backend: &B) {
    run(backend, async |index| {
        let namespace = fresh_namespace();
        let mut record = open_run(namespace, 1, 1, 1);
        record.root = Execution {
            workflow_id: "w0".into(),
            run_id: RunId::from_bytes([9; 16]),
        };
        index.apply(vec![upsert(record)]).await.expect("apply");
        for (text, total) in [
            ("WorkflowId = 'w1' OR RootWorkflowId = 'w0'", 1),
            ("RootWorkflowId = 'w1' OR RootWorkflowId = 'w0'", 1),
            (
                "RootWorkflowId < 'x' AND Never = 'x' GROUP BY TemporalNamespaceDivision",
                0,
            ),
            (
                "ParentWorkflowId = 'x' AND NOT Never IS NULL AND ExecutionStatus = 'Failed'",
                0,
            ),
            ("RunId IN ('x', 'y') OR ExecutionStatus < 'Unspecified'", 0),
        ] {
            let query = CountQuery::parse(text, &schema(), Division::Workflows).expect("valid query");
            assert_eq!(
                index.count(namespace, query).await.map(|count| count.total),
                Ok(total),
                "{text}"
            );
        }
    });
}

/// Late and repeated updates, each with what stays of the run.
pub fn the_highest_version_stays<B: IndexBackend>(backend: &B) {
    const UP: bool = true;
    const GONE: bool = false;
    type Case = (&'static [(bool, u64)], Option<u64>);
    let table: [Case; 6] = [
        (&[(UP, 2), (UP, 1)], Some(2)),
        (&[(UP, 1), (UP, 2), (UP, 1)], Some(2)),
        (&[(UP, 2), (GONE, 3), (UP, 2)], None),
        (&[(GONE, 3), (GONE, 1), (UP, 2)], None),
        (&[(GONE, 1), (UP, 2)], Some(2)),
        (&[(GONE, 2), (UP, 1), (UP, 3)], Some(3)),
    ];
    run(backend, async |index| {
        for (updates, version) in table {
            for at_once in [true, false] {
                let namespace = fresh_namespace();
                let updates = updates.iter().map(|(kind, version)| {
                    let record = Box::new(open_run(namespace, 1, *version, 1));
                    if *kind == UP {
                        Update::Upsert(record)
                    } else {
                        Update::Delete(record)
                    }
                });
                let updates: Vec<_> = updates.collect();
                let calls: Vec<_> = if at_once {
                    vec![updates.clone()]
                } else {
                    updates.iter().map(|update| vec![update.clone()]).collect()
                };
                for call in calls {
                    index.apply(call).await.expect("apply");
                }
                let left = all_pages(&*index, namespace, &everything(), 9).await;
                let left: Vec<_> = left.iter().map(|record| record.version).collect();
                assert_eq!(left, Vec::from_iter(version), "{updates:?}");
            }
        }
    });
}

/// A run that closes is listed once, however its last updates come.
pub fn a_run_that_closes_is_listed_where_it_belongs<B: IndexBackend>(backend: &B) {
    run(backend, async |index| {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let namespace = fresh_namespace();
            let open = open_run(namespace, 1, 1, 1);
            let later = open_run(namespace, 1, 2, 1);
            let closed = close(open_run(namespace, 1, 3, 1), 90_000);
            let updates = [open, later, closed.clone()];
            for number in order {
                index
                    .apply(vec![upsert(updates[number].clone())])
                    .await
                    .expect("apply");
            }
            for (text, listed) in [
                ("", true),
                ("ExecutionStatus = 'Running'", false),
                ("CloseTime IS NULL", false),
                ("ExecutionStatus = 'Failed'", true),
                ("WorkflowType = 'order'", true),
                ("WorkflowId = 'w1'", true),
                ("CloseTime > '1970-01-02T00:00:00Z'", true),
                ("CloseTime < '1970-01-02T00:00:00Z'", false),
            ] {
                let query = ListQuery::parse(text, &schema(), Division::Workflows).expect("valid query");
                let found = all_pages(&*index, namespace, &query, 5).await;
                let expected: &[Record] = if listed {
                    std::slice::from_ref(&closed)
                } else {
                    &[]
                };
                assert_eq!(found, expected, "{order:?} {text}");
            }
            let gone = Update::Delete(Box::new(Record { version: 4, ..closed }));
            index.apply(vec![gone]).await.expect("apply");
            index
                .apply(updates.into_iter().map(upsert).collect())
                .await
                .expect("apply");
            for text in ["", "WorkflowId = 'w1'", "ExecutionStatus = 'Failed'"] {
                let query = ListQuery::parse(text, &schema(), Division::Workflows).expect("valid query");
                let found = all_pages(&*index, namespace, &query, 5).await;
                assert_eq!(found, [], "{text}");
            }
        }
    });
}

/// A filter as long and as deep as the language allows is one that the backend takes.
pub fn the_largest_queries_are_answered<B: IndexBackend>(backend: &B) {
    let alternating = (0..FILTER_DEPTH_MAX - 2).fold("Nt = 1".to_owned(), |inner, depth| {
        format!(
            "({inner} {} Db = {depth})",
            if depth % 2 == 0 { "OR" } else { "AND" }
        )
    });
    let ranges: Vec<_> = (0..QUERY_TERMS_MAX / 2)
        .map(|n| format!("(Nt > {n} AND Db < {n})"))
        .collect();
    let values: Vec<_> = (0..QUERY_TERMS_MAX - 1).map(|n| format!("'{n}'")).collect();
    let queries = [
        alternating,
        ranges.join(" OR "),
        format!("Kw IN ({})", values.join(",")),
        format!("Kl NOT IN ({})", values.join(",")),
    ];
    run(backend, async |index| {
        let namespace = fresh_namespace();
        let mut record = open_run(namespace, 1, 1, 1);
        for (name, value) in [
            ("Nt", SearchValue::Int(1)),
            ("Db", SearchValue::Double(0.0)),
            ("Kw", SearchValue::Keyword("7".to_owned())),
            ("Kl", SearchValue::KeywordList(vec!["x".to_owned()])),
        ] {
            record.search_attributes.insert(name, value);
        }
        index.apply(vec![upsert(record.clone())]).await.expect("apply");
        for text in queries {
            let query = ListQuery::parse(&text, &schema(), Division::Workflows).expect("valid query");
            let matches = query.filter.matches(&record);
            let page = index
                .list(namespace, query, 10, Bytes::new())
                .await
                .expect("list");
            assert_eq!(page.records.len(), usize::from(matches), "{text:.80}");
        }
    });
}

//! The index against the reference model, and what the model does not have: files, limits, threads.

use std::time::Duration;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::select};
use proto::{
    ids::{NamespaceId, RunId, WorkflowId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::{EmbeddedIndex, EmbeddedOptions, plan::Costs};
use crate::visibility::{
    Page, Update, VisibilityIndex,
    arbitrary::{namespaces, query, record, schema},
    attributes::{SearchAttributes, SearchValue},
    error::VisibilityError,
    limits::{APPLY_UPDATES_MAX, FILTER_DEPTH_MAX, QUERY_TERMS_MAX},
    memory::MemoryIndex,
    query::{CountQuery, Division, ListQuery},
    record::{Close, Execution, Record},
};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime")
        .block_on(future)
}

async fn all_pages(
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

fn update() -> impl Strategy<Value = Update> {
    (record(), prop::bool::weighted(0.1)).prop_map(|(record, delete)| {
        let Record {
            namespace_id,
            run_id,
            version,
            ..
        } = record;
        if delete {
            Update::Delete {
                namespace_id,
                run_id,
                version,
            }
        } else {
            Update::Upsert(Box::new(record))
        }
    })
}

fn group_by() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        " GROUP BY ExecutionStatus",
        " GROUP BY TemporalNamespaceDivision",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_the_model_does(
        batches in vec(vec(update(), 0..16), 1..5),
        queries in vec((query(), group_by(), 1..9_usize), 12),
        in_order in any::<bool>(),
        removed in prop::option::weighted(0.2, select(namespaces().to_vec())),
    ) {
        run(async {
            let index = EmbeddedIndex::in_memory_with(if in_order { Costs::order_only() } else { Costs::default() }).expect("index");
            let model = MemoryIndex::default();
            for batch in batches {
                model.apply(batch.clone()).await.expect("apply");
                index.apply(batch).await.expect("apply");
            }
            if let Some(removed) = removed {
                model.delete_namespace(removed).await.expect("delete");
                index.delete_namespace(removed).await.expect("delete");
            }
            for (text, group_by, page_size) in queries {
                let list = ListQuery::parse(&text, &schema(), Division::Workflows).expect("valid query");
                let counted = format!("{text}{group_by}");
                let count = CountQuery::parse(&counted, &schema(), Division::Workflows).expect("valid query");
                for namespace in namespaces() {
                    let expected = all_pages(&model, namespace, &list, 1000).await;
                    let listed = all_pages(&index, namespace, &list, page_size).await;
                    prop_assert_eq!(listed, expected, "{}", text);
                    let expected = model.count(namespace, count.clone()).await;
                    prop_assert_eq!(index.count(namespace, count.clone()).await, expected, "{}", counted);
                }
            }
            Ok(())
        })?;
    }
}

/// An open run of the first namespace.
fn open_run(number: u8, version: u64, start_seconds: i64) -> Record {
    let run_id = RunId::from_bytes([number; 16]);
    let workflow_id = WorkflowId::from(format!("w{number}"));
    Record {
        namespace_id: namespaces()[0],
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

fn upsert(record: Record) -> Update {
    Update::Upsert(Box::new(record))
}

fn everything() -> ListQuery {
    ListQuery::parse("", &schema(), Division::Workflows).expect("valid query")
}

fn workflow_ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.workflow_id.as_str()).collect()
}

#[test]
fn a_file_keeps_what_was_applied() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("visibility.db");
    let mut closed = open_run(2, 5, 20);
    closed.status = WorkflowExecutionStatus::Completed;
    closed.close = Some(Close {
        time: Timestamp::from_seconds(30),
        history_length: 5,
        history_size_bytes: 500,
        state_transition_count: 3,
        execution_duration: Duration::from_secs(10),
    });
    closed
        .search_attributes
        .insert("Kw", SearchValue::Keyword("a".to_owned()));
    for survive_power_loss in [false, true] {
        let options = EmbeddedOptions {
            survive_power_loss,
            ..EmbeddedOptions::default()
        };
        run(async {
            let index = EmbeddedIndex::open(&path, &options).expect("open");
            index
                .apply(vec![upsert(open_run(1, 1, 10)), upsert(closed.clone())])
                .await
                .expect("apply");
            drop(index);
            let index = EmbeddedIndex::open(&path, &options).expect("open again");
            let listed = all_pages(&index, namespaces()[0], &everything(), 1).await;
            assert_eq!(listed, [open_run(1, 1, 10), closed.clone()]);
        });
    }
}

#[test]
fn a_file_of_another_format_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("visibility.db");
    let connection = rusqlite::Connection::open(&path).expect("open");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("set version");
    drop(connection);
    let refused = EmbeddedIndex::open(&path, &EmbeddedOptions::default()).map(drop);
    assert_eq!(
        refused,
        Err(VisibilityError::Broken("index has format 99, not 1".to_owned()))
    );
}

#[test]
fn pages_are_stable_under_writes() {
    run(async {
        let index = EmbeddedIndex::in_memory().expect("index");
        let namespace = namespaces()[0];
        index
            .apply((1..=4).map(|n| upsert(open_run(n, 1, i64::from(n)))).collect())
            .await
            .expect("apply");
        let first = index
            .list(namespace, everything(), 2, Bytes::new())
            .await
            .expect("first page");
        assert_eq!(workflow_ids(&first.records), ["w4", "w3"]);
        // One run comes before the place, the run at the place goes, one run comes behind it.
        let gone = Update::Delete {
            namespace_id: namespace,
            run_id: RunId::from_bytes([3; 16]),
            version: 2,
        };
        index
            .apply(vec![upsert(open_run(9, 1, 9)), gone, upsert(open_run(10, 1, 0))])
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

#[test]
fn foreign_page_tokens_are_refused() {
    run(async {
        let index = EmbeddedIndex::in_memory().expect("index");
        for token in [&b"\xff"[..], b"page", b"\x08\x02", b"\x08\x01\x22\x01x"] {
            let listed = index
                .list(namespaces()[0], everything(), 1, Bytes::from_static(token))
                .await;
            assert_eq!(listed, Err(VisibilityError::InvalidToken));
        }
    });
}

#[test]
fn one_call_has_a_limit() {
    run(async {
        let index = EmbeddedIndex::in_memory().expect("index");
        let updates = vec![upsert(open_run(1, 1, 1)); APPLY_UPDATES_MAX + 1];
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

#[test]
fn a_namespace_is_deleted_whole_and_alone() {
    run(async {
        let index = EmbeddedIndex::in_memory().expect("index");
        let [removed, kept] = namespaces();
        let many: Vec<_> = (0..2_000_u32)
            .map(|n| {
                let mut record = open_run(0, 1, i64::from(n));
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
#[test]
fn conditions_of_two_indexes_meet() {
    run(async {
        let index = EmbeddedIndex::in_memory().expect("index");
        let mut record = open_run(1, 1, 1);
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
                index.count(namespaces()[0], query).await.map(|count| count.total),
                Ok(total),
                "{text}"
            );
        }
    });
}

/// Late and repeated updates, each with what stays of the run.
#[test]
fn the_highest_version_stays() {
    let gone = |version| Update::Delete {
        namespace_id: namespaces()[0],
        run_id: RunId::from_bytes([1; 16]),
        version,
    };
    let table = [
        (
            vec![upsert(open_run(1, 2, 2)), upsert(open_run(1, 1, 1))],
            Some(2),
        ),
        (
            vec![upsert(open_run(1, 2, 2)), upsert(open_run(1, 2, 1))],
            Some(2),
        ),
        (
            vec![
                upsert(open_run(1, 1, 1)),
                upsert(open_run(1, 2, 2)),
                upsert(open_run(1, 1, 1)),
            ],
            Some(2),
        ),
        (vec![upsert(open_run(1, 2, 2)), gone(2)], Some(2)),
        (
            vec![upsert(open_run(1, 2, 2)), gone(3), upsert(open_run(1, 2, 2))],
            None,
        ),
        (vec![gone(3), gone(1), upsert(open_run(1, 2, 2))], None),
        (vec![gone(1), upsert(open_run(1, 2, 2))], Some(2)),
    ];
    run(async {
        for (updates, version) in table {
            for at_once in [true, false] {
                let index = EmbeddedIndex::in_memory().expect("index");
                if at_once {
                    index.apply(updates.clone()).await.expect("apply");
                } else {
                    for update in updates.clone() {
                        index.apply(vec![update]).await.expect("apply");
                    }
                }
                let left = all_pages(&index, namespaces()[0], &everything(), 9).await;
                let left: Vec<_> = left.iter().map(|record| record.version).collect();
                assert_eq!(left, Vec::from_iter(version), "{updates:?}");
            }
        }
    });
}

/// A filter as long and as deep as the language allows is one that SQLite takes.
#[test]
fn the_largest_queries_are_answered() {
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
    run(async {
        let index = EmbeddedIndex::in_memory().expect("index");
        let mut record = open_run(1, 1, 1);
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
                .list(namespaces()[0], query, 10, Bytes::new())
                .await
                .expect("list");
            assert_eq!(page.records.len(), usize::from(matches), "{text:.80}");
        }
    });
}

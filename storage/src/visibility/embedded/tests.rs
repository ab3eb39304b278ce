//! The contract on SQLite, and what only it has: files, plans, and updates that no shard would send.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*, sample::select};
use proto::{temporal::enums::v1::WorkflowExecutionStatus, time::Timestamp};

use super::{EmbeddedIndex, EmbeddedOptions, plan::Costs};
use crate::visibility::{
    Update, VisibilityIndex,
    arbitrary::{namespaces, query, record, schema},
    attributes::SearchValue,
    error::VisibilityError,
    memory::MemoryIndex,
    query::{CountQuery, Division, ListQuery},
    record::Close,
    suite::{IndexBackend, all_pages, everything, open_run, upsert},
};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime")
        .block_on(future)
}

struct InMemory;

impl IndexBackend for InMemory {
    const CASES: u32 = 100;

    async fn open(&self) -> Arc<dyn VisibilityIndex> {
        Arc::new(EmbeddedIndex::in_memory().expect("index"))
    }

    fn runtime(&self) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime")
    }
}

crate::visibility_suite!(contract, InMemory);

fn update() -> impl Strategy<Value = Update> {
    (record(), prop::bool::weighted(0.1)).prop_map(|(record, delete)| {
        let record = Box::new(record);
        if delete {
            Update::Delete(record)
        } else {
            Update::Upsert(record)
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
    fn answers_as_the_model_does_whatever_comes(
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

#[test]
fn a_file_keeps_what_was_applied() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("visibility.db");
    let mut closed = open_run(namespaces()[0], 2, 5, 20);
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
                .apply(vec![
                    upsert(open_run(namespaces()[0], 1, 1, 10)),
                    upsert(closed.clone()),
                ])
                .await
                .expect("apply");
            drop(index);
            let index = EmbeddedIndex::open(&path, &options).expect("open again");
            let listed = all_pages(&index, namespaces()[0], &everything(), 1).await;
            assert_eq!(listed, [open_run(namespaces()[0], 1, 1, 10), closed.clone()]);
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

/// The index keeps what came first of one version, though no shard sends two.
#[test]
fn an_equal_version_changes_nothing() {
    run(async {
        let gone = Update::Delete(Box::new(open_run(namespaces()[0], 1, 2, 2)));
        for later in [upsert(open_run(namespaces()[0], 1, 2, 1)), gone] {
            let index = EmbeddedIndex::in_memory().expect("index");
            index
                .apply(vec![upsert(open_run(namespaces()[0], 1, 2, 2))])
                .await
                .expect("apply");
            index.apply(vec![later]).await.expect("apply");
            let left = all_pages(&index, namespaces()[0], &everything(), 9).await;
            assert_eq!(left, [open_run(namespaces()[0], 1, 2, 2)]);
        }
    });
}

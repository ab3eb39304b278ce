//! Model: a backend against the reference model, over random runs and queries.

use std::{collections::HashMap, time::Duration};

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{TestCaseError, TestRunner},
};
use proto::{
    ids::{NamespaceId, RunId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::{IndexBackend, all_pages, fresh_namespace};
use crate::visibility::{
    Update, VisibilityIndex,
    arbitrary::{namespaces, query, record, schema},
    memory::MemoryIndex,
    query::{CountQuery, Division, ListQuery},
    record::{Close, Execution, Record},
};

fn group_by() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        " GROUP BY ExecutionStatus",
        " GROUP BY TemporalNamespaceDivision",
    ])
}

/// Makes a record one that its run could have at this version: what a run keeps follows from its id.
fn coherent(record: Record) -> Update {
    const HOUR: i64 = 3_600_000_000_000;
    const CLOSED: [WorkflowExecutionStatus; 4] = [
        WorkflowExecutionStatus::Completed,
        WorkflowExecutionStatus::Failed,
        WorkflowExecutionStatus::TimedOut,
        WorkflowExecutionStatus::Terminated,
    ];
    let seed = record.run_id.as_bytes()[0];
    let seeds = usize::from(seed);
    let step = if seed.is_multiple_of(3) { HOUR / 2 } else { 1 };
    let start = i64::from(seed % 5) * step;
    let (closes, ends) = (2 + u64::from(seed % 6), 5 + u64::from(seed % 4));
    let close = (record.version >= closes).then(|| Close {
        time: Timestamp::from_nanos(start + i64::from(seed % 4) * step),
        history_length: i64::from(seed % 4),
        history_size_bytes: i64::from(seed % 4) * 100,
        state_transition_count: i64::from(seed % 3),
        execution_duration: Duration::from_nanos(u64::from(seed % 4)),
    });
    let gone = close.is_some() && record.version >= ends;
    let names = ["a", "b", "A", "it's", ""];
    let workflow_id = names[seeds % 5];
    let own = Execution {
        workflow_id: workflow_id.into(),
        run_id: record.run_id,
    };
    let other = Execution {
        workflow_id: names[seeds / 7 % 5].into(),
        run_id: RunId::from_bytes([seed / 2; 16]),
    };
    let parent = (seed % 4 > 1).then_some(other);
    let record = Record {
        root: parent.clone().unwrap_or(own),
        parent,
        workflow_id: workflow_id.into(),
        workflow_type: names[seeds / 5 % 5].to_owned(),
        start_time: Timestamp::from_nanos(start),
        status: match close {
            None if record.version.is_multiple_of(2) => WorkflowExecutionStatus::Paused,
            None => WorkflowExecutionStatus::Running,
            Some(_) => CLOSED[seeds % CLOSED.len()],
        },
        close,
        ..record
    };
    if gone {
        Update::Delete(Box::new(record))
    } else {
        Update::Upsert(Box::new(record))
    }
}

/// Replaces the two namespaces of random records by those of one case, and repeated versions by their first.
fn of_case(batches: Vec<Vec<Record>>, own: [NamespaceId; 2]) -> Vec<Vec<Update>> {
    let mut first: HashMap<(NamespaceId, RunId, u64), Update> = HashMap::new();
    let mut update = |record: Record| {
        let namespace_id = own[usize::from(record.namespace_id != namespaces()[0])];
        let key = (namespace_id, record.run_id, record.version);
        let fresh = coherent(Record {
            namespace_id,
            ..record
        });
        first.entry(key).or_insert(fresh).clone()
    };
    let mut batch = |records: Vec<Record>| records.into_iter().map(&mut update).collect();
    batches.into_iter().map(&mut batch).collect()
}

struct Case {
    batches: Vec<Vec<Record>>,
    queries: Vec<(String, &'static str, usize)>,
    removed: Option<usize>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "removed {:?}, queries {:?}", self.removed, self.queries)?;
        f.debug_list().entries(&self.batches).finish()
    }
}

fn case() -> impl Strategy<Value = Case> {
    let batches = vec(vec(record(), 0..16), 1..5);
    let queries = vec((query(), group_by(), 1..9_usize), 8);
    (batches, queries, prop::option::weighted(0.2, 0..2_usize)).prop_map(|(batches, queries, removed)| Case {
        batches,
        queries,
        removed,
    })
}

async fn compare(index: &dyn VisibilityIndex, case: Case) -> Result<(), TestCaseError> {
    let model = MemoryIndex::default();
    let own = [fresh_namespace(), fresh_namespace()];
    for batch in of_case(case.batches, own) {
        model.apply(batch.clone()).await.expect("apply");
        index.apply(batch).await.expect("apply");
    }
    if let Some(removed) = case.removed {
        model.delete_namespace(own[removed]).await.expect("delete");
        index.delete_namespace(own[removed]).await.expect("delete");
    }
    for (text, group_by, page_size) in case.queries {
        let list = ListQuery::parse(&text, &schema(), Division::Workflows).expect("valid query");
        let counted = format!("{text}{group_by}");
        let count = CountQuery::parse(&counted, &schema(), Division::Workflows).expect("valid query");
        for namespace in own {
            let expected = all_pages(&model, namespace, &list, 1000).await;
            let listed = all_pages(index, namespace, &list, page_size).await;
            prop_assert_eq!(listed, expected, "{}", text);
            let expected = model.count(namespace, count.clone()).await;
            prop_assert_eq!(
                index.count(namespace, count.clone()).await,
                expected,
                "{}",
                counted
            );
        }
    }
    Ok(())
}

pub fn answers_as_the_model_does<B: IndexBackend>(backend: &B) {
    let config = ProptestConfig {
        cases: B::CASES,
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runtime = backend.runtime();
    let index = runtime.block_on(backend.open());
    let compared = TestRunner::new(config).run(&case(), |case| runtime.block_on(compare(&*index, case)));
    if let Err(error) = compared {
        panic!("{error}");
    }
}

//! What is stored, and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::outcome::Reply;
use prost::Message;
use proto::{
    ids::{RunId, ShardId},
    temporal::{
        enums::v1::EventType,
        history::v1::{History, HistoryEvent, history_event::Attributes},
    },
};
use shard::{
    auditor::{Part, Place},
    input::LoadKey,
    reads,
};
use storage::{
    batch::HistoryKey,
    memory::MemoryStore,
    shard::{HistoryRange, ShardStore},
};

use crate::{
    requests::key,
    world::{NAMESPACE, Waiting, ready},
};

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Run ids by workflow id.
    pub(crate) runs: BTreeMap<String, String>,
    pub(crate) signals: BTreeMap<String, BTreeSet<String>>,
    pub(crate) ended: BTreeSet<String>,
}

impl Model {
    fn run(&self, id: &str) -> Option<RunId> {
        self.runs.get(id)?.parse().ok()
    }

    /// A start was acknowledged, or work has come of a run whose start was not.
    pub(crate) fn started(&mut self, id: &str, run: &str) {
        let known = self.runs.entry(id.to_owned()).or_insert_with(|| run.to_owned());
        assert_eq!(known, run, "a start that is sent again gives the same run");
    }

    /// Takes an answer in: what it acknowledges must be durable (P3).
    pub(crate) fn acknowledge(
        &mut self,
        store: &MemoryStore,
        shard: ShardId,
        waiting: Waiting,
        reply: &Reply,
    ) {
        match (waiting, reply) {
            (Waiting::Start(id), Reply::Started(started)) => {
                self.started(&id, &started.run_id);
                assert!(!self.events(store, &id).is_empty(), "{id} was started");
            }
            (Waiting::Signal(id, request), Reply::Signaled { .. }) => {
                let known = self.knows_signal(store, shard, &id, &request);
                assert!(known, "{request} was acknowledged and is not stored");
                self.signals.entry(id).or_default().insert(request);
            }
            (Waiting::Complete { workflow, ends: true }, Reply::WorkflowTaskCompleted(_)) => {
                let closed = self.is_closed(store, &workflow);
                assert!(closed, "{workflow} was said to have ended");
                assert!(self.ended.insert(workflow), "a workflow ends once");
            }
            _ => {}
        }
    }

    /// Compares what was acknowledged with what is stored.
    pub(crate) fn check(&self, store: &MemoryStore) {
        for id in self.runs.keys() {
            let events = self.events(store, id);
            for (index, event) in events.iter().enumerate() {
                assert_eq!(event.event_id, index as i64 + 1, "history is dense");
            }
            let ends = events.iter().filter(|event| is_end(event));
            assert_eq!(ends.count(), 1, "{id} ends once");
            for request in self.signals.get(id).into_iter().flatten() {
                let times = events.iter().filter(|event| is_signal(event, request)).count();
                assert_eq!(times, 1, "acknowledged signal {request} is in history once");
            }
        }
        assert!(self.ended.iter().all(|id| self.runs.contains_key(id)));
    }

    fn events(&self, store: &MemoryStore, id: &str) -> Vec<HistoryEvent> {
        let nodes = self
            .run(id)
            .map_or_else(Vec::new, |run| history(store, run, i64::MAX));
        nodes
            .into_iter()
            .flat_map(|(_, bytes)| History::decode(bytes).expect("own history").events)
            .collect()
    }

    /// Returns the types of a workflow's events.
    pub(crate) fn outline(&self, store: &MemoryStore, id: &str) -> String {
        let events = self.events(store, id);
        let types = events.iter().map(|event| event.event_type().as_str_name());
        types.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn is_closed(&self, store: &MemoryStore, id: &str) -> bool {
        self.events(store, id).last().is_some_and(is_end)
    }

    /// Whether the signal is stored: in history, or waiting for the workflow task that is under way.
    fn knows_signal(&self, store: &MemoryStore, shard: ShardId, id: &str, request: &str) -> bool {
        let events = self.events(store, id);
        if events.iter().any(|event| is_signal(event, request)) {
            return true;
        }
        let load = |wanted| ready(reads::load(store, shard, &wanted)).expect("read");
        let Some(run) = self.run(id) else {
            // No start was acknowledged: that a run is stored is all that can be said.
            return load(LoadKey::Current(key(id))).is_some();
        };
        let state = load(LoadKey::Run(key(id).run(run)));
        let state = state.map(|bytes| engine::state::State::from_bytes(&bytes).expect("own state"));
        state.is_some_and(|state| state.buffered.iter().any(|event| is_signal(event, request)))
    }
}

fn is_end(event: &HistoryEvent) -> bool {
    event.event_type() == EventType::WorkflowExecutionCompleted
}

fn is_signal(event: &HistoryEvent, request: &str) -> bool {
    matches!(&event.attributes,
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(a)) if a.request_id == request)
}

/// Returns the nodes of a run's history that begin before `to`.
pub(crate) fn history(store: &MemoryStore, run_id: RunId, to: i64) -> Vec<(i64, Bytes)> {
    let range = HistoryRange {
        history: HistoryKey {
            namespace_id: NAMESPACE,
            run_id,
        },
        from_event_id: 1,
        to_event_id: to,
        reverse: false,
        max_nodes: usize::MAX,
        max_bytes: usize::MAX,
    };
    let nodes = ready(store.history(ShardId(0), range)).expect("history");
    nodes
        .into_iter()
        .map(|node| (node.first_event_id, node.events))
        .collect()
}

/// Every stored run has its wake-up and its ready tasks, and no other ready task is there (P4).
pub(crate) fn check_rows(store: &MemoryStore, shard: ShardId) {
    let mut place = Some(Place {
        part: Part::Runs,
        from: Bytes::new(),
    });
    while let Some(at) = place {
        let page = ready(reads::audit(store, shard, &at)).expect("read");
        assert_eq!(page.findings, [], "rows are not as they should be");
        place = page.next;
    }
}

//! What queues are asked and answer, from node to node.

use bytes::Bytes;
use engine::effect::{ReadyKind, ReadyTask};
use matching::{
    error::{AnswerError, AskError, QueryError},
    handle::{Polled, QueryAnswer},
    input::{PollerInfo, QueryId, QueryTask, WorkerVersions},
    output::{Give, Given},
    ticket::{Priority, Ticket, TicketId},
    view::{PollerView, QueueView, RateView, Stats},
};
use shard::input::Refusal;

use super::{Malformed, Wire, wire_codes, wire_enum, wire_struct};

wire_struct!(Ticket {
    1 run,
    2 scheduled_event_id,
    3 attempt,
    4 shard,
    5 scheduled_time,
    6 priority,
    7 durable,
});

wire_struct!(TicketId { 1 run, 2 scheduled_event_id, 3 attempt });

impl Wire for Priority {
    fn put(&self, to: &mut Vec<u8>) {
        self.key().put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        i32::take(from).map(Self::from_key)
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

wire_struct!(ReadyTask {
    1 kind,
    2 queue,
    3 sticky,
    4 scheduled_event_id,
    5 attempt,
    6 scheduled_time,
    7 priority,
    8 speculative,
});

wire_codes!(ReadyKind { 1 Workflow, 2 Activity });
wire_codes!(Refusal { 1 Full, 2 StickyWorkerUnavailable, 3 Draining });

impl Wire for PollerInfo {
    fn put(&self, to: &mut Vec<u8>) {
        Poller {
            identity: self.identity.to_string(),
            worker_instance_key: self.worker_instance_key.to_string(),
            max_tasks_per_second: self.max_tasks_per_second,
            versions: self.versions.as_deref().cloned(),
        }
        .put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        let poller = Poller::take(from)?;
        Ok(Self {
            identity: poller.identity.into(),
            worker_instance_key: poller.worker_instance_key.into(),
            max_tasks_per_second: poller.max_tasks_per_second,
            versions: poller.versions.map(Into::into),
        })
    }
}

/// [`PollerInfo`] with its own parts.
struct Poller {
    identity: String,
    worker_instance_key: String,
    max_tasks_per_second: Option<f64>,
    versions: Option<WorkerVersions>,
}

wire_struct!(Poller {
    1 identity,
    2 worker_instance_key,
    3 max_tasks_per_second,
    4 versions,
});
wire_struct!(WorkerVersions { 1 capabilities, 2 deployment });

impl Wire for QueryId {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        u64::take(from).map(Self)
    }
}

wire_struct!(QueryTask {
    1 run,
    2 query,
    3 workflow_type,
    4 task_queue,
    5 next_event_id,
    6 previous_started_event_id,
});

wire_enum!(Polled {
    unit { 2 Empty }
    value { 1 Task }
});

wire_struct!(Give {
    1 task,
    2 backlog_hint,
    3 sync,
    4 waited,
    5 scaling,
});

wire_enum!(Given {
    value { 1 Ticket }
    fields { 2 Query { 1 id, 2 task } }
});

wire_enum!(QueryAnswer {
    value { 1 Completed }
    fields { 2 Failed { 1 message, 2 failure } }
});

wire_codes!(AskError { 1 Busy, 2 TooManyPolls, 3 Gone });
wire_codes!(QueryError {
    1 NoPoller,
    2 StickyWorkerUnavailable,
    3 Deadline,
    4 TooMany,
    5 Moved,
    6 Busy,
});
wire_codes!(AnswerError { 1 Expired, 2 Busy, 3 Gone });

wire_struct!(QueueView {
    1 stats,
    2 stats_by_priority,
    3 tickets,
    4 ticket_bytes,
    5 held_back,
    6 shards_held_back,
    7 polls,
    8 queries_waiting,
    9 queries_given,
    10 rate,
    11 pollers,
    12 draining,
});

wire_struct!(Stats {
    1 approximate_backlog_count,
    2 approximate_backlog_age,
    3 tasks_add_rate,
    4 tasks_dispatch_rate,
    5 rate_limiting_active,
});

wire_struct!(RateView { 1 api, 2 worker, 3 effective });

impl Wire for PollerView {
    fn put(&self, to: &mut Vec<u8>) {
        let poller = Poller {
            identity: self.identity.to_string(),
            worker_instance_key: String::new(),
            max_tasks_per_second: self.max_tasks_per_second,
            versions: self.versions.as_deref().cloned(),
        };
        (poller, self.last_access_time).put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        let (poller, last_access_time) = <(Poller, _)>::take(from)?;
        Ok(Self {
            identity: poller.identity.into(),
            last_access_time,
            max_tasks_per_second: poller.max_tasks_per_second,
            versions: poller.versions.map(Into::into),
        })
    }
}

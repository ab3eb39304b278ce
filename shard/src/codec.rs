//! Keys of the shard's rows. Part of the stored format: big-endian, so that bytewise order is the wanted order.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use engine::effect::{ReadyKind, ReadyTask};
use proto::{
    ids::{NamespaceId, QueueKey, RunId, RunKey, TaskKind, WorkflowId, WorkflowKey},
    time::Timestamp,
};

/// A stored key or value is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored {0} is malformed")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Key of a run's state, open or closed.
pub(crate) fn run_key(run: &RunKey) -> Bytes {
    let mut key = BytesMut::with_capacity(40);
    put_run(&mut key, run);
    key.freeze()
}

/// Key of the newest run of a workflow id.
pub(crate) fn current_key(workflow: &WorkflowKey) -> Bytes {
    let id = workflow.workflow_id.as_str().as_bytes();
    let mut key = BytesMut::with_capacity(24 + id.len());
    key.put_u64(workflow.position());
    key.put_slice(workflow.namespace_id.as_bytes());
    key.put_slice(id);
    key.freeze()
}

/// Key of a wake-up; its value is the workflow id.
pub(crate) fn wakeup_key(at: Timestamp, run: &RunKey) -> Bytes {
    let mut key = BytesMut::with_capacity(48);
    key.put_i64(at.nanos());
    put_run(&mut key, run);
    key.freeze()
}

pub(crate) fn read_wakeup(key: &[u8], value: &[u8]) -> Result<(Timestamp, RunKey), Malformed> {
    let malformed = Malformed("wake-up");
    let (at, run) = key.split_first_chunk::<8>().ok_or(malformed)?;
    Ok((
        Timestamp::from_nanos(i64::from_be_bytes(*at)),
        read_run(run, value).ok_or(malformed)?,
    ))
}

/// Where the rows of a queue's ready tasks begin.
pub(crate) fn ready_prefix(queue: &QueueKey) -> Bytes {
    let name = queue.name.as_bytes();
    let mut key = BytesMut::with_capacity(20 + name.len());
    key.put_u8(queue.kind as u8);
    key.put_u8(u8::from(queue.sticky));
    key.put_slice(queue.namespace_id.as_bytes());
    key.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    key.put_slice(name);
    key.freeze()
}

/// Returns the smallest key after all that begin with the prefix.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end.into());
        }
    }
    None
}

/// Key of a ready task; its value is the workflow id. Within a queue: by priority, then by time.
pub(crate) fn ready_key(queue: &QueueKey, run: &RunKey, task: &ReadyTask) -> Bytes {
    let prefix = ready_prefix(queue);
    let mut key = BytesMut::with_capacity(prefix.len() + 61);
    key.put_slice(&prefix);
    key.put_u8(task.priority);
    key.put_i64(task.scheduled_time);
    put_run(&mut key, run);
    key.put_i64(task.scheduled_event_id);
    key.put_i32(task.attempt);
    key.freeze()
}

pub(crate) fn read_ready(key: &[u8], value: &[u8]) -> Result<(QueueKey, RunKey, ReadyTask), Malformed> {
    parse_ready(key, value).ok_or(Malformed("ready task"))
}

fn parse_ready(key: &[u8], value: &[u8]) -> Option<(QueueKey, RunKey, ReadyTask)> {
    let (&[kind, sticky], rest) = key.split_first_chunk::<2>()?;
    let (namespace, rest) = rest.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (&[priority], rest) = rest.split_first_chunk::<1>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (run, rest) = rest.split_at_checked(40)?;
    let (event, rest) = rest.split_first_chunk::<8>()?;
    let attempt = rest.first_chunk::<4>()?;
    let (queue_kind, ready_kind) = match kind {
        1 => (TaskKind::Workflow, ReadyKind::Workflow),
        2 => (TaskKind::Activity, ReadyKind::Activity),
        _ => return None,
    };
    let name = std::str::from_utf8(name).ok()?;
    let queue = QueueKey {
        namespace_id: NamespaceId::from_bytes(*namespace),
        kind: queue_kind,
        sticky: sticky != 0,
        name: Arc::from(name),
    };
    let task = ReadyTask {
        kind: ready_kind,
        queue: name.to_owned(),
        sticky: sticky != 0,
        scheduled_event_id: i64::from_be_bytes(*event),
        attempt: i32::from_be_bytes(*attempt),
        scheduled_time: i64::from_be_bytes(*at),
        priority,
        speculative: false,
    };
    Some((queue, read_run(run, value)?, task))
}

/// Returns the queue that the task waits in.
pub(crate) fn queue_of(namespace_id: NamespaceId, task: &ReadyTask) -> QueueKey {
    QueueKey {
        namespace_id,
        kind: match task.kind {
            ReadyKind::Workflow => TaskKind::Workflow,
            ReadyKind::Activity => TaskKind::Activity,
        },
        sticky: task.sticky,
        name: Arc::from(task.queue.as_str()),
    }
}

fn put_run(key: &mut BytesMut, run: &RunKey) {
    key.put_u64(run.workflow.position());
    key.put_slice(run.workflow.namespace_id.as_bytes());
    key.put_slice(run.run_id.as_bytes());
}

fn read_run(key: &[u8], workflow_id: &[u8]) -> Option<RunKey> {
    let namespace = key.get(8..24)?.first_chunk::<16>()?;
    let run = key.get(24..40)?.first_chunk::<16>()?;
    let workflow_id = WorkflowId::from(std::str::from_utf8(workflow_id).ok()?);
    let workflow = WorkflowKey {
        namespace_id: NamespaceId::from_bytes(*namespace),
        workflow_id,
    };
    Some(RunKey {
        workflow,
        run_id: RunId::from_bytes(*run),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunKey {
        let workflow = WorkflowKey {
            namespace_id: NamespaceId::from_bytes([1; 16]),
            workflow_id: "order".into(),
        };
        workflow.run(RunId::from_bytes([2; 16]))
    }

    #[test]
    fn ready_key_reads_what_it_writes() {
        let task = ReadyTask {
            kind: ReadyKind::Activity,
            queue: "payments".to_owned(),
            sticky: false,
            scheduled_event_id: 5,
            attempt: 2,
            scheduled_time: 77,
            priority: 3,
            speculative: false,
        };
        let queue = queue_of(run().workflow.namespace_id, &task);
        let key = ready_key(&queue, &run(), &task);
        assert_eq!(read_ready(&key, b"order"), Ok((queue.clone(), run(), task)));
        let end = after_prefix(&ready_prefix(&queue)).expect("an end");
        assert!(key > ready_prefix(&queue) && key < end);
        assert!(read_ready(&key[..30], b"order").is_err());
    }

    #[test]
    fn wakeup_keys_sort_by_time() {
        let early = wakeup_key(Timestamp::from_nanos(5), &run());
        let late = wakeup_key(Timestamp::from_nanos(6), &run());
        assert!(early < late);
        assert_eq!(
            read_wakeup(&early, b"order"),
            Ok((Timestamp::from_nanos(5), run()))
        );
    }
}

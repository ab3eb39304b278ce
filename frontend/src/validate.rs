//! Validation that many RPCs share, with the official server's texts and codes (reference 0.5).

pub(crate) mod attributes;
pub(crate) mod callbacks;
pub(crate) mod links;
pub(crate) mod options;
pub(crate) mod priority;
pub(crate) mod retry;
pub(crate) mod start;
pub(crate) mod versioning;
pub(crate) mod worker_versions;

use std::time::Duration;

use prost::Message;
use proto::{
    ids::{RunId, WorkflowId, WorkflowKey},
    temporal::{
        common::v1::{Payloads, WorkflowExecution},
        enums::v1::TaskQueueKind,
        taskqueue::v1::TaskQueue,
    },
};

use crate::{config::Sizes, error::Error, limits, namespace::Namespace};

pub(crate) use cluster::router::RunTarget;

/// Names of queues that the official server keeps for itself.
pub(crate) const RESERVED_QUEUE_PREFIX: &str = "/_sys/";
/// The queue of the official server's own workers.
const INTERNAL_QUEUE: &str = "temporal-sys-per-ns-tq";

/// Reads which run a request speaks of.
pub(crate) fn target(
    namespace: &Namespace,
    execution: Option<WorkflowExecution>,
) -> Result<RunTarget, Error> {
    let execution = execution.ok_or_else(|| Error::invalid("Execution is not set on request."))?;
    if execution.workflow_id.is_empty() {
        return Err(Error::invalid("WorkflowId is not set on request."));
    }
    let run_id = run_id(&execution.run_id).map_err(|_| Error::invalid("Invalid RunId."))?;
    Ok(RunTarget {
        workflow: workflow(namespace, execution.workflow_id),
        run_id,
    })
}

pub(crate) fn workflow(namespace: &Namespace, workflow_id: String) -> WorkflowKey {
    WorkflowKey {
        namespace_id: namespace.id,
        workflow_id: WorkflowId::from(workflow_id),
    }
}

/// Reads a run id; the empty one stands for the current run.
pub(crate) fn run_id(text: &str) -> Result<Option<RunId>, proto::ids::InvalidId> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some)
    }
}

/// A text that is not there.
pub(crate) fn required(text: &str, message: &str) -> Result<(), Error> {
    if text.is_empty() {
        Err(Error::invalid(message))
    } else {
        Ok(())
    }
}

/// A text that is too long.
pub(crate) fn short(sizes: &Sizes, text: &str, message: &str) -> Result<(), Error> {
    if text.len() > sizes.id_bytes_max {
        Err(Error::invalid(message))
    } else {
        Ok(())
    }
}

pub(crate) fn identity(sizes: &Sizes, identity: &str) -> Result<(), Error> {
    short(sizes, identity, "Identity length exceeds limit.")
}

pub(crate) fn request_id(sizes: &Sizes, request_id: &str) -> Result<(), Error> {
    short(sizes, request_id, "RequestId length exceeds limit.")
}

/// Payloads that are too large.
pub(crate) fn blob(namespace: &Namespace, payloads: Option<&Payloads>) -> Result<(), Error> {
    if payloads.is_some_and(|payloads| payloads.encoded_len() > namespace.sizes.blob_bytes_max) {
        return Err(Error::invalid("Blob data size exceeds limit."));
    }
    Ok(())
}

/// Reads the name of a queue that workflows may wait in.
pub(crate) fn queue(sizes: &Sizes, queue: Option<TaskQueue>) -> Result<TaskQueue, Error> {
    let queue = queue.ok_or_else(|| Error::invalid("taskQueue is not set"))?;
    required(&queue.name, "missing task queue name")?;
    short(sizes, &queue.name, "taskQueue length exceeds limit")?;
    if queue.name.starts_with(RESERVED_QUEUE_PREFIX) {
        let message = format!("task queue name cannot start with reserved prefix {RESERVED_QUEUE_PREFIX}");
        return Err(Error::InvalidArgument(message));
    }
    Ok(queue)
}

/// Reads a queue whose partitions are asked: only a sticky one stands for another.
pub(crate) fn polled_queue(sizes: &Sizes, name: Option<TaskQueue>, kind: &str) -> Result<TaskQueue, Error> {
    let queue = queue(sizes, name)?;
    check_partition(&queue, kind)?;
    Ok(queue)
}

/// Refuses a queue that contradicts itself; `kind` is of its tasks, as messages name it.
pub(crate) fn check_partition(queue: &TaskQueue, kind: &str) -> Result<(), Error> {
    let (name, normal_name) = (&queue.name, &queue.normal_name);
    match queue.kind() {
        TaskQueueKind::WorkerCommands => Err(Error::invalid(format!(
            "worker-commands partitions must have nexus task type, got: {kind}. base name: {name}"
        ))),
        TaskQueueKind::Normal | TaskQueueKind::Unspecified if !normal_name.is_empty() => Err(Error::invalid(
            format!("only sticky queues can have normal name. tq: {name}, normal name: {normal_name}"),
        )),
        _ => Ok(()),
    }
}

/// Reads the name of a queue that a client may start workflows on.
pub(crate) fn user_queue(sizes: &Sizes, name: Option<TaskQueue>) -> Result<String, Error> {
    let queue = queue(sizes, name)?;
    if queue.name == INTERNAL_QUEUE {
        return Err(Error::invalid(format!(
            "cannot use internal per-namespace task queue:{INTERNAL_QUEUE}"
        )));
    }
    Ok(queue.name)
}

/// Returns the text in quotes, as the official server's language writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads a span; absent is zero, which stands for "not set". One that is absurdly long is cut.
pub(crate) fn span(span: Option<&prost_types::Duration>) -> Result<Duration, &'static str> {
    const NANOS_PER_SECOND: i32 = 1_000_000_000;
    let Some(span) = span else {
        return Ok(Duration::ZERO);
    };
    if (span.seconds > 0 && span.nanos < 0) || (span.seconds < 0 && span.nanos > 0) {
        return Err("duration has seconds and nanos with different signs");
    }
    if span.seconds < 0 || span.nanos < 0 {
        return Err("negative duration");
    }
    // More than a second in the nanoseconds is taken as it is meant.
    let seconds =
        u64::try_from(span.seconds).unwrap_or(0) + u64::try_from(span.nanos / NANOS_PER_SECOND).unwrap_or(0);
    let nanos = u32::try_from(span.nanos % NANOS_PER_SECOND).unwrap_or(0);
    Ok(Duration::new(seconds, nanos).min(limits::SPAN_MAX))
}

/// Reads how long a namespace keeps closed runs.
pub(crate) fn retention(retention: Option<&prost_types::Duration>) -> Result<Duration, Error> {
    match span(retention) {
        Ok(span) if span >= limits::RETENTION_MIN => Ok(span),
        _ => Err(Error::invalid("A valid retention period is not set on request.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_named(name: &str) -> Option<TaskQueue> {
        Some(TaskQueue {
            name: name.to_owned(),
            ..Default::default()
        })
    }

    fn show<T>(result: Result<T, Error>) -> String {
        result.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    }

    #[test]
    fn queues_are_refused_in_official_words() {
        let long = "x".repeat(1_001);
        let longest = "x".repeat(1_000);
        let table = [
            (None, "taskQueue is not set"),
            (queue_named(""), "missing task queue name"),
            (queue_named(&long), "taskQueue length exceeds limit"),
            (
                queue_named("/_sys/q/1"),
                "task queue name cannot start with reserved prefix /_sys/",
            ),
            (
                queue_named("temporal-sys-per-ns-tq"),
                "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq",
            ),
            (queue_named(&longest), "ok"),
            (queue_named("a/b ü\n\0"), "ok"),
        ];
        for (name, expected) in table {
            assert_eq!(show(user_queue(&Sizes::default(), name)), expected);
        }
    }

    #[test]
    fn spans_are_read_as_they_are_meant() {
        let of = |seconds, nanos| prost_types::Duration { seconds, nanos };
        let table = [
            (of(1, 500_000_000), Ok(Duration::from_millis(1_500))),
            (of(1, 1_000_000_000), Ok(Duration::from_secs(2))),
            (of(i64::MAX, 0), Ok(limits::SPAN_MAX)),
            (of(-1, 0), Err("negative duration")),
            (of(0, -1), Err("negative duration")),
            (
                of(1, -5),
                Err("duration has seconds and nanos with different signs"),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(span(Some(&text)), expected, "{text:?}");
        }
        assert_eq!(span(None), Ok(Duration::ZERO));
    }

    #[test]
    fn retention_is_an_hour_at_least() {
        let of = |seconds| prost_types::Duration { seconds, nanos: 0 };
        assert_eq!(
            show(retention(None)),
            "A valid retention period is not set on request."
        );
        assert_eq!(
            show(retention(Some(&of(3_599)))),
            "A valid retention period is not set on request."
        );
        assert_eq!(retention(Some(&of(3_600))), Ok(Duration::from_secs(3_600)));
    }
}

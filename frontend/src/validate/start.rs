//! What StartWorkflowExecution and SignalWithStartWorkflowExecution have in common (reference 0.5, 1.2).

use std::time::Duration;

use prost::Message;
use proto::temporal::{
    common::v1::Memo,
    enums::v1::{WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse},
};

use crate::{config::Sizes, error::Error, limits, namespace::Namespace, validate};

/// How long a workflow may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) execution: Duration,
    pub(crate) run: Duration,
    pub(crate) task: Duration,
}

/// Reads the time-outs; those that others bound are cut silently.
pub(crate) fn timeouts(
    sizes: &Sizes,
    execution: Option<&prost_types::Duration>,
    run: Option<&prost_types::Duration>,
    task: Option<&prost_types::Duration>,
) -> Result<Timeouts, Error> {
    let execution = timeout(execution, "WorkflowExecutionTimeoutSeconds")?;
    let mut run = timeout(run, "WorkflowRunTimeoutSeconds")?;
    let mut task = timeout(task, "WorkflowTaskTimeoutSeconds")?;
    if !execution.is_zero() && (run.is_zero() || run > execution) {
        run = execution;
    }
    if task.is_zero() {
        task = sizes.task_timeout_default;
    }
    task = task.min(limits::TASK_TIMEOUT_MAX);
    if !run.is_zero() {
        task = task.min(run);
    }
    Ok(Timeouts { execution, run, task })
}

/// Reads a span that a start sets, under the name that errors give it.
pub(crate) fn timeout(span: Option<&prost_types::Duration>, name: &str) -> Result<Duration, Error> {
    validate::span(span)
        .map_err(|why| Error::invalid(format!("An invalid {name} is set on request. cause: {why}")))
}

/// Reads when the workflow starts: on a schedule, later, or at once.
pub(crate) fn delay(delay: Option<&prost_types::Duration>, cron_schedule: &str) -> Result<Duration, Error> {
    if delay.is_some() && !cron_schedule.is_empty() {
        return Err(Error::invalid(
            "CronSchedule and WorkflowStartDelay may not be used together.",
        ));
    }
    if !cron_schedule.is_empty() {
        engine::policy::cron::check(cron_schedule).map_err(Error::invalid)?;
    }
    timeout(delay, "WorkflowStartDelaySeconds")
}

#[expect(
    deprecated,
    reason = "old clients say this way that what runs is to be terminated"
)]
/// Reads the policies for a workflow id that is in use (reference 2.13).
pub(crate) fn policies(reuse: i32, conflict: i32, default: Conflict) -> Result<(Reuse, Conflict), Error> {
    // What this release does not know counts as not set.
    let reuse = Reuse::try_from(reuse).unwrap_or_default();
    let conflict = Conflict::try_from(conflict).unwrap_or_default();
    match (reuse, conflict) {
        (Reuse::TerminateIfRunning, Conflict::Unspecified) => {
            Ok((Reuse::AllowDuplicate, Conflict::TerminateExisting))
        }
        (Reuse::TerminateIfRunning, _) => Err(Error::invalid(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together \
             with a WorkflowIDConflictPolicy",
        )),
        (Reuse::RejectDuplicate, Conflict::TerminateExisting) => Err(Error::invalid(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with \
             WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING",
        )),
        (reuse, conflict) => {
            let reuse = if reuse == Reuse::Unspecified {
                Reuse::AllowDuplicate
            } else {
                reuse
            };
            let conflict = if conflict == Conflict::Unspecified {
                default
            } else {
                conflict
            };
            Ok((reuse, conflict))
        }
    }
}

pub(crate) fn memo(namespace: &Namespace, memo: Option<&Memo>) -> Result<(), Error> {
    if memo.is_some_and(|memo| memo.encoded_len() > namespace.sizes.memo_bytes_max) {
        return Err(Error::invalid("Memo size exceeds limit."));
    }
    Ok(())
}

/// Refuses a workflow whose time is to be skipped: that is off by default in the official server, and absent here.
pub(crate) fn time_skipping(is_set: bool) -> Result<(), Error> {
    if is_set {
        return Err(Error::Unimplemented(
            "The Time-Skipping feature is not enabled for namespace.".to_owned(),
        ));
    }
    Ok(())
}

/// A name that is too long, in the words of newer RPCs.
pub(crate) fn bounded(sizes: &Sizes, text: &str, name: &str) -> Result<(), Error> {
    let (max, length) = (sizes.id_bytes_max, text.len());
    if length > max {
        return Err(Error::invalid(format!(
            "{name} exceeds maximum allowed length ({length}/{max})"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn timeouts_bound_each_other() {
        let table = [
            ((0, 0, 0), (0, 0, 10)),
            ((60, 0, 0), (60, 60, 10)),
            ((60, 90, 0), (60, 60, 10)),
            ((60, 5, 0), (60, 5, 5)),
            ((0, 0, 500), (0, 0, 120)),
        ];
        for ((execution, run, task), expected) in table {
            let read = timeouts(
                &Sizes::default(),
                seconds(execution).as_ref(),
                seconds(run).as_ref(),
                seconds(task).as_ref(),
            );
            let read = read.expect("timeouts");
            assert_eq!(
                (read.execution.as_secs(), read.run.as_secs(), read.task.as_secs()),
                expected
            );
        }
    }

    #[test]
    fn invalid_spans_are_named() {
        let shown =
            timeouts(&Sizes::default(), None, seconds(-1).as_ref(), None).map_err(|error| error.to_string());
        assert_eq!(
            shown,
            Err(
                "An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration".to_owned()
            )
        );
    }

    #[test]
    #[expect(deprecated, reason = "old clients say it")]
    fn policies_are_resolved() {
        let terminate = Reuse::TerminateIfRunning;
        let table = [
            (
                Reuse::Unspecified,
                Conflict::Unspecified,
                Some((Reuse::AllowDuplicate, Conflict::Fail)),
            ),
            (
                terminate,
                Conflict::Unspecified,
                Some((Reuse::AllowDuplicate, Conflict::TerminateExisting)),
            ),
            (terminate, Conflict::Fail, None),
            (Reuse::RejectDuplicate, Conflict::TerminateExisting, None),
            (
                Reuse::RejectDuplicate,
                Conflict::UseExisting,
                Some((Reuse::RejectDuplicate, Conflict::UseExisting)),
            ),
        ];
        for (reuse, conflict, expected) in table {
            let read = policies(reuse.into(), conflict.into(), Conflict::Fail);
            assert_eq!(read.ok(), expected, "{reuse:?} {conflict:?}");
        }
        assert_eq!(
            policies(99, 99, Conflict::Fail),
            Ok((Reuse::AllowDuplicate, Conflict::Fail))
        );
    }
}

//! Courier: carries what leaves a shard to queues, to other runs and to the index.

use std::{sync::Arc, time::Duration};

use engine::{
    child,
    effect::{ChildClosed, ChildStart, Delivery, DeliveryId, Message, ReadyTask, Target},
    outcome::{Rejection, Reply},
    trigger::{ExternalFailure, RequestCancel, Signal, Start, StartWith, Terminate, Trigger},
};
use matching::{
    handle::{Notice, QueueNotice},
    output::Refusal as QueueRefusal,
};
use prost::Message as _;
use proto::{
    ids::{NamespaceId, QueueKey, RunId, RunKey, ShardId, WorkflowKey},
    temporal::{
        common::v1::WorkflowExecution,
        enums::v1::StartChildWorkflowExecutionFailedCause as ChildCause,
        history::v1::{History, HistoryEvent},
    },
    time::Timestamp,
};
use shard::{courier::Courier, input::Refusal};
use storage::{batch::HistoryKey, shard::HistoryRange, visibility::Update};
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    indexer::Indexer,
    router::{AskError, Router, RunTarget, is_not_found},
    rpc::Hint,
    tickets,
};

/// Deliveries that are made at the same time.
const DELIVERIES_MAX: usize = 1_024;
/// How long until a delivery that could not be made is tried again; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// Tries before the run itself is asked again what it owes.
const TRIES: u32 = 12;
/// How many resets of a parent one after another a child's report follows.
const RESETS_FOLLOWED: u32 = 20;
/// Who the server acts as towards other runs.
const IDENTITY: &str = "history-service";

/// Carries what leaves the shards of this node.
pub(crate) struct NodeCourier {
    router: Router,
    indexer: Arc<Indexer>,
    deliveries: Arc<Semaphore>,
    runtime: Handle,
}

impl NodeCourier {
    /// Must be called within the runtime that deliveries are to run on.
    pub(crate) fn new(router: Router, indexer: Arc<Indexer>) -> Self {
        let deliveries = Arc::new(Semaphore::new(DELIVERIES_MAX));
        Self {
            router,
            indexer,
            deliveries,
            runtime: Handle::current(),
        }
    }

    /// Brings what a queue says to the shard that it concerns.
    pub(crate) fn notice(&self, notice: QueueNotice) {
        let queue = notice.queue;
        match notice.what {
            Notice::Refuse { ticket, why } => {
                let why = match why {
                    QueueRefusal::Full => Refusal::Full,
                    QueueRefusal::StickyWorkerUnavailable => Refusal::StickyWorkerUnavailable,
                    QueueRefusal::Draining => Refusal::Draining,
                };
                self.router.refuse(queue, &ticket, why);
            }
            Notice::Credit { shard, free } => self.router.tell(shard, Hint::Credit { shard, queue, free }),
            Notice::Idle => self.router.0.queues.drop_idle(&queue),
        }
    }
}

impl Courier for NodeCourier {
    fn announce(&self, shard: ShardId, queue: QueueKey, run: RunKey, task: ReadyTask, durable: Timestamp) {
        let ticket = tickets::ticket(shard, run, &task, durable);
        self.router.announce(queue, ticket);
    }

    fn held_back(&self, shard: ShardId, queue: QueueKey, count: u64, oldest: Timestamp) {
        self.router.held_back(shard, queue, count, oldest);
    }

    fn deliver(&self, from: RunKey, delivery: Box<Delivery>) {
        let (router, deliveries) = (self.router.clone(), Arc::clone(&self.deliveries));
        self.runtime.spawn(async move {
            let Ok(_permit) = deliveries.acquire().await else {
                return;
            };
            let id = delivery.id;
            let from = RunTarget {
                workflow: from.workflow,
                run_id: Some(from.run_id),
            };
            let mut wait = RETRY_FIRST;
            for _ in 0..TRIES {
                match pay(&router, &from, &delivery).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(?id, %error, "delivery not made"),
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_LAST);
            }
            tracing::warn!(?id, workflow = %from.workflow.workflow_id, "delivery given back");
            drop(router.ask(&from, Trigger::DeliveryFailed { id }).await);
        });
    }

    fn index(&self, shard: ShardId, run: RunKey, update: Box<Update>) {
        self.indexer.add(shard, run, *update);
    }
}

/// Makes one delivery and tells the run what came of it. An error means: try again.
async fn pay(router: &Router, from: &RunTarget, delivery: &Delivery) -> Result<(), AskError> {
    let Some(to) = target(&delivery.to) else {
        return Err(AskError::Broken("delivery without a target".to_owned()));
    };
    let answer = match &delivery.message {
        Message::StartChild(start) => return start_child(router, from, &to, start).await,
        Message::FirstTask => {
            let DeliveryId::FirstTask(initiated_event_id) = delivery.id else {
                return Ok(());
            };
            let parent = execution(from);
            settled(router.ask(&to, Trigger::ScheduleFirstTask { parent }).await)?;
            Trigger::FirstTaskScheduled { initiated_event_id }
        }
        Message::Signal {
            initiated_event_id, ..
        } => {
            let result = external(router.ask(&to, signal(&delivery.message)).await)?;
            Trigger::ExternalSignalDone {
                initiated_event_id: *initiated_event_id,
                result,
            }
        }
        Message::Cancel {
            initiated_event_id, ..
        } => {
            let result = external(router.ask(&to, cancel(&delivery.message)).await)?;
            Trigger::ExternalCancelDone {
                initiated_event_id: *initiated_event_id,
                result,
            }
        }
        Message::TerminateChild {
            from: parent,
            first_run_id,
        } => {
            let DeliveryId::ClosePolicy(initiated_event_id) = delivery.id else {
                return Ok(());
            };
            let terminate = Terminate {
                reason: "by parent close policy".to_owned(),
                identity: IDENTITY.to_owned(),
                first_run_id: first_run_id.clone(),
                from: Some(parent.clone()),
                child_only: true,
                ..Default::default()
            };
            settled(router.ask(&to, Trigger::Terminate(Box::new(terminate))).await)?;
            Trigger::ClosePolicyApplied { initiated_event_id }
        }
        Message::CancelChild {
            from: parent,
            first_run_id,
        } => {
            let DeliveryId::ClosePolicy(initiated_event_id) = delivery.id else {
                return Ok(());
            };
            let request = RequestCancel {
                identity: IDENTITY.to_owned(),
                first_run_id: first_run_id.clone(),
                from: Some(parent.clone()),
                child_only: true,
                ..Default::default()
            };
            settled(router.ask(&to, Trigger::RequestCancel(Box::new(request))).await)?;
            Trigger::ClosePolicyApplied { initiated_event_id }
        }
        Message::ChildClosed(closed) => {
            report(router, to, closed).await?;
            Trigger::ReportDelivered
        }
    };
    settled(router.ask(from, answer).await)
}

/// Tells the parent of the child's end; a parent that was reset says which run to tell in its place.
async fn report(router: &Router, mut to: RunTarget, closed: &ChildClosed) -> Result<(), AskError> {
    for _ in 0..RESETS_FOLLOWED {
        let answer = router
            .ask(&to, Trigger::ChildClosed(Box::new(closed.clone())))
            .await;
        let Ok(Reply::Forward { run_id }) = answer else {
            return settled(answer);
        };
        let Ok(run_id) = run_id.parse() else { return Ok(()) };
        to.run_id = Some(run_id);
    }
    Ok(())
}

/// What is not there any more needs nothing more.
fn settled(answer: Result<Reply, AskError>) -> Result<(), AskError> {
    match answer {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn external(answer: Result<Reply, AskError>) -> Result<Result<(), ExternalFailure>, AskError> {
    match answer {
        Ok(_) => Ok(Ok(())),
        Err(AskError::Rejected(Rejection::NotFound(_))) => Ok(Err(ExternalFailure::WorkflowNotFound)),
        Err(AskError::Rejected(Rejection::InvalidArgument(_))) => Ok(Err(ExternalFailure::SignalLimit)),
        Err(error) => Err(error),
    }
}

async fn start_child(
    router: &Router,
    from: &RunTarget,
    to: &RunTarget,
    start: &ChildStart,
) -> Result<(), AskError> {
    let initiated_event_id = start.initiated_event_id;
    let workflow = match &start.event {
        Some(event) => child::start_of(start, event),
        None => child::start_of(start, &initiated_event(router, from, start).await?),
    };
    let workflow =
        workflow.ok_or_else(|| AskError::Broken("initiated event is not one of a child".to_owned()))?;
    let begin = Start {
        workflow: Box::new(workflow),
        with: StartWith::Nothing,
    };
    let (answer, run_id) = match router.start(&to.workflow, begin).await {
        Ok(Reply::Started(started)) => {
            let run_id = started.run_id.clone();
            (
                Trigger::ChildStarted {
                    initiated_event_id,
                    run_id: started.run_id,
                },
                Some(run_id),
            )
        }
        Ok(_) => {
            return Err(AskError::Broken(
                "unexpected answer to a child's start".to_owned(),
            ));
        }
        Err(AskError::Rejected(Rejection::AlreadyStarted { .. })) => {
            let cause = ChildCause::WorkflowAlreadyExists;
            (
                Trigger::ChildStartFailed {
                    initiated_event_id,
                    cause,
                },
                None,
            )
        }
        Err(error) => return Err(error),
    };
    match router.ask(from, answer).await {
        Err(error) if is_not_found(&error) => end_orphan(router, from, to, run_id).await,
        other => other.map(drop),
    }
}

/// The parent has closed before it knew of the child: the child never runs (reference 2.9).
async fn end_orphan(
    router: &Router,
    from: &RunTarget,
    to: &RunTarget,
    run_id: Option<String>,
) -> Result<(), AskError> {
    let Some(run_id) = run_id.and_then(|id| id.parse().ok()) else {
        return Ok(());
    };
    let child = RunTarget {
        workflow: to.workflow.clone(),
        run_id: Some(run_id),
    };
    let parent = execution(from);
    settled(router.ask(&child, Trigger::EndOrphan { parent }).await)
}

/// Reads the event that the child's start was decided with.
async fn initiated_event(
    router: &Router,
    from: &RunTarget,
    start: &ChildStart,
) -> Result<HistoryEvent, AskError> {
    let broken = || AskError::Broken("initiated event is not in history".to_owned());
    let run_id = from.run_id.ok_or_else(broken)?;
    let range = HistoryRange {
        history: HistoryKey {
            namespace_id: from.workflow.namespace_id,
            run_id,
        },
        from_event_id: start.initiated_node,
        to_event_id: start.initiated_event_id + 1,
        reverse: false,
        max_nodes: 1,
        max_bytes: usize::MAX,
    };
    let nodes = router.history(&from.workflow, range).await;
    let nodes = nodes.map_err(|error| AskError::Unavailable(error.to_string()))?;
    let node = nodes.into_iter().next().ok_or_else(broken)?;
    let history = History::decode(node.events).map_err(|_| broken())?;
    history
        .events
        .into_iter()
        .find(|event| event.event_id == start.initiated_event_id)
        .ok_or_else(broken)
}

fn signal(message: &Message) -> Trigger {
    let Message::Signal {
        request_id,
        signal_name,
        input,
        header,
        child_workflow_only,
        from,
        ..
    } = message
    else {
        return Trigger::Describe;
    };
    Trigger::Signal(Box::new(Signal {
        name: signal_name.clone(),
        input: input.clone(),
        header: header.clone(),
        identity: IDENTITY.to_owned(),
        request_id: request_id.clone(),
        from: Some(from.clone()),
        child_only: *child_workflow_only,
        ..Default::default()
    }))
}

fn cancel(message: &Message) -> Trigger {
    let Message::Cancel {
        request_id,
        reason,
        child_workflow_only,
        from,
        initiated_event_id,
    } = message
    else {
        return Trigger::Describe;
    };
    Trigger::RequestCancel(Box::new(RequestCancel {
        reason: reason.clone(),
        identity: IDENTITY.to_owned(),
        request_id: request_id.clone(),
        from: Some(from.clone()),
        from_initiated_event_id: *initiated_event_id,
        child_only: *child_workflow_only,
        ..Default::default()
    }))
}

fn execution(run: &RunTarget) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: run.workflow.workflow_id.as_str().to_owned(),
        run_id: run.run_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn target(to: &Target) -> Option<RunTarget> {
    let namespace_id: NamespaceId = to.namespace_id.parse().ok()?;
    let workflow = WorkflowKey {
        namespace_id,
        workflow_id: to.workflow_id.as_str().into(),
    };
    let run_id: Option<RunId> = if to.run_id.is_empty() {
        None
    } else {
        Some(to.run_id.parse().ok()?)
    };
    Some(RunTarget { workflow, run_id })
}

//! Polling, for both kinds of tasks: waits for a ticket, redeems it at its shard, polls on if it is void.

use std::{sync::Arc, time::Duration};

use cluster::{queue::Queue, router::AskError};
use engine::{
    outcome::{Rejection, Reply},
    trigger::{BeginTask, Trigger},
};
use matching::{
    error::AskError as QueueError,
    handle::Polled,
    input::PollerInfo,
    output::{Give, Given},
    ticket::Ticket,
};
use proto::ids::{QueueKey, TaskKind};
use tokio::time::Instant;

use crate::{
    error::Error,
    frontend::{Frontend, fresh_id},
    limits,
    validate::RunTarget,
};

/// How long a poll rests after a shard that could not take its ticket, or a queue that went elsewhere.
const PAUSE: Duration = Duration::from_millis(50);

/// One poll, however many tickets it meets.
pub(crate) struct Poll<'a> {
    pub(crate) frontend: &'a Frontend,
    pub(crate) key: QueueKey,
    pub(crate) poller: PollerInfo,
    /// The worker's build, if it names one.
    pub(crate) build_id: String,
    pub(crate) deadline: Instant,
}

/// What a poll got.
pub(crate) enum Got {
    /// A task is in this poller's hands: the shard's answer, and what the queue said with it.
    Task {
        reply: Reply,
        ticket: Ticket,
        give: Give,
    },
    /// A query, as the give says.
    Query(Give),
}

impl Poll<'_> {
    /// Waits for something to do; `None` once the deadline has come, the server drains, or the node is cut off from
    /// the others: tasks and workers meet elsewhere then, and whoever polls here again is told so.
    pub(crate) async fn next(&self) -> Result<Option<Got>, Error> {
        let mut reach = self.frontend.router.reach();
        let known = *reach.borrow_and_update();
        if !known.others {
            return Err(Error::Unavailable(
                "this node is cut off from the others".to_owned(),
            ));
        }
        let cut_off = async { drop(reach.wait_for(|reach| !reach.others).await) };
        tokio::select! {
            got = self.run() => got,
            () = self.frontend.drained() => Ok(None),
            () = cut_off => Ok(None),
        }
    }

    async fn run(&self) -> Result<Option<Got>, Error> {
        let mut busy = 0;
        loop {
            let queue = self.frontend.router.queue(&self.key);
            match queue
                .poll(self.poller.clone(), self.frontend.at(self.deadline))
                .await
            {
                Ok(Polled::Task(give)) => {
                    // In a box: most polls wait most of their time, without a task.
                    if let Some(got) = Box::pin(self.take(&queue, *give)).await? {
                        return Ok(Some(got));
                    }
                }
                Ok(Polled::Empty) => return Ok(None),
                // It ended, died or went elsewhere: there is another one by now.
                Err(QueueError::Gone) => self.pause().await,
                // Full for a moment, as when its shards announce all that waits: this poll may wait as others do.
                Err(QueueError::Busy) if busy < limits::BUSY_POLLS_MAX => {
                    busy += 1;
                    self.pause().await;
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= self.deadline {
                return Ok(None);
            }
        }
    }

    async fn take(&self, queue: &Queue, give: Give) -> Result<Option<Got>, Error> {
        let ticket = match &give.task {
            Given::Ticket(ticket) => ticket.clone(),
            Given::Query { .. } => return Ok(Some(Got::Query(give))),
        };
        let held = Held {
            queue,
            ticket: Some(ticket.clone()),
        };
        match self.redeem(&ticket).await {
            Ok(reply) => {
                held.done();
                let delivered = &self.frontend.router.metrics().queues.delivered;
                delivered.record(self.frontend.now().since(ticket.durable));
                Ok(Some(Got::Task { reply, ticket, give }))
            }
            // Started before, or void.
            Err(AskError::Rejected(Rejection::Stale | Rejection::NotFound(_))) => {
                held.done();
                Ok(None)
            }
            Err(AskError::Broken(error)) => {
                held.done();
                tracing::error!(workflow_id = %ticket.run.workflow.workflow_id, error, "begin task");
                Ok(None)
            }
            Err(_) => {
                // The ticket goes back: another poller may find the shard in better shape.
                drop(held);
                self.pause().await;
                Ok(None)
            }
        }
    }

    /// Takes the task up at its shard.
    async fn redeem(&self, ticket: &Ticket) -> Result<Reply, AskError> {
        let target = RunTarget {
            workflow: ticket.run.workflow.clone(),
            run_id: Some(ticket.run.run_id),
        };
        let begin = Box::new(BeginTask {
            scheduled_event_id: ticket.scheduled_event_id,
            attempt: ticket.attempt,
            queue: self.key.name.to_string(),
            sticky: self.key.sticky,
            identity: self.poller.identity.to_string(),
            build_id: self.build_id.clone(),
            request_id: fresh_id().map_err(|error| AskError::Unavailable(error.to_string()))?,
        });
        let trigger = match self.key.kind {
            TaskKind::Workflow => Trigger::BeginWorkflowTask(begin),
            TaskKind::Activity => Trigger::BeginActivity(begin),
        };
        // A poll waits long for its task: what it takes to be durable counts from the ticket on.
        let ask = self.frontend.router.ask(&target, trigger);
        cluster::router::answering(self.frontend.now(), ask).await
    }

    async fn pause(&self) {
        tokio::time::sleep_until((Instant::now() + PAUSE).min(self.deadline)).await;
    }
}

/// A ticket between its queue and its shard. If the poll ends meanwhile the ticket goes back to the queue, so that
/// the task need not wait until its shard announces it again.
struct Held<'a> {
    queue: &'a Queue,
    ticket: Option<Ticket>,
}

impl Held<'_> {
    fn done(mut self) {
        self.ticket = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // A queue that does not take it is full or gone: then its shard announces it again.
            drop(self.queue.announce(ticket));
        }
    }
}

/// Returns what the queue is told of a poller.
pub(crate) fn poller(
    identity: String,
    worker_instance_key: String,
    max_tasks_per_second: Option<f64>,
    versions: Option<matching::input::WorkerVersions>,
) -> PollerInfo {
    PollerInfo {
        identity: identity.into(),
        worker_instance_key: worker_instance_key.into(),
        max_tasks_per_second,
        versions: versions.map(Arc::new),
    }
}

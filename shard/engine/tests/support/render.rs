//! Prints what steps give, short enough to be read beside the trigger.

mod fields;

use std::collections::BTreeMap;

use perdure_engine::{
    effect::{Delivery, Effect, Message, ReadyKind, ReadyTask},
    outcome::{
        QueryAnswer, Rejection, Reply, Started, StartedActivity, StartedWorkflowTask, UpdateStatus,
        WorkflowTaskCompleted,
    },
    run::Why,
};
use prost_reflect::Value;
use proto::{temporal::history::v1::HistoryEvent, time::Timestamp};

use fields::{camel, fields, message, time};

use super::json::dynamic;

/// Gives ids short names, by the order in which they come up.
#[derive(Default)]
pub struct Names(BTreeMap<String, String>);

const UUID_LEN: usize = 36;

impl Names {
    pub fn name(&mut self, id: &str, name: String) {
        self.0.entry(id.to_owned()).or_insert(name);
    }

    /// Replaces every UUID in the text.
    pub fn shorten(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(id) = rest.get(..UUID_LEN).filter(|id| is_uuid(id)) {
                let next = format!(
                    "id-{}",
                    self.0.values().filter(|name| name.starts_with("id-")).count() + 1
                );
                out.push_str(self.0.entry(id.to_owned()).or_insert(next));
                rest = &rest[UUID_LEN..];
            } else {
                let end = rest.chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
        out
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// `  7 TimerStarted timer_id=t1 start_to_fire_timeout=5s workflow_task_completed_event_id=4`
pub fn event(event: &HistoryEvent) -> String {
    let message = dynamic(event);
    let mut line = format!("{:>3} {}", event.event_id, event_name(event));
    for (field, value) in message.fields() {
        if field.name().ends_with("_event_attributes")
            && let Value::Message(attributes) = value
        {
            line.push_str(&fields(attributes));
        } else if matches!(field.name(), "user_metadata" | "links" | "worker_may_ignore") {
            line.push_str(&format!(" {}={}", field.name(), fields::value(&field, value)));
        }
    }
    line
}

pub fn event_name(event: &HistoryEvent) -> String {
    camel(event.event_type().as_str_name().trim_start_matches("EVENT_TYPE_"))
}

pub fn deadline(next: Option<(Timestamp, Why)>) -> String {
    next.map_or_else(
        || "nothing is due".to_owned(),
        |(at, why)| format!("{} {why:?}", time(at)),
    )
}

pub fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Ready(task) => format!("+ {}", ready(task)),
        Effect::Unready(task) => format!("- {}", ready(task)),
        Effect::Deliver(delivery) => format!("-> {}", self::delivery(delivery)),
        Effect::Resolve {
            waiter,
            reply: Ok(reply),
        } => format!("! w{}: {}", waiter.0, self::reply(reply)),
        Effect::Resolve {
            waiter,
            reply: Err(error),
        } => format!("! w{}: {}", waiter.0, rejection(error)),
    }
}

fn ready(task: &ReadyTask) -> String {
    let kind = match task.kind {
        ReadyKind::Workflow => "workflow task",
        ReadyKind::Activity => "activity task",
    };
    let sticky = if task.sticky { ", sticky" } else { "" };
    let speculative = if task.speculative { ", speculative" } else { "" };
    let priority = if task.priority == 3 {
        String::new()
    } else {
        format!(", priority {}", task.priority)
    };
    format!(
        "{kind} {} attempt {} in {}{sticky}{speculative}{priority}",
        task.scheduled_event_id, task.attempt, task.queue
    )
}

fn delivery(delivery: &Delivery) -> String {
    let message = match &delivery.message {
        Message::StartChild(start) => {
            format!(
                "start child, request {}, event at hand: {}",
                start.request_id,
                start.event.is_some()
            )
        }
        Message::FirstTask => "schedule the first workflow task".to_owned(),
        Message::Signal {
            request_id,
            signal_name,
            ..
        } => format!("signal {signal_name}, request {request_id}"),
        Message::Cancel {
            request_id, reason, ..
        } => format!("cancel {reason:?}, request {request_id}"),
        Message::TerminateChild { first_run_id, .. } => format!("terminate the chain of {first_run_id}"),
        Message::CancelChild { first_run_id, .. } => format!("cancel the chain of {first_run_id}"),
        Message::ChildClosed(closed) => format!("child {:?} of {}", closed.status, closed.first_run_id),
    };
    format!(
        "{:?} to {}/{}: {message}",
        delivery.id, delivery.to.workflow_id, delivery.to.run_id
    )
}

pub fn rejection(error: &Rejection) -> String {
    match error {
        Rejection::MultiOperation { start, update } => {
            format!(
                "MultiOperation: start {}; update {}",
                rejection(start),
                rejection(update)
            )
        }
        Rejection::AlreadyStarted { message, .. } => format!("AlreadyStarted: {message}"),
        Rejection::Stale | Rejection::Aborted | Rejection::Ok => format!("{error:?}"),
        error => {
            let debug = format!("{error:?}");
            format!("{}: {error}", debug.split('(').next().unwrap_or_default())
        }
    }
}

pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::Deferred => "waits".to_owned(),
        Reply::Refused(error) => format!("refused, yet something was written: {}", rejection(error)),
        Reply::Started(started) => self::started(started),
        Reply::Signaled {
            event_id, started, ..
        } => {
            let started = started
                .as_ref()
                .map(|started| format!(", {}", self::started(started)));
            format!("signaled as event {event_id}{}", started.unwrap_or_default())
        }
        Reply::WorkflowTask(task) => workflow_task(task),
        Reply::WorkflowTaskCompleted(done) => completed(done),
        Reply::Activity(activity) => self::activity(activity),
        Reply::Heartbeat { cancel_requested } => format!("heartbeat, cancel requested: {cancel_requested}"),
        Reply::ActivityFailed { oversized } => format!("activity failed, oversized: {}", oversized.len()),
        Reply::Forward { run_id } => format!("forward to {run_id}"),
        Reply::Update(status) => update(status),
        Reply::StartedAndUpdated { started, update } => {
            let update = update
                .as_ref()
                .map_or_else(|| "update waits".to_owned(), |status| self::update(status));
            format!("{}, {update}", self::started(started))
        }
        Reply::Query(answer) => query(answer),
        Reply::Description(description) => {
            let description = dynamic(&**description);
            let lines = description
                .fields()
                .map(|(field, value)| format!("\n      {}={}", field.name(), fields::value(&field, value)));
            format!("described{}", lines.collect::<String>())
        }
        Reply::Position(position) => {
            let transient: Vec<_> = position.transient.iter().map(event_name).collect();
            format!(
                "open: {}, next event {}, closed in node {}, transient [{}], followed by {:?}",
                position.open,
                position.next_event_id,
                position.close_node,
                transient.join(" "),
                position.successor_run_id
            )
        }
        Reply::Reset { run_id } => format!("reset to {run_id}"),
        Reply::Options(options) => {
            let options = dynamic(&**options);
            let shown = options
                .fields()
                .map(|(field, value)| format!(" {}={}", field.name(), fields::value(&field, value)));
            format!("options{}", shown.collect::<String>())
        }
    }
}

fn started(started: &Started) -> String {
    let how = if started.started { "started" } else { "used" };
    let attached = if started.attached {
        ", request attached"
    } else {
        ""
    };
    let eager = started
        .eager
        .as_ref()
        .map(|task| format!(", eager {}", workflow_task(task)))
        .unwrap_or_default();
    format!(
        "{how} {} of the chain of {}{attached}{eager}",
        started.run_id, started.first_run_id
    )
}

fn workflow_task(task: &StartedWorkflowTask) -> String {
    let mut line = format!(
        "workflow task {}/{} attempt {}: events to {}, previous {}",
        task.scheduled_event_id,
        task.started_event_id,
        task.attempt,
        task.next_event_id - 1,
        task.previous_started_event_id
    );
    if task.sticky {
        line.push_str(", sticky");
    }
    for event in &task.transient {
        line.push_str(&format!(", transient {} {}", event.event_id, event_name(event)));
    }
    let mut queries: Vec<_> = task.queries.iter().collect();
    queries.sort_by_key(|(id, _)| id.as_str());
    for (id, query) in queries {
        line.push_str(&format!(", query {id} {}", query.query_type));
    }
    for message in &task.messages {
        line.push_str(&format!(", message {}", message.id));
    }
    line
}

fn completed(done: &WorkflowTaskCompleted) -> String {
    let mut line = "completed".to_owned();
    if done.reset_history_event_id != 0 {
        line.push_str(&format!(
            ", the worker goes back to event {}",
            done.reset_history_event_id
        ));
    }
    for activity in &done.activities {
        line.push_str(&format!(", eager {}", self::activity(activity)));
    }
    if let Some(next) = &done.next {
        line.push_str(&format!(", next {}", workflow_task(next)));
    }
    line
}

fn activity(activity: &StartedActivity) -> String {
    let heartbeat = activity
        .heartbeat_details
        .as_ref()
        .map(|details| format!(", heartbeat {}", message(&dynamic(details))));
    format!(
        "activity {} ({}) attempt {}, input in node {}{}",
        activity.activity_id,
        activity.scheduled_event_id,
        activity.attempt,
        activity.scheduled_node,
        heartbeat.unwrap_or_default()
    )
}

fn update(status: &UpdateStatus) -> String {
    let outcome = status
        .outcome
        .as_ref()
        .map(|outcome| format!(", outcome {}", message(&dynamic(outcome))));
    format!(
        "update {} is {:?}{}",
        status.update_id,
        status.stage,
        outcome.unwrap_or_default()
    )
}

fn query(answer: &QueryAnswer) -> String {
    match answer {
        QueryAnswer::Result(result) => format!("query answered {}", message(&dynamic(result))),
        QueryAnswer::Rejected(status) => format!("query rejected, status {status:?}"),
        QueryAnswer::Dispatch(dispatch) => {
            let sticky = dispatch
                .sticky
                .as_ref()
                .map(|(queue, _)| format!(", sticky {queue}"));
            format!(
                "ask a worker of {}{}: events to {}",
                dispatch.task_queue,
                sticky.unwrap_or_default(),
                dispatch.next_event_id - 1
            )
        }
    }
}

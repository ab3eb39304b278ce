//! The workflow that simulated workers run: an activity and a timer, then a number of signals, then the end.

use engine::outcome::StartedWorkflowTask;
use prost::Message;
use proto::temporal::{
    command::v1::{
        Command, ScheduleActivityTaskCommandAttributes, StartTimerCommandAttributes, command::Attributes,
    },
    common::v1::ActivityType,
    enums::v1::{CommandType, EventType},
    history::v1::{History, HistoryEvent},
    taskqueue::v1::TaskQueue,
};

/// Signals that the workflow waits for.
pub(crate) const SIGNALS: usize = 2;

/// Returns what the workflow does next, from its whole history.
pub(crate) fn decide(events: &[HistoryEvent]) -> Vec<Command> {
    let count = |kind: EventType| events.iter().filter(|event| event.event_type() == kind).count();
    if count(EventType::ActivityTaskScheduled) == 0 {
        return vec![activity(), timer()];
    }
    let done = count(EventType::ActivityTaskCompleted) == 1
        && count(EventType::TimerFired) == 1
        && count(EventType::WorkflowExecutionSignaled) >= SIGNALS;
    if done { vec![end()] } else { Vec::new() }
}

/// Puts the history together that the worker is sent: nodes from the store, then those from the shard's memory.
pub(crate) fn history(stored: Vec<(i64, bytes::Bytes)>, task: &StartedWorkflowTask) -> Vec<HistoryEvent> {
    let recent_from = task.recent.first().map_or(i64::MAX, |(id, _)| *id);
    let old = stored.into_iter().filter(|(id, _)| *id < recent_from);
    let mut events: Vec<HistoryEvent> = old
        .chain(task.recent.iter().cloned())
        .flat_map(|(_, bytes)| History::decode(bytes).expect("own history").events)
        .filter(|event| event.event_id < task.next_event_id)
        .collect();
    events.extend(task.transient.iter().cloned());
    for (index, event) in events.iter().enumerate() {
        assert_eq!(
            event.event_id,
            index as i64 + 1,
            "history that a worker sees is dense"
        );
    }
    let last = events.last().expect("history has events");
    assert_eq!(
        last.event_type(),
        EventType::WorkflowTaskStarted,
        "history ends with the task's start"
    );
    events
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command {
        command_type: kind.into(),
        attributes: Some(attributes),
        ..Default::default()
    }
}

fn activity() -> Command {
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    command(
        CommandType::ScheduleActivityTask,
        Attributes::ScheduleActivityTaskCommandAttributes(Box::new(ScheduleActivityTaskCommandAttributes {
            activity_id: "pay".to_owned(),
            activity_type: Some(ActivityType {
                name: "pay".to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: "orders".to_owned(),
                ..Default::default()
            }),
            start_to_close_timeout: span(10),
            ..Default::default()
        })),
    )
}

fn timer() -> Command {
    command(
        CommandType::StartTimer,
        Attributes::StartTimerCommandAttributes(Box::new(StartTimerCommandAttributes {
            timer_id: "wait".to_owned(),
            start_to_fire_timeout: Some(prost_types::Duration { seconds: 3, nanos: 0 }),
        })),
    )
}

fn end() -> Command {
    command(
        CommandType::CompleteWorkflowExecution,
        Attributes::CompleteWorkflowExecutionCommandAttributes(Box::default()),
    )
}

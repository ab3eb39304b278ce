//! What happened to a run so far, folded from its whole history; the worker keeps nothing else. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proto::temporal::history::v1::{HistoryEvent, history_event::Attributes};

use crate::client::text;

/// Where something that a workflow asked for is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    Done,
    /// Ended in any other way.
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Past {
    pub input: String,
    pub activities: BTreeMap<String, Stage>,
    pub timers: BTreeMap<String, Stage>,
    pub children: BTreeMap<String, Stage>,
    /// Updates that were accepted.
    pub updates: BTreeMap<String, Stage>,
    /// Names of the signals, in order.
    pub signals: Vec<String>,
    pub cancel_requested: bool,
}

impl Past {
    pub(crate) fn of(events: &[HistoryEvent]) -> Self {
        let mut past = Self::default();
        let mut activity_ids: HashMap<i64, &str> = HashMap::new();
        for event in events {
            let Some(attributes) = event.attributes.as_ref() else {
                continue;
            };
            match attributes {
                Attributes::ActivityTaskScheduledEventAttributes(scheduled) => {
                    activity_ids.insert(event.event_id, &scheduled.activity_id);
                    past.activities.insert(scheduled.activity_id.clone(), Stage::Open);
                }
                other => {
                    if let Some((scheduled, stage)) = activity_end(other) {
                        let id = activity_ids.get(&scheduled).copied().unwrap_or_default();
                        past.activities.insert(id.to_owned(), stage);
                    } else {
                        past.fold(other);
                    }
                }
            }
        }
        past
    }

    /// Whether a signal of that name came.
    pub(crate) fn signaled(&self, name: &str) -> bool {
        self.signals.iter().any(|signal| signal == name)
    }

    pub(crate) fn all_done(stages: &BTreeMap<String, Stage>) -> bool {
        let stages: BTreeSet<_> = stages.values().map(|stage| *stage == Stage::Done).collect();
        !stages.contains(&false)
    }

    fn fold(&mut self, attributes: &Attributes) {
        match attributes {
            Attributes::WorkflowExecutionStartedEventAttributes(started) => {
                self.input = text(started.input.as_ref());
            }
            Attributes::TimerStartedEventAttributes(timer) => {
                self.timers.insert(timer.timer_id.clone(), Stage::Open);
            }
            Attributes::TimerFiredEventAttributes(timer) => {
                self.timers.insert(timer.timer_id.clone(), Stage::Done);
            }
            Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => {
                self.signals.push(signaled.signal_name.clone());
            }
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(accepted) => {
                self.updates
                    .insert(accepted.protocol_instance_id.clone(), Stage::Open);
            }
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(completed) => {
                let id = completed.meta.as_ref().map(|meta| meta.update_id.clone());
                self.updates.insert(id.unwrap_or_default(), Stage::Done);
            }
            Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(child) => {
                self.children.insert(child.workflow_id.clone(), Stage::Open);
            }
            Attributes::ChildWorkflowExecutionCompletedEventAttributes(child) => {
                let id = child
                    .workflow_execution
                    .as_ref()
                    .map(|child| child.workflow_id.clone());
                self.children.insert(id.unwrap_or_default(), Stage::Done);
            }
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(_) => self.cancel_requested = true,
            _ => {}
        }
    }
}

/// The scheduled event of an activity that ended with this event.
pub(crate) fn activity_end(attributes: &Attributes) -> Option<(i64, Stage)> {
    match attributes {
        Attributes::ActivityTaskCompletedEventAttributes(ended) => {
            Some((ended.scheduled_event_id, Stage::Done))
        }
        Attributes::ActivityTaskFailedEventAttributes(ended) => Some((ended.scheduled_event_id, Stage::Lost)),
        Attributes::ActivityTaskTimedOutEventAttributes(ended) => {
            Some((ended.scheduled_event_id, Stage::Lost))
        }
        Attributes::ActivityTaskCanceledEventAttributes(ended) => {
            Some((ended.scheduled_event_id, Stage::Lost))
        }
        _ => None,
    }
}

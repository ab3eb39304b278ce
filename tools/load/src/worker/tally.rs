//! What happened to a run so far, folded from its history: the only state the worker keeps of a run.
//!
//! Pure. Folding the full history gives the same as folding its parts one after the other (sticky tasks).

use proto::temporal::history::v1::{HistoryEvent, history_event::Attributes};

use crate::payload::fingerprint_of;

/// Counts of a run's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The last event folded in; 0 before the first.
    pub last_event_id: i64,
    pub activities_scheduled: u32,
    pub activities_completed: u32,
    /// Activities that ended any other way than completed.
    pub activities_lost: u32,
    /// Sum of the fingerprints of the results, wrapping.
    pub results: u64,
    pub timers_started: u32,
    pub timers_fired: u32,
    pub signals: u32,
    pub updates_completed: u32,
    pub children_initiated: u32,
    pub children_completed: u32,
    /// Children that did not start or ended any other way than completed.
    pub children_lost: u32,
    pub markers: u32,
}

impl Tally {
    /// Folds in events that follow the last one; `Err` with the event id when there is a gap.
    pub(crate) fn fold(&mut self, events: &[HistoryEvent]) -> Result<(), i64> {
        for event in events {
            if event.event_id != self.last_event_id + 1 {
                return Err(event.event_id);
            }
            self.last_event_id = event.event_id;
            self.count(event);
        }
        Ok(())
    }

    fn count(&mut self, event: &HistoryEvent) {
        match &event.attributes {
            Some(Attributes::ActivityTaskScheduledEventAttributes(_)) => self.activities_scheduled += 1,
            Some(Attributes::ActivityTaskCompletedEventAttributes(completed)) => {
                self.activities_completed += 1;
                self.results = self
                    .results
                    .wrapping_add(fingerprint_of(completed.result.as_ref()));
            }
            Some(
                Attributes::ActivityTaskFailedEventAttributes(_)
                | Attributes::ActivityTaskTimedOutEventAttributes(_)
                | Attributes::ActivityTaskCanceledEventAttributes(_),
            ) => self.activities_lost += 1,
            Some(Attributes::TimerStartedEventAttributes(_)) => self.timers_started += 1,
            Some(Attributes::TimerFiredEventAttributes(_)) => self.timers_fired += 1,
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(_)) => self.signals += 1,
            Some(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(_)) => {
                self.updates_completed += 1;
            }
            Some(Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(_)) => {
                self.children_initiated += 1;
            }
            Some(Attributes::ChildWorkflowExecutionCompletedEventAttributes(_)) => {
                self.children_completed += 1;
            }
            Some(
                Attributes::StartChildWorkflowExecutionFailedEventAttributes(_)
                | Attributes::ChildWorkflowExecutionFailedEventAttributes(_)
                | Attributes::ChildWorkflowExecutionTimedOutEventAttributes(_)
                | Attributes::ChildWorkflowExecutionCanceledEventAttributes(_)
                | Attributes::ChildWorkflowExecutionTerminatedEventAttributes(_),
            ) => self.children_lost += 1,
            Some(Attributes::MarkerRecordedEventAttributes(_)) => self.markers += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::history::v1::{
        ActivityTaskCompletedEventAttributes, ActivityTaskScheduledEventAttributes,
        ActivityTaskTimedOutEventAttributes, WorkflowExecutionSignaledEventAttributes,
    };

    use super::*;
    use crate::payload::{Filler, fingerprint};

    fn event(event_id: i64, attributes: Option<Attributes>) -> HistoryEvent {
        HistoryEvent {
            event_id,
            attributes,
            ..Default::default()
        }
    }

    fn history() -> Vec<HistoryEvent> {
        let filler = Filler::new(32);
        let completed = |number| {
            let result = Some(filler.marked(9, number));
            Some(Attributes::ActivityTaskCompletedEventAttributes(Box::new(
                ActivityTaskCompletedEventAttributes {
                    result,
                    ..Default::default()
                },
            )))
        };
        let scheduled = || {
            let attributes = ActivityTaskScheduledEventAttributes::default();
            Some(Attributes::ActivityTaskScheduledEventAttributes(Box::new(
                attributes,
            )))
        };
        let signaled = WorkflowExecutionSignaledEventAttributes::default();
        let timed_out = ActivityTaskTimedOutEventAttributes::default();
        vec![
            event(1, None),
            event(2, scheduled()),
            event(3, scheduled()),
            event(4, completed(1)),
            event(
                5,
                Some(Attributes::WorkflowExecutionSignaledEventAttributes(Box::new(
                    signaled,
                ))),
            ),
            event(6, completed(0)),
            event(7, scheduled()),
            event(
                8,
                Some(Attributes::ActivityTaskTimedOutEventAttributes(Box::new(
                    timed_out,
                ))),
            ),
        ]
    }

    #[test]
    fn counts_events_and_results() {
        let mut tally = Tally::default();
        assert_eq!(tally.fold(&history()), Ok(()));
        let expected = Tally {
            last_event_id: 8,
            activities_scheduled: 3,
            activities_completed: 2,
            activities_lost: 1,
            results: fingerprint(9, 0).wrapping_add(fingerprint(9, 1)),
            signals: 1,
            ..Tally::default()
        };
        assert_eq!(tally, expected);
    }

    #[test]
    fn parts_fold_to_the_same_as_the_whole() {
        let events = history();
        let mut whole = Tally::default();
        assert_eq!(whole.fold(&events), Ok(()));
        for cut in 0..=events.len() {
            let mut parts = Tally::default();
            assert_eq!(parts.fold(&events[..cut]), Ok(()));
            assert_eq!(parts.fold(&events[cut..]), Ok(()));
            assert_eq!(parts, whole);
        }
    }

    #[test]
    fn a_gap_is_an_error() {
        let events = history();
        let mut tally = Tally::default();
        assert_eq!(tally.fold(&events[2..]), Err(3));
        assert_eq!(tally.fold(&events[..2]), Ok(()));
        assert_eq!(tally.fold(&events[..2]), Err(1));
    }
}

//! Closing events for clients that know one way only in which a chain of runs goes on: continue-as-new.

use proto::temporal::{
    enums::v1::EventType,
    history::v1::{HistoryEvent, WorkflowExecutionContinuedAsNewEventAttributes, history_event::Attributes},
};

/// Shows a run that was followed by another one, through a retry or a cron schedule, as continued as new.
pub(super) fn disguise(event: &mut HistoryEvent) {
    let Some(attributes) = event.attributes.as_ref().and_then(continued) else {
        return;
    };
    event.event_type = EventType::WorkflowExecutionContinuedAsNew.into();
    event.attributes = Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(
        Box::new(attributes),
    ));
}

#[expect(deprecated, reason = "clients that need the disguise read it there")]
fn continued(attributes: &Attributes) -> Option<WorkflowExecutionContinuedAsNewEventAttributes> {
    let (new_execution_run_id, failure, last_completion_result) = match attributes {
        Attributes::WorkflowExecutionCompletedEventAttributes(a) => {
            (&a.new_execution_run_id, None, a.result.clone())
        }
        Attributes::WorkflowExecutionFailedEventAttributes(a) => {
            (&a.new_execution_run_id, a.failure.clone(), None)
        }
        Attributes::WorkflowExecutionTimedOutEventAttributes(a) => (&a.new_execution_run_id, None, None),
        _ => return None,
    };
    (!new_execution_run_id.is_empty()).then(|| WorkflowExecutionContinuedAsNewEventAttributes {
        new_execution_run_id: new_execution_run_id.clone(),
        failure,
        last_completion_result,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use proto::temporal::history::v1::WorkflowExecutionCompletedEventAttributes as Completed;

    use super::*;

    fn closed(next: &str) -> HistoryEvent {
        let completed = Completed {
            new_execution_run_id: next.to_owned(),
            ..Default::default()
        };
        let attributes = Attributes::WorkflowExecutionCompletedEventAttributes(Box::new(completed));
        HistoryEvent {
            event_type: EventType::WorkflowExecutionCompleted.into(),
            attributes: Some(attributes),
            ..Default::default()
        }
    }

    #[test]
    fn only_a_run_that_goes_on_is_disguised() {
        let mut last = closed("");
        disguise(&mut last);
        assert_eq!(last, closed(""));
        let mut followed = closed("next");
        disguise(&mut followed);
        assert_eq!(followed.event_type(), EventType::WorkflowExecutionContinuedAsNew);
    }
}

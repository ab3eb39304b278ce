//! What a reply carries from the shard's memory: the newest history nodes, and the input of an activity.

use engine::outcome::{ActivityInput, Reply, StartedActivity, StartedWorkflowTask};
use prost::Message;
use proto::temporal::history::v1::{History, history_event::Attributes};

use crate::cache::Slot;

/// Fills in what the engine does not keep.
pub(crate) fn fill(reply: &mut Reply, slot: &Slot) {
    match reply {
        Reply::WorkflowTask(task) => fill_task(task, slot),
        Reply::WorkflowTaskCompleted(done) => {
            if let Some(task) = &mut done.next {
                fill_task(task, slot);
            }
            for activity in &mut done.activities {
                fill_activity(activity, slot);
            }
        }
        Reply::Started(started) => {
            if let Some(task) = &mut started.eager {
                fill_task(task, slot);
            }
        }
        Reply::Activity(activity) => fill_activity(activity, slot),
        _ => {}
    }
}

fn fill_task(task: &mut StartedWorkflowTask, slot: &Slot) {
    task.recent = slot.tail.nodes();
}

fn fill_activity(activity: &mut StartedActivity, slot: &Slot) {
    if activity.input.is_some() {
        return;
    }
    let Some(node) = slot.tail.node(activity.scheduled_node) else {
        return;
    };
    let Ok(history) = History::decode(node.clone()) else {
        return;
    };
    let event = history
        .events
        .into_iter()
        .find(|event| event.event_id == activity.scheduled_event_id);
    if let Some(Attributes::ActivityTaskScheduledEventAttributes(a)) =
        event.and_then(|event| event.attributes)
    {
        activity.input = Some(Box::new(ActivityInput {
            input: a.input,
            header: a.header,
        }));
    }
}

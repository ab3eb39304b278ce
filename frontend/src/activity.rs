//! What workers do with activities: one file for each RPC and its form by ids, and what they share.

pub(crate) mod cancel;
pub(crate) mod complete;
pub(crate) mod fail;
pub(crate) mod heartbeat;
pub(crate) mod poll;

use engine::trigger::ActivityRef;

use crate::{
    error::Error,
    frontend::Frontend,
    validate::{self, RunTarget},
    worker::task_token,
};

/// Which activity a worker speaks of.
struct Subject {
    target: RunTarget,
    activity: ActivityRef,
}

/// Reads a task's token.
async fn by_token(frontend: &Frontend, namespace: &str, bytes: &[u8]) -> Result<Subject, Error> {
    let task = task_token::read(frontend, namespace, bytes).await?;
    let token = task.token;
    let activity = ActivityRef::Token {
        scheduled_event_id: token.scheduled_event_id,
        attempt: token.attempt,
        started_time: token.started_time,
    };
    Ok(Subject {
        target: task.target,
        activity,
    })
}

/// Reads the ids that name an activity.
async fn by_id(
    frontend: &Frontend,
    namespace: &str,
    workflow_id: String,
    run_id: &str,
    activity_id: String,
) -> Result<Subject, Error> {
    let namespace = frontend.namespaces.usable(namespace).await?;
    validate::required(&activity_id, "ActivityId is not set on request.")?;
    let run_id = validate::run_id(run_id).map_err(|_| Error::invalid("RunId is not valid UUID."))?;
    if workflow_id.is_empty() {
        // It would be an activity without a workflow; there are none.
        return Err(Error::NotFound(format!(
            "activity not found for ID: {activity_id}"
        )));
    }
    let target = RunTarget {
        workflow: validate::workflow(&namespace, workflow_id),
        run_id,
    };
    Ok(Subject {
        target,
        activity: ActivityRef::ById(activity_id),
    })
}

//! What a run answers, from node to node.

use bytes::Bytes;
use engine::outcome::{
    ActivityInput, Position, QueryAnswer, QueryDispatch, Rejection, Reply, Started, StartedActivity,
    StartedWorkflowTask, UpdateStage, UpdateStatus, WorkflowTaskCompleted,
};
use shard::output::AskError;

use super::{Malformed, Wire, wire_codes, wire_enum, wire_struct};

wire_enum!(Reply {
    unit { 1 Done, 2 Deferred }
    value {
        3 Refused,
        4 Started,
        6 WorkflowTask,
        7 WorkflowTaskCompleted,
        8 Activity,
        12 Update,
        14 Query,
        15 Description,
        16 Position,
        18 Options,
    }
    fields {
        5 Signaled { 1 event_id, 2 request_id, 3 run_id, 4 started },
        9 Heartbeat { 1 cancel_requested },
        10 ActivityFailed { 1 oversized },
        11 Forward { 1 run_id },
        13 StartedAndUpdated { 1 started, 2 update },
        17 Reset { 1 run_id },
    }
});

wire_struct!(Started {
    1 run_id,
    2 first_run_id,
    3 started,
    4 status,
    5 eager,
    6 attached,
});

wire_struct!(StartedWorkflowTask {
    1 execution,
    2 workflow_type,
    3 task_queue,
    4 scheduled_event_id,
    5 started_event_id,
    6 scheduled_time,
    7 started_time,
    8 attempt,
    9 previous_started_event_id,
    10 next_event_id,
    11 transient,
    12 sticky,
    13 queries,
    14 messages,
    15 recent,
});

wire_struct!(StartedActivity {
    1 execution,
    2 workflow_type,
    3 activity_id,
    4 activity_type,
    5 scheduled_event_id,
    6 scheduled_node,
    7 input,
    8 first_scheduled_time,
    9 scheduled_time,
    10 started_time,
    11 attempt,
    12 schedule_to_close_timeout,
    13 start_to_close_timeout,
    14 heartbeat_timeout,
    15 heartbeat_details,
    16 retry_policy,
    17 priority,
});

wire_struct!(ActivityInput { 1 input, 2 header });
wire_struct!(WorkflowTaskCompleted { 1 next, 2 activities, 3 reset_history_event_id });
wire_codes!(UpdateStage { 1 Unspecified, 2 Admitted, 3 Accepted, 4 Completed });
wire_struct!(UpdateStatus { 1 run_id, 2 update_id, 3 stage, 4 outcome, 5 accepted_event_id });

wire_enum!(QueryAnswer {
    value { 1 Result, 2 Rejected, 3 Dispatch }
});

wire_struct!(QueryDispatch {
    1 run_id,
    2 workflow_type,
    3 task_queue,
    4 sticky,
    5 next_event_id,
    6 previous_started_event_id,
});

wire_struct!(Position {
    1 run_id,
    2 first_run_id,
    3 open,
    4 next_event_id,
    5 close_node,
    6 transient,
    7 successor_run_id,
});

wire_enum!(Rejection {
    unit { 10 Stale, 12 Aborted, 13 Ok }
    value {
        1 InvalidArgument,
        2 NotFound,
        3 FailedPrecondition,
        4 PermissionDenied,
        5 NotReady,
        6 Busy,
        7 ConcurrentLimit,
        8 Unavailable,
    }
    fields {
        9 AlreadyStarted { 1 message, 2 start_request_id, 3 run_id, 4 first_run_id },
        11 MultiOperation { 1 start, 2 update },
    }
});

impl Wire for AskError {
    fn put(&self, to: &mut Vec<u8>) {
        Said::from(self).put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        Said::take(from).map(Self::from)
    }
}

/// [`AskError`] with owned texts.
enum Said {
    Rejected(Rejection),
    Moved,
    Busy(String),
    Unavailable(String),
    Broken(String),
}

wire_enum!(Said {
    unit { 2 Moved }
    value { 1 Rejected, 3 Busy, 4 Unavailable, 5 Broken }
});

impl From<&AskError> for Said {
    fn from(error: &AskError) -> Self {
        match error {
            AskError::Rejected(rejection) => Self::Rejected(rejection.clone()),
            AskError::Moved => Self::Moved,
            AskError::Busy(why) => Self::Busy((*why).to_owned()),
            AskError::Unavailable(why) => Self::Unavailable(why.clone()),
            AskError::Broken(why) => Self::Broken(why.clone()),
        }
    }
}

impl From<Said> for AskError {
    fn from(said: Said) -> Self {
        match said {
            Said::Rejected(rejection) => Self::Rejected(rejection),
            Said::Moved => Self::Moved,
            // Which of its limits the other node met is in its own metrics.
            Said::Busy(_) => Self::Busy("node is busy"),
            Said::Unavailable(why) => Self::Unavailable(why),
            Said::Broken(why) => Self::Broken(why),
        }
    }
}

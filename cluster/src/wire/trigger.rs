//! What a run is asked, from node to node.

use engine::{
    effect::{ChildClosed, DeliveryId},
    options::{ChangeOptions, OptionParts},
    trigger::{
        ActivityRef, AdmitUpdate, BeginTask, CompleteWorkflowTask, ExternalFailure, FailActivity,
        FailWorkflowTask, OnConflict, RequestCancel, Reset, Signal, Start, StartWith, StartWorkflow, TaskRef,
        Terminate, Trigger,
    },
};
use shard::input::{Request, RunTarget};

use super::{wire_codes, wire_enum, wire_struct};

wire_struct!(RunTarget { 1 workflow, 2 run_id });

wire_enum!(Request {
    unit { 4 Purge, 5 Repair }
    value { 1 Step, 2 Start, 3 Reset }
});

wire_enum!(Trigger {
    unit {
        4 Delete,
        8 Describe,
        10 ResetSticky,
        30 Wake,
        50 ReportDelivered,
    }
    value {
        1 Signal,
        2 RequestCancel,
        3 Terminate,
        6 Update,
        12 ChangeOptions,
        20 BeginWorkflowTask,
        21 CompleteWorkflowTask,
        22 FailWorkflowTask,
        23 BeginActivity,
        25 FailActivity,
        45 ChildClosed,
    }
    fields {
        5 Query { 1 query, 2 reject },
        7 PollUpdate { 1 update_id, 2 wait },
        9 Position { 1 wait_after },
        11 StickyUnavailable { 1 scheduled_event_id, 2 attempt },
        24 CompleteActivity { 1 activity, 2 result, 3 identity },
        26 CancelActivity { 1 activity, 2 details, 3 identity },
        27 Heartbeat { 1 activity, 2 details, 3 identity },
        40 ChildStarted { 1 initiated_event_id, 2 run_id },
        41 ChildStartFailed { 1 initiated_event_id, 2 cause },
        42 FirstTaskScheduled { 1 initiated_event_id },
        43 ScheduleFirstTask { 1 parent },
        44 EndOrphan { 1 parent },
        46 ExternalSignalDone { 1 initiated_event_id, 2 result },
        47 ExternalCancelDone { 1 initiated_event_id, 2 result },
        48 ClosePolicyApplied { 1 initiated_event_id },
        51 DeliveryFailed { 1 id },
    }
});

wire_codes!(ExternalFailure { 1 WorkflowNotFound, 2 NamespaceNotFound, 3 SignalLimit });

wire_enum!(DeliveryId {
    unit { 6 Report }
    value { 1 StartChild, 2 FirstTask, 3 Signal, 4 Cancel, 5 ClosePolicy }
});

wire_struct!(StartWorkflow {
    1 namespace_id,
    2 workflow_id,
    3 workflow_type,
    4 task_queue,
    5 input,
    6 header,
    7 execution_timeout,
    8 run_timeout,
    9 task_timeout,
    10 identity,
    11 request_id,
    12 reuse,
    13 conflict,
    14 retry_policy,
    15 cron_schedule,
    16 start_delay,
    17 memo,
    18 search_attributes,
    19 user_metadata,
    20 links,
    21 callbacks,
    22 priority,
    23 versioning_override,
    24 last_completion_result,
    25 continued_failure,
    26 eager,
    27 on_conflict,
    28 parent,
    29 root,
});

wire_struct!(OnConflict { 1 attach_request_id, 2 attach_callbacks, 3 attach_links });
wire_struct!(Start { 1 workflow, 2 with });

wire_enum!(StartWith {
    unit { 1 Nothing }
    value { 2 Signal, 3 Update }
});

wire_struct!(Signal {
    1 name,
    2 input,
    3 header,
    4 identity,
    5 request_id,
    6 links,
    7 from,
    8 child_only,
});

wire_struct!(RequestCancel {
    1 reason,
    2 identity,
    3 request_id,
    4 links,
    5 first_run_id,
    6 from,
    7 from_initiated_event_id,
    8 child_only,
});

wire_struct!(Terminate {
    1 reason,
    2 details,
    3 identity,
    4 links,
    5 first_run_id,
    6 from,
    7 child_only,
});

wire_struct!(AdmitUpdate { 1 request, 2 wait, 3 first_run_id });

wire_struct!(BeginTask {
    1 scheduled_event_id,
    2 attempt,
    3 queue,
    4 sticky,
    5 identity,
    6 build_id,
    7 request_id,
});

wire_struct!(TaskRef { 1 scheduled_event_id, 2 started_event_id, 3 started_time, 4 attempt });

wire_struct!(CompleteWorkflowTask {
    1 task,
    2 identity,
    3 commands,
    4 messages,
    5 query_results,
    6 sticky,
    7 return_new_task,
    8 force_new_task,
    9 sdk_metadata,
    10 metering,
    11 binary_checksum,
    12 build_id,
    13 discard_speculative_with_events,
    14 request_id,
});

wire_struct!(FailWorkflowTask { 1 task, 2 cause, 3 failure, 4 identity, 5 binary_checksum });

wire_enum!(ActivityRef {
    value { 2 ById }
    fields { 1 Token { 1 scheduled_event_id, 2 attempt, 3 started_time } }
});

wire_struct!(FailActivity { 1 activity, 2 failure, 3 identity, 4 last_heartbeat_details });

wire_struct!(ChildClosed {
    1 initiated_event_id,
    2 child,
    3 first_run_id,
    4 workflow_type,
    5 status,
    6 result,
    7 failure,
    8 retry_state,
});

wire_struct!(Reset {
    1 base,
    2 later,
    3 workflow_task_finish_event_id,
    4 reason,
    5 request_id,
    6 identity,
    7 reapply_signals,
    8 reapply_updates,
    9 post_signals,
    10 post_options,
});

wire_struct!(ChangeOptions { 1 parts, 2 versioning_override, 3 priority, 4 identity });

wire_struct!(OptionParts {
    1 versioning_override,
    2 priority,
    3 priority_key,
    4 fairness_key,
    5 fairness_weight,
});

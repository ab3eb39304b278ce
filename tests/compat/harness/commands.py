"""Builds the commands that a raw worker sends; only what the scenarios need."""

from datetime import timedelta
from typing import Any

import temporalio.api.command.v1 as command_pb
import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.failure.v1 as failure_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
from google.protobuf.duration_pb2 import Duration
from temporalio.converter import DataConverter

Command = command_pb.Command

_CONVERTER = DataConverter.default.payload_converter


def payloads(*values: Any) -> common_pb.Payloads:
    """Encodes values as an SDK does."""
    return common_pb.Payloads(payloads=_CONVERTER.to_payloads(values))


def payload(value: Any) -> common_pb.Payload:
    return _CONVERTER.to_payloads([value])[0]


def application_failure(
    text: str, *, kind: str = "Boom", non_retryable: bool = False, **fields: Any
) -> failure_pb.Failure:
    info = failure_pb.ApplicationFailureInfo(type=kind, non_retryable=non_retryable, **fields)
    return failure_pb.Failure(message=text, source="CompatRaw", application_failure_info=info)


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=value))
    return duration


def task_queue(name: str) -> taskqueue_pb.TaskQueue:
    return taskqueue_pb.TaskQueue(name=name)


def retry_policy(
    *, attempts: int = 0, initial: float = 0.05, coefficient: float = 1.0, **fields: Any
) -> common_pb.RetryPolicy:
    return common_pb.RetryPolicy(
        maximum_attempts=attempts,
        initial_interval=seconds(initial),
        maximum_interval=seconds(max(initial, 1.0)),
        backoff_coefficient=coefficient,
        **fields,
    )


def start_timer(timer_id: str, after: float) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes=command_pb.StartTimerCommandAttributes(
            timer_id=timer_id, start_to_fire_timeout=seconds(after)
        ),
    )


def cancel_timer(timer_id: str) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_CANCEL_TIMER,
        cancel_timer_command_attributes=command_pb.CancelTimerCommandAttributes(timer_id=timer_id),
    )


def schedule_activity(
    activity_id: str, queue: str, *, kind: str = "RawActivity", start_to_close: float | None = 10, **fields: Any
) -> Command:
    if start_to_close is not None:
        fields["start_to_close_timeout"] = seconds(start_to_close)
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=command_pb.ScheduleActivityTaskCommandAttributes(
            activity_id=activity_id,
            activity_type=common_pb.ActivityType(name=kind),
            task_queue=task_queue(queue),
            **fields,
        ),
    )


def cancel_activity(scheduled_event_id: int) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
        request_cancel_activity_task_command_attributes=command_pb.RequestCancelActivityTaskCommandAttributes(
            scheduled_event_id=scheduled_event_id
        ),
    )


def start_child(workflow_id: str, *, kind: str = "RawChild", **fields: Any) -> Command:
    if "task_queue" in fields:
        fields["task_queue"] = task_queue(fields["task_queue"])
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        start_child_workflow_execution_command_attributes=command_pb.StartChildWorkflowExecutionCommandAttributes(
            workflow_id=workflow_id, workflow_type=common_pb.WorkflowType(name=kind), **fields
        ),
    )


def cancel_external(workflow_id: str, run_id: str = "", *, child_only: bool = False) -> Command:
    attributes = command_pb.RequestCancelExternalWorkflowExecutionCommandAttributes(
        workflow_id=workflow_id, run_id=run_id, child_workflow_only=child_only
    )
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
        request_cancel_external_workflow_execution_command_attributes=attributes,
    )


def signal_external(workflow_id: str, name: str, *args: Any, run_id: str = "", child_only: bool = False) -> Command:
    attributes = command_pb.SignalExternalWorkflowExecutionCommandAttributes(
        execution=common_pb.WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        signal_name=name,
        input=payloads(*args),
        child_workflow_only=child_only,
    )
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
        signal_external_workflow_execution_command_attributes=attributes,
    )


def record_marker(name: str, details: dict[str, Any], *, failure: failure_pb.Failure | None = None) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_RECORD_MARKER,
        record_marker_command_attributes=command_pb.RecordMarkerCommandAttributes(
            marker_name=name, details={key: payloads(value) for key, value in details.items()}, failure=failure
        ),
    )


def upsert_search_attributes(**values: common_pb.Payload) -> Command:
    attributes = command_pb.UpsertWorkflowSearchAttributesCommandAttributes(
        search_attributes=common_pb.SearchAttributes(indexed_fields=values)
    )
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes=attributes,
    )


def modify_properties(**memo: Any) -> Command:
    fields = {key: payload(value) for key, value in memo.items()}
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
        modify_workflow_properties_command_attributes=command_pb.ModifyWorkflowPropertiesCommandAttributes(
            upserted_memo=common_pb.Memo(fields=fields)
        ),
    )


def protocol_message(message_id: str) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
        protocol_message_command_attributes=command_pb.ProtocolMessageCommandAttributes(message_id=message_id),
    )


def complete_workflow(*result: Any) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=command_pb.CompleteWorkflowExecutionCommandAttributes(
            result=payloads(*result) if result else None
        ),
    )


def fail_workflow(failure: failure_pb.Failure) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=command_pb.FailWorkflowExecutionCommandAttributes(failure=failure),
    )


def cancel_workflow(*details: Any) -> Command:
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
        cancel_workflow_execution_command_attributes=command_pb.CancelWorkflowExecutionCommandAttributes(
            details=payloads(*details) if details else None
        ),
    )


def continue_as_new(*args: Any, kind: str = "", queue: str = "", **fields: Any) -> Command:
    attributes = command_pb.ContinueAsNewWorkflowExecutionCommandAttributes(
        workflow_type=common_pb.WorkflowType(name=kind) if kind else None,
        task_queue=task_queue(queue) if queue else None,
        input=payloads(*args) if args else None,
        **fields,
    )
    return Command(
        command_type=enums.CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=attributes,
    )


def with_metadata(command: Command, *, summary: str = "", details: str = "") -> Command:
    """Attaches user metadata, which the server copies to the event that the command makes."""
    if summary:
        command.user_metadata.summary.CopyFrom(payload(summary))
    if details:
        command.user_metadata.details.CopyFrom(payload(details))
    return command

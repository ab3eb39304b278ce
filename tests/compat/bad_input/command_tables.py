"""The table of commands: one good workflow task completion for every type of command, to spoil its attributes."""

from typing import Any

import temporalio.api.command.v1 as command_pb
import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.workflowservice.v1 as pb

from bad_input.bench import NAMESPACE, Bench, Run
from bad_input.mutate import Spoil
from bad_input.rpcs import CRONS, Good, Table, set_fields
from harness import commands

Command = command_pb.Command


def _command(kind: str, attributes: Any) -> Command:
    command = Command(command_type=enums.CommandType.Value(f"COMMAND_TYPE_{kind.upper()}"))
    getattr(command, f"{kind}_command_attributes").CopyFrom(attributes)
    return command


def _good(bench: Bench, sent: Any) -> Good:
    """A workflow task after one that left a timer and an activity pending."""
    run = bench.run().start()
    run.complete(commands.start_timer("pending", 3_600), commands.schedule_activity("pending", run.queue + "-idle"))
    signal = pb.SignalWorkflowExecutionRequest(
        namespace=NAMESPACE, workflow_execution=run.execution, signal_name="again"
    )
    bench.call("SignalWorkflowExecution", signal)
    request = pb.RespondWorkflowTaskCompletedRequest(
        namespace=NAMESPACE, task_token=run.task().task_token, commands=[sent(run)]
    )
    return Good(request, lambda _: [event for event in _events(run) if _is_decided(event)])


def _events(run: Run) -> list[Any]:
    state = run.state(None)
    return state if isinstance(state, list) else [state]


def _is_decided(event: Any) -> bool:
    """Whether the completion itself wrote the event; others come when they come."""
    text = str(event)
    return "workflow_task_completed_event_id" in text or "WORKFLOW_TASK_FAILED" in text or "TERMINATED" in text


def _table(kind: str, sent: Any, **own: Spoil) -> Table:
    camel = "".join(word.title() for word in kind.split("_"))
    only = f"commands.{kind}_command_attributes"
    return Table(f"RespondWorkflowTaskCompleted/{camel}", lambda bench: _good(bench, sent), own | _kinds(), only=only)


def _kinds() -> dict[str, Spoil]:
    def type_only(request: Any) -> None:
        request.commands[0].ClearField("attributes")

    def twice(request: Any) -> None:
        request.commands.add().CopyFrom(request.commands[0])

    def other_type(request: Any) -> None:
        request.commands[0].command_type = enums.CommandType.COMMAND_TYPE_RECORD_MARKER

    def no_type(request: Any) -> None:
        request.commands[0].command_type = 0

    def unknown_type(request: Any) -> None:
        request.commands[0].command_type = 999

    return {
        "no-attributes": type_only,
        "twice": twice,
        "type=marker": other_type,
        "type=none": no_type,
        "type=unknown": unknown_type,
    }


def _in(kind: str, **fields: Any) -> Spoil:
    return lambda request: set_fields(**fields)(getattr(request.commands[0], f"{kind}_command_attributes"))


def _crons(kind: str) -> dict[str, Spoil]:
    return {f"cron={cron}": _in(kind, cron_schedule=cron) for cron in CRONS}


_PAYLOADS = commands.payloads("a")
_ATTRIBUTES = common_pb.SearchAttributes(indexed_fields={"BadInputInt": commands.payload(7)})
_TYPE = common_pb.WorkflowType(name="BadInput")
_CHILD = "start_child_workflow_execution"
_AGAIN = "continue_as_new_workflow_execution"
_ACTIVITY = "schedule_activity_task"

TABLES = [
    _table("start_timer", lambda run: commands.start_timer("timer", 3_600)),
    _table("cancel_timer", lambda run: commands.cancel_timer("pending")),
    _table(
        _ACTIVITY,
        lambda run: commands.schedule_activity("activity", f"{run.queue}-idle"),
        **{
            "timeouts=none": _in(_ACTIVITY, start_to_close_timeout=commands.seconds(0)),
            "queue=none": lambda request: request.commands[0].schedule_activity_task_command_attributes.ClearField(
                "task_queue"
            ),
            "queue=reserved": _in(_ACTIVITY, task_queue=commands.task_queue("/_sys/q/1")),
            "queue=internal": _in(_ACTIVITY, task_queue=commands.task_queue("temporal-sys-per-ns-tq")),
            "heartbeat>start": _in(_ACTIVITY, heartbeat_timeout=commands.seconds(100)),
            "id=pending": _in(_ACTIVITY, activity_id="pending"),
        },
    ),
    _table("request_cancel_activity_task", lambda run: commands.cancel_activity(6)),
    _table(
        _CHILD,
        lambda run: commands.start_child(f"{run.workflow_id}-child", task_queue=f"{run.queue}-idle"),
        **_crons(_CHILD),
    ),
    _table(
        _AGAIN,
        lambda run: _command(
            _AGAIN,
            command_pb.ContinueAsNewWorkflowExecutionCommandAttributes(
                workflow_type=_TYPE, task_queue=commands.task_queue(f"{run.queue}-idle")
            ),
        ),
        **_crons(_AGAIN),
    ),
    _table(
        "request_cancel_external_workflow_execution",
        lambda run: commands.cancel_external("no-such-workflow"),
    ),
    _table(
        "signal_external_workflow_execution",
        lambda run: commands.signal_external("no-such-workflow", "signal"),
    ),
    _table(
        "record_marker",
        lambda run: _command("record_marker", command_pb.RecordMarkerCommandAttributes(marker_name="marker")),
    ),
    _table(
        "upsert_workflow_search_attributes",
        lambda run: _command(
            "upsert_workflow_search_attributes",
            command_pb.UpsertWorkflowSearchAttributesCommandAttributes(search_attributes=_ATTRIBUTES),
        ),
    ),
    _table(
        "modify_workflow_properties",
        lambda run: _command(
            "modify_workflow_properties",
            command_pb.ModifyWorkflowPropertiesCommandAttributes(
                upserted_memo=common_pb.Memo(fields={"k": commands.payload("v")})
            ),
        ),
    ),
    _table(
        "complete_workflow_execution",
        lambda run: _command(
            "complete_workflow_execution", command_pb.CompleteWorkflowExecutionCommandAttributes(result=_PAYLOADS)
        ),
    ),
    _table(
        "fail_workflow_execution",
        lambda run: _command(
            "fail_workflow_execution",
            command_pb.FailWorkflowExecutionCommandAttributes(failure=commands.application_failure("m")),
        ),
    ),
    _table(
        "cancel_workflow_execution",
        lambda run: _command(
            "cancel_workflow_execution", command_pb.CancelWorkflowExecutionCommandAttributes(details=_PAYLOADS)
        ),
    ),
    _table(
        "protocol_message",
        lambda run: _command(
            "protocol_message", command_pb.ProtocolMessageCommandAttributes(message_id="no-such-message")
        ),
    ),
]

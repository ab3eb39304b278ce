"""Resetting a workflow to an earlier workflow task."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.workflow.v1 as workflow_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf.field_mask_pb2 import FieldMask

from harness import commands, records
from harness.context import CLIENT_IDENTITY, Context, execution
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_EXCLUDE = enums.ResetReapplyExcludeType


async def _reset(ctx: Context, workflow_id: str, event_id: int, run_id: str = "", **fields: Any) -> Record:
    fields.setdefault("request_id", "reset-once")
    fields.setdefault("reason", "try it again")
    request = service_pb.ResetWorkflowExecutionRequest(
        namespace=ctx.namespace,
        workflow_execution=execution(workflow_id, run_id),
        workflow_task_finish_event_id=event_id,
        **fields,
    )
    return await ctx.attempt(ctx.rpc("reset_workflow_execution", request))


async def _signalled_twice(ctx: Context) -> tuple[str, str, RawWorker]:
    """A running workflow with two tasks behind it (finished at events 4 and 9) and two signals."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    started = await ctx.start(workflow_id)
    await worker.run_task(commands.record_marker("first", {}))
    await ctx.signal(workflow_id, "one", 1)
    await worker.run_task(commands.record_marker("second", {}))
    await ctx.signal(workflow_id, "two", 2)
    return workflow_id, started.run_id, worker


@scenario
async def to_first_task(ctx: Context) -> Record:
    """The new run keeps the events before the reset point and gets the signals after it again."""
    workflow_id, first_run, worker = await _signalled_twice(ctx)
    answer = await _reset(ctx, workflow_id, 4, identity=CLIENT_IDENTITY)
    task = await worker.run_task(commands.complete_workflow("second time"))
    return {
        "answer": answer,
        "task": records.message(task),
        "old": await ctx.history(workflow_id, first_run),
        "old describe": await ctx.describe(workflow_id, first_run),
        "new": await ctx.history(workflow_id),
        "new describe": await ctx.describe(workflow_id),
    }


@scenario
async def to_later_task(ctx: Context) -> Record:
    """Only what comes after the reset point is undone."""
    workflow_id, first_run, worker = await _signalled_twice(ctx)
    answer = await _reset(ctx, workflow_id, 9)
    await worker.run_task(commands.complete_workflow())
    return {"answer": answer, "new": await ctx.history(workflow_id)}


@scenario
async def without_signals(ctx: Context) -> Record:
    """Signals can be left out, by the exclude list or by the older reapply type."""
    workflow_id, _, worker = await _signalled_twice(ctx)
    answer = await _reset(ctx, workflow_id, 4, reset_reapply_exclude_types=[_EXCLUDE.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL])
    new = await ctx.history(workflow_id)
    await worker.run_task()
    again = await _reset(
        ctx,
        workflow_id,
        4,
        request_id="another",
        reset_reapply_type=enums.ResetReapplyType.RESET_REAPPLY_TYPE_NONE,
    )
    return {"answer": answer, "new": new, "again": again, "newest": await ctx.history(workflow_id)}


@scenario
async def closed_workflow(ctx: Context) -> Record:
    """A completed workflow runs again from the reset point."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    started = await ctx.start(workflow_id)
    await worker.run_task(commands.complete_workflow("first result"))
    answer = await _reset(ctx, workflow_id, 4)
    await worker.run_task(commands.complete_workflow("second result"))
    return {
        "answer": answer,
        "old": await ctx.history(workflow_id, started.run_id),
        "new": await ctx.history(workflow_id),
    }


@scenario
async def with_pending_work(ctx: Context) -> Record:
    """Timers and activities from before the point go on; a started activity fails with the reset."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(
        commands.start_timer("kept", 600),
        commands.schedule_activity("waiting", ctx.name("nobody")),
        commands.schedule_activity("started", ctx.queue),
    )
    activity = await worker.activity_task()
    await ctx.signal(workflow_id, "go")
    await worker.run_task(commands.record_marker("undone", {}))
    answer = await _reset(ctx, workflow_id, 11)
    late = await ctx.attempt(worker.complete_activity(activity.task_token, "late"))
    return {
        "answer": answer,
        "late": late,
        "new": await ctx.history(workflow_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def running_task(ctx: Context) -> Record:
    """A task of the old run that is being worked on cannot be completed any more."""
    workflow_id, _, worker = await _signalled_twice(ctx)
    task = await worker.workflow_task()
    await _reset(ctx, workflow_id, 4)
    late = await ctx.attempt(worker.complete(task, commands.complete_workflow()))
    return {"late": late, "new": await ctx.history(workflow_id)}


@scenario
async def cancel_is_not_reapplied(ctx: Context) -> Record:
    """A cancel request after the reset point is forgotten."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    await ctx.cancel(workflow_id)
    await worker.run_task()
    answer = await _reset(ctx, workflow_id, 4)
    return {"answer": answer, "new": await ctx.history(workflow_id)}


@scenario
async def same_request_id(ctx: Context) -> Record:
    """What repeating the reset with its request id does."""
    workflow_id, _, _ = await _signalled_twice(ctx)
    first = await _reset(ctx, workflow_id, 4)
    second = await _reset(ctx, workflow_id, 4)
    return {
        "first": first,
        "second": second,
        "same run": first["response"].get("run_id") == second.get("response", {}).get("run_id"),
    }


async def _parent_with_child(
    ctx: Context, *, reset_to: str, **fields: Any
) -> tuple[RawWorker, RawWorker, str, str, Record]:
    """A parent that started a child, worked on, and is reset to the `reset_to` event of its second task."""
    parent_id, child_id = ctx.workflow_id("parent"), ctx.workflow_id("child")
    parent, child = RawWorker(ctx), RawWorker(ctx, ctx.name("child-queue"))
    await ctx.start(parent_id)
    await parent.run_task(commands.start_child(child_id, task_queue=child.queue, **fields))
    await ctx.wait_event(parent_id, "CHILD_WORKFLOW_EXECUTION_STARTED")
    await parent.run_task(commands.record_marker("undone", {}))
    history = await ctx.wait_event(parent_id, "WORKFLOW_TASK_COMPLETED", count=2)
    points = [int(event["event_id"]) for event in history if event["event_type"] == f"EVENT_TYPE_{reset_to}"]
    answer = await _reset(ctx, parent_id, points[1])
    return parent, child, parent_id, child_id, answer


@scenario
async def child_ends_after_reset(ctx: Context) -> Record:
    """The new run hears of the end of a child that the old one started."""
    parent, child, parent_id, child_id, answer = await _parent_with_child(ctx, reset_to="WORKFLOW_TASK_COMPLETED")
    await parent.run_task(commands.record_marker("again", {}))
    await child.run_task(commands.complete_workflow("from the child"))
    await ctx.wait_event(parent_id, "CHILD_WORKFLOW_EXECUTION_COMPLETED")
    await parent.run_task(commands.complete_workflow())
    return {"answer": answer, "parent": await ctx.history(parent_id), "child": await ctx.history(child_id)}


@scenario
async def child_is_signalled_after_reset(ctx: Context) -> Record:
    """To a child of the old run the new one is a stranger, though it may signal it as anybody may."""
    parent, _, parent_id, child_id, answer = await _parent_with_child(ctx, reset_to="WORKFLOW_TASK_COMPLETED")
    await parent.run_task(
        commands.signal_external(child_id, "as parent", child_only=True), commands.signal_external(child_id, "as anybody")
    )
    await ctx.wait_event(parent_id, "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED")
    await ctx.wait_event(parent_id, "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED")
    failed = [e for e in await ctx.history(parent_id) if e["event_type"].endswith("_EXECUTION_FAILED")]
    signals = [e for e in await ctx.history(child_id) if e["event_type"].endswith("_SIGNALED")]
    attributes = "signal_external_workflow_execution_failed_event_attributes"
    return {
        "answer": answer,
        "failed": [event[attributes] for event in failed],
        "signals": [event["workflow_execution_signaled_event_attributes"]["signal_name"] for event in signals],
    }


@scenario
async def child_outlives_reset_parent(ctx: Context) -> Record:
    """The close policy of the new run reaches the children that it started itself, not those of the old run."""
    parent, child, parent_id, old_child, answer = await _parent_with_child(ctx, reset_to="WORKFLOW_TASK_COMPLETED")
    new_child = ctx.workflow_id("new-child")
    await parent.run_task(commands.start_child(new_child, task_queue=child.queue))
    await ctx.wait_event(parent_id, "CHILD_WORKFLOW_EXECUTION_STARTED", count=2)
    await parent.run_task(commands.complete_workflow())
    closed = await ctx.wait_closed(new_child)
    left = await ctx.describe(old_child)
    return {
        "answer": answer,
        "own child": closed["event_type"],
        "old run's child": left["workflow_execution_info"]["status"],
        "its parent": left["workflow_execution_info"]["parent_execution"],
    }


@scenario
async def child_starts_after_the_point(ctx: Context) -> Record:
    """A child's start after the reset point is told to the new run, which does not start it again."""
    parent_id, child_id = ctx.workflow_id("parent"), ctx.workflow_id("child")
    parent, child = RawWorker(ctx), RawWorker(ctx, ctx.name("child-queue"))
    await ctx.start(parent_id)
    start = commands.start_child(child_id, task_queue=child.queue)
    await parent.run_task(start, force_create_new_workflow_task=True)
    history = await ctx.wait_event(parent_id, "CHILD_WORKFLOW_EXECUTION_STARTED")
    scheduled = [int(e["event_id"]) for e in history if e["event_type"] == "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"]
    answer = await _reset(ctx, parent_id, scheduled[1] + 1)
    new = await ctx.history(parent_id)
    await child.run_task(commands.complete_workflow("from the child"))
    await ctx.wait_event(parent_id, "CHILD_WORKFLOW_EXECUTION_COMPLETED")
    return {"answer": answer, "new": new, "child": await ctx.history(child_id)}


@scenario
async def child_exists_already(ctx: Context) -> Record:
    """A new run that begins before its child does cannot start the child that still runs."""
    parent_id, child_id = ctx.workflow_id("parent"), ctx.workflow_id("child")
    parent, child = RawWorker(ctx), RawWorker(ctx, ctx.name("child-queue"))
    await ctx.start(parent_id)
    start = commands.start_child(child_id, task_queue=child.queue)
    await parent.run_task(start)
    await ctx.wait_event(parent_id, "CHILD_WORKFLOW_EXECUTION_STARTED")
    answer = await _reset(ctx, parent_id, 4)
    await parent.run_task(start)
    await ctx.wait_event(parent_id, "START_CHILD_WORKFLOW_EXECUTION_FAILED")
    await child.run_task(commands.complete_workflow())
    return {"answer": answer, "new": await ctx.history(parent_id), "child": await ctx.history(child_id)}


@scenario
async def refusals(ctx: Context) -> Record:
    """Points that are no task boundary, unknown executions, a missing request id."""
    workflow_id, _, _ = await _signalled_twice(ctx)
    return {
        "first event": await _reset(ctx, workflow_id, 1),
        "zero": await _reset(ctx, workflow_id, 0),
        "a signal": await _reset(ctx, workflow_id, 6),
        "beyond the end": await _reset(ctx, workflow_id, 99),
        "unknown workflow": await _reset(ctx, ctx.name("ghost"), 4),
        "unknown run": await _reset(ctx, workflow_id, 4, "11111111-2222-4333-8444-555555555555"),
        "bad run id": await _reset(ctx, workflow_id, 4, "nonsense"),
        "no request id": await _reset(ctx, workflow_id, 4, request_id=""),
    }


def _new_options(options: workflow_pb.WorkflowExecutionOptions | None, *paths: str) -> workflow_pb.PostResetOperation:
    return workflow_pb.PostResetOperation(
        update_workflow_options=workflow_pb.PostResetOperation.UpdateWorkflowOptions(
            workflow_execution_options=options, update_mask=FieldMask(paths=paths) if paths else None
        )
    )


@scenario
async def options_of_the_new_run(ctx: Context) -> Record:
    """The new run may have another priority and another versioning override, which the old one does not get."""
    workflow_id, first_run, worker = await _signalled_twice(ctx)
    priority = common_pb.Priority(priority_key=1, fairness_key="tenant", fairness_weight=2)
    options = workflow_pb.WorkflowExecutionOptions(
        priority=priority, versioning_override=workflow_pb.VersioningOverride(auto_upgrade=True)
    )
    operations = [
        _new_options(options, "priority.priority_key"),
        _new_options(options, "versioning_override", "priority"),
    ]
    answer = await _reset(ctx, workflow_id, 4, post_reset_operations=operations)
    old, new = await ctx.describe(workflow_id, first_run), await ctx.describe(workflow_id)
    return {
        "answer": answer,
        "old": old["workflow_execution_info"].get("priority"),
        "new": [new["workflow_execution_info"].get(key) for key in ("priority", "versioning_info")],
        "history": await ctx.history(workflow_id),
    }


@scenario
async def bad_options_of_the_new_run(ctx: Context) -> Record:
    """Masks that name nothing and options that may not be refuse the reset, or change nothing."""
    workflow_id, _, _ = await _signalled_twice(ctx)
    priority = workflow_pb.WorkflowExecutionOptions(priority=common_pb.Priority(priority_key=-1))
    override = workflow_pb.WorkflowExecutionOptions(versioning_override=workflow_pb.VersioningOverride())
    operations = {
        "nothing": workflow_pb.PostResetOperation(),
        "unknown path": _new_options(priority, "nothing"),
        "no options": _new_options(None, "priority"),
        "negative key": _new_options(priority, "priority"),
        "empty override": _new_options(override, "versioning_override"),
        "half": _new_options(override, "versioning_override.behavior"),
    }
    return {
        name: await _reset(ctx, workflow_id, 4, request_id=name, post_reset_operations=[operation])
        for name, operation in operations.items()
    }

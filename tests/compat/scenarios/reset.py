"""Resetting a workflow to an earlier workflow task."""

from typing import Any

import temporalio.api.enums.v1 as enums
import temporalio.api.workflowservice.v1 as service_pb

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

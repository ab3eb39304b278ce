"""Signals and signal-with-start."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands, records
from harness.context import CLIENT_IDENTITY, Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_CONFLICT = enums.WorkflowIdConflictPolicy
_REUSE = enums.WorkflowIdReusePolicy


async def _signal_with_start(ctx: Context, workflow_id: str, **fields: Any) -> Any:
    fields.setdefault("workflow_type", common_pb.WorkflowType(name="RawWorkflow"))
    fields.setdefault("signal_name", "poke")
    return await ctx.rpc(
        "signal_with_start_workflow_execution",
        service_pb.SignalWithStartWorkflowExecutionRequest(
            namespace=ctx.namespace,
            workflow_id=workflow_id,
            task_queue=ctx.task_queue(),
            identity=CLIENT_IDENTITY,
            **fields,
        ),
    )


@scenario
async def wakes_workflow(ctx: Context) -> Record:
    """A signal to an idle workflow gives a workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    answer = await ctx.attempt(ctx.signal(workflow_id, "hello", "world", 1))
    task = await worker.run_task(commands.complete_workflow())
    return {"answer": answer, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def joins_scheduled_task(ctx: Context) -> Record:
    """Signals before the workflow task is picked up join it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await ctx.signal(workflow_id, "one")
    await ctx.signal(workflow_id, "two")
    task = await worker.run_task(commands.complete_workflow())
    return {"task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def buffered_while_task_runs(ctx: Context) -> Record:
    """Signals while a workflow task runs come after its completion, in order, with a new task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "one")
    await ctx.signal(workflow_id, "two")
    running = await ctx.history(workflow_id)
    await worker.complete(task, commands.start_timer("t", 600))
    second = await worker.run_task(commands.complete_workflow())
    return {"running": running, "second": records.message(second), "history": await ctx.history(workflow_id)}


@scenario
async def buffered_blocks_close(ctx: Context) -> Record:
    """A workflow cannot close over a signal it has not seen: the task fails with UNHANDLED_COMMAND."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "wait for me")
    error = await ctx.attempt(worker.complete(task, commands.complete_workflow("hasty")))
    second = await worker.run_task(commands.complete_workflow("patient"))
    return {"error": error, "second": records.message(second), "history": await ctx.history(workflow_id)}


@scenario
async def refused_while_closing(ctx: Context) -> Record:
    """After a close was put off once, signals are refused until the next task has ended."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "wait for me")
    await ctx.attempt(worker.complete(task, commands.complete_workflow()))
    second = await worker.workflow_task()
    refused = await ctx.attempt(ctx.signal(workflow_id, "too late"))
    await worker.complete(second, commands.complete_workflow())
    return {"refused": refused, "history": await ctx.history(workflow_id)}


@scenario
async def dedupe_by_request_id(ctx: Context) -> Record:
    """A signal with a request id seen before is dropped, also once the first has been handled."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    first = await ctx.attempt(ctx.signal(workflow_id, "once", 1, request_id="same"))
    second = await ctx.attempt(ctx.signal(workflow_id, "once", 2, request_id="same"))
    await worker.run_task()
    third = await ctx.attempt(ctx.signal(workflow_id, "once", 3, request_id="same"))
    await ctx.signal(workflow_id, "other", request_id="different")
    await worker.run_task(commands.complete_workflow())
    return {"first": first, "second": second, "third": third, "history": await ctx.history(workflow_id)}


@scenario
async def refusals(ctx: Context) -> Record:
    """Signals to nothing, to a closed workflow, without a name, with a bad run id."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id)
    record = {
        "no name": await ctx.attempt(ctx.signal(workflow_id, "")),
        "long name": await ctx.attempt(ctx.signal(workflow_id, "x" * 1001)),
        "no workflow id": await ctx.attempt(ctx.signal("", "s")),
        "bad run id": await ctx.attempt(ctx.signal(workflow_id, "s", run_id="not-a-uuid")),
        "unknown run id": await ctx.attempt(
            ctx.signal(workflow_id, "s", run_id="11111111-2222-4333-8444-555555555555")
        ),
        "unknown workflow": await ctx.attempt(ctx.signal(ctx.name("ghost"), "s")),
        "huge": await ctx.attempt(ctx.signal(workflow_id, "s", "x" * (2 * 1024 * 1024 + 1))),
    }
    await ctx.terminate(workflow_id)
    record["closed"] = await ctx.attempt(ctx.signal(workflow_id, "s"))
    record["closed by run id"] = await ctx.attempt(ctx.signal(workflow_id, "s", run_id=started.run_id))
    return record


@scenario
async def with_start_new(ctx: Context) -> Record:
    """Signal-with-start creates the workflow with the signal before its first task."""
    workflow_id = ctx.workflow_id()
    answer = await ctx.attempt(
        _signal_with_start(
            ctx,
            workflow_id,
            input=commands.payloads("start"),
            signal_input=commands.payloads("signal"),
            memo=common_pb.Memo(fields={"m": commands.payload(1)}),
        )
    )
    await RawWorker(ctx).run_task(commands.complete_workflow())
    return {"answer": answer, "history": await ctx.history(workflow_id)}


@scenario
async def with_start_running(ctx: Context) -> Record:
    """Signal-with-start on a running workflow only signals; its request id de-duplicates."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    first = await ctx.attempt(_signal_with_start(ctx, workflow_id, request_id="same"))
    second = await ctx.attempt(_signal_with_start(ctx, workflow_id, request_id="same"))
    await worker.run_task(commands.complete_workflow())
    return {"first": first, "second": second, "history": await ctx.history(workflow_id)}


@scenario
async def with_start_closed(ctx: Context) -> Record:
    """Signal-with-start on a closed workflow obeys the reuse policy."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.complete_workflow())
    rejected = await ctx.attempt(
        _signal_with_start(ctx, workflow_id, workflow_id_reuse_policy=_REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
    )
    failed_only = await ctx.attempt(
        _signal_with_start(
            ctx, workflow_id, workflow_id_reuse_policy=_REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
        )
    )
    allowed = await ctx.attempt(_signal_with_start(ctx, workflow_id))
    await worker.run_task(commands.complete_workflow())
    return {
        "rejected": rejected,
        "failed_only": failed_only,
        "allowed": allowed,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def with_start_conflict_policies(ctx: Context) -> Record:
    """FAIL is refused, TERMINATE_EXISTING replaces the running workflow."""
    workflow_id = ctx.workflow_id()
    first = await ctx.start(workflow_id)
    fail = await ctx.attempt(
        _signal_with_start(ctx, workflow_id, workflow_id_conflict_policy=_CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL)
    )
    terminate = await ctx.attempt(
        _signal_with_start(
            ctx,
            workflow_id,
            workflow_id_conflict_policy=_CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
        )
    )
    return {
        "fail": fail,
        "terminate": terminate,
        "first_history": await ctx.history(workflow_id, first.run_id),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def with_start_during_delay(ctx: Context) -> Record:
    """Signal-with-start ends a start delay of the running workflow; with a delay of its own it waits."""
    waiting, delayed = ctx.workflow_id("waiting"), ctx.workflow_id("delayed")
    await ctx.start(waiting, workflow_start_delay=commands.seconds(600))
    woken = await ctx.attempt(_signal_with_start(ctx, waiting))
    await RawWorker(ctx).run_task(commands.complete_workflow())
    new = await ctx.attempt(_signal_with_start(ctx, delayed, workflow_start_delay=commands.seconds(600)))
    return {
        "woken": woken,
        "woken_history": await ctx.history(waiting),
        "new": new,
        "delayed_history": await ctx.history(delayed),
    }


@scenario
async def with_start_refusals(ctx: Context) -> Record:
    """Signal-with-start requests that cannot be right."""
    workflow_id = ctx.workflow_id()
    return {
        "no signal name": await ctx.attempt(_signal_with_start(ctx, workflow_id, signal_name="")),
        "no type": await ctx.attempt(_signal_with_start(ctx, workflow_id, workflow_type=common_pb.WorkflowType())),
        "no id": await ctx.attempt(_signal_with_start(ctx, "")),
        "bad cron": await ctx.attempt(_signal_with_start(ctx, workflow_id, cron_schedule="never")),
    }

"""How a workflow ends: by its own command, by cancellation, termination, deletion or a timeout."""

import temporalio.api.workflowservice.v1 as service_pb
from temporalio.service import RPCError, RPCStatusCode

from harness import commands, records
from harness.context import Context, execution
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario


@scenario
async def fail(ctx: Context) -> Record:
    """A failed workflow keeps its failure with causes."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    failure = commands.application_failure("outer", kind="Outer", details=commands.payloads("d", 1))
    failure.cause.CopyFrom(commands.application_failure("inner", kind="Inner", non_retryable=True))
    failure.stack_trace = "line 1\nline 2"
    await worker.run_task(commands.fail_workflow(failure))
    return {"history": await ctx.history(workflow_id), "describe": await ctx.describe(workflow_id)}


@scenario
async def fail_without_failure(ctx: Context) -> Record:
    """A fail command without a failure is refused."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    command = commands.fail_workflow(commands.application_failure("x"))
    command.fail_workflow_execution_command_attributes.ClearField("failure")
    error = await ctx.attempt(worker.complete(task, command))
    await worker.run_task(commands.complete_workflow())
    return {"error": error, "history": await ctx.history(workflow_id)}


@scenario
async def cancel_handled(ctx: Context) -> Record:
    """A cancel request is an event; the workflow answers it with its own cancellation."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    answer = await ctx.attempt(ctx.cancel(workflow_id, reason="changed my mind", request_id="cancel-once"))
    requested = await ctx.describe(workflow_id)
    task = await worker.run_task(commands.cancel_workflow("bye"))
    return {
        "answer": answer,
        "requested": requested,
        "task": records.message(task),
        "history": await ctx.history(workflow_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def cancel_ignored(ctx: Context) -> Record:
    """A workflow may complete although it was asked to cancel; a second request changes nothing."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    first = await ctx.attempt(ctx.cancel(workflow_id, request_id="one"))
    same = await ctx.attempt(ctx.cancel(workflow_id, request_id="one"))
    other = await ctx.attempt(ctx.cancel(workflow_id, request_id="two"))
    await worker.run_task(commands.complete_workflow("no"))
    closed = await ctx.attempt(ctx.cancel(workflow_id, request_id="three"))
    return {
        "first": first,
        "same": same,
        "other": other,
        "closed": closed,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def cancel_refusals(ctx: Context) -> Record:
    """Cancel requests to unknown executions and to a chain that the run does not belong to."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id)
    other = "11111111-2222-4333-8444-555555555555"
    return {
        "unknown": await ctx.attempt(ctx.cancel(ctx.name("ghost"))),
        "unknown run": await ctx.attempt(ctx.cancel(workflow_id, other)),
        "bad run id": await ctx.attempt(ctx.cancel(workflow_id, "nonsense")),
        "no id": await ctx.attempt(ctx.cancel("")),
        "other chain": await ctx.attempt(ctx.cancel(workflow_id, first_execution_run_id=other)),
        "own chain": await ctx.attempt(ctx.cancel(workflow_id, first_execution_run_id=started.run_id)),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def cancel_without_request(ctx: Context) -> Record:
    """A workflow may cancel itself without having been asked."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await ctx.attempt(worker.complete(task, commands.cancel_workflow("by myself")))
    return {"answer": answer, "history": await ctx.history(workflow_id)}


@scenario
async def terminate(ctx: Context) -> Record:
    """Termination closes at once with reason, details and identity; a closed workflow cannot be terminated."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id)
    answer = await ctx.attempt(
        ctx.terminate(workflow_id, reason="for a test", details=commands.payloads({"why": "test"}))
    )
    return {
        "answer": answer,
        "again": await ctx.attempt(ctx.terminate(workflow_id)),
        "again by run": await ctx.attempt(ctx.terminate(workflow_id, started.run_id)),
        "unknown": await ctx.attempt(ctx.terminate(ctx.name("ghost"))),
        "history": await ctx.history(workflow_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def terminate_defaults(ctx: Context) -> Record:
    """Reason and identity are filled in when absent."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    request = service_pb.TerminateWorkflowExecutionRequest(
        namespace=ctx.namespace, workflow_execution=execution(workflow_id)
    )
    await ctx.rpc("terminate_workflow_execution", request)
    return {"history": await ctx.history(workflow_id)}


@scenario
async def terminate_other_chain(ctx: Context) -> Record:
    """first_execution_run_id must name the chain of the current run."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id)
    other = "11111111-2222-4333-8444-555555555555"
    refused = await ctx.attempt(ctx.terminate(workflow_id, first_execution_run_id=other))
    accepted = await ctx.attempt(ctx.terminate(workflow_id, first_execution_run_id=started.run_id))
    return {"refused": refused, "accepted": accepted}


@scenario
async def terminate_drops_pending_work(ctx: Context) -> Record:
    """Nothing is pending once the workflow is terminated, and its tasks cannot be picked up any more."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.start_timer("t", 600), commands.schedule_activity("a", ctx.queue))
    activity = await worker.activity_task()
    await ctx.terminate(workflow_id, reason="enough")
    heartbeat = await ctx.attempt(worker.heartbeat(activity.task_token))
    return {"heartbeat": heartbeat, "describe": await ctx.describe(workflow_id)}


@scenario
async def delete_closed(ctx: Context) -> Record:
    """A deleted workflow is gone from reads and from visibility, and its id is free."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.complete_workflow())
    query = f"WorkflowId = '{workflow_id}'"
    await ctx.wait_count(query, 1)
    request = service_pb.DeleteWorkflowExecutionRequest(
        namespace=ctx.namespace, workflow_execution=execution(workflow_id)
    )
    answer = await ctx.attempt(ctx.rpc("delete_workflow_execution", request))
    await ctx.wait_count(query, 0)
    await _wait_gone(ctx, workflow_id)
    return {
        "answer": answer,
        "history": await ctx.attempt(ctx.history(workflow_id)),
        "describe": await ctx.attempt(ctx.describe(workflow_id)),
        "again": await ctx.attempt(ctx.rpc("delete_workflow_execution", request)),
    }


@scenario
async def delete_running(ctx: Context) -> Record:
    """Deleting a running workflow terminates and removes it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    request = service_pb.DeleteWorkflowExecutionRequest(
        namespace=ctx.namespace, workflow_execution=execution(workflow_id)
    )
    answer = await ctx.attempt(ctx.rpc("delete_workflow_execution", request))
    await _wait_gone(ctx, workflow_id)
    await ctx.wait_count(f"WorkflowId = '{workflow_id}'", 0)
    return {"answer": answer, "describe": await ctx.attempt(ctx.describe(workflow_id))}


async def _wait_gone(ctx: Context, workflow_id: str) -> None:
    async def gone() -> bool:
        try:
            await ctx.describe(workflow_id)
        except RPCError as error:
            return error.status == RPCStatusCode.NOT_FOUND
        return False

    await ctx.until(gone, bool)


@scenario
async def delete_unknown(ctx: Context) -> Record:
    """Deleting what does not exist."""
    request = service_pb.DeleteWorkflowExecutionRequest(
        namespace=ctx.namespace, workflow_execution=execution(ctx.name("ghost"))
    )
    return {"answer": await ctx.attempt(ctx.rpc("delete_workflow_execution", request))}


@scenario
async def run_timeout(ctx: Context) -> Record:
    """A run over its time is closed as timed out."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id, workflow_run_timeout=commands.seconds(1))
    close = await ctx.wait_closed(workflow_id)
    return {
        "close": close,
        "history": await ctx.history(workflow_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def execution_timeout(ctx: Context) -> Record:
    """An execution over its time is closed as timed out, whatever its task does."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_execution_timeout=commands.seconds(2))
    task = await worker.workflow_task()
    await ctx.wait_closed(workflow_id)
    late = await ctx.attempt(worker.complete(task, commands.complete_workflow()))
    return {"late": late, "history": await ctx.history(workflow_id)}


@scenario
async def timeout_with_pending_activity(ctx: Context) -> Record:
    """A run that times out takes its activities with it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_run_timeout=commands.seconds(2))
    await worker.run_task(commands.schedule_activity("a", ctx.queue))
    activity = await worker.activity_task()
    await ctx.wait_closed(workflow_id)
    late = await ctx.attempt(worker.complete_activity(activity.task_token))
    return {"late": late, "history": await ctx.history(workflow_id)}

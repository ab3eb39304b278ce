"""Workflow updates through a raw worker, and update-with-start."""

import asyncio
from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.protocol.v1 as protocol_pb
import temporalio.api.update.v1 as update_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.message import Message

from harness import commands, records
from harness.context import CLIENT_IDENTITY, Context, execution
from harness.raw import RawWorker, WorkflowTask
from harness.records import Record
from harness.registry import scenario

_STAGE = enums.UpdateWorkflowExecutionLifecycleStage
_ADMITTED = _STAGE.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
_ACCEPTED = _STAGE.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
_COMPLETED = _STAGE.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
_CONFLICT = enums.WorkflowIdConflictPolicy


def _request(
    ctx: Context,
    workflow_id: str,
    update_id: str = "u1",
    *,
    stage: "_STAGE.ValueType" = _COMPLETED,
    name: str = "change",
) -> service_pb.UpdateWorkflowExecutionRequest:
    return service_pb.UpdateWorkflowExecutionRequest(
        namespace=ctx.namespace,
        workflow_execution=execution(workflow_id),
        wait_policy=update_pb.WaitPolicy(lifecycle_stage=stage),
        request=update_pb.Request(
            meta=update_pb.Meta(update_id=update_id, identity=CLIENT_IDENTITY),
            input=update_pb.Input(name=name, args=commands.payloads("arg")),
        ),
    )


def _send(ctx: Context, workflow_id: str, update_id: str = "u1", **fields: Any) -> "asyncio.Task[Record]":
    request = _request(ctx, workflow_id, update_id, **fields)
    return asyncio.create_task(ctx.attempt(ctx.rpc("update_workflow_execution", request)))


async def _poll(ctx: Context, workflow_id: str, update_id: str, *, stage: "_STAGE.ValueType" = _COMPLETED) -> Record:
    request = service_pb.PollWorkflowExecutionUpdateRequest(
        namespace=ctx.namespace,
        update_ref=update_pb.UpdateRef(workflow_execution=execution(workflow_id), update_id=update_id),
        identity=CLIENT_IDENTITY,
        wait_policy=update_pb.WaitPolicy(lifecycle_stage=stage),
    )
    return await ctx.attempt(ctx.rpc("poll_workflow_execution_update", request))


def _message(message_id: str, update_id: str, body: Message) -> protocol_pb.Message:
    packed = ProtoAny()
    packed.Pack(body)
    return protocol_pb.Message(id=message_id, protocol_instance_id=update_id, body=packed)


def _original(task: WorkflowTask, update_id: str) -> tuple[str, int, update_pb.Request]:
    for message in task.messages:
        if message.protocol_instance_id == update_id:
            request = update_pb.Request()
            message.body.Unpack(request)
            return message.id, message.event_id, request
    raise LookupError(f"the task brings no update {update_id}")


def _accept(task: WorkflowTask, update_id: str) -> protocol_pb.Message:
    message_id, event_id, request = _original(task, update_id)
    body = update_pb.Acceptance(
        accepted_request_message_id=message_id,
        accepted_request_sequencing_event_id=event_id,
        accepted_request=request,
    )
    return _message(f"{update_id}/accept", update_id, body)


def _reject(task: WorkflowTask, update_id: str, text: str) -> protocol_pb.Message:
    message_id, event_id, request = _original(task, update_id)
    body = update_pb.Rejection(
        rejected_request_message_id=message_id,
        rejected_request_sequencing_event_id=event_id,
        rejected_request=request,
        failure=commands.application_failure(text, kind="Rejected"),
    )
    return _message(f"{update_id}/reject", update_id, body)


def _respond(update_id: str, *result: Any, failure: str = "") -> protocol_pb.Message:
    outcome = (
        update_pb.Outcome(failure=commands.application_failure(failure, kind="UpdateBoom"))
        if failure
        else update_pb.Outcome(success=commands.payloads(*result))
    )
    body = update_pb.Response(meta=update_pb.Meta(update_id=update_id, identity=CLIENT_IDENTITY), outcome=outcome)
    return _message(f"{update_id}/complete", update_id, body)


async def _reply(
    worker: RawWorker, task: WorkflowTask, *messages: protocol_pb.Message, then: tuple[commands.Command, ...] = ()
) -> service_pb.RespondWorkflowTaskCompletedResponse:
    """Completes the task with the messages, each sequenced by a command except rejections."""
    sequenced = [commands.protocol_message(m.id) for m in messages if not m.id.endswith("/reject")]
    return await worker.complete(task, *sequenced, *then, messages=messages)


async def _idle(ctx: Context) -> tuple[str, RawWorker]:
    """A workflow that has completed its first task and waits."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    return workflow_id, worker


@scenario
async def completes(ctx: Context) -> Record:
    """Accepted and completed in one task: two events, and the caller gets the result."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    during = await ctx.history(workflow_id)
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "result", 1))
    return {
        "answer": await update,
        "task": records.message(task),
        "during": during,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def sticky(ctx: Context) -> Record:
    """The speculative task of an update reaches a sticky worker with partial history."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=10)
    poll = await worker.sticky_poll()
    update = _send(ctx, workflow_id)
    task = await poll
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "result"))
    return {"answer": await update, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def rejected(ctx: Context) -> Record:
    """A rejection leaves no trace in the history; the caller gets the failure; it cannot be polled."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    answer = await _reply(worker, task, _reject(task, "u1", "not valid"))
    return {
        "answer": await update,
        "completion": records.message(answer),
        "poll": await _poll(ctx, workflow_id, "u1"),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def fails(ctx: Context) -> Record:
    """A failed update's failure is its outcome."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", failure="went wrong"))
    return {
        "answer": await update,
        "poll": await _poll(ctx, workflow_id, "u1"),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def accepted_then_completed(ctx: Context) -> Record:
    """A caller that waits for acceptance gets the stage; the outcome is polled later."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id, stage=_ACCEPTED)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), then=(commands.start_timer("t", 0.2),))
    accepted = await update
    now = await _poll(ctx, workflow_id, "u1", stage=_STAGE.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED)
    poll = asyncio.create_task(_poll(ctx, workflow_id, "u1"))
    await _reply(worker, await worker.workflow_task(), _respond("u1", "later"))
    return {
        "accepted": accepted,
        "now": now,
        "outcome": await poll,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def same_id_while_running(ctx: Context) -> Record:
    """Two calls with one update id are one update."""
    workflow_id, worker = await _idle(ctx)
    first = _send(ctx, workflow_id, stage=_ACCEPTED)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), then=(commands.start_timer("t", 0.2),))
    await first
    second = _send(ctx, workflow_id)
    await _reply(worker, await worker.workflow_task(), _respond("u1", "once"))
    return {"second": await second, "history": await ctx.history(workflow_id)}


@scenario
async def same_id_after_completion(ctx: Context) -> Record:
    """A repeated call gets the stored outcome, also when the workflow has closed."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "once"))
    await update
    running = await _send(ctx, workflow_id)
    await ctx.signal(workflow_id, "close")
    await worker.run_task(commands.complete_workflow())
    return {
        "running": running,
        "closed": await _send(ctx, workflow_id),
        "closed poll": await _poll(ctx, workflow_id, "u1"),
    }


@scenario
async def two_in_one_task(ctx: Context) -> Record:
    """Updates sent before a task starts travel in that task, in order of arrival."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    first = _send(ctx, workflow_id, "u1")
    await _admitted(ctx, workflow_id, "u1")
    second = _send(ctx, workflow_id, "u2")
    await _admitted(ctx, workflow_id, "u2")
    task = await worker.workflow_task()
    await _reply(
        worker,
        task,
        _accept(task, "u1"),
        _respond("u1", 1),
        _accept(task, "u2"),
        _respond("u2", 2),
    )
    return {
        "first": await first,
        "second": await second,
        "task": records.message(task),
        "history": await ctx.history(workflow_id),
    }


async def _admitted(ctx: Context, workflow_id: str, update_id: str) -> None:
    """Waits until the server knows the update."""
    unspecified = _STAGE.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED

    async def known() -> bool:
        return "response" in await _poll(ctx, workflow_id, update_id, stage=unspecified)

    await ctx.until(known, bool)


@scenario
async def while_task_runs(ctx: Context) -> Record:
    """An update that arrives while a task runs is delivered with the next one."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    first = await worker.workflow_task()
    update = _send(ctx, workflow_id)
    await _admitted(ctx, workflow_id, "u1")
    await worker.complete(first)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "next"))
    return {
        "answer": await update,
        "messages": records.message(task)["messages"],
        "history": await ctx.history(workflow_id),
    }


@scenario
async def ignored_by_worker(ctx: Context) -> Record:
    """A worker that completes the task without answering: the server rejects the update for it."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    await worker.complete(await worker.workflow_task())
    return {"answer": await update, "history": await ctx.history(workflow_id)}


@scenario
async def workflow_closes_before_answer(ctx: Context) -> Record:
    """A workflow that closes instead of answering aborts the update."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    await worker.complete(await worker.workflow_task(), commands.complete_workflow())
    return {"answer": await update, "history": await ctx.history(workflow_id)}


@scenario
async def workflow_closes_with_rejection(ctx: Context) -> Record:
    """A worker that rejects an update and closes the workflow at once: the caller has the rejection."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _reject(task, "u1", "no"), then=(commands.complete_workflow(),))
    return {"answer": await update, "history": await ctx.history(workflow_id)}


@scenario
async def workflow_closes_before_loose_acceptance(ctx: Context) -> Record:
    """An acceptance that no command sequences comes after all commands: too late once one of them closes."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    loose = (_accept(task, "u1"), _respond("u1", "result"))
    await worker.complete(task, commands.complete_workflow(), messages=loose)
    return {"answer": await update, "history": await ctx.history(workflow_id)}


@scenario
async def workflow_closes_after_acceptance(ctx: Context) -> Record:
    """An accepted update of a workflow that closes fails."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), then=(commands.complete_workflow(),))
    return {
        "answer": await update,
        "poll": await _poll(ctx, workflow_id, "u1"),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def terminated_after_acceptance(ctx: Context) -> Record:
    """An accepted update of a terminated workflow fails."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"))
    await ctx.wait_event(workflow_id, "WORKFLOW_EXECUTION_UPDATE_ACCEPTED")
    await ctx.terminate(workflow_id, reason="enough")
    return {"answer": await update}


@scenario
async def task_fails(ctx: Context) -> Record:
    """An update whose task fails is delivered again with the next attempt."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    await worker.fail(await worker.workflow_task())
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "second time"))
    return {"answer": await update, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def tasks_fail_again_and_again(ctx: Context) -> Record:
    """A waiting update rides with every attempt; only a new one is refused from the third on."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    attempts = []
    for _ in range(2):
        task = await worker.workflow_task()
        attempts.append({"attempt": task.attempt, "messages": [message.id for message in task.messages]})
        await worker.fail(task)
    task = await worker.workflow_task()
    attempts.append({"attempt": task.attempt, "messages": [message.id for message in task.messages]})
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "at last"))
    return {"attempts": attempts, "update": await update, "history": await ctx.history(workflow_id)}


@scenario
async def nobody_answers(ctx: Context) -> Record:
    """Without a worker the call ends after 20 seconds with the stage reached and no outcome."""
    workflow_id, _ = await _idle(ctx)
    return {"answer": await _send(ctx, workflow_id), "history": await ctx.history(workflow_id)}


@scenario
async def task_times_out(ctx: Context) -> Record:
    """An update whose task times out is delivered again."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_task_timeout=commands.seconds(1))
    await worker.run_task()
    update = _send(ctx, workflow_id)
    await worker.workflow_task()
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "second time"))
    return {"answer": await update, "history": await ctx.history(workflow_id)}


@scenario
async def signal_with_speculative_task(ctx: Context) -> Record:
    """A signal while an update's task runs makes that task a normal one."""
    workflow_id, worker = await _idle(ctx)
    update = _send(ctx, workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "meanwhile")
    during = await ctx.history(workflow_id)
    await _reply(worker, task, _reject(task, "u1", "no"))
    await update
    return {"during": during, "history": await ctx.history(workflow_id)}


@scenario
async def bad_messages(ctx: Context) -> Record:
    """Messages for unknown updates or without their request fail the workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    stray = _respond("ghost", "nobody asked")
    error = await ctx.attempt(_reply(worker, task, stray))
    task = await worker.workflow_task()
    missing = await ctx.attempt(worker.complete(task, commands.protocol_message("no such message")))
    return {"stray": error, "missing": missing, "history": await ctx.history(workflow_id)}


@scenario
async def refusals(ctx: Context) -> Record:
    """Updates that cannot be right, to nothing, and to a closed workflow."""
    workflow_id, worker = await _idle(ctx)
    no_name = _request(ctx, workflow_id, name="")
    no_input = _request(ctx, workflow_id)
    no_input.request.ClearField("input")
    no_request = _request(ctx, workflow_id)
    no_request.ClearField("request")
    other_chain = _request(ctx, workflow_id)
    other_chain.first_execution_run_id = "11111111-2222-4333-8444-555555555555"
    bad_run = _request(ctx, workflow_id)
    bad_run.workflow_execution.run_id = "nonsense"

    async def update(request: service_pb.UpdateWorkflowExecutionRequest) -> Record:
        return await ctx.attempt(ctx.rpc("update_workflow_execution", request))

    record = {
        "unknown workflow": await update(_request(ctx, ctx.name("ghost"))),
        "no name": await update(no_name),
        "no input": await update(no_input),
        "no request": await update(no_request),
        "long id": await update(_request(ctx, workflow_id, "x" * 1001)),
        "wait for admitted": await update(_request(ctx, workflow_id, stage=_ADMITTED)),
        "other chain": await update(other_chain),
        "bad run id": await update(bad_run),
        "poll unknown": await _poll(ctx, workflow_id, "ghost"),
        "poll unknown workflow": await _poll(ctx, ctx.name("ghost"), "u1"),
        "poll without id": await _poll(ctx, workflow_id, ""),
    }
    await ctx.terminate(workflow_id)
    record["closed"] = await update(_request(ctx, workflow_id))
    record["closed poll"] = await _poll(ctx, workflow_id, "u1")
    return record


def _with_start(
    ctx: Context, workflow_id: str, update_id: str = "u1", *, stage: "_STAGE.ValueType" = _COMPLETED, **start: Any
) -> "asyncio.Task[Record]":
    start.setdefault("workflow_id_conflict_policy", _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
    operation = service_pb.ExecuteMultiOperationRequest.Operation
    request = service_pb.ExecuteMultiOperationRequest(
        namespace=ctx.namespace,
        operations=[
            operation(start_workflow=ctx.start_request(workflow_id, **start)),
            operation(update_workflow=_request(ctx, workflow_id, update_id, stage=stage)),
        ],
    )
    return asyncio.create_task(ctx.attempt(ctx.rpc("execute_multi_operation", request)))


@scenario
async def with_start_new(ctx: Context) -> Record:
    """Update-with-start creates the workflow; its first task brings the update."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    call = _with_start(ctx, workflow_id, input=commands.payloads("start"))
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "both"))
    return {"answer": await call, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def with_start_existing(ctx: Context) -> Record:
    """With USE_EXISTING a running workflow only gets the update."""
    workflow_id, worker = await _idle(ctx)
    call = _with_start(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "only update"))
    first = await call
    again = await _with_start(ctx, workflow_id)
    return {"answer": first, "again": again, "history": await ctx.history(workflow_id)}


@scenario
async def with_start_conflict(ctx: Context) -> Record:
    """With FAIL a running workflow refuses both operations."""
    workflow_id, _ = await _idle(ctx)
    fail = _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    return {"answer": await _with_start(ctx, workflow_id, workflow_id_conflict_policy=fail)}


@scenario
async def with_start_rejected(ctx: Context) -> Record:
    """A rejected update leaves the workflow started."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    call = _with_start(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _reject(task, "u1", "not this way"))
    return {"answer": await call, "history": await ctx.history(workflow_id)}


@scenario
async def with_start_after_close(ctx: Context) -> Record:
    """A completed update of a closed workflow is returned; another update starts a new run."""
    workflow_id, worker = await _idle(ctx)
    call = _with_start(ctx, workflow_id)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "old"), then=(commands.complete_workflow(),))
    await call
    same = await _with_start(ctx, workflow_id)
    other = _with_start(ctx, workflow_id, "u2")
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u2"), _respond("u2", "new"))
    return {"same": same, "other": await other, "history": await ctx.history(workflow_id)}


@scenario
async def with_start_terminate_existing(ctx: Context) -> Record:
    """With TERMINATE_EXISTING the running workflow is replaced and the new one gets the update."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id)
    await worker.run_task()
    terminate = _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    call = _with_start(ctx, workflow_id, workflow_id_conflict_policy=terminate)
    task = await worker.workflow_task()
    await _reply(worker, task, _accept(task, "u1"), _respond("u1", "fresh"))
    return {
        "answer": await call,
        "first": await ctx.history(workflow_id, first.run_id),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def with_start_refusals(ctx: Context) -> Record:
    """Multi-operations of another shape are refused."""
    workflow_id = ctx.workflow_id()
    operation = service_pb.ExecuteMultiOperationRequest.Operation
    start = operation(start_workflow=ctx.start_request(workflow_id))
    update = operation(update_workflow=_request(ctx, workflow_id))
    other = operation(update_workflow=_request(ctx, ctx.name("other")))
    cron = operation(start_workflow=ctx.start_request(workflow_id, cron_schedule="@every 1s"))
    eager = operation(start_workflow=ctx.start_request(workflow_id, request_eager_execution=True))
    delayed = operation(start_workflow=ctx.start_request(workflow_id, workflow_start_delay=commands.seconds(1)))
    nameless = operation(update_workflow=_request(ctx, workflow_id, name=""))
    typeless = operation(start_workflow=ctx.start_request(workflow_id, workflow_type=common_pb.WorkflowType()))
    shapes = {
        "nothing": [],
        "only start": [start],
        "wrong order": [update, start],
        "two starts": [start, start],
        "different ids": [start, other],
        "cron": [cron, update],
        "eager": [eager, update],
        "delayed": [delayed, update],
        "bad update": [start, nameless],
        "bad start": [typeless, update],
    }
    return {
        name: await ctx.attempt(
            ctx.rpc(
                "execute_multi_operation",
                service_pb.ExecuteMultiOperationRequest(namespace=ctx.namespace, operations=operations),
            )
        )
        for name, operations in shapes.items()
    }

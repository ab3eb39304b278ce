"""Workflow tasks: failures, transient attempts, timeouts, stickiness, heartbeats and refused completions."""

from datetime import timedelta

import temporalio.api.command.v1 as command_pb
import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.sdk.v1 as sdk_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands, records
from harness.context import WORKER_IDENTITY, Context, execution
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_CAUSE = enums.WorkflowTaskFailedCause


@scenario
async def first_failure_is_recorded(ctx: Context) -> Record:
    """Of a streak of failures only the first leaves events; the success that ends it shows its attempt."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    attempts, after = [], []
    for _ in range(3):
        task = await worker.workflow_task()
        attempts.append(records.message(task))
        await worker.fail(task)
        after.append(len((await ctx.proto_history(workflow_id)).events))
    pending = await ctx.describe(workflow_id)
    task = await worker.run_task(commands.complete_workflow())
    return {
        "attempts": attempts,
        "events after each failure": after,
        "pending": pending,
        "last": records.message(task),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def history_shows_transient_task(ctx: Context) -> Record:
    """A history read during a transient attempt ends with that attempt's events, only on the last page."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.fail(await worker.workflow_task())
    task = await worker.workflow_task()
    forward = await ctx.history(workflow_id)
    request = service_pb.GetWorkflowExecutionHistoryReverseRequest(
        namespace=ctx.namespace, execution=execution(workflow_id)
    )
    reverse = await ctx.attempt(ctx.rpc("get_workflow_execution_history_reverse", request))
    await worker.complete(task, commands.complete_workflow())
    return {"forward": forward, "reverse": reverse}


@scenario
async def signal_ends_transient_streak(ctx: Context) -> Record:
    """A new event makes the retried task a normal one with attempt 1."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.fail(await worker.workflow_task())
    await ctx.signal(workflow_id, "news")
    task = await worker.run_task(commands.complete_workflow())
    return {"task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def signal_during_transient_task(ctx: Context) -> Record:
    """A signal while a transient attempt runs is buffered and comes after it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.fail(await worker.workflow_task())
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "news")
    await worker.complete(task)
    await worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def failure_causes(ctx: Context) -> Record:
    """The cause that a worker gives is kept."""
    record: Record = {}
    worker = RawWorker(ctx)
    for cause in (
        _CAUSE.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
        _CAUSE.WORKFLOW_TASK_FAILED_CAUSE_UNSPECIFIED,
        _CAUSE.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
    ):
        name = _CAUSE.Name(cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
        workflow_id = ctx.workflow_id(name.lower())
        await ctx.start(workflow_id)
        await worker.fail(await worker.workflow_task(), cause=cause, text="because")
        await worker.run_task(commands.complete_workflow())
        record[name] = await ctx.history(workflow_id)
    return record


@scenario
async def start_to_close_timeout(ctx: Context) -> Record:
    """A task that nobody answers times out and is tried again; the late answer is refused."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_task_timeout=commands.seconds(1))
    first = await worker.workflow_task()
    second = await worker.workflow_task()
    late = await ctx.attempt(worker.complete(first, commands.complete_workflow("late")))
    late_failure = await ctx.attempt(worker.fail(first))
    await worker.complete(second, commands.complete_workflow("in time"))
    return {
        "second": records.message(second),
        "late": late,
        "late failure": late_failure,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def answer_is_accepted_once(ctx: Context) -> Record:
    """The same completion sent twice is refused the second time, also when the workflow has closed."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.run_task(commands.start_timer("t", 600))
    again = await ctx.attempt(worker.complete(task, commands.start_timer("u", 600)))
    await ctx.signal(workflow_id, "go")
    last = await worker.run_task(commands.complete_workflow())
    closed = await ctx.attempt(worker.complete(last, commands.complete_workflow()))
    bad = service_pb.RespondWorkflowTaskCompletedRequest(namespace=ctx.namespace, task_token=b"nonsense")
    none = service_pb.RespondWorkflowTaskCompletedRequest(namespace=ctx.namespace)
    return {
        "again": again,
        "closed": closed,
        "bad token": await ctx.attempt(ctx.rpc("respond_workflow_task_completed", bad)),
        "no token": await ctx.attempt(ctx.rpc("respond_workflow_task_completed", none)),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def sticky_gets_partial_history(ctx: Context) -> Record:
    """After a sticky completion the next task goes to the sticky queue with only the new events."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=10)
    poll = await worker.sticky_poll()
    await ctx.signal(workflow_id, "go")
    task = await poll
    running = await ctx.describe(workflow_id)
    await worker.complete(task, commands.complete_workflow())
    return {"running": running, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def sticky_schedule_to_start_timeout(ctx: Context) -> Record:
    """When nobody polls the sticky queue in time, the task goes to the normal queue with the whole history."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=1)
    poll = await worker.sticky_poll()
    await ctx.signal(workflow_id, "polled for")
    await worker.complete(await poll, sticky_seconds=1)
    await ctx.signal(workflow_id, "not polled for")
    task = await worker.run_task(commands.complete_workflow())
    return {"task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def sticky_worker_gone(ctx: Context) -> Record:
    """When nobody has polled the sticky queue lately, its time is not waited for."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=600)
    await ctx.signal(workflow_id, "go")
    task = await worker.run_task(commands.complete_workflow())
    return {"task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def sticky_failure_clears_stickiness(ctx: Context) -> Record:
    """A failed sticky task is retried on the normal queue, still as attempt 1."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=10)
    poll = await worker.sticky_poll()
    await ctx.signal(workflow_id, "go")
    await worker.fail(await poll)
    normal = await worker.workflow_task()
    await worker.fail(normal)
    last = await worker.run_task(commands.complete_workflow())
    return {
        "normal": records.message(normal),
        "last": records.message(last),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def sticky_start_to_close_timeout(ctx: Context) -> Record:
    """A sticky task that times out after its start is retried on the normal queue."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_task_timeout=commands.seconds(1))
    await worker.run_task(sticky_seconds=10)
    poll = await worker.sticky_poll()
    await ctx.signal(workflow_id, "go")
    await poll
    task = await worker.run_task(commands.complete_workflow())
    return {"task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def reset_sticky_task_queue(ctx: Context) -> Record:
    """ResetStickyTaskQueue sends the next task to the normal queue."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=10)
    request = service_pb.ResetStickyTaskQueueRequest(namespace=ctx.namespace, execution=execution(workflow_id))
    answer = await ctx.attempt(ctx.rpc("reset_sticky_task_queue", request))
    await ctx.signal(workflow_id, "go")
    task = await worker.run_task(commands.complete_workflow())
    request.execution.workflow_id = ctx.name("ghost")
    ghost = await ctx.attempt(ctx.rpc("reset_sticky_task_queue", request))
    return {"answer": answer, "ghost": ghost, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def heartbeat(ctx: Context) -> Record:
    """force_create_new_workflow_task keeps the worker busy with a new task each time."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    tasks = []
    for _ in range(2):
        answer = await worker.complete(
            task, sticky_seconds=10, force_create_new_workflow_task=True, return_new_workflow_task=True
        )
        task = answer.workflow_task
        tasks.append(records.message(answer))
    await worker.complete(task, commands.complete_workflow())
    return {"tasks": tasks, "history": await ctx.history(workflow_id)}


@scenario
async def new_task_returned_inline(ctx: Context) -> Record:
    """With return_new_workflow_task, events that were buffered come back as the next task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "meanwhile")
    answer = await worker.complete(task, sticky_seconds=10, return_new_workflow_task=True)
    await worker.complete(answer.workflow_task, commands.complete_workflow())
    return {"answer": records.message(answer), "history": await ctx.history(workflow_id)}


@scenario
async def nothing_returned_inline(ctx: Context) -> Record:
    """Without new events there is no new task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await worker.complete(task, return_new_workflow_task=True)
    return {"answer": records.message(answer), "history": await ctx.history(workflow_id)}


@scenario
async def command_after_close(ctx: Context) -> Record:
    """A command after a closing one is refused and nothing is written."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    error = await ctx.attempt(worker.complete(task, commands.complete_workflow(), commands.start_timer("t", 1)))
    after = await ctx.history(workflow_id)
    await worker.complete(task, commands.complete_workflow("right"))
    return {"error": error, "after": after, "history": await ctx.history(workflow_id)}


@scenario
async def two_closes(ctx: Context) -> Record:
    """Two closing commands in one completion."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await ctx.attempt(
        worker.complete(
            task,
            commands.complete_workflow("first"),
            commands.fail_workflow(commands.application_failure("second")),
        )
    )
    return {"answer": answer, "history": await ctx.history(workflow_id)}


@scenario
async def unknown_command(ctx: Context) -> Record:
    """A command without a type."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await ctx.attempt(worker.complete(task, command_pb.Command()))
    missing = command_pb.Command(command_type=enums.CommandType.COMMAND_TYPE_START_TIMER)
    no_attributes = await ctx.attempt(worker.complete(task, missing))
    return {"answer": answer, "no attributes": no_attributes, "history": await ctx.history(workflow_id)}


@scenario
async def bad_commands_on_later_attempt(ctx: Context) -> Record:
    """A validation failure on a retried task is answered without writing anything."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_task_timeout=commands.seconds(1))
    first = await ctx.attempt(worker.complete(await worker.workflow_task(), commands.cancel_timer("ghost")))
    second_task = await worker.workflow_task()
    second = await ctx.attempt(worker.complete(second_task, commands.cancel_timer("ghost")))
    after = await ctx.history(workflow_id)
    third = await worker.run_task(commands.complete_workflow())
    return {
        "first": first,
        "second": second,
        "after": after,
        "third attempt": third.attempt,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def metadata_is_recorded(ctx: Context) -> Record:
    """SDK metadata and metering of a completion reach the event."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(
        commands.complete_workflow(),
        sdk_metadata=sdk_pb.WorkflowTaskCompletedMetadata(
            core_used_flags=[1, 2], lang_used_flags=[3], sdk_name="compat", sdk_version="1.2.3"
        ),
        metering_metadata=common_pb.MeteringMetadata(nonfirst_local_activity_execution_attempts=4),
    )
    return {"history": await ctx.history(workflow_id)}


@scenario
async def terminate_while_running(ctx: Context) -> Record:
    """Terminating while a task runs fails the task first; its answer is refused."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "buffered")
    await ctx.terminate(workflow_id, reason="now")
    answer = await ctx.attempt(worker.complete(task, commands.complete_workflow()))
    failed = await ctx.attempt(worker.fail(task))
    return {"answer": answer, "failed": failed, "history": await ctx.history(workflow_id)}


@scenario
async def huge_command(ctx: Context) -> Record:
    """A payload over the limit in a command fails the task and terminates the workflow."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await ctx.attempt(worker.complete(task, commands.complete_workflow("x" * (2 * 1024 * 1024 + 1))))
    return {"answer": answer, "history": await ctx.history(workflow_id)}


@scenario
async def markers(ctx: Context) -> Record:
    """Markers keep name, details, header and failure; a marker without a name is refused."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    marker = commands.record_marker(
        "SideEffect", {"data": [1, "two"], "id": 3}, failure=commands.application_failure("kept")
    )
    marker.record_marker_command_attributes.header.fields["h"].CopyFrom(commands.payload("v"))
    await worker.run_task(commands.with_metadata(marker, summary="why"), force_create_new_workflow_task=True)
    task = await worker.workflow_task()
    nameless = await ctx.attempt(worker.complete(task, commands.record_marker("", {})))
    await worker.run_task(commands.complete_workflow())
    return {"nameless": nameless, "history": await ctx.history(workflow_id)}


@scenario
async def poll_refusals(ctx: Context) -> Record:
    """Polls that cannot be right: no queue, a long identity, a short deadline, an unknown namespace."""
    queue, poll = ctx.task_queue(), service_pb.PollWorkflowTaskQueueRequest
    requests = {
        "no queue": poll(namespace=ctx.namespace, identity=WORKER_IDENTITY),
        "long identity": poll(namespace=ctx.namespace, task_queue=queue, identity="x" * 1001),
        "unknown namespace": poll(namespace="no-such-namespace", task_queue=queue, identity=WORKER_IDENTITY),
    }
    record = {
        name: await ctx.attempt(ctx.rpc("poll_workflow_task_queue", request)) for name, request in requests.items()
    }
    short = poll(namespace=ctx.namespace, task_queue=queue, identity=WORKER_IDENTITY)
    record["short deadline"] = await ctx.attempt(
        ctx.rpc("poll_workflow_task_queue", short, timeout=timedelta(seconds=1))
    )
    return record

"""Activities as a raw worker sees them: attempts, retries, timeouts, heartbeats, cancellation, completion by id."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.failure.v1 as failure_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands, records
from harness.context import WORKER_IDENTITY, Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario


async def _schedule(ctx: Context, worker: RawWorker, **fields: Any) -> str:
    """Starts a workflow whose first task schedules the activity "a"; gives the workflow id."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    await worker.run_task(commands.schedule_activity("a", ctx.queue, **fields))
    return workflow_id


async def _finish(ctx: Context, worker: RawWorker, workflow_id: str) -> list[Record]:
    await worker.run_task(commands.complete_workflow())
    return await ctx.history(workflow_id)


@scenario
async def success(ctx: Context) -> Record:
    """An activity runs and completes; while it waits and runs it shows as pending."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, input=commands.payloads("in", 1))
    scheduled = await ctx.describe(workflow_id)
    task = await worker.activity_task()
    started = await ctx.describe(workflow_id)
    await worker.complete_activity(task.task_token, "out")
    return {
        "scheduled": scheduled,
        "task": records.message(task),
        "started": started,
        "history": await _finish(ctx, worker, workflow_id),
        "closed": await ctx.describe(workflow_id),
    }


@scenario
async def every_field(ctx: Context) -> Record:
    """Timeouts, header, priority, retry policy and metadata of the command reach the event and the task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, priority=common_pb.Priority(priority_key=4, fairness_key="wf"))
    command = commands.schedule_activity(
        "a",
        ctx.queue,
        start_to_close=5,
        schedule_to_close_timeout=commands.seconds(20),
        schedule_to_start_timeout=commands.seconds(15),
        heartbeat_timeout=commands.seconds(8),
        retry_policy=commands.retry_policy(attempts=4, initial=2, non_retryable_error_types=["Fatal"]),
        header=common_pb.Header(fields={"trace": commands.payload("on")}),
        priority=common_pb.Priority(priority_key=1),
    )
    await worker.run_task(commands.with_metadata(command, summary="step one", details="more"))
    task = await worker.activity_task()
    pending = await ctx.describe(workflow_id)
    await worker.complete_activity(task.task_token)
    return {"task": records.message(task), "pending": pending, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def timeouts_resolved(ctx: Context) -> Record:
    """Missing timeouts are derived from the others and capped by the run timeout."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, workflow_run_timeout=commands.seconds(100))
    queue, seconds = ctx.name("nobody"), commands.seconds
    await worker.run_task(
        commands.schedule_activity("only start-to-close", queue, start_to_close=7),
        commands.schedule_activity(
            "only schedule-to-close", queue, start_to_close=None, schedule_to_close_timeout=seconds(9)
        ),
        commands.schedule_activity(
            "all too long",
            queue,
            start_to_close=500,
            schedule_to_close_timeout=seconds(500),
            schedule_to_start_timeout=seconds(500),
            heartbeat_timeout=seconds(500),
        ),
        commands.schedule_activity("long heartbeat", queue, start_to_close=3, heartbeat_timeout=seconds(30)),
    )
    return {"history": await ctx.history(workflow_id), "pending": await ctx.describe(workflow_id)}


@scenario
async def bad_attributes(ctx: Context) -> Record:
    """Commands that cannot be carried out fail the workflow task."""
    worker = RawWorker(ctx)
    record: Record = {}
    bad = {
        "no id": [commands.schedule_activity("", ctx.queue)],
        "no type": [commands.schedule_activity("a", ctx.queue, kind="")],
        "no timeout": [commands.schedule_activity("a", ctx.queue, start_to_close=None)],
        "negative timeout": [commands.schedule_activity("a", ctx.queue, heartbeat_timeout=commands.seconds(-1))],
        "bad retry policy": [
            commands.schedule_activity("a", ctx.queue, retry_policy=commands.retry_policy(coefficient=0.1))
        ],
        "duplicate id": [commands.schedule_activity("a", ctx.queue), commands.schedule_activity("a", ctx.queue)],
        "cancel of unknown": [commands.cancel_activity(77)],
        "long id": [commands.schedule_activity("x" * 1001, ctx.queue)],
    }
    for name, command_list in bad.items():
        workflow_id = ctx.workflow_id(name.replace(" ", "-"))
        await ctx.start(workflow_id)
        task = await worker.workflow_task()
        error = await ctx.attempt(worker.complete(task, *command_list))
        again = await worker.workflow_task()
        await worker.complete(again, commands.complete_workflow())
        record[name] = {"error": error, "attempt": again.attempt, "history": await ctx.history(workflow_id)}
    return record


@scenario
async def no_task_queue(ctx: Context) -> Record:
    """An activity without a task queue."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await ctx.attempt(worker.complete(task, commands.schedule_activity("a", "")))
    return {"answer": answer, "history": (await ctx.history(workflow_id))[:5]}


@scenario
async def retry_then_success(ctx: Context) -> Record:
    """A failed attempt leaves no event; the next attempt shows the failure in its Started event."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, retry_policy=commands.retry_policy(attempts=3, initial=0.1))
    first = await worker.activity_task()
    answer = await ctx.attempt(worker.fail_activity(first.task_token, commands.application_failure("flaky")))
    second = await worker.activity_task()
    pending = await ctx.describe(workflow_id)
    await worker.complete_activity(second.task_token, "ok")
    return {
        "answer": answer,
        "second": records.message(second),
        "pending": pending,
        "history": await _finish(ctx, worker, workflow_id),
    }


@scenario
async def retry_waiting(ctx: Context) -> Record:
    """Between attempts the activity shows its next attempt and the last failure."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, retry_policy=commands.retry_policy(attempts=3, initial=600))
    task = await worker.activity_task()
    await worker.fail_activity(task.task_token, commands.application_failure("flaky"))
    return {"pending": await ctx.describe(workflow_id), "history": await ctx.history(workflow_id)}


@scenario
async def retry_exhausted(ctx: Context) -> Record:
    """The last allowed attempt's failure becomes the event."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, retry_policy=commands.retry_policy(attempts=2))
    for text in ("first", "second"):
        task = await worker.activity_task()
        await worker.fail_activity(task.task_token, commands.application_failure(text))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def retry_backoff_grows(ctx: Context) -> Record:
    """The interval grows by the coefficient up to the maximum."""
    worker = RawWorker(ctx)
    policy = commands.retry_policy(attempts=4, initial=0.1, coefficient=20.0)
    workflow_id = await _schedule(ctx, worker, retry_policy=policy)
    intervals = []
    for text in ("first", "second"):
        task = await worker.activity_task()
        await worker.fail_activity(task.task_token, commands.application_failure(text))
        [pending] = (await ctx.proto_describe(workflow_id)).pending_activities
        intervals.append(round(pending.current_retry_interval.ToTimedelta().total_seconds(), 1))
    return {"intervals": intervals}


@scenario
async def next_retry_delay(ctx: Context) -> Record:
    """A failure's next_retry_delay overrides the policy's interval."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, retry_policy=commands.retry_policy(initial=600))
    task = await worker.activity_task()
    failure = commands.application_failure("soon", next_retry_delay=commands.seconds(0.2))
    await worker.fail_activity(task.task_token, failure)
    second = await worker.activity_task()
    await worker.complete_activity(second.task_token)
    return {"attempt": second.attempt, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def non_retryable_flag(ctx: Context) -> Record:
    """A failure marked non-retryable ends the activity."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    task = await worker.activity_task()
    await worker.fail_activity(task.task_token, commands.application_failure("final", non_retryable=True))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def non_retryable_type(ctx: Context) -> Record:
    """A failure whose type the policy lists ends the activity."""
    worker = RawWorker(ctx)
    policy = commands.retry_policy(non_retryable_error_types=["Fatal"])
    workflow_id = await _schedule(ctx, worker, retry_policy=policy)
    task = await worker.activity_task()
    await worker.fail_activity(task.task_token, commands.application_failure("final", kind="Fatal"))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def schedule_to_start_timeout(ctx: Context) -> Record:
    """An activity that nobody picks up times out and is not retried."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    timeout = commands.seconds(0.5)
    await worker.run_task(commands.schedule_activity("a", ctx.name("nobody"), schedule_to_start_timeout=timeout))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def start_to_close_timeout(ctx: Context) -> Record:
    """An attempt that takes too long times out; it is retried and the last one becomes the event."""
    worker = RawWorker(ctx)
    policy = commands.retry_policy(attempts=2)
    workflow_id = await _schedule(ctx, worker, start_to_close=0.5, retry_policy=policy)
    first = await worker.activity_task()
    second = await worker.activity_task()
    history = await _finish(ctx, worker, workflow_id)
    late = await ctx.attempt(worker.complete_activity(first.task_token, "late"))
    return {"attempts": [first.attempt, second.attempt], "history": history, "late": late}


@scenario
async def late_answer_of_old_attempt(ctx: Context) -> Record:
    """The answer of an attempt that has timed out is refused while the next attempt runs."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, start_to_close=1)
    first = await worker.activity_task()
    second = await worker.activity_task()
    late = await ctx.attempt(worker.complete_activity(first.task_token, "late"))
    heartbeat = await ctx.attempt(worker.heartbeat(first.task_token))
    failed = await ctx.attempt(worker.fail_activity(first.task_token, commands.application_failure("late")))
    await worker.complete_activity(second.task_token, "in time")
    return {
        "late": late,
        "heartbeat": heartbeat,
        "failed": failed,
        "history": await _finish(ctx, worker, workflow_id),
    }


@scenario
async def schedule_to_close_timeout(ctx: Context) -> Record:
    """The time for all attempts together runs out while one is running."""
    worker = RawWorker(ctx)
    timeout = commands.seconds(0.7)
    workflow_id = await _schedule(ctx, worker, start_to_close=None, schedule_to_close_timeout=timeout)
    await worker.activity_task()
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def schedule_to_close_stops_retries(ctx: Context) -> Record:
    """A retry that could not begin in time is not made."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(
        ctx,
        worker,
        start_to_close=5,
        schedule_to_close_timeout=commands.seconds(6),
        retry_policy=commands.retry_policy(initial=60),
    )
    task = await worker.activity_task()
    await worker.fail_activity(task.task_token, commands.application_failure("only chance"))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def heartbeat_timeout(ctx: Context) -> Record:
    """An activity that stops heartbeating times out with its last details."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(
        ctx, worker, heartbeat_timeout=commands.seconds(1), retry_policy=commands.retry_policy(attempts=1)
    )
    task = await worker.activity_task()
    await worker.heartbeat(task.task_token, "halfway")
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def heartbeat_details_survive_retry(ctx: Context) -> Record:
    """The next attempt gets the details of the last heartbeat, also those that came with the failure."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, retry_policy=commands.retry_policy(attempts=3))
    first = await worker.activity_task()
    answer = await worker.heartbeat(first.task_token, "one", 1)
    pending = await ctx.describe(workflow_id)
    await worker.fail_activity(first.task_token, commands.application_failure("again"))
    second = await worker.activity_task()
    await worker.fail_activity(
        second.task_token,
        commands.application_failure("and again"),
        last_heartbeat_details=commands.payloads("two", 2),
    )
    third = await worker.activity_task()
    await worker.complete_activity(third.task_token)
    return {
        "answer": {"cancel_requested": answer.cancel_requested},
        "pending": pending,
        "second": records.message(second),
        "third": records.message(third),
        "history": await _finish(ctx, worker, workflow_id),
    }


@scenario
async def cancel_not_started(ctx: Context) -> Record:
    """Cancelling an activity that nobody has picked up cancels it at once and wakes the workflow."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.schedule_activity("a", ctx.name("nobody")), force_create_new_workflow_task=True)
    await worker.run_task(commands.cancel_activity(5))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def cancel_in_same_task(ctx: Context) -> Record:
    """Scheduling and cancelling an activity in one workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.schedule_activity("a", ctx.name("nobody")), commands.cancel_activity(5))
    return {"history": await _finish(ctx, worker, workflow_id)}


async def _start_and_cancel(ctx: Context, worker: RawWorker) -> tuple[str, service_pb.PollActivityTaskQueueResponse]:
    workflow_id = await _schedule(ctx, worker, heartbeat_timeout=commands.seconds(60))
    task = await worker.activity_task()
    await ctx.signal(workflow_id, "stop")
    await worker.run_task(commands.cancel_activity(5))
    return workflow_id, task


@scenario
async def cancel_started_then_canceled(ctx: Context) -> Record:
    """A running activity learns of the request by heartbeat and answers with its cancellation."""
    worker = RawWorker(ctx)
    workflow_id, task = await _start_and_cancel(ctx, worker)
    pending = await ctx.describe(workflow_id)
    heartbeat = await ctx.attempt(worker.heartbeat(task.task_token, "noticed"))
    await worker.cancel_activity(task.task_token, "cleaned up")
    return {"pending": pending, "heartbeat": heartbeat, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def cancel_started_then_completed(ctx: Context) -> Record:
    """A running activity may ignore the request and complete."""
    worker = RawWorker(ctx)
    workflow_id, task = await _start_and_cancel(ctx, worker)
    await worker.complete_activity(task.task_token, "done anyway")
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def cancel_started_then_failed(ctx: Context) -> Record:
    """After a cancel request a failure is not retried."""
    worker = RawWorker(ctx)
    workflow_id, task = await _start_and_cancel(ctx, worker)
    await worker.fail_activity(task.task_token, commands.application_failure("broke"))
    return {"history": await _finish(ctx, worker, workflow_id)}


@scenario
async def canceled_without_request(ctx: Context) -> Record:
    """A worker cannot report a cancellation that nobody asked for."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    task = await worker.activity_task()
    error = await ctx.attempt(worker.cancel_activity(task.task_token))
    await worker.complete_activity(task.task_token)
    return {"error": error, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def failure_must_be_application(ctx: Context) -> Record:
    """By token only application failures are accepted."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    task = await worker.activity_task()
    failure = failure_pb.Failure(message="odd", server_failure_info=failure_pb.ServerFailureInfo())
    error = await ctx.attempt(worker.fail_activity(task.task_token, failure))
    await worker.complete_activity(task.task_token)
    return {"error": error, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def asynchronous_by_token(ctx: Context) -> Record:
    """Whoever has the token completes the activity later; the token works once."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    task = await worker.activity_task()
    token = bytes(task.task_token)
    heartbeat = await ctx.attempt(worker.heartbeat(token, "from elsewhere"))
    await worker.complete_activity(token, "from elsewhere")
    again = await ctx.attempt(worker.complete_activity(token, "twice"))
    bad = await ctx.attempt(worker.complete_activity(b"not a token"))
    none = await ctx.attempt(worker.complete_activity(b""))
    return {
        "heartbeat": heartbeat,
        "again": again,
        "bad token": bad,
        "no token": none,
        "history": await _finish(ctx, worker, workflow_id),
    }


async def _by_id(ctx: Context, method: str, request: type, workflow_id: str, activity_id: str, **fields: Any) -> Record:
    body = request(
        namespace=ctx.namespace,
        workflow_id=workflow_id,
        activity_id=activity_id,
        identity=WORKER_IDENTITY,
        **fields,
    )
    return await ctx.attempt(ctx.rpc(method, body))


@scenario
async def complete_by_id(ctx: Context) -> Record:
    """An activity is completed by workflow id and activity id; unknown ids are refused."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    await worker.activity_task()
    call = ("respond_activity_task_completed_by_id", service_pb.RespondActivityTaskCompletedByIdRequest)
    result = commands.payloads("by id")
    return {
        "unknown workflow": await _by_id(ctx, *call, ctx.name("ghost"), "a", result=result),
        "unknown activity": await _by_id(ctx, *call, workflow_id, "ghost", result=result),
        "no activity": await _by_id(ctx, *call, workflow_id, "", result=result),
        "complete": await _by_id(ctx, *call, workflow_id, "a", result=result),
        "again": await _by_id(ctx, *call, workflow_id, "a", result=result),
        "history": await _finish(ctx, worker, workflow_id),
    }


@scenario
async def complete_by_id_before_start(ctx: Context) -> Record:
    """An activity may be completed by id although nobody has picked it up."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.schedule_activity("a", ctx.name("nobody")))
    call = ("respond_activity_task_completed_by_id", service_pb.RespondActivityTaskCompletedByIdRequest)
    answer = await _by_id(ctx, *call, workflow_id, "a", result=commands.payloads("early"))
    return {"answer": answer, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def fail_by_id(ctx: Context) -> Record:
    """An activity is failed by id."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker, retry_policy=commands.retry_policy(attempts=1))
    await worker.activity_task()
    call = ("respond_activity_task_failed_by_id", service_pb.RespondActivityTaskFailedByIdRequest)
    answer = await _by_id(ctx, *call, workflow_id, "a", failure=commands.application_failure("by id"))
    return {"answer": answer, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def heartbeat_and_cancel_by_id(ctx: Context) -> Record:
    """A heartbeat by id reports the cancel request, and the cancellation is reported by id."""
    worker = RawWorker(ctx)
    workflow_id, _ = await _start_and_cancel(ctx, worker)
    beat = ("record_activity_task_heartbeat_by_id", service_pb.RecordActivityTaskHeartbeatByIdRequest)
    cancel = ("respond_activity_task_canceled_by_id", service_pb.RespondActivityTaskCanceledByIdRequest)
    return {
        "heartbeat": await _by_id(ctx, *beat, workflow_id, "a", details=commands.payloads("x")),
        "canceled": await _by_id(ctx, *cancel, workflow_id, "a", details=commands.payloads("bye")),
        "history": await _finish(ctx, worker, workflow_id),
    }


@scenario
async def eager(ctx: Context) -> Record:
    """An eager activity comes back with the completion of the workflow task that scheduled it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    command = commands.schedule_activity("a", ctx.queue, request_eager_execution=True, input=commands.payloads("x"))
    answer = await worker.complete(task, command)
    pending = await ctx.describe(workflow_id)
    [activity] = answer.activity_tasks
    await worker.complete_activity(activity.task_token, "eager")
    return {
        "activity": records.message(activity),
        "pending": pending,
        "history": await _finish(ctx, worker, workflow_id),
    }


@scenario
async def closed_workflow(ctx: Context) -> Record:
    """When the workflow has closed, heartbeats and answers of its activities are refused."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    task = await worker.activity_task()
    await ctx.terminate(workflow_id, reason="enough")
    return {
        "heartbeat": await ctx.attempt(worker.heartbeat(task.task_token)),
        "complete": await ctx.attempt(worker.complete_activity(task.task_token)),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def huge_result(ctx: Context) -> Record:
    """A result over the size limit is recorded as a failure; the call itself succeeds."""
    worker = RawWorker(ctx)
    workflow_id = await _schedule(ctx, worker)
    task = await worker.activity_task()
    answer = await ctx.attempt(worker.complete_activity(task.task_token, "x" * (2 * 1024 * 1024 + 1)))
    return {"answer": answer, "history": await _finish(ctx, worker, workflow_id)}


@scenario
async def results_while_task_runs(ctx: Context) -> Record:
    """Results that arrive while a workflow task runs are buffered and get their event ids afterwards."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(
        commands.schedule_activity("a", ctx.queue),
        commands.schedule_activity("b", ctx.queue),
        force_create_new_workflow_task=True,
    )
    activities = [await worker.activity_task(), await worker.activity_task()]
    activities.sort(key=lambda task: task.activity_id)
    task = await worker.workflow_task()
    await worker.complete_activity(activities[0].task_token, "from a")
    await ctx.signal(workflow_id, "between")
    await worker.complete_activity(activities[1].task_token, "from b")
    running = await ctx.history(workflow_id)
    await worker.complete(task)
    return {"running": running, "history": await _finish(ctx, worker, workflow_id)}

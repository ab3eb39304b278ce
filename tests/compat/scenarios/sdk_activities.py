"""Activities run by the real Python SDK worker."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import activity, workflow
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutError, is_cancelled_exception

from harness.context import Context
from harness.records import Record
from harness.registry import scenario

_FAST = RetryPolicy(initial_interval=timedelta(milliseconds=50), backoff_coefficient=1.0)
_ONCE = RetryPolicy(maximum_attempts=1)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@activity.defn
async def flaky(failures: int) -> int:
    """Fails `failures` times, then gives its attempt."""
    attempt = activity.info().attempt
    if attempt <= failures:
        raise ApplicationError(f"attempt {attempt} failed", {"attempt": attempt}, type="Flaky")
    return attempt


@activity.defn
async def final() -> None:
    raise ApplicationError("never again", type="Final", non_retryable=True)


@activity.defn
async def resumes() -> list[Any]:
    """Heartbeats its progress, fails once, and goes on from the progress it finds."""
    details = list(activity.info().heartbeat_details)
    if not details:
        activity.heartbeat("half", 50)
        raise ApplicationError("interrupted")
    return details


@activity.defn
async def never_ends() -> None:
    await asyncio.Event().wait()


@activity.defn
async def until_cancelled() -> None:
    """Heartbeats until it is cancelled."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


@activity.defn
async def somebody_else() -> None:
    activity.raise_complete_async()


_ACTIVITIES = [greet, flaky, final, resumes, never_ends, until_cancelled, somebody_else]


def _explain(failure: BaseException | None) -> Any:
    if isinstance(failure, ActivityError):
        state = failure.retry_state.name if failure.retry_state is not None else None
        return {"activity": failure.activity_type, "retry_state": state, "cause": _explain(failure.cause)}
    if isinstance(failure, TimeoutError):
        return {"timeout": failure.type.name if failure.type is not None else None, "cause": _explain(failure.cause)}
    if isinstance(failure, ApplicationError):
        return {"application": failure.message, "type": failure.type, "details": list(failure.details)}
    if isinstance(failure, FailureError):
        return {type(failure).__name__: failure.message}
    return repr(failure) if failure else None


@workflow.defn
class OneActivity:
    """Runs one activity and returns its result or an explanation of its failure."""

    @workflow.run
    async def run(self, name: str, args: list[Any], options: dict[str, float], attempts: int) -> Any:
        times: Any = {key: timedelta(seconds=value) for key, value in options.items()}
        try:
            return await workflow.execute_activity(
                name,
                args=args,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=50), backoff_coefficient=1.0, maximum_attempts=attempts
                ),
                **times,
            )
        except ActivityError as failure:
            return _explain(failure)


async def _one(
    ctx: Context, workflow_id: str, name: str, *args: Any, attempts: int = 0, **options: float
) -> WorkflowHandle[Any, Any]:
    options = options or {"start_to_close_timeout": 10.0}
    return await ctx.client.start_workflow(
        OneActivity.run,
        args=[name, list(args), options, attempts],
        id=workflow_id,
        task_queue=ctx.queue,
    )


async def _run_one(ctx: Context, name: str, *args: Any, attempts: int = 0, **options: float) -> Record:
    async with ctx.worker(workflows=[OneActivity], activities=_ACTIVITIES):
        handle = await _one(ctx, ctx.workflow_id(), name, *args, attempts=attempts, **options)
        outcome = await ctx.attempt(handle.result())
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@scenario
async def success(ctx: Context) -> Record:
    """An activity on the workflow's own queue, which the SDK asks to run eagerly."""
    return await _run_one(ctx, "greet", "world")


@scenario
async def success_without_eager(ctx: Context) -> Record:
    """The same with eager execution switched off, through the task queue."""
    async with ctx.worker(workflows=[OneActivity], activities=_ACTIVITIES, disable_eager_activity_execution=True):
        handle = await _one(ctx, ctx.workflow_id(), "greet", "world")
        outcome = await ctx.attempt(handle.result())
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@scenario
async def retry_then_success(ctx: Context) -> Record:
    """Two failures, then success."""
    return await _run_one(ctx, "flaky", 2)


@scenario
async def retry_exhausted(ctx: Context) -> Record:
    """All attempts fail."""
    return await _run_one(ctx, "flaky", 99, attempts=3)


@scenario
async def non_retryable(ctx: Context) -> Record:
    """A final failure is not retried."""
    return await _run_one(ctx, "final")


@scenario
async def heartbeat_details(ctx: Context) -> Record:
    """Progress survives a failed attempt."""
    return await _run_one(ctx, "resumes", start_to_close_timeout=10.0, heartbeat_timeout=5.0)


@scenario
async def start_to_close_timeout(ctx: Context) -> Record:
    """An attempt that takes too long."""
    return await _run_one(ctx, "never_ends", attempts=1, start_to_close_timeout=0.5)


@scenario
async def heartbeat_timeout(ctx: Context) -> Record:
    """An activity that does not heartbeat."""
    return await _run_one(ctx, "never_ends", attempts=1, start_to_close_timeout=10.0, heartbeat_timeout=0.5)


@scenario
async def schedule_to_close_timeout(ctx: Context) -> Record:
    """All attempts together take too long; the last failure is the cause."""
    return await _run_one(ctx, "flaky", 99, schedule_to_close_timeout=0.5, start_to_close_timeout=0.4)


@workflow.defn
class Abandoned:
    """Schedules an activity where nobody works."""

    @workflow.run
    async def run(self, queue: str) -> Any:
        try:
            await workflow.execute_activity(
                greet, "x", task_queue=queue, schedule_to_start_timeout=_SECOND / 2, start_to_close_timeout=_SECOND
            )
        except ActivityError as failure:
            return _explain(failure)


@scenario
async def schedule_to_start_timeout(ctx: Context) -> Record:
    """Nobody takes the activity."""
    async with ctx.worker(workflows=[Abandoned]):
        handle = await ctx.client.start_workflow(
            Abandoned.run, ctx.name("nobody"), id=ctx.workflow_id(), task_queue=ctx.queue
        )
        outcome = await ctx.attempt(handle.result())
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@workflow.defn
class Canceller:
    """Cancels a running activity when told to and waits for its cancellation."""

    def __init__(self) -> None:
        self.told = False

    @workflow.signal
    def stop(self) -> None:
        self.told = True

    @workflow.run
    async def run(self) -> Any:
        task = workflow.start_activity(
            until_cancelled,
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=0.5),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: self.told)
        task.cancel()
        try:
            await task
        except ActivityError as failure:
            return {"cancelled": is_cancelled_exception(failure), "why": _explain(failure)}
        return "not cancelled"


@scenario
async def cancellation(ctx: Context) -> Record:
    """The activity learns by heartbeat that it is cancelled."""
    async with ctx.worker(workflows=[Canceller], activities=_ACTIVITIES):
        handle = await ctx.client.start_workflow(Canceller.run, id=ctx.workflow_id(), task_queue=ctx.queue)
        await ctx.until(lambda: ctx.proto_describe(handle.id), _heartbeating)
        await handle.signal(Canceller.stop)
        outcome = await ctx.attempt(handle.result())
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


def _heartbeating(description: Any) -> bool:
    return any(pending.HasField("last_heartbeat_time") for pending in description.pending_activities)


@scenario
async def asynchronous_completion(ctx: Context) -> Record:
    """Activities completed, failed and reported by somebody else, by id."""
    record: Record = {}
    async with ctx.worker(workflows=[OneActivity], activities=_ACTIVITIES):
        for action in ("complete", "fail", "heartbeat"):
            workflow_id = ctx.workflow_id(action)
            handle = await _one(ctx, workflow_id, "somebody_else", attempts=1, start_to_close_timeout=30.0)
            description = await ctx.until(partial(ctx.proto_describe, workflow_id), _started)
            [pending] = description.pending_activities
            remote = ctx.client.get_async_activity_handle(
                workflow_id=workflow_id, run_id=None, activity_id=pending.activity_id
            )
            if action == "heartbeat":
                await remote.heartbeat("alive")
            if action == "fail":
                await remote.fail(ApplicationError("from elsewhere", type="Remote"))
            else:
                await remote.complete("from elsewhere")
            record[action] = {
                "outcome": await ctx.attempt(handle.result()),
                "again": await ctx.attempt(remote.complete("again")),
                "history": await ctx.history(workflow_id),
            }
    return record


def _started(description: Any) -> bool:
    return any(pending.HasField("last_started_time") for pending in description.pending_activities)


@workflow.defn
class Local:
    """Runs local activities, which the server sees only as markers."""

    @workflow.run
    async def run(self) -> list[Any]:
        first = await workflow.execute_local_activity(greet, "here", start_to_close_timeout=_MINUTE)
        second = await workflow.execute_local_activity(flaky, 1, start_to_close_timeout=_MINUTE, retry_policy=_FAST)
        try:
            await workflow.execute_local_activity(final, start_to_close_timeout=_MINUTE, retry_policy=_ONCE)
        except ActivityError as failure:
            return [first, second, _explain(failure)]
        return []


@scenario
async def local(ctx: Context) -> Record:
    """Local activities become markers."""
    async with ctx.worker(workflows=[Local], activities=_ACTIVITIES):
        handle = await ctx.client.start_workflow(Local.run, id=ctx.workflow_id(), task_queue=ctx.queue)
        outcome = await ctx.attempt(handle.result())
    return {"outcome": outcome, "history": _without_local_times(await ctx.history(handle.id))}


def _without_local_times(history: list[Record]) -> list[Record]:
    """Markers of local activities hold times that the SDK measured."""
    for event in history:
        event.get("marker_recorded_event_attributes", {}).get("details", {}).pop("data", None)
    return history


@workflow.defn
class Many:
    """Runs activities side by side."""

    @workflow.run
    async def run(self, count: int) -> list[str]:
        return await asyncio.gather(
            *(
                workflow.execute_activity(greet, str(number), start_to_close_timeout=timedelta(seconds=10))
                for number in range(count)
            )
        )


@scenario
async def side_by_side(ctx: Context) -> Record:
    """Twenty activities at once; only the outcome is deterministic."""
    async with ctx.worker(workflows=[Many], activities=_ACTIVITIES):
        result = await ctx.client.execute_workflow(Many.run, 20, id=ctx.workflow_id(), task_queue=ctx.queue)
    events = await ctx.history(ctx.workflow_id())
    kinds = [event["event_type"] for event in events]
    names = ("SCHEDULED", "STARTED", "COMPLETED")
    return {"result": result, "events": {name: kinds.count(f"EVENT_TYPE_ACTIVITY_TASK_{name}") for name in names}}


@scenario
async def worker_restarts(ctx: Context) -> Record:
    """An activity whose worker disappeared is retried by the next worker after its timeout."""
    async with ctx.worker(workflows=[OneActivity], activities=_ACTIVITIES):
        handle = await _one(ctx, ctx.workflow_id(), "never_ends", start_to_close_timeout=1.5, attempts=2)
        await ctx.until(lambda: ctx.proto_describe(handle.id), _started)
    async with ctx.worker(workflows=[OneActivity], activities=_ACTIVITIES):
        outcome = await ctx.attempt(handle.result())
    return {"outcome": outcome}

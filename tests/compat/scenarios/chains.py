"""Chains of runs: continue-as-new, workflow retry and cron."""

import temporalio.api.common.v1 as common_pb

from harness import commands, records
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario


async def _backoff(ctx: Context, workflow_id: str) -> float:
    """The current run's first backoff in seconds; in histories it is masked, since short ones depend on timing."""
    [first, *_] = (await ctx.proto_history(workflow_id)).events
    backoff = first.workflow_execution_started_event_attributes.first_workflow_task_backoff
    return round(backoff.ToTimedelta().total_seconds(), 1)


@scenario
async def continue_as_new(ctx: Context) -> Record:
    """The new run gets what the command says and inherits the rest; both runs name each other."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(
        workflow_id,
        input=commands.payloads("first"),
        workflow_execution_timeout=commands.seconds(500),
        workflow_run_timeout=commands.seconds(50),
        workflow_task_timeout=commands.seconds(5),
        retry_policy=commands.retry_policy(attempts=3),
        memo=common_pb.Memo(fields={"m": commands.payload("first")}),
    )
    await worker.run_task(commands.continue_as_new("second"))
    task = await worker.run_task(commands.complete_workflow("done"))
    return {
        "task": records.message(task),
        "first": await ctx.history(workflow_id, first.run_id),
        "first_describe": await ctx.describe(workflow_id, first.run_id),
        "second": await ctx.history(workflow_id),
        "second_describe": await ctx.describe(workflow_id),
    }


@scenario
async def continue_as_new_with_fields(ctx: Context) -> Record:
    """A command may name another type and queue, timeouts, memo, header, and a delay for the next run."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id)
    other_queue = ctx.name("other-queue")
    await worker.run_task(
        commands.continue_as_new(
            1,
            kind="Successor",
            queue=other_queue,
            workflow_run_timeout=commands.seconds(40),
            workflow_task_timeout=commands.seconds(4),
            backoff_start_interval=commands.seconds(1.5),
            memo=common_pb.Memo(fields={"m": commands.payload("second")}),
            header=common_pb.Header(fields={"h": commands.payload("v")}),
            failure=commands.application_failure("carried"),
            last_completion_result=commands.payloads("carried result"),
        )
    )
    task = await RawWorker(ctx, other_queue).run_task(commands.complete_workflow())
    return {
        "task": records.message(task),
        "backoff": await _backoff(ctx, workflow_id),
        "first": await ctx.history(workflow_id, first.run_id),
        "second": await ctx.history(workflow_id),
    }


@scenario
async def quick_runs(ctx: Context) -> Record:
    """Runs of a chain get to work a second apart, however soon each ends."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    run_ids = [(await ctx.start(workflow_id)).run_id]
    for _ in range(3):
        await worker.run_task(commands.continue_as_new())
        run_ids.append((await ctx.proto_describe(workflow_id)).workflow_execution_info.execution.run_id)
    runs = [(await ctx.proto_describe(workflow_id, run_id)).workflow_execution_info for run_id in run_ids]
    times = [run.execution_time.ToNanoseconds() / 1e9 for run in runs]
    return {"seconds apart": [round(later - earlier, 1) for earlier, later in zip(times, times[1:])]}


@scenario
async def continue_as_new_over_buffered_signal(ctx: Context) -> Record:
    """A run cannot continue as new over a signal it has not seen."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id)
    task = await worker.workflow_task()
    await ctx.signal(workflow_id, "unseen")
    error = await ctx.attempt(worker.complete(task, commands.continue_as_new()))
    await worker.run_task(commands.continue_as_new())
    await worker.run_task(commands.complete_workflow())
    return {
        "error": error,
        "first": await ctx.history(workflow_id, first.run_id),
        "second": await ctx.history(workflow_id),
    }


@scenario
async def continue_as_new_drops_pending_work(ctx: Context) -> Record:
    """Timers and activities of the old run end with it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id)
    await worker.run_task(
        commands.start_timer("t", 600),
        commands.schedule_activity("a", ctx.name("nobody")),
        commands.continue_as_new(),
    )
    description = await ctx.describe(workflow_id)
    await worker.run_task(commands.complete_workflow())
    return {"describe": description, "first": await ctx.history(workflow_id, first.run_id)}


@scenario
async def close_event_of_first_run(ctx: Context) -> Record:
    """Waiting for the close of the first run gives its ContinuedAsNew event with the next run's id."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id)
    await worker.run_task(commands.continue_as_new())
    await worker.run_task(commands.complete_workflow())
    return {
        "first": await ctx.wait_closed(workflow_id, first.run_id),
        "current": await ctx.wait_closed(workflow_id),
    }


@scenario
async def retry_then_success(ctx: Context) -> Record:
    """A failed run with a retry policy is followed by another with the same input."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(
        workflow_id,
        input=commands.payloads("same"),
        memo=common_pb.Memo(fields={"m": commands.payload(1)}),
        retry_policy=commands.retry_policy(attempts=3, initial=0.1),
    )
    await worker.run_task(commands.fail_workflow(commands.application_failure("try again")))
    task = await worker.run_task(commands.complete_workflow("done"))
    return {
        "task": records.message(task),
        "first": await ctx.history(workflow_id, first.run_id),
        "first_close": await ctx.wait_closed(workflow_id, first.run_id),
        "second": await ctx.history(workflow_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def retry_exhausted(ctx: Context) -> Record:
    """The last attempt's failure stands."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, retry_policy=commands.retry_policy(attempts=2, initial=0.1))
    await worker.run_task(commands.fail_workflow(commands.application_failure("one")))
    await worker.run_task(commands.fail_workflow(commands.application_failure("two")))
    return {"second": await ctx.history(workflow_id), "describe": await ctx.describe(workflow_id)}


@scenario
async def retry_not_for_non_retryable(ctx: Context) -> Record:
    """Non-retryable failures, by flag or by listed type, are not retried."""
    worker = RawWorker(ctx)
    flag, listed = ctx.workflow_id("flag"), ctx.workflow_id("listed")
    policy = commands.retry_policy(initial=0.1, non_retryable_error_types=["Fatal"])
    await ctx.start(flag, retry_policy=policy)
    await worker.run_task(commands.fail_workflow(commands.application_failure("no", non_retryable=True)))
    await ctx.start(listed, retry_policy=policy)
    await worker.run_task(commands.fail_workflow(commands.application_failure("no", kind="Fatal")))
    return {"flag": await ctx.history(flag), "listed": await ctx.history(listed)}


@scenario
async def retry_after_run_timeout(ctx: Context) -> Record:
    """A run that times out is retried; the execution timeout ends the chain."""
    workflow_id = ctx.workflow_id()
    first = await ctx.start(
        workflow_id,
        workflow_run_timeout=commands.seconds(1),
        retry_policy=commands.retry_policy(attempts=2, initial=0.1),
    )
    await ctx.wait_closed(workflow_id, first.run_id)
    await ctx.wait_closed(workflow_id)
    return {
        "first": await ctx.history(workflow_id, first.run_id),
        "second": await ctx.history(workflow_id),
    }


@scenario
async def retry_backoff(ctx: Context) -> Record:
    """The interval grows by the coefficient; a failure's next_retry_delay overrides it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    policy = commands.retry_policy(initial=1.5, coefficient=3.0)
    policy.maximum_interval.FromSeconds(60)
    await ctx.start(workflow_id, retry_policy=policy)
    await worker.run_task(commands.fail_workflow(commands.application_failure("first")))
    backoffs = [await _backoff(ctx, workflow_id)]
    soon = commands.application_failure("second", next_retry_delay=commands.seconds(1.2))
    await worker.run_task(commands.fail_workflow(soon))
    backoffs.append(await _backoff(ctx, workflow_id))
    await worker.run_task(commands.fail_workflow(commands.application_failure("third")))
    backoffs.append(await _backoff(ctx, workflow_id))
    return {"backoffs": backoffs, "fourth": await ctx.history(workflow_id)}


@scenario
async def cancelled_run_is_not_retried(ctx: Context) -> Record:
    """A cancelled run ends the chain."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, retry_policy=commands.retry_policy(initial=0.1))
    await ctx.cancel(workflow_id)
    await worker.run_task(commands.cancel_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def cron(ctx: Context) -> Record:
    """Each run of a cron workflow is followed by the next with the last result; failures are carried along."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id, cron_schedule="@every 1s", input=commands.payloads("in"))
    waiting = await ctx.describe(workflow_id)
    tasks = [await worker.run_task(commands.complete_workflow("one"))]
    tasks.append(await worker.run_task(commands.fail_workflow(commands.application_failure("bad day"))))
    third = await worker.workflow_task()
    await ctx.terminate(workflow_id, reason="seen enough")
    return {
        "waiting": waiting,
        "runs": [await ctx.history(workflow_id, task.workflow_execution.run_id) for task in [*tasks, third]],
        "first close": await ctx.wait_closed(workflow_id, first.run_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def cron_cancelled(ctx: Context) -> Record:
    """Cancelling a waiting cron workflow wakes it, and its cancellation ends the cron."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, cron_schedule="@every 3600s")
    await ctx.signal(workflow_id, "does not wake it")
    await ctx.cancel(workflow_id)
    await worker.run_task(commands.cancel_workflow())
    return {"history": await ctx.history(workflow_id), "describe": await ctx.describe(workflow_id)}


@scenario
async def cron_after_timeout(ctx: Context) -> Record:
    """A run of a cron workflow that times out is followed by the next run."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    first = await ctx.start(workflow_id, cron_schedule="@every 1s", workflow_run_timeout=commands.seconds(1))
    await ctx.wait_closed(workflow_id, first.run_id)
    task = await worker.workflow_task()
    return {
        "first": await ctx.history(workflow_id, first.run_id),
        "next": records.message(task),
    }

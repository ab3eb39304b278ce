"""Starting workflows: fields, defaults, id policies, de-duplication, delays and refusals."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.sdk.v1 as sdk_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
import temporalio.api.workflow.v1 as workflow_pb

from harness import commands, records
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_CONFLICT = enums.WorkflowIdConflictPolicy
_REUSE = enums.WorkflowIdReusePolicy


@scenario
async def every_field(ctx: Context) -> Record:
    """A start with every ordinary field set shows them in the event, the task and the description."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(
        workflow_id,
        input=commands.payloads("text", 7, {"a": [1, 2]}),
        workflow_execution_timeout=commands.seconds(100),
        workflow_run_timeout=commands.seconds(50),
        workflow_task_timeout=commands.seconds(5),
        retry_policy=commands.retry_policy(attempts=3, initial=1.5, non_retryable_error_types=["Fatal"]),
        memo=common_pb.Memo(fields={"note": commands.payload("remember")}),
        header=common_pb.Header(fields={"trace": commands.payload("on")}),
        user_metadata=sdk_pb.UserMetadata(summary=commands.payload("summary"), details=commands.payload("details")),
        priority=common_pb.Priority(priority_key=2, fairness_key="tenant", fairness_weight=1.5),
    )
    worker = RawWorker(ctx)
    task = await worker.workflow_task()
    open_description = await ctx.describe(workflow_id)
    await worker.complete(task, commands.complete_workflow("done"))
    return {
        "started": records.message(started),
        "task": records.message(task),
        "open": open_description,
        "closed": await ctx.describe(workflow_id),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def defaults(ctx: Context) -> Record:
    """A start with the fewest fields shows what the server fills in."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id)
    description = await ctx.describe(workflow_id)
    await RawWorker(ctx).run_task(commands.complete_workflow())
    return {
        "started": records.message(started),
        "open": description,
        "closed": await ctx.describe(workflow_id),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def retry_policy_defaults(ctx: Context) -> Record:
    """An empty retry policy is filled with defaults; a policy of one attempt is left alone."""
    empty, single = ctx.workflow_id("empty"), ctx.workflow_id("single")
    await ctx.start(empty, retry_policy=common_pb.RetryPolicy())
    await ctx.start(single, retry_policy=common_pb.RetryPolicy(maximum_attempts=1))
    return {"empty": await ctx.history(empty), "single": await ctx.history(single)}


@scenario
async def timeouts_are_capped(ctx: Context) -> Record:
    """A run timeout above the execution timeout and a task timeout above the run timeout are lowered."""
    workflow_id = ctx.workflow_id()
    await ctx.start(
        workflow_id,
        workflow_execution_timeout=commands.seconds(60),
        workflow_run_timeout=commands.seconds(600),
        workflow_task_timeout=commands.seconds(90),
    )
    huge = ctx.workflow_id("huge")
    await ctx.start(huge, workflow_task_timeout=commands.seconds(3600))
    return {"history": await ctx.history(workflow_id), "huge": await ctx.history(huge)}


@scenario
async def conflict_policies(ctx: Context) -> Record:
    """Each conflict policy against a running workflow."""
    record: Record = {}
    for policy in (
        _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED,
        _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
    ):
        name = _CONFLICT.Name(policy).removeprefix("WORKFLOW_ID_CONFLICT_POLICY_")
        workflow_id = ctx.workflow_id(name.lower())
        first = await ctx.start(workflow_id)
        second = await ctx.attempt(ctx.start(workflow_id, workflow_id_conflict_policy=policy))
        record[name] = {
            "first": records.message(first),
            "second": second,
            "first_history": await ctx.history(workflow_id, first.run_id),
            "current_history": await ctx.history(workflow_id),
            "current": await ctx.describe(workflow_id),
        }
    return record


@scenario
async def terminate_if_running(ctx: Context) -> Record:
    """The deprecated reuse policy TERMINATE_IF_RUNNING replaces a running workflow."""
    workflow_id = ctx.workflow_id()
    first = await ctx.start(workflow_id)
    second = await ctx.attempt(
        ctx.start(workflow_id, workflow_id_reuse_policy=_REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING)
    )
    return {
        "second": second,
        "first_history": await ctx.history(workflow_id, first.run_id),
        "second_history": await ctx.history(workflow_id),
    }


@scenario
async def reuse_policies_after_completion(ctx: Context) -> Record:
    """Each reuse policy once the workflow has completed."""
    return await _reuse_policies(ctx, commands.complete_workflow())


@scenario
async def reuse_policies_after_failure(ctx: Context) -> Record:
    """Each reuse policy once the workflow has failed."""
    return await _reuse_policies(ctx, commands.fail_workflow(commands.application_failure("no")))


async def _reuse_policies(ctx: Context, close: commands.Command) -> Record:
    record: Record = {}
    worker = RawWorker(ctx)
    for policy in (
        _REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        _REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
        _REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
        _REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING,
    ):
        name = _REUSE.Name(policy).removeprefix("WORKFLOW_ID_REUSE_POLICY_")
        workflow_id = ctx.workflow_id(name.lower())
        first = await ctx.start(workflow_id)
        await worker.run_task(close)
        second = await ctx.attempt(ctx.start(workflow_id, workflow_id_reuse_policy=policy))
        if "response" in second:
            await worker.run_task(commands.complete_workflow())
        record[name] = {"first": records.message(first), "second": second, "history": await ctx.history(workflow_id)}
    return record


@scenario
async def conflict_policies_after_completion(ctx: Context) -> Record:
    """USE_EXISTING and TERMINATE_EXISTING start a new run when the old one has closed."""
    record: Record = {}
    worker = RawWorker(ctx)
    for policy in (
        _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
    ):
        name = _CONFLICT.Name(policy).removeprefix("WORKFLOW_ID_CONFLICT_POLICY_")
        workflow_id = ctx.workflow_id(name.lower())
        await ctx.start(workflow_id)
        await worker.run_task(commands.complete_workflow())
        record[name] = await ctx.attempt(ctx.start(workflow_id, workflow_id_conflict_policy=policy))
        await worker.run_task(commands.complete_workflow())
    return record


@scenario
async def request_id_dedupe(ctx: Context) -> Record:
    """A start repeated with its request id gives the same run, while it runs and after it closed."""
    workflow_id, request_id = ctx.workflow_id(), "start-once"
    first = await ctx.start(workflow_id, request_id=request_id)
    running = await ctx.attempt(ctx.start(workflow_id, request_id=request_id))
    await RawWorker(ctx).run_task(commands.complete_workflow())
    closed = await ctx.attempt(ctx.start(workflow_id, request_id=request_id))
    return {"first": records.message(first), "running": running, "closed": closed}


@scenario
async def on_conflict_options(ctx: Context) -> Record:
    """USE_EXISTING with on_conflict_options attaches the request id and leaves an event."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id, request_id="first")
    use_existing = _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
    options = workflow_pb.OnConflictOptions(attach_request_id=True)
    attach = {"workflow_id_conflict_policy": use_existing, "on_conflict_options": options, "request_id": "second"}
    attached = await ctx.attempt(ctx.start(workflow_id, **attach))
    again = await ctx.attempt(ctx.start(workflow_id, **attach))
    return {
        "attached": attached,
        "again": again,
        "history": await ctx.history(workflow_id),
        "describe": await ctx.describe(workflow_id),
    }


@scenario
async def refusals(ctx: Context) -> Record:
    """Requests that cannot be right are refused before anything is written."""
    long_name = "x" * 1001
    bad: dict[str, dict[str, Any]] = {
        "no workflow type": {"workflow_type": common_pb.WorkflowType()},
        "no task queue": {"task_queue": taskqueue_pb.TaskQueue()},
        "reserved task queue": {"task_queue": taskqueue_pb.TaskQueue(name="/_sys/queue")},
        "long workflow id": {"workflow_id": long_name},
        "long request id": {"request_id": long_name},
        "long workflow type": {"workflow_type": common_pb.WorkflowType(name=long_name)},
        "negative run timeout": {"workflow_run_timeout": commands.seconds(-1)},
        "negative execution timeout": {"workflow_execution_timeout": commands.seconds(-1)},
        "negative task timeout": {"workflow_task_timeout": commands.seconds(-1)},
        "negative start delay": {"workflow_start_delay": commands.seconds(-1)},
        "bad cron": {"cron_schedule": "not a schedule"},
        "cron with delay": {"cron_schedule": "@every 1s", "workflow_start_delay": commands.seconds(1)},
        "coefficient below one": {"retry_policy": common_pb.RetryPolicy(backoff_coefficient=0.5)},
        "negative attempts": {"retry_policy": common_pb.RetryPolicy(maximum_attempts=-1)},
        "negative interval": {"retry_policy": common_pb.RetryPolicy(initial_interval=commands.seconds(-1))},
        "maximum below initial": {
            "retry_policy": common_pb.RetryPolicy(
                initial_interval=commands.seconds(5), maximum_interval=commands.seconds(1)
            )
        },
        "reject and terminate": {
            "workflow_id_reuse_policy": _REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
            "workflow_id_conflict_policy": _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
        },
        "terminate twice": {
            "workflow_id_reuse_policy": _REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING,
            "workflow_id_conflict_policy": _CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        },
        "unknown search attribute": {
            "search_attributes": common_pb.SearchAttributes(indexed_fields={"NoSuchThing": commands.payload("x")})
        },
        "system search attribute": {
            "search_attributes": common_pb.SearchAttributes(indexed_fields={"WorkflowId": commands.payload("x")})
        },
        "negative priority": {"priority": common_pb.Priority(priority_key=-1)},
        "long fairness key": {"priority": common_pb.Priority(fairness_key="k" * 65)},
        "huge input": {"input": commands.payloads("x" * (2 * 1024 * 1024 + 1))},
        "huge memo": {"memo": common_pb.Memo(fields={"m": commands.payload("x" * (2 * 1024 * 1024 + 1))})},
    }
    record: Record = {}
    for name, fields in bad.items():
        workflow_id = fields.pop("workflow_id", None) or ctx.workflow_id()
        record[name] = await ctx.attempt(ctx.start(workflow_id, **fields))
    empty = ctx.start_request()
    empty.workflow_id = ""
    record["no workflow id"] = await ctx.attempt(ctx.rpc("start_workflow_execution", empty))
    elsewhere = ctx.start_request()
    elsewhere.namespace = "no-such-namespace"
    record["unknown namespace"] = await ctx.attempt(ctx.rpc("start_workflow_execution", elsewhere))
    elsewhere.namespace = ""
    record["no namespace"] = await ctx.attempt(ctx.rpc("start_workflow_execution", elsewhere))
    record["nothing started"] = await ctx.attempt(ctx.describe(ctx.workflow_id()))
    return record


@scenario
async def delay(ctx: Context) -> Record:
    """A delayed start gets its first workflow task after the delay; a plain signal does not wake it."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id, workflow_start_delay=commands.seconds(1))
    await ctx.signal(workflow_id, "early")
    before = await ctx.history(workflow_id)
    waiting = await ctx.describe(workflow_id)
    await RawWorker(ctx).run_task(commands.complete_workflow())
    return {
        "started": records.message(started),
        "waiting": waiting,
        "before": before,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def delay_ended_by_cancel(ctx: Context) -> Record:
    """A cancel request during the delay gives a workflow task at once."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id, workflow_start_delay=commands.seconds(600))
    await ctx.cancel(workflow_id, reason="no need")
    await RawWorker(ctx).run_task(commands.cancel_workflow())
    return {"history": await ctx.history(workflow_id), "describe": await ctx.describe(workflow_id)}


@scenario
async def eager(ctx: Context) -> Record:
    """An eager start returns the first workflow task inline, and the task can be completed."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id, request_eager_execution=True)
    running = await ctx.describe(workflow_id)
    await RawWorker(ctx).complete(started.eager_workflow_task, commands.complete_workflow("eager"))
    return {
        "started": records.message(started),
        "running": running,
        "history": await ctx.history(workflow_id),
    }


@scenario
async def eager_without_need(ctx: Context) -> Record:
    """Eager execution falls back silently when the first workflow task is delayed."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id, request_eager_execution=True, workflow_start_delay=commands.seconds(600))
    return {"started": records.message(started), "history": await ctx.history(workflow_id)}

"""Child workflows."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums

from harness import commands, records
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_CLOSE = enums.ParentClosePolicy
_REUSE = enums.WorkflowIdReusePolicy


class _Family:
    """A parent and a child on queues of their own, so that their tasks cannot be mixed up."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.parent_id = ctx.workflow_id("parent")
        self.child_id = ctx.workflow_id("child")
        self.parent = RawWorker(ctx)
        self.child = RawWorker(ctx, ctx.name("child-queue"))

    async def start(self, **fields: Any) -> None:
        """Starts the parent, whose first task starts the child, and handles the child's ChildStarted."""
        await self.ctx.start(self.parent_id)
        await self.parent.run_task(commands.start_child(self.child_id, task_queue=self.child.queue, **fields))
        await self.ctx.wait_event(self.parent_id, "CHILD_WORKFLOW_EXECUTION_STARTED")
        await self.parent.run_task()

    async def records(self) -> Record:
        return {
            "parent": await self.ctx.history(self.parent_id),
            "child": await self.ctx.history(self.child_id),
        }


@scenario
async def success(ctx: Context) -> Record:
    """The child knows its parent and its root; its result comes back to the parent."""
    family = _Family(ctx)
    await family.start(
        input=commands.payloads("in"),
        memo=common_pb.Memo(fields={"m": commands.payload(1)}),
        header=common_pb.Header(fields={"h": commands.payload("v")}),
    )
    pending = await ctx.describe(family.parent_id)
    task = await family.child.workflow_task()
    child = await ctx.describe(family.child_id)
    await family.child.complete(task, commands.complete_workflow("out"))
    await family.parent.run_task(commands.complete_workflow())
    return {"pending": pending, "child task": records.message(task), "child open": child} | await family.records()


@scenario
async def every_field(ctx: Context) -> Record:
    """Timeouts, retry policy, policies, priority and metadata of the command."""
    family = _Family(ctx)
    await ctx.start(family.parent_id, priority=common_pb.Priority(priority_key=2, fairness_key="parent"))
    command = commands.start_child(
        family.child_id,
        task_queue=family.child.queue,
        workflow_execution_timeout=commands.seconds(90),
        workflow_run_timeout=commands.seconds(60),
        workflow_task_timeout=commands.seconds(6),
        parent_close_policy=_CLOSE.PARENT_CLOSE_POLICY_ABANDON,
        workflow_id_reuse_policy=_REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
        retry_policy=commands.retry_policy(attempts=3),
        control="control",
        priority=common_pb.Priority(priority_key=5),
    )
    await family.parent.run_task(commands.with_metadata(command, summary="a child", details="of mine"))
    await ctx.wait_event(family.parent_id, "CHILD_WORKFLOW_EXECUTION_STARTED")
    child = await ctx.describe(family.child_id)
    await family.child.run_task(commands.complete_workflow())
    await ctx.wait_event(family.parent_id, "CHILD_WORKFLOW_EXECUTION_COMPLETED")
    return {"child open": child} | await family.records()


@scenario
async def inherits_queue(ctx: Context) -> Record:
    """A child without a queue runs on the parent's."""
    worker, parent, child = RawWorker(ctx), ctx.workflow_id("parent"), ctx.workflow_id("child")
    await ctx.start(parent, workflow_task_timeout=commands.seconds(7))
    await worker.run_task(commands.start_child(child))
    await ctx.wait_event(parent, "CHILD_WORKFLOW_EXECUTION_STARTED")
    await ctx.wait_event(child, "WORKFLOW_TASK_SCHEDULED")
    return {"parent": (await ctx.history(parent))[:6], "child": (await ctx.history(child))[:2]}


@scenario
async def failure(ctx: Context) -> Record:
    """A child's failure comes back with its retry state."""
    family = _Family(ctx)
    await family.start()
    await family.child.run_task(commands.fail_workflow(commands.application_failure("child broke")))
    await family.parent.run_task(commands.complete_workflow())
    return await family.records()


@scenario
async def retried(ctx: Context) -> Record:
    """A retried child reports only its last run."""
    family = _Family(ctx)
    await family.start(retry_policy=commands.retry_policy(attempts=2, initial=0.1))
    await family.child.run_task(commands.fail_workflow(commands.application_failure("first")))
    await family.child.run_task(commands.complete_workflow("second"))
    await family.parent.run_task(commands.complete_workflow())
    return await family.records()


@scenario
async def continued_as_new(ctx: Context) -> Record:
    """A child that continues as new reports once, from its last run, under its first run's id."""
    family = _Family(ctx)
    await family.start()
    await family.child.run_task(commands.continue_as_new("more"))
    await family.child.run_task(commands.complete_workflow("finally"))
    await family.parent.run_task(commands.complete_workflow())
    return await family.records()


@scenario
async def terminated(ctx: Context) -> Record:
    """A terminated child is reported as such."""
    family = _Family(ctx)
    await family.start()
    await ctx.terminate(family.child_id, reason="away with it")
    await family.parent.run_task(commands.complete_workflow())
    return await family.records()


@scenario
async def timed_out(ctx: Context) -> Record:
    """A child over its time is reported as timed out."""
    family = _Family(ctx)
    await family.start(workflow_run_timeout=commands.seconds(1))
    await family.parent.run_task(commands.complete_workflow())
    return await family.records()


@scenario
async def cancelled(ctx: Context) -> Record:
    """The parent asks its child to cancel; the child's cancellation comes back."""
    family = _Family(ctx)
    await family.start()
    await ctx.signal(family.parent_id, "cancel it")
    await family.parent.run_task(commands.cancel_external(family.child_id, child_only=True))
    await ctx.wait_event(family.parent_id, "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    await family.parent.run_task()
    await family.child.run_task(commands.cancel_workflow("bye"))
    await family.parent.run_task(commands.complete_workflow())
    return await family.records()


@scenario
async def already_started(ctx: Context) -> Record:
    """A child whose id is taken fails to start; the parent goes on."""
    family = _Family(ctx)
    await ctx.start(family.child_id)
    await ctx.start(family.parent_id, task_queue=commands.task_queue(ctx.name("parent-queue")))
    parent = RawWorker(ctx, ctx.name("parent-queue"))
    await parent.run_task(commands.start_child(family.child_id, task_queue=family.child.queue))
    await parent.run_task(commands.complete_workflow())
    return {"parent": await ctx.history(family.parent_id)}


@scenario
async def reuse_policy_rejects(ctx: Context) -> Record:
    """REJECT_DUPLICATE refuses the id of a closed workflow."""
    worker, parent, child = RawWorker(ctx), ctx.workflow_id("parent"), ctx.workflow_id("child")
    await ctx.start(child)
    await worker.run_task(commands.complete_workflow())
    await ctx.start(parent)
    reject = _REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    await worker.run_task(commands.start_child(child, workflow_id_reuse_policy=reject))
    await worker.run_task(commands.complete_workflow())
    return {"parent": await ctx.history(parent)}


@scenario
async def bad_attributes(ctx: Context) -> Record:
    """Child commands that cannot be carried out fail the workflow task."""
    record: Record = {}
    worker = RawWorker(ctx)
    bad = {
        "no id": commands.start_child(""),
        "no type": commands.start_child(ctx.name("c"), kind=""),
        "negative timeout": commands.start_child(ctx.name("c"), workflow_run_timeout=commands.seconds(-1)),
        "bad cron": commands.start_child(ctx.name("c"), cron_schedule="never"),
        "other namespace": commands.start_child(ctx.name("c"), namespace="no-such-namespace"),
        "long id": commands.start_child("x" * 1001),
    }
    for name, command in bad.items():
        workflow_id = ctx.workflow_id(name.replace(" ", "-"))
        await ctx.start(workflow_id, workflow_task_timeout=commands.seconds(1))
        task = await worker.workflow_task()
        error = await ctx.attempt(worker.complete(task, command))
        await worker.run_task(commands.complete_workflow())
        record[name] = {"error": error, "history": await ctx.history(workflow_id)}
    return record


@scenario
async def unknown_namespace(ctx: Context) -> Record:
    """A command for a namespace that is not there fails the call; the worker may answer the task again."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    child = commands.start_child(ctx.name("c"), namespace="no-such-namespace")
    signal = commands.signal_external(ctx.name("c"), "s")
    signal.signal_external_workflow_execution_command_attributes.namespace = "no-such-namespace"
    cancel = commands.cancel_external(ctx.name("c"))
    cancel.request_cancel_external_workflow_execution_command_attributes.namespace = "no-such-namespace"
    errors = [
        await ctx.attempt(worker.complete(task, commands.start_timer("t", 100), command))
        for command in (child, signal, cancel)
    ]
    await worker.complete(task, commands.complete_workflow())
    return {"errors": errors, "history": await ctx.history(workflow_id)}


async def _parent_closes(ctx: Context, policy: int) -> _Family:
    family = _Family(ctx)
    await family.start(parent_close_policy=policy)
    await ctx.signal(family.parent_id, "close")
    await family.parent.run_task(commands.complete_workflow())
    return family


@scenario
async def parent_close_terminate(ctx: Context) -> Record:
    """TERMINATE ends the child with its parent."""
    family = await _parent_closes(ctx, _CLOSE.PARENT_CLOSE_POLICY_TERMINATE)
    await ctx.wait_closed(family.child_id)
    return await family.records()


@scenario
async def parent_close_default(ctx: Context) -> Record:
    """No policy means TERMINATE."""
    family = await _parent_closes(ctx, _CLOSE.PARENT_CLOSE_POLICY_UNSPECIFIED)
    await ctx.wait_closed(family.child_id)
    return await family.records()


@scenario
async def parent_close_request_cancel(ctx: Context) -> Record:
    """REQUEST_CANCEL asks the child to cancel."""
    family = await _parent_closes(ctx, _CLOSE.PARENT_CLOSE_POLICY_REQUEST_CANCEL)
    await ctx.wait_event(family.child_id, "WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    await family.child.run_task(commands.cancel_workflow())
    return await family.records()


@scenario
async def parent_close_abandon(ctx: Context) -> Record:
    """ABANDON leaves the child alone."""
    family = await _parent_closes(ctx, _CLOSE.PARENT_CLOSE_POLICY_ABANDON)
    await family.child.run_task(commands.complete_workflow("on my own"))
    return await family.records()


@scenario
async def parent_terminated(ctx: Context) -> Record:
    """Termination of the parent applies the policy, too."""
    family = _Family(ctx)
    await family.start()
    await ctx.terminate(family.parent_id, reason="all of you")
    await ctx.wait_closed(family.child_id)
    return await family.records()


@scenario
async def parent_continues_as_new(ctx: Context) -> Record:
    """A parent that continues as new leaves children behind according to their policy."""
    family = _Family(ctx)
    await family.start()
    [first] = [e for e in (await ctx.proto_history(family.parent_id)).events if e.event_id == 1]
    await ctx.signal(family.parent_id, "go on")
    await family.parent.run_task(commands.continue_as_new())
    await ctx.wait_closed(family.child_id)
    await family.parent.run_task(commands.complete_workflow())
    run_id = first.workflow_execution_started_event_attributes.first_execution_run_id
    return {"first parent": await ctx.history(family.parent_id, run_id)} | await family.records()


@scenario
async def grandchild_has_root(ctx: Context) -> Record:
    """A grandchild names its grandparent as root."""
    root, child, grandchild = (ctx.workflow_id(name) for name in ("root", "child", "grandchild"))
    child_worker = RawWorker(ctx, ctx.name("child-queue"))
    grandchild_worker = RawWorker(ctx, ctx.name("grandchild-queue"))
    await ctx.start(root)
    await RawWorker(ctx).run_task(commands.start_child(child, task_queue=child_worker.queue))
    await child_worker.run_task(commands.start_child(grandchild, task_queue=grandchild_worker.queue))
    await grandchild_worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(grandchild), "describe": await ctx.describe(grandchild)}

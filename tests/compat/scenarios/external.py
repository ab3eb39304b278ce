"""Signals and cancel requests from one workflow to another."""

from harness import commands
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_UNKNOWN_RUN = "11111111-2222-4333-8444-555555555555"


async def _send(ctx: Context, command: commands.Command) -> list[Record]:
    """A workflow on a queue of its own sends the command and completes once it knows the outcome."""
    sender, worker = ctx.workflow_id("sender"), RawWorker(ctx, ctx.name("sender-queue"))
    await ctx.start(sender, task_queue=commands.task_queue(worker.queue))
    await worker.run_task(command)
    await worker.run_task(commands.complete_workflow())
    return await ctx.history(sender)


@scenario
async def signal(ctx: Context) -> Record:
    """The target gets the signal and the sender learns that it was delivered."""
    target = ctx.workflow_id("target")
    await ctx.start(target)
    sender = await _send(ctx, commands.signal_external(target, "hello", "from afar"))
    await RawWorker(ctx).run_task(commands.complete_workflow())
    return {"sender": sender, "target": await ctx.history(target)}


@scenario
async def signal_unknown(ctx: Context) -> Record:
    """A signal to nobody fails, and the sender goes on."""
    return {"sender": await _send(ctx, commands.signal_external(ctx.name("ghost"), "hello"))}


@scenario
async def signal_closed(ctx: Context) -> Record:
    """A signal to a closed workflow fails."""
    target = ctx.workflow_id("target")
    await ctx.start(target)
    await RawWorker(ctx).run_task(commands.complete_workflow())
    return {"sender": await _send(ctx, commands.signal_external(target, "hello"))}


@scenario
async def signal_by_run_id(ctx: Context) -> Record:
    """A signal may name the run."""
    target = ctx.workflow_id("target")
    started = await ctx.start(target)
    sender = await _send(ctx, commands.signal_external(target, "hello", run_id=started.run_id))
    return {"sender": sender, "target": await ctx.history(target)}


@scenario
async def signal_child_only(ctx: Context) -> Record:
    """child_workflow_only refuses a workflow that is no child of the sender."""
    target = ctx.workflow_id("target")
    await ctx.start(target)
    sender = await _send(ctx, commands.signal_external(target, "hello", child_only=True))
    return {"sender": sender, "target": await ctx.history(target)}


@scenario
async def to_oneself(ctx: Context) -> Record:
    """A workflow that signals or cancels itself."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    started = await ctx.start(workflow_id)
    for command in (
        commands.signal_external(workflow_id, "by id"),
        commands.signal_external(workflow_id, "by run", run_id=started.run_id),
        commands.cancel_external(workflow_id),
    ):
        await worker.run_task(command)
    await worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def cancel(ctx: Context) -> Record:
    """The target gets the cancel request and the sender learns of it."""
    target = ctx.workflow_id("target")
    await ctx.start(target)
    sender = await _send(ctx, commands.cancel_external(target))
    await RawWorker(ctx).run_task(commands.cancel_workflow())
    return {"sender": sender, "target": await ctx.history(target)}


@scenario
async def cancel_unknown(ctx: Context) -> Record:
    """A cancel request to nobody fails, and the sender goes on."""
    return {"sender": await _send(ctx, commands.cancel_external(ctx.name("ghost")))}


@scenario
async def cancel_unknown_run(ctx: Context) -> Record:
    """A cancel request to a run that does not exist fails."""
    target = ctx.workflow_id("target")
    await ctx.start(target)
    return {"sender": await _send(ctx, commands.cancel_external(target, _UNKNOWN_RUN))}


@scenario
async def cancel_closed(ctx: Context) -> Record:
    """A cancel request to a closed workflow."""
    target = ctx.workflow_id("target")
    await ctx.start(target)
    await RawWorker(ctx).run_task(commands.complete_workflow())
    return {"sender": await _send(ctx, commands.cancel_external(target))}


@scenario
async def bad_attributes(ctx: Context) -> Record:
    """Commands without a target, a name or with a bad run id fail the workflow task."""
    record: Record = {}
    worker = RawWorker(ctx)
    bad = {
        "signal nobody": commands.signal_external("", "s"),
        "signal without name": commands.signal_external(ctx.name("t"), ""),
        "signal bad run id": commands.signal_external(ctx.name("t"), "s", run_id="nonsense"),
        "cancel nobody": commands.cancel_external(""),
        "cancel bad run id": commands.cancel_external(ctx.name("t"), "nonsense"),
    }
    for name, command in bad.items():
        workflow_id = ctx.workflow_id(name.replace(" ", "-"))
        await ctx.start(workflow_id)
        task = await worker.workflow_task()
        error = await ctx.attempt(worker.complete(task, command))
        await worker.run_task(commands.complete_workflow())
        record[name] = {"error": error, "history": await ctx.history(workflow_id)}
    return record

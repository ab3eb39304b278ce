"""User timers."""

from harness import commands, records
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario


@scenario
async def fires(ctx: Context) -> Record:
    """A timer fires and gives a workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.with_metadata(commands.start_timer("t", 0.3), summary="short nap"))
    pending = await ctx.describe(workflow_id)
    task = await worker.run_task(commands.complete_workflow())
    return {"pending": pending, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def zero(ctx: Context) -> Record:
    """A timer of zero seconds fires at once."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.start_timer("t", 0))
    await worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def in_order(ctx: Context) -> Record:
    """Of several timers each fires once and the shortest comes first."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.start_timer("long", 1.2), commands.start_timer("short", 0.2))
    await worker.run_task()
    await worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def cancel(ctx: Context) -> Record:
    """A cancelled timer does not fire; its id is free again."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.start_timer("t", 600))
    await ctx.signal(workflow_id, "go")
    await worker.run_task(commands.cancel_timer("t"), commands.start_timer("t", 0.1))
    await worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def cancel_in_same_task(ctx: Context) -> Record:
    """A timer may be started and cancelled in one workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(
        commands.start_timer("t", 600), commands.cancel_timer("t"), commands.complete_workflow("cancelled")
    )
    return {"history": await ctx.history(workflow_id)}


@scenario
async def cancel_when_fired_is_buffered(ctx: Context) -> Record:
    """Cancelling a timer whose firing is still buffered removes the firing."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    # Nobody polls this activity's queue: once it has timed out, the timer that is due long before has fired as well.
    witness = commands.schedule_activity(
        "witness", ctx.name("nobody"), schedule_to_start_timeout=commands.seconds(2), start_to_close=60
    )
    await worker.run_task(commands.start_timer("t", 0.1), witness, force_create_new_workflow_task=True)
    task = await worker.workflow_task()
    await ctx.until(lambda: ctx.proto_describe(workflow_id), lambda answer: not answer.pending_activities)
    await worker.complete(task, commands.cancel_timer("t"))
    await worker.run_task(commands.complete_workflow())
    return {"history": await ctx.history(workflow_id)}


@scenario
async def duplicate_id(ctx: Context) -> Record:
    """A second timer with the id of a pending one fails the workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    error = await ctx.attempt(worker.complete(task, commands.start_timer("t", 600), commands.start_timer("t", 600)))
    again = await worker.workflow_task()
    await worker.complete(again, commands.complete_workflow())
    return {"error": error, "again": records.message(again), "history": await ctx.history(workflow_id)}


@scenario
async def cancel_unknown(ctx: Context) -> Record:
    """Cancelling a timer that never was fails the workflow task."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    error = await ctx.attempt(worker.complete(task, commands.cancel_timer("ghost")))
    await worker.run_task(commands.complete_workflow())
    return {"error": error, "history": await ctx.history(workflow_id)}


@scenario
async def bad_attributes(ctx: Context) -> Record:
    """A timer without an id or with a negative duration fails the workflow task."""
    record: Record = {}
    worker = RawWorker(ctx)
    for name, command in (("no id", commands.start_timer("", 1)), ("negative", commands.start_timer("t", -1))):
        workflow_id = ctx.workflow_id(name.replace(" ", "-"))
        await ctx.start(workflow_id)
        task = await worker.workflow_task()
        error = await ctx.attempt(worker.complete(task, command))
        await worker.run_task(commands.complete_workflow())
        record[name] = {"error": error, "history": await ctx.history(workflow_id)}
    return record

"""Limits of runs and requests, on servers whose dynamic settings make them small (`_SETTINGS` of compare.py)."""

import asyncio
from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.update.v1 as update_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands, records
from harness.commands import Command
from harness.context import CLIENT_IDENTITY, Context, execution
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

# Below and above limit.blobSize.error.
_LARGE = "x" * 18_000
_TOO_LARGE = "x" * 21_000


async def _pending(ctx: Context, *pending: Command) -> Record:
    """Asks for more than may be pending, at once and in two steps."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    refused = await ctx.attempt(worker.complete(task, *pending))
    first = await ctx.attempt(worker.run_task(*pending[:2]))
    await ctx.signal(workflow_id, "again")
    task = await worker.workflow_task()
    second = await ctx.attempt(worker.complete(task, *pending[2:]))
    await ctx.terminate(workflow_id)
    history = await ctx.history(workflow_id)
    # Answers of other workflows come when they come.
    own = [event for event in history if "EXTERNAL" not in event["event_type"] and "CHILD" not in event["event_type"]]
    return {"refused": refused, "first": "error" in first, "second": second, "events": own[:6]}


@scenario
async def pending_activities(ctx: Context) -> Record:
    return await _pending(ctx, *(commands.schedule_activity(f"a{n}", ctx.name("nobody")) for n in range(3)))


@scenario
async def pending_children(ctx: Context) -> Record:
    children = [
        commands.start_child(ctx.workflow_id(f"child{n}"), task_queue=ctx.name("nobody")) for n in range(3)
    ]
    return await _pending(ctx, *children)


@scenario
async def pending_signals(ctx: Context) -> Record:
    """Those that are answered count no more, so only what is asked for at once is compared."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    signals = [commands.signal_external(ctx.name(f"gone{n}"), "hello") for n in range(3)]
    refused = await ctx.attempt(worker.complete(task, *signals))
    return {"refused": refused, "history": await ctx.history(workflow_id)}


@scenario
async def pending_cancels(ctx: Context) -> Record:
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    refused = await ctx.attempt(
        worker.complete(task, *(commands.cancel_external(ctx.name(f"gone{n}")) for n in range(3)))
    )
    return {"refused": refused, "history": await ctx.history(workflow_id)}


@scenario
async def signals(ctx: Context) -> Record:
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    answers = [await ctx.attempt(ctx.signal(workflow_id, f"s{n}")) for n in range(7)]
    start = service_pb.SignalWithStartWorkflowExecutionRequest(
        namespace=ctx.namespace,
        workflow_id=workflow_id,
        workflow_type=common_pb.WorkflowType(name="RawWorkflow"),
        task_queue=ctx.task_queue(),
        signal_name="more",
        identity=CLIENT_IDENTITY,
    )
    with_start = await ctx.attempt(ctx.rpc("signal_with_start_workflow_execution", start))
    return {"answers": answers, "with start": with_start, "history": await ctx.history(workflow_id)}


@scenario
async def buffered_events(ctx: Context) -> Record:
    """A workflow task that holds back too many events is failed, so that they get into history."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answers, lengths = [], []
    for number in range(5):
        answers.append(await ctx.attempt(ctx.signal(workflow_id, f"s{number}")))
        lengths.append(len(await ctx.history(workflow_id)))
    late = await ctx.attempt(worker.complete(task, commands.complete_workflow()))
    await worker.run_task(commands.complete_workflow())
    return {"answers": answers, "lengths": lengths, "late": late, "history": await ctx.history(workflow_id)}


@scenario
async def history_count(ctx: Context) -> Record:
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    timers = [commands.start_timer(f"t{n}", 3600) for n in range(70)]
    answer = await ctx.attempt(worker.complete(task, *timers))
    history = await ctx.history(workflow_id)
    return {"answer": answer, "events": len(history), "last": history[-2:]}


@scenario
async def history_size(ctx: Context) -> Record:
    """What goes over the limit is still written; then the workflow is terminated."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    answers = [await ctx.attempt(ctx.signal(workflow_id, f"s{n}", _LARGE)) for n in range(5)]
    history = await ctx.history(workflow_id)
    return {"answers": answers, "types": [event["event_type"] for event in history], "last": history[-1]}


@scenario
async def suggested_continue_as_new(ctx: Context) -> Record:
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(*(commands.start_timer(f"t{n}", 3600) for n in range(25)))
    await ctx.signal(workflow_id, "again")
    task = await worker.run_task(commands.complete_workflow())
    started = [e for e in records.events(task.history) if e["event_type"] == "EVENT_TYPE_WORKFLOW_TASK_STARTED"]
    return {"started": started}


@scenario
async def state_size(ctx: Context) -> Record:
    """What a run keeps beside its history is bounded, too: a memo and the details of heartbeats."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, memo=common_pb.Memo(fields={"m": commands.payload("x" * 15_000)}))
    await worker.run_task(commands.schedule_activity("a", ctx.queue, heartbeat_timeout=commands.seconds(60)))
    activity = await worker.activity_task()
    # The second is over the limit. Whether that ends the workflow at once or with what comes next is not compared.
    beats = [await ctx.attempt(worker.heartbeat(activity.task_token, "x" * n)) for n in (100, 18_000)]
    await ctx.attempt(ctx.signal(workflow_id, "again"))
    closed = await ctx.wait_closed(workflow_id)
    return {"beats": beats, "closed": closed}


@scenario
async def blobs(ctx: Context) -> Record:
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    large = commands.payloads(_TOO_LARGE)
    memo = common_pb.Memo(fields={"m": commands.payload(_TOO_LARGE)})
    refusals: dict[str, Any] = {
        "start": await ctx.attempt(ctx.start(ctx.workflow_id("start"), input=large)),
        "memo": await ctx.attempt(ctx.start(ctx.workflow_id("memo"), memo=memo)),
    }
    await ctx.start(workflow_id)
    refusals["signal"] = await ctx.attempt(ctx.signal(workflow_id, "s", _TOO_LARGE))
    await worker.run_task(commands.schedule_activity("a", ctx.queue))
    activity = await worker.activity_task()
    refusals["activity result"] = await ctx.attempt(worker.complete_activity(activity.task_token, _TOO_LARGE))
    task = await worker.workflow_task()
    refusals["command"] = await ctx.attempt(
        worker.complete(task, commands.schedule_activity("b", ctx.queue, input=large))
    )
    return {"refusals": refusals, "history": await ctx.history(workflow_id)}


@scenario
async def ids(ctx: Context) -> Record:
    """What is too long for an id, wherever one is sent."""
    workflow_id, worker, long = ctx.workflow_id(), RawWorker(ctx), "x" * 201
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    poll = service_pb.PollWorkflowTaskQueueRequest(
        namespace=ctx.namespace, task_queue=ctx.task_queue(), identity=long
    )
    return {
        "start": await ctx.attempt(ctx.start(long)),
        "signal": await ctx.attempt(ctx.signal(workflow_id, long)),
        "update": await _update(ctx, workflow_id, long),
        "poll": await ctx.attempt(ctx.rpc("poll_workflow_task_queue", poll)),
        "command": await ctx.attempt(worker.complete(task, commands.start_timer(long, 60))),
        "history": await ctx.history(workflow_id),
    }


@scenario
async def pages(ctx: Context) -> Record:
    """Pages have at most so many transactions or runs, whatever is asked for."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    for number in range(4):
        await ctx.signal(workflow_id, f"s{number}")
    events = []
    for size in (0, 2, 100):
        request = service_pb.GetWorkflowExecutionHistoryRequest(
            namespace=ctx.namespace, execution=execution(workflow_id), maximum_page_size=size
        )
        events.append(len((await ctx.rpc("get_workflow_execution_history", request)).history.events))
    kind = ctx.name("many")
    for number in range(3):
        await ctx.start(ctx.workflow_id(f"w{number}"), workflow_type=common_pb.WorkflowType(name=kind))
    listing = service_pb.ListWorkflowExecutionsRequest(
        namespace=ctx.namespace, page_size=100, query=f"WorkflowType = '{kind}'"
    )
    count = service_pb.CountWorkflowExecutionsRequest(namespace=ctx.namespace, query=listing.query)
    while (await ctx.rpc("count_workflow_executions", count)).count < 3:
        pass
    runs = await ctx.rpc("list_workflow_executions", listing)
    return {"events": events, "runs": len(runs.executions), "more": bool(runs.next_page_token)}


@scenario
async def waits(ctx: Context) -> Record:
    """Polls and waits for news end when the server says so, long before the client's deadline."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    news = service_pb.GetWorkflowExecutionHistoryRequest(
        namespace=ctx.namespace, execution=execution(workflow_id), wait_new_event=True
    )
    first = await ctx.rpc("get_workflow_execution_history", news)
    news.next_page_token = first.next_page_token
    poll = service_pb.PollActivityTaskQueueRequest(
        namespace=ctx.namespace, task_queue=commands.task_queue(ctx.name("idle")), identity=CLIENT_IDENTITY
    )
    begun = asyncio.get_running_loop().time()
    answer = await ctx.rpc("get_workflow_execution_history", news)
    read = asyncio.get_running_loop().time()
    empty = await ctx.rpc("poll_activity_task_queue", poll)
    polled = asyncio.get_running_loop().time()
    return {
        "events": len(answer.history.events),
        "read early": read - begun < 10,
        "task": bool(empty.task_token),
        "polled early": polled - read < 20,
    }


@scenario
async def namespace_shows_limits(ctx: Context) -> Record:
    request = service_pb.DescribeNamespaceRequest(namespace=ctx.namespace)
    answer = await ctx.rpc("describe_namespace", request)
    return {"limits": records.message(answer.namespace_info.limits)}


@scenario
async def updates_in_flight(ctx: Context) -> Record:
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    updates = [asyncio.create_task(_update(ctx, workflow_id, f"u{number}")) for number in range(3)]
    # One of the three, whichever comes last, is refused while the others wait.
    done, waiting = await asyncio.wait(updates, return_when=asyncio.FIRST_COMPLETED)
    await ctx.terminate(workflow_id)
    await asyncio.gather(*waiting)
    await ctx.attempt(worker.complete(task))
    return {"refused": [update.result() for update in done]}


async def _update(ctx: Context, workflow_id: str, update_id: str) -> Record:
    request = service_pb.UpdateWorkflowExecutionRequest(
        namespace=ctx.namespace,
        workflow_execution=execution(workflow_id),
        request=update_pb.Request(
            meta=update_pb.Meta(update_id=update_id, identity=CLIENT_IDENTITY), input=update_pb.Input(name="change")
        ),
    )
    return await ctx.attempt(ctx.rpc("update_workflow_execution", request))

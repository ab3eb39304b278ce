"""Reading histories: pages, reverse order, long polls, the close-event filter and refusals."""

import asyncio
from typing import Any

import temporalio.api.enums.v1 as enums
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands, records
from harness.context import Context, execution
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_CLOSE_EVENT = enums.HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT


def _request(
    ctx: Context, workflow_id: str, run_id: str = "", **fields: Any
) -> service_pb.GetWorkflowExecutionHistoryRequest:
    return service_pb.GetWorkflowExecutionHistoryRequest(
        namespace=ctx.namespace, execution=execution(workflow_id, run_id), **fields
    )


async def _eight_batches(ctx: Context) -> tuple[str, str]:
    """A closed workflow with several transactions behind it."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    started = await ctx.start(workflow_id)
    await worker.run_task(commands.record_marker("m1", {}), commands.record_marker("m2", {}))
    await ctx.signal(workflow_id, "one")
    await worker.run_task(commands.record_marker("m3", {}))
    await ctx.signal(workflow_id, "two")
    await worker.run_task(commands.complete_workflow())
    return workflow_id, started.run_id


@scenario
async def pages(ctx: Context) -> Record:
    """Pages are counted in transactions; the token leads to the end; its last page has none."""
    workflow_id, _ = await _eight_batches(ctx)
    record: Record = {}
    for size in (1, 2, 3, 100):
        request, sizes, events = _request(ctx, workflow_id, maximum_page_size=size), [], []
        while True:
            answer = await ctx.rpc("get_workflow_execution_history", request)
            sizes.append([event.event_id for event in answer.history.events])
            events += records.events(answer.history)
            if not answer.next_page_token:
                break
            request.next_page_token = answer.next_page_token
        record[f"size {size}"] = sizes
    return record | {"history": events}


@scenario
async def reverse(ctx: Context) -> Record:
    """Newest first, in pages."""
    workflow_id, run_id = await _eight_batches(ctx)
    record: Record = {}
    for size in (1, 3, 100):
        request = service_pb.GetWorkflowExecutionHistoryReverseRequest(
            namespace=ctx.namespace, execution=execution(workflow_id, run_id), maximum_page_size=size
        )
        pages = []
        while True:
            answer = await ctx.rpc("get_workflow_execution_history_reverse", request)
            pages.append([event.event_id for event in answer.history.events])
            if not answer.next_page_token:
                break
            request.next_page_token = answer.next_page_token
        record[f"size {size}"] = pages
    return record


@scenario
async def long_poll(ctx: Context) -> Record:
    """With wait_new_event each call gives what has come since the last one, and the token ends with the run."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    request = _request(ctx, workflow_id, wait_new_event=True)
    seen: list[list[int]] = []

    async def follow() -> list[Record]:
        events: list[Record] = []
        while True:
            answer = await ctx.rpc("get_workflow_execution_history", request)
            events += records.events(answer.history)
            if answer.history.events:
                seen.append([event.event_id for event in answer.history.events])
            if not answer.next_page_token:
                return events
            request.next_page_token = answer.next_page_token

    follower = asyncio.create_task(follow())
    await ctx.until(_length_of(seen), lambda length: length >= 1)
    await worker.run_task()
    await ctx.until(_length_of(seen), lambda length: length >= 2)
    await ctx.signal(workflow_id, "go")
    await worker.run_task(commands.complete_workflow())
    events = await follower
    return {"first page": seen[0], "events": events}


def _length_of(items: list[Any]) -> Any:
    async def length() -> int:
        return len(items)

    return length


@scenario
async def close_event_filter(ctx: Context) -> Record:
    """The filter gives the last event once the run has closed; it waits for that even when not asked to."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    request = _request(ctx, workflow_id, history_event_filter_type=_CLOSE_EVENT)
    task = await worker.workflow_task()
    waiting = [
        asyncio.create_task(ctx.wait_closed(workflow_id)),
        asyncio.create_task(ctx.attempt(ctx.rpc("get_workflow_execution_history", request))),
    ]
    await worker.complete(task, commands.complete_workflow("end"))
    return {
        "waited": await waiting[0],
        "not asked to wait": await waiting[1],
        "closed": await ctx.attempt(ctx.rpc("get_workflow_execution_history", request)),
    }


@scenario
async def long_polls_end(ctx: Context) -> Record:
    """Nothing happens for 20 seconds: long polls end empty-handed, those of a waiting caller with a token."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    method = "get_workflow_execution_history"
    first = await ctx.rpc(method, _request(ctx, workflow_id, wait_new_event=True))
    requests = {
        "next events": _request(ctx, workflow_id, wait_new_event=True, next_page_token=first.next_page_token),
        "close event": _request(ctx, workflow_id, wait_new_event=True, history_event_filter_type=_CLOSE_EVENT),
        "close event, not waiting": _request(ctx, workflow_id, history_event_filter_type=_CLOSE_EVENT),
    }
    answers = await asyncio.gather(*(ctx.rpc(method, request) for request in requests.values()))
    return {
        name: {"events": records.events(answer.history), "token": bool(answer.next_page_token)}
        for name, answer in zip(requests, answers, strict=True)
    }


@scenario
async def running_without_wait(ctx: Context) -> Record:
    """Without waiting, the last page of an open run has no token."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    answer = await ctx.rpc("get_workflow_execution_history", _request(ctx, workflow_id))
    paged = await ctx.rpc("get_workflow_execution_history", _request(ctx, workflow_id, maximum_page_size=1))
    return {
        "events": records.events(answer.history),
        "token": bool(answer.next_page_token),
        "archived": answer.archived,
        "paged token": bool(paged.next_page_token),
    }


@scenario
async def refusals(ctx: Context) -> Record:
    """Unknown executions, bad run ids, bad tokens and tokens of another run."""
    workflow_id, other = ctx.workflow_id(), ctx.workflow_id("other")
    await ctx.start(workflow_id)
    await ctx.start(other)
    method = "get_workflow_execution_history"
    page = await ctx.rpc(method, _request(ctx, workflow_id, maximum_page_size=1, wait_new_event=True))
    token = page.next_page_token
    unknown_run = "11111111-2222-4333-8444-555555555555"
    bad = {
        "unknown workflow": _request(ctx, ctx.name("ghost")),
        "unknown run": _request(ctx, workflow_id, unknown_run),
        "bad run id": _request(ctx, workflow_id, "nonsense"),
        "no workflow id": _request(ctx, ""),
        "no execution": service_pb.GetWorkflowExecutionHistoryRequest(namespace=ctx.namespace),
        "bad token": _request(ctx, workflow_id, next_page_token=b"nonsense"),
        "token with another run": _request(ctx, workflow_id, unknown_run, next_page_token=token),
        "negative page size": _request(ctx, workflow_id, maximum_page_size=-1),
    }
    return {name: await ctx.attempt(ctx.rpc(method, request)) for name, request in bad.items()}


@scenario
async def describe_refusals(ctx: Context) -> Record:
    """Describing unknown executions."""
    workflow_id = ctx.workflow_id()
    started = await ctx.start(workflow_id)
    return {
        "unknown": await ctx.attempt(ctx.describe(ctx.name("ghost"))),
        "unknown run": await ctx.attempt(ctx.describe(workflow_id, "11111111-2222-4333-8444-555555555555")),
        "run of another id": await ctx.attempt(ctx.describe(ctx.name("ghost"), started.run_id)),
        "bad run id": await ctx.attempt(ctx.describe(workflow_id, "nonsense")),
        "no id": await ctx.attempt(ctx.describe("")),
    }

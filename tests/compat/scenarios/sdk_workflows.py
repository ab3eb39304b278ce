"""Workflows run by the real Python SDK worker: the way most users meet the server."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, ChildWorkflowError, FailureError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from harness.context import Context
from harness.records import Record, error
from harness.registry import scenario

_KEYWORD = SearchAttributeKey.for_keyword("CompatKeyword")
_INT = SearchAttributeKey.for_int("CompatInt")


async def _outcome(ctx: Context, handle: WorkflowHandle[Any, Any]) -> Record:
    return await ctx.attempt(handle.result(follow_runs=False))


async def _tasks_done(ctx: Context, handle: WorkflowHandle[Any, Any], count: int) -> None:
    """Waits until the worker has completed `count` workflow tasks, so that what follows finds it idle."""
    await ctx.wait_event(handle.id, "WORKFLOW_TASK_COMPLETED", count=count)


@workflow.defn
class Echo:
    @workflow.run
    async def run(self, value: Any) -> Any:
        return {"echo": value}


@scenario
async def simple(ctx: Context) -> Record:
    """A workflow that returns at once."""
    async with ctx.worker(workflows=[Echo]):
        handle = await ctx.client.start_workflow(
            Echo.run,
            {"a": [1, None, "ü"]},
            id=ctx.workflow_id(),
            task_queue=ctx.queue,
            memo={"note": "x"},
            search_attributes=TypedSearchAttributes([SearchAttributePair(_KEYWORD, "start")]),
            static_summary="summary",
            static_details="details",
        )
        outcome = await _outcome(ctx, handle)
    description = await handle.describe()
    return {
        "outcome": outcome,
        "history": await ctx.history(handle.id),
        "status": str(description.status),
        "memo": await description.memo(),
        "summary": await description.static_summary(),
        "details": await description.static_details(),
    }


@scenario
async def eager_start(ctx: Context) -> Record:
    """The first task comes with the start when the client has a worker."""
    async with ctx.worker(workflows=[Echo]) as worker:
        handle = await worker.client.start_workflow(
            Echo.run, 1, id=ctx.workflow_id(), task_queue=ctx.queue, request_eager_start=True
        )
        outcome = await _outcome(ctx, handle)
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@workflow.defn
class Fails:
    @workflow.run
    async def run(self, kind: str) -> None:
        if kind == "plain":
            raise ApplicationError("plain failure", {"detail": 1}, type="Plain")
        if kind == "final":
            raise ApplicationError("final failure", type="Final", non_retryable=True)
        if kind == "cause":
            try:
                raise ApplicationError("inner", type="Inner")
            except ApplicationError as inner:
                raise ApplicationError("outer", type="Outer") from inner


@scenario
async def failures(ctx: Context) -> Record:
    """What a caller sees of a workflow's failure, with causes and details."""
    record: Record = {}
    async with ctx.worker(workflows=[Fails]):
        for kind in ("plain", "final", "cause"):
            handle = await ctx.client.start_workflow(Fails.run, kind, id=ctx.workflow_id(kind), task_queue=ctx.queue)
            record[kind] = await _outcome(ctx, handle)
    return record


@scenario
async def workflow_retry(ctx: Context) -> Record:
    """A retried workflow: waiting without a run id follows the chain to its end."""
    async with ctx.worker(workflows=[Fails]):
        handle = await ctx.client.start_workflow(
            Fails.run,
            "plain",
            id=ctx.workflow_id(),
            task_queue=ctx.queue,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=2),
        )
        followed = await ctx.attempt(handle.result())
    return {
        "followed": followed,
        "first": await ctx.history(handle.id, handle.first_execution_run_id or ""),
        "second": await ctx.history(handle.id),
    }


@workflow.defn
class Napper:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(0.2, summary="first nap")
        nap = asyncio.create_task(asyncio.sleep(600))
        await asyncio.sleep(0.2)
        nap.cancel()
        try:
            await nap
        except asyncio.CancelledError:
            return "awake"
        return "overslept"


@scenario
async def timers(ctx: Context) -> Record:
    """Sleeping twice and cancelling a long sleep."""
    async with ctx.worker(workflows=[Napper]):
        handle = await ctx.client.start_workflow(Napper.run, id=ctx.workflow_id(), task_queue=ctx.queue)
        outcome = await _outcome(ctx, handle)
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@scenario
async def without_cache(ctx: Context) -> Record:
    """A worker without a cache is never sticky and replays each time."""
    async with ctx.worker(workflows=[Napper], max_cached_workflows=0):
        handle = await ctx.client.start_workflow(Napper.run, id=ctx.workflow_id(), task_queue=ctx.queue)
        outcome = await _outcome(ctx, handle)
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@workflow.defn
class Basket:
    """Collects items by signal, is asked by query, changed by update."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done)
        return self.items

    @workflow.signal
    def add(self, item: str, count: int = 1) -> None:
        self.items += [item] * count

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def content(self) -> list[str]:
        return self.items

    @workflow.query
    def broken(self) -> None:
        raise ApplicationError("query broke", type="QueryBroke")

    @workflow.update
    async def replace(self, old: str, new: str) -> int:
        await workflow.sleep(0.1)
        changed = self.items.count(old)
        self.items = [new if item == old else item for item in self.items]
        return changed

    @replace.validator
    def check_replace(self, old: str, new: str) -> None:
        if not new:
            raise ApplicationError("nothing to replace with", type="Invalid")

    @workflow.update
    async def explode(self) -> None:
        raise ApplicationError("update broke", type="UpdateBroke")


async def _start_basket(ctx: Context) -> WorkflowHandle[Any, Any]:
    handle = await ctx.client.start_workflow(Basket.run, id=ctx.workflow_id(), task_queue=ctx.queue)
    await _tasks_done(ctx, handle, 1)
    return handle


@scenario
async def signals_and_queries(ctx: Context) -> Record:
    """Signals change state; queries read it while it runs and after it closed; bad queries fail."""
    async with ctx.worker(workflows=[Basket]):
        handle = await _start_basket(ctx)
        empty = await handle.query(Basket.content)
        await handle.signal(Basket.add, args=["apple", 2])
        await _tasks_done(ctx, handle, 2)
        filled = await handle.query(Basket.content)
        broken = await ctx.attempt(handle.query(Basket.broken))
        unknown = await ctx.attempt(handle.query("no such query"))
        await handle.signal(Basket.finish)
        outcome = await _outcome(ctx, handle)
        closed = await ctx.attempt(handle.query(Basket.content))
        late = await ctx.attempt(handle.signal(Basket.finish))
    return {
        "empty": empty,
        "filled": filled,
        "broken": broken,
        "unknown type": unknown,
        "closed": closed,
        "late signal": late,
        "outcome": outcome,
        "history": await ctx.history(handle.id),
    }


@scenario
async def updates(ctx: Context) -> Record:
    """Updates complete, are rejected by the validator, fail, and are the same under one id."""
    async with ctx.worker(workflows=[Basket]):
        handle = await _start_basket(ctx)
        await handle.signal(Basket.add, "apple")
        await _tasks_done(ctx, handle, 2)
        replaced = await handle.execute_update(Basket.replace, args=["apple", "pear"], id="u1")
        again = await handle.execute_update(Basket.replace, args=["apple", "pear"], id="u1")
        rejected = await ctx.attempt(handle.execute_update(Basket.replace, args=["pear", ""], id="u2"))
        failed = await ctx.attempt(handle.execute_update(Basket.explode, id="u3"))
        unknown = await ctx.attempt(handle.execute_update("no such update", id="u4"))
        content = await handle.query(Basket.content)
        await handle.signal(Basket.finish)
        outcome = await _outcome(ctx, handle)
        late = await ctx.attempt(handle.execute_update(Basket.explode, id="u5"))
    return {
        "replaced": replaced,
        "again": again,
        "rejected": rejected,
        "failed": failed,
        "unknown": unknown,
        "content": content,
        "outcome": outcome,
        "late": late,
        "history": await ctx.history(handle.id),
    }


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, child_type: str, child_arg: Any) -> Any:
        try:
            return await workflow.execute_child_workflow(
                child_type,
                child_arg,
                id=f"{workflow.info().workflow_id}-kid",
                static_summary="my kid",
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
        except ChildWorkflowError as failure:
            return {"failed": failure.cause.message if isinstance(failure.cause, FailureError) else None}


@scenario
async def children(ctx: Context) -> Record:
    """A child's result and a child's failure reach the parent."""
    ids = [ctx.workflow_id("good"), ctx.workflow_id("bad")]
    # Parent and child share a worker but not their tasks: each history is deterministic by itself.
    async with ctx.worker(workflows=[Parent, Echo, Fails]):
        good = await ctx.client.start_workflow(Parent.run, args=["Echo", 7], id=ids[0], task_queue=ctx.queue)
        bad = await ctx.client.start_workflow(Parent.run, args=["Fails", "final"], id=ids[1], task_queue=ctx.queue)
        outcomes = [await _outcome(ctx, good), await _outcome(ctx, bad)]
    return {
        "outcomes": outcomes,
        "good kid": await ctx.history(f"{ids[0]}-kid"),
        "bad kid": await ctx.history(f"{ids[1]}-kid"),
    }


@workflow.defn
class Counter:
    @workflow.run
    async def run(self, number: int, last: int) -> int:
        if number < last:
            workflow.continue_as_new(args=[number + 1, last])
        return number


@scenario
async def continue_as_new(ctx: Context) -> Record:
    """The result of the last run is the result of the chain; the first run shows that it went on."""
    async with ctx.worker(workflows=[Counter]):
        handle = await ctx.client.start_workflow(Counter.run, args=[1, 3], id=ctx.workflow_id(), task_queue=ctx.queue)
        followed = await handle.result()
        first = await _outcome(ctx, handle)
    return {
        "followed": followed,
        "first": first,
        "first history": await ctx.history(handle.id, handle.first_execution_run_id or ""),
        "last history": await ctx.history(handle.id),
    }


@workflow.defn
class Cleaner:
    @workflow.run
    async def run(self, ignore: bool) -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            if ignore:
                return "carried on"
            raise
        return "overslept"


@scenario
async def cancellation(ctx: Context) -> Record:
    """One workflow cleans up and is cancelled, one carries on."""
    record: Record = {}
    async with ctx.worker(workflows=[Cleaner]):
        for name, ignore in (("obeys", False), ("ignores", True)):
            handle = await ctx.client.start_workflow(
                Cleaner.run, ignore, id=ctx.workflow_id(name), task_queue=ctx.queue
            )
            await _tasks_done(ctx, handle, 1)
            await handle.cancel()
            record[name] = {"outcome": await _outcome(ctx, handle), "history": await ctx.history(handle.id)}
    return record


@scenario
async def termination(ctx: Context) -> Record:
    """What a caller sees of a terminated workflow."""
    async with ctx.worker(workflows=[Cleaner]):
        handle = await ctx.client.start_workflow(Cleaner.run, False, id=ctx.workflow_id(), task_queue=ctx.queue)
        await _tasks_done(ctx, handle, 1)
        await handle.terminate("a detail", reason="a reason")
        outcome = await _outcome(ctx, handle)
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@scenario
async def timeout(ctx: Context) -> Record:
    """What a caller sees of a workflow that ran out of time."""
    async with ctx.worker(workflows=[Cleaner]):
        handle = await ctx.client.start_workflow(
            Cleaner.run, False, id=ctx.workflow_id(), task_queue=ctx.queue, execution_timeout=timedelta(seconds=1)
        )
        outcome = await _outcome(ctx, handle)
    return {"outcome": outcome, "history": await ctx.history(handle.id)}


@workflow.defn
class Versioned:
    @workflow.run
    async def run(self) -> list[Any]:
        values: list[Any] = [workflow.patched("a-patch")]
        workflow.deprecate_patch("an-old-patch")
        values.append(workflow.uuid4() == workflow.uuid4())
        workflow.upsert_memo({"step": 1, "gone": None})
        workflow.upsert_search_attributes([_KEYWORD.value_set("upserted"), _INT.value_unset()])
        await workflow.sleep(0.1)
        workflow.set_current_details("nearly there")
        return values


@scenario
async def patches_and_properties(ctx: Context) -> Record:
    """Patch markers, the change-version attribute they add, memo and search-attribute upserts."""
    async with ctx.worker(workflows=[Versioned]):
        handle = await ctx.client.start_workflow(
            Versioned.run,
            id=ctx.workflow_id(),
            task_queue=ctx.queue,
            memo={"gone": "soon", "kept": True},
            search_attributes=TypedSearchAttributes([SearchAttributePair(_INT, 5)]),
        )
        outcome = await _outcome(ctx, handle)
    return {
        "outcome": outcome,
        "history": await ctx.history(handle.id),
        "describe": await ctx.describe(handle.id),
    }


@workflow.defn(name="Flaky")
class FlakyBefore:
    @workflow.run
    async def run(self) -> str:
        raise ValueError("a bug, not a failure of the workflow")


@workflow.defn(name="Flaky")
class FlakyAfter:
    @workflow.run
    async def run(self) -> str:
        return "fixed"


@scenario
async def bug_is_fixed_by_new_worker(ctx: Context) -> Record:
    """A bug fails the workflow task, not the workflow; a fixed worker finishes it."""
    async with ctx.worker(workflows=[FlakyBefore]):
        handle = await ctx.client.start_workflow(
            "Flaky", id=ctx.workflow_id(), task_queue=ctx.queue, task_timeout=timedelta(seconds=1)
        )
        history = await ctx.wait_event(handle.id, "WORKFLOW_TASK_FAILED")
    async with ctx.worker(workflows=[FlakyAfter]):
        outcome = await _outcome(ctx, handle)
    [failed] = [event for event in history if event["event_type"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED"]
    attributes = failed["workflow_task_failed_event_attributes"]
    return {"outcome": outcome, "cause": attributes["cause"], "failure": attributes["failure"]["message"]}


@scenario
async def unknown_workflow_type(ctx: Context) -> Record:
    """A worker that does not know the type fails the workflow task."""
    async with ctx.worker(workflows=[Echo]):
        handle = await ctx.client.start_workflow("Unheard", id=ctx.workflow_id(), task_queue=ctx.queue)
        history = await ctx.wait_event(handle.id, "WORKFLOW_TASK_FAILED")
    return {"events": [event["event_type"] for event in history[:4]]}


@scenario
async def worker_replaced(ctx: Context) -> Record:
    """A second worker goes on where the first one stopped."""
    async with ctx.worker(workflows=[Basket]):
        handle = await _start_basket(ctx)
        await handle.signal(Basket.add, "apple")
        await _tasks_done(ctx, handle, 2)
    await handle.signal(Basket.add, "pear")
    async with ctx.worker(workflows=[Basket]):
        content = await handle.query(Basket.content)
        await handle.signal(Basket.finish)
        outcome = await _outcome(ctx, handle)
    return {"content": content, "outcome": outcome}


@scenario
async def replay(ctx: Context) -> Record:
    """The SDK's replayer accepts the histories that the server gives."""
    async with ctx.worker(workflows=[Napper, Basket, Versioned]):
        nap = await ctx.client.start_workflow(Napper.run, id=ctx.workflow_id("nap"), task_queue=ctx.queue)
        versioned = await ctx.client.start_workflow(Versioned.run, id=ctx.workflow_id("v"), task_queue=ctx.queue)
        basket = await _start_basket(ctx)
        await basket.execute_update(Basket.replace, args=["a", "b"], id="u1")
        await basket.signal(Basket.finish)
        handles: dict[str, WorkflowHandle[Any, Any]] = {"nap": nap, "versioned": versioned, "basket": basket}
        for handle in handles.values():
            await handle.result()
    replayer = Replayer(workflows=[Napper, Basket, Versioned], workflow_runner=UnsandboxedWorkflowRunner())
    record: Record = {}
    for name, handle in handles.items():
        result = await replayer.replay_workflow(await handle.fetch_history(), raise_on_replay_failure=False)
        record[name] = error(result.replay_failure) if result.replay_failure else "replayed"
    return record


@scenario
async def high_level_errors(ctx: Context) -> Record:
    """Errors that the client library turns into exceptions of its own."""
    workflow_id = ctx.workflow_id()
    await ctx.client.start_workflow("Nobody", id=workflow_id, task_queue=ctx.queue)
    ghost = ctx.client.get_workflow_handle(ctx.name("ghost"))
    record = {
        "started twice": await ctx.attempt(ctx.client.start_workflow("Nobody", id=workflow_id, task_queue=ctx.queue)),
        "signal ghost": await ctx.attempt(ghost.signal("s")),
        "describe ghost": await ctx.attempt(ghost.describe()),
        "result of ghost": await ctx.attempt(ghost.result()),
    }
    await ctx.client.get_workflow_handle(workflow_id).terminate()
    try:
        await ctx.client.get_workflow_handle(workflow_id).result()
    except WorkflowFailureError as failure:
        record["terminated"] = error(failure)
    return record

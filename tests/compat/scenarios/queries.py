"""Queries: direct, buffered with a task, on closed workflows, failing, rejected, without a worker."""

import asyncio
from datetime import timedelta
from typing import Any

import temporalio.api.enums.v1 as enums
import temporalio.api.query.v1 as query_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands, records
from harness.context import Context, execution
from harness.raw import RawWorker, WorkflowTask
from harness.records import Record
from harness.registry import scenario

_REJECT = enums.QueryRejectCondition


def _request(ctx: Context, workflow_id: str, kind: str = "state", **fields: Any) -> service_pb.QueryWorkflowRequest:
    return service_pb.QueryWorkflowRequest(
        namespace=ctx.namespace,
        execution=execution(workflow_id),
        query=query_pb.WorkflowQuery(query_type=kind, query_args=commands.payloads("arg")),
        **fields,
    )


async def _query(ctx: Context, workflow_id: str, kind: str = "state", **fields: Any) -> Record:
    return await ctx.attempt(ctx.rpc("query_workflow", _request(ctx, workflow_id, kind, **fields)))


async def _answer(ctx: Context, task: WorkflowTask, **fields: Any) -> None:
    await ctx.rpc(
        "respond_query_task_completed",
        service_pb.RespondQueryTaskCompletedRequest(namespace=ctx.namespace, task_token=task.task_token, **fields),
    )


_ANSWERED = enums.QueryResultType.QUERY_RESULT_TYPE_ANSWERED
_FAILED = enums.QueryResultType.QUERY_RESULT_TYPE_FAILED


@scenario
async def direct(ctx: Context) -> Record:
    """An idle workflow is queried by a task of its own, which leaves no trace in the history."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await worker.workflow_task()
    await _answer(ctx, task, completed_type=_ANSWERED, query_result=commands.payloads("answer"))
    return {"answer": await query, "task": records.message(task), "history": await ctx.history(workflow_id)}


@scenario
async def direct_sticky(ctx: Context) -> Record:
    """A sticky workflow is queried through its sticky queue without history."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(sticky_seconds=10)
    poll = await worker.sticky_poll()
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await poll
    await _answer(ctx, task, completed_type=_ANSWERED, query_result=commands.payloads("answer"))
    return {"answer": await query, "task": records.message(task)}


@scenario
async def direct_failing(ctx: Context) -> Record:
    """A failing handler makes the call fail with its failure as detail."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await worker.workflow_task()
    failure = commands.application_failure("no such thing", kind="QueryBoom")
    await _answer(ctx, task, completed_type=_FAILED, error_message="short text", failure=failure)
    first = await query
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await worker.workflow_task()
    await _answer(ctx, task, completed_type=_FAILED, error_message="only text")
    return {"failure": first, "only text": await query}


@scenario
async def closed(ctx: Context) -> Record:
    """A closed workflow is queried with its whole history."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task(commands.complete_workflow("over"))
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await worker.workflow_task()
    await _answer(ctx, task, completed_type=_ANSWERED, query_result=commands.payloads("still here"))
    return {"answer": await query, "task": records.message(task)}


@scenario
async def reject_conditions(ctx: Context) -> Record:
    """NOT_OPEN and NOT_COMPLETED_CLEANLY reject by status instead of asking a worker."""
    worker = RawWorker(ctx)
    not_open = _REJECT.QUERY_REJECT_CONDITION_NOT_OPEN
    not_clean = _REJECT.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY
    completed, failed = ctx.workflow_id("completed"), ctx.workflow_id("failed")
    await ctx.start(completed)
    await worker.run_task(commands.complete_workflow())
    await ctx.start(failed)
    await worker.run_task(commands.fail_workflow(commands.application_failure("no")))
    query = asyncio.create_task(_query(ctx, completed, query_reject_condition=not_clean))
    task = await worker.workflow_task()
    await _answer(ctx, task, completed_type=_ANSWERED, query_result=commands.payloads("clean"))
    return {
        "completed, not open": await _query(ctx, completed, query_reject_condition=not_open),
        "completed, not clean": await query,
        "failed, not open": await _query(ctx, failed, query_reject_condition=not_open),
        "failed, not clean": await _query(ctx, failed, query_reject_condition=not_clean),
    }


@scenario
async def with_scheduled_task(ctx: Context) -> Record:
    """A query while a task is scheduled travels with that task and is answered by its completion."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    await ctx.signal(workflow_id, "go")
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await _task_with_query(ctx, worker)
    [query_id] = task.queries
    result = query_pb.WorkflowQueryResult(result_type=_ANSWERED, answer=commands.payloads("after the signal"))
    queries = list(records.message(task)["queries"].values())
    await worker.complete(task, query_results={query_id: result})
    return {"answer": await query, "queries": queries}


@scenario
async def with_scheduled_task_failing(ctx: Context) -> Record:
    """A failed answer that comes with a task's completion."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    await ctx.signal(workflow_id, "go")
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await _task_with_query(ctx, worker)
    [query_id] = task.queries
    result = query_pb.WorkflowQueryResult(
        result_type=_FAILED, error_message="text", failure=commands.application_failure("detail")
    )
    await worker.complete(task, query_results={query_id: result})
    return {"answer": await query}


async def _task_with_query(ctx: Context, worker: RawWorker) -> WorkflowTask:
    """Polls the pending task until the query, which was sent just before, comes with it."""
    while True:
        task = await worker.workflow_task()
        if task.queries:
            return task
        # The poll was faster than the query: hand the task back as a heartbeat and take the next one.
        await worker.complete(task, force_create_new_workflow_task=True)


@scenario
async def no_worker(ctx: Context) -> Record:
    """A query on a queue that nobody polls fails shortly before the caller's deadline, saying so."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    started = await ctx.start(workflow_id, request_eager_execution=True)
    await worker.complete(started.eager_workflow_task)
    call = ctx.rpc("query_workflow", _request(ctx, workflow_id), timeout=timedelta(seconds=3))
    return {"answer": await ctx.attempt(call)}


@scenario
async def closed_before_first_task(ctx: Context) -> Record:
    """A workflow that closed before its first task completed cannot be queried."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    await ctx.terminate(workflow_id)
    return {"answer": await _query(ctx, workflow_id)}


@scenario
async def failing_workflow_task(ctx: Context) -> Record:
    """A workflow whose task keeps failing refuses queries at once."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    for _ in range(3):
        await worker.fail(await worker.workflow_task())
    return {"answer": await _query(ctx, workflow_id)}


@scenario
async def during_delay(ctx: Context) -> Record:
    """A workflow in its start delay cannot be queried before the delay ends."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id, workflow_start_delay=commands.seconds(600))
    return {"answer": await _query(ctx, workflow_id)}


@scenario
async def refusals(ctx: Context) -> Record:
    """Queries to nothing, without a type, with a bad token."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id)
    bad_run = _request(ctx, workflow_id)
    bad_run.execution.run_id = "nonsense"
    answer = service_pb.RespondQueryTaskCompletedRequest(namespace=ctx.namespace, task_token=b"nonsense")
    no_query = service_pb.QueryWorkflowRequest(namespace=ctx.namespace, execution=execution(workflow_id))
    return {
        "unknown workflow": await _query(ctx, ctx.name("ghost")),
        "no type": await _query(ctx, workflow_id, ""),
        "no query": await ctx.attempt(ctx.rpc("query_workflow", no_query)),
        "no workflow id": await _query(ctx, ""),
        "bad run id": await ctx.attempt(ctx.rpc("query_workflow", bad_run)),
        "bad answer token": await ctx.attempt(ctx.rpc("respond_query_task_completed", answer)),
    }


@scenario
async def answered_late(ctx: Context) -> Record:
    """An answer after the caller has gone, or a second answer, finds nobody."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    await worker.run_task()
    query = asyncio.create_task(_query(ctx, workflow_id))
    task = await worker.workflow_task()
    await _answer(ctx, task, completed_type=_ANSWERED, query_result=commands.payloads("first"))
    await query
    again = await ctx.attempt(_answer(ctx, task, completed_type=_ANSWERED, query_result=commands.payloads("second")))
    return {"again": again}

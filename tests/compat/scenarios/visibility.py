"""Listing and counting workflows."""

from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.filter.v1 as filter_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf.timestamp_pb2 import Timestamp

from harness import commands, records
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario
from scenarios.search_attributes import attributes


async def _list(ctx: Context, query: str, **fields: Any) -> service_pb.ListWorkflowExecutionsResponse:
    request = service_pb.ListWorkflowExecutionsRequest(namespace=ctx.namespace, query=query, **fields)
    return await ctx.rpc("list_workflow_executions", request)


async def _count(ctx: Context, query: str) -> service_pb.CountWorkflowExecutionsResponse:
    request = service_pb.CountWorkflowExecutionsRequest(namespace=ctx.namespace, query=query)
    return await ctx.rpc("count_workflow_executions", request)


def _mine(ctx: Context) -> str:
    return f"TaskQueue = '{ctx.queue}'"


async def _every_status(ctx: Context) -> None:
    """Five workflows of this queue: running, completed, failed, cancelled, terminated; visible."""
    worker = RawWorker(ctx)
    closes = {
        "completed": commands.complete_workflow(),
        "failed": commands.fail_workflow(commands.application_failure("no")),
        "canceled": commands.cancel_workflow(),
    }
    for name, command in closes.items():
        await ctx.start(ctx.workflow_id(name), search_attributes=attributes(CompatKeyword=name))
        await worker.run_task(command)
    await ctx.start(ctx.workflow_id("terminated"))
    await ctx.terminate(ctx.workflow_id("terminated"))
    await ctx.start(
        ctx.workflow_id("running"),
        search_attributes=attributes(CompatKeyword="running", CompatInt=5),
        memo=common_pb.Memo(fields={"m": commands.payload("shown")}),
    )
    await ctx.wait_count(f"{_mine(ctx)} AND CloseTime IS NOT NULL", 4)
    await ctx.wait_count(_mine(ctx), 5)


@scenario
async def list_fields(ctx: Context) -> Record:
    """What a list shows of an open and of a closed workflow."""
    await _every_status(ctx)
    running = await _list(ctx, f"{_mine(ctx)} AND ExecutionStatus = 'Running'")
    completed = await _list(ctx, f"{_mine(ctx)} AND ExecutionStatus = 'Completed'")
    return {"running": records.message(running), "completed": records.message(completed)}


@scenario
async def queries(ctx: Context) -> Record:
    """Which of the five workflows each query finds."""
    await _every_status(ctx)
    record: Record = {}
    for query in (
        "ExecutionStatus = 'Running'",
        "ExecutionStatus = 'RUNNING'",
        "ExecutionStatus = 1",
        "ExecutionStatus != 'Running'",
        "ExecutionStatus IN ('Failed', 'Canceled')",
        "ExecutionStatus NOT IN ('Failed', 'Canceled')",
        "NOT ExecutionStatus = 'Failed'",
        "CloseTime IS NULL",
        "CloseTime IS NOT NULL",
        "WorkflowType = 'RawWorkflow' AND CloseTime is not null",
        "WorkflowType = 'Other'",
        f"WorkflowId = '{ctx.workflow_id('failed')}' OR WorkflowId = '{ctx.workflow_id('running')}'",
        f"WorkflowId STARTS_WITH '{ctx.workflow_id('failed')[:-9]}'",
        "StartTime > '2020-01-01T00:00:00Z'",
        "StartTime < '2020-01-01T00:00:00Z'",
        "StartTime BETWEEN '2020-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'",
        "CompatKeyword = 'running'",
        "CompatKeyword != 'running'",
        "CompatKeyword IS NULL",
        "CompatInt = 5 OR (CompatKeyword = 'failed' AND CloseTime IS NOT NULL)",
        '`CompatKeyword` = "running"',
        "HistoryLength > 4",
        "ExecutionDuration > 0",
        "ExecutionDuration < '1h'",
        "ParentWorkflowId IS NULL",
        "RunId = '11111111-2222-4333-8444-555555555555'",
    ):
        answer = await ctx.attempt(_found(ctx, f"{_mine(ctx)} AND ({query})"))
        record[query] = answer
    return record


async def _found(ctx: Context, query: str) -> list[str]:
    answer = await _list(ctx, query)
    return sorted(info.execution.workflow_id for info in answer.executions)


@scenario
async def bad_queries(ctx: Context) -> Record:
    """Queries that are refused."""
    bad = (
        "NoSuchThing = 'x'",
        "WorkflowId = ",
        "WorkflowId LIKE 'a%'",
        "WorkflowId = WorkflowType",
        "StartTime > 'yesterday'",
        "CompatInt = 'five'",
        "ExecutionStatus = 'Sleeping'",
        "WorkflowId = 'a' ORDER BY StartTime",
        "SELECT * FROM x",
        "CompatText > 'a'",
        "WorkflowId",
        "((",
        "WorkflowId = 'a' GROUP BY WorkflowType",
        "CompatBool = 'maybe'",
    )
    record = {query: await ctx.attempt(_list(ctx, query)) for query in bad}
    grouped = ("GROUP BY WorkflowType", "GROUP BY ExecutionStatus, WorkflowType", "GROUP BY NoSuchThing")
    return record | {query: await ctx.attempt(_count(ctx, query)) for query in grouped}


@scenario
async def paging(ctx: Context) -> Record:
    """Pages hold what was asked for, in the default order, without loss or repetition."""
    await _every_status(ctx)
    pages: list[list[str]] = []
    token = b""
    while True:
        answer = await _list(ctx, _mine(ctx), page_size=2, next_page_token=token)
        pages.append([info.execution.workflow_id for info in answer.executions])
        token = answer.next_page_token
        if not token:
            break
    bad = await ctx.attempt(_list(ctx, _mine(ctx), next_page_token=b"nonsense"))
    return {"pages": pages, "bad token": bad}


@scenario
async def count(ctx: Context) -> Record:
    """Counting, also by status."""
    await _every_status(ctx)
    grouped = records.message(await _count(ctx, f"{_mine(ctx)} GROUP BY ExecutionStatus"))
    grouped["groups"].sort(key=str)
    return {"all": records.message(await _count(ctx, _mine(ctx))), "by status": grouped}


@scenario
async def older_calls(ctx: Context) -> Record:
    """ListOpen, ListClosed and Scan."""
    await _every_status(ctx)
    everything = filter_pb.StartTimeFilter(
        earliest_time=Timestamp(seconds=0), latest_time=Timestamp(seconds=4_000_000_000)
    )
    running = filter_pb.WorkflowExecutionFilter(workflow_id=ctx.workflow_id("running"))
    failed = filter_pb.WorkflowExecutionFilter(workflow_id=ctx.workflow_id("failed"))
    open_request = service_pb.ListOpenWorkflowExecutionsRequest(
        namespace=ctx.namespace, start_time_filter=everything, execution_filter=running
    )
    closed_request = service_pb.ListClosedWorkflowExecutionsRequest(
        namespace=ctx.namespace, start_time_filter=everything, execution_filter=failed
    )
    scan_request = service_pb.ScanWorkflowExecutionsRequest(
        namespace=ctx.namespace, query=f"{_mine(ctx)} AND ExecutionStatus = 'Terminated'"
    )
    archived = service_pb.ListArchivedWorkflowExecutionsRequest(namespace=ctx.namespace, query="")
    return {
        "open": await ctx.attempt(ctx.rpc("list_open_workflow_executions", open_request)),
        "closed": await ctx.attempt(ctx.rpc("list_closed_workflow_executions", closed_request)),
        "scan": await ctx.attempt(ctx.rpc("scan_workflow_executions", scan_request)),
        "archived": await ctx.attempt(ctx.rpc("list_archived_workflow_executions", archived)),
    }

"""Search attributes and memo: at start, upserted by commands, refused when wrong."""

import json
from typing import Any

import temporalio.api.common.v1 as common_pb

from harness import commands
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_VALUES: dict[str, Any] = {
    "CompatText": "some longer text",
    "CompatKeyword": "key",
    "CompatInt": 42,
    "CompatDouble": 2.5,
    "CompatBool": True,
    "CompatDatetime": "2026-01-02T03:04:05.678Z",
    "CompatKeywordList": ["a", "b"],
}


def attributes(**values: Any) -> common_pb.SearchAttributes:
    """Encodes values as old SDKs do, without the type in the payload's metadata."""
    return common_pb.SearchAttributes(indexed_fields={name: commands.payload(value) for name, value in values.items()})


def _typed(kind: str, value: Any) -> common_pb.Payload:
    return common_pb.Payload(
        metadata={"encoding": b"json/plain", "type": kind.encode()}, data=json.dumps(value).encode()
    )


@scenario
async def all_types(ctx: Context) -> Record:
    """Attributes of all seven types are kept as event data, described with their types and found by queries."""
    workflow_id = ctx.workflow_id()
    await ctx.start(workflow_id, search_attributes=attributes(**_VALUES))
    queries = {
        "text": "CompatText = 'longer'",
        "keyword": "CompatKeyword = 'key'",
        "int": "CompatInt > 41 AND CompatInt < 43",
        "double": "CompatDouble >= 2.5",
        "bool": "CompatBool = true",
        "datetime": "CompatDatetime = '2026-01-02T03:04:05.678Z'",
        "keyword list": "CompatKeywordList = 'b'",
        "in": "CompatKeyword IN ('x', 'key')",
        "between": "CompatInt BETWEEN 40 AND 50",
        "starts with": "CompatKeyword STARTS_WITH 'ke'",
    }
    for query in queries.values():
        await ctx.wait_count(f"WorkflowId = '{workflow_id}' AND {query}", 1)
    return {"history": await ctx.history(workflow_id), "describe": await ctx.describe(workflow_id)}


@scenario
async def typed_payloads(ctx: Context) -> Record:
    """Payloads that name their type are accepted as they are."""
    workflow_id = ctx.workflow_id()
    fields = {"CompatInt": _typed("Int", 7), "CompatKeywordList": _typed("KeywordList", ["x"])}
    await ctx.start(workflow_id, search_attributes=common_pb.SearchAttributes(indexed_fields=fields))
    return {"history": await ctx.history(workflow_id), "describe": await ctx.describe(workflow_id)}


@scenario
async def upsert(ctx: Context) -> Record:
    """Upserts add, replace and remove attributes."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id, search_attributes=attributes(CompatKeyword="old", CompatInt=1))
    await worker.run_task(
        commands.upsert_search_attributes(
            CompatKeyword=commands.payload("new"),
            CompatBool=commands.payload(False),
            CompatInt=commands.payload([]),
        ),
        force_create_new_workflow_task=True,
    )
    await ctx.wait_count(f"WorkflowId = '{workflow_id}' AND CompatKeyword = 'new' AND CompatBool = false", 1)
    open_description = await ctx.describe(workflow_id)
    await worker.run_task(commands.complete_workflow())
    return {
        "open": open_description,
        "history": await ctx.history(workflow_id),
        "closed": await ctx.describe(workflow_id),
    }


@scenario
async def upsert_refusals(ctx: Context) -> Record:
    """Unknown names, system names and wrong types fail the workflow task."""
    record: Record = {}
    worker = RawWorker(ctx)
    bad = {
        "unknown": commands.upsert_search_attributes(NoSuchThing=commands.payload("x")),
        "system": commands.upsert_search_attributes(WorkflowType=commands.payload("x")),
        "wrong type": commands.upsert_search_attributes(CompatInt=commands.payload("not a number")),
        "nothing": commands.upsert_search_attributes(),
        "too big": commands.upsert_search_attributes(CompatText=commands.payload("x" * 2049)),
    }
    for name, command in bad.items():
        workflow_id = ctx.workflow_id(name.replace(" ", "-"))
        await ctx.start(workflow_id)
        task = await worker.workflow_task()
        error = await ctx.attempt(worker.complete(task, command))
        history = await ctx.history(workflow_id)
        record[name] = {"error": error, "events": history[2:]}
        await ctx.terminate(workflow_id) if "WORKFLOW_EXECUTION_TERMINATED" not in str(history) else None
    return record


@scenario
async def start_refusals(ctx: Context) -> Record:
    """Wrong types, reserved names and too large values are refused at start."""
    bad: dict[str, dict[str, Any]] = {
        "wrong type": {"CompatInt": "not a number"},
        "bad date": {"CompatDatetime": "yesterday"},
        "reserved": {"TemporalWorkerDeployment": "x"},
        "list for scalar": {"CompatKeyword": ["a", "b"]},
        "too big": {"CompatText": "x" * 2049},
    }
    return {
        name: await ctx.attempt(
            ctx.start(ctx.workflow_id(name.replace(" ", "-")), search_attributes=attributes(**values))
        )
        for name, values in bad.items()
    }


@scenario
async def predefined(ctx: Context) -> Record:
    """The predefined attributes that users may set."""
    workflow_id = ctx.workflow_id()
    answer = await ctx.attempt(
        ctx.start(workflow_id, search_attributes=attributes(TemporalChangeVersion=["patch-1"], BatcherUser="me"))
    )
    return {"answer": answer, "describe": await ctx.describe(workflow_id)}


@scenario
async def memo_upsert(ctx: Context) -> Record:
    """ModifyWorkflowProperties changes the memo; a null value removes a key."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    memo = common_pb.Memo(fields={"keep": commands.payload(1), "drop": commands.payload(2)})
    await ctx.start(workflow_id, memo=memo)
    await worker.run_task(commands.modify_properties(new={"a": 1}, drop=None), force_create_new_workflow_task=True)
    open_description = await ctx.describe(workflow_id)
    await worker.run_task(commands.complete_workflow())
    return {
        "open": open_description,
        "history": await ctx.history(workflow_id),
        "closed": await ctx.describe(workflow_id),
    }


@scenario
async def memo_empty_modification(ctx: Context) -> Record:
    """A modification of nothing."""
    workflow_id, worker = ctx.workflow_id(), RawWorker(ctx)
    await ctx.start(workflow_id)
    task = await worker.workflow_task()
    answer = await ctx.attempt(worker.complete(task, commands.modify_properties()))
    return {"answer": answer, "events": (await ctx.history(workflow_id))[3:]}

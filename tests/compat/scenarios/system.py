"""What the server says about itself, and its task queues."""

import asyncio
from functools import partial

import temporalio.api.enums.v1 as enums
import temporalio.api.operatorservice.v1 as operator_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands
from harness.context import Context
from harness.raw import RawWorker
from harness.records import Record
from harness.registry import scenario

_TYPE = enums.TaskQueueType


@scenario
async def system_info(ctx: Context) -> Record:
    """The capabilities that an SDK asks for first."""
    return await ctx.attempt(ctx.rpc("get_system_info", service_pb.GetSystemInfoRequest()))


@scenario
async def cluster_info(ctx: Context) -> Record:
    """The fields that tools read; names and numbers of this cluster are its own."""
    answer = await ctx.rpc("get_cluster_info", service_pb.GetClusterInfoRequest())
    return {
        "supported_clients": dict(sorted(answer.supported_clients.items())),
        "has server_version": bool(answer.server_version),
        "has cluster_id": bool(answer.cluster_id),
        "has cluster_name": bool(answer.cluster_name),
        "has history_shard_count": answer.history_shard_count > 0,
        "has persistence_store": bool(answer.persistence_store),
        "has visibility_store": bool(answer.visibility_store),
    }


@scenario
async def default_namespace(ctx: Context) -> Record:
    """The namespace's capabilities and limits."""
    answer = await ctx.attempt(
        ctx.rpc("describe_namespace", service_pb.DescribeNamespaceRequest(namespace=ctx.namespace))
    )
    info = answer["response"]["namespace_info"]
    return {"capabilities": info.get("capabilities"), "limits": info.get("limits"), "state": info["state"]}


@scenario
async def search_attribute_list(ctx: Context) -> Record:
    """The system's attributes and the ones that were added."""
    request = operator_pb.ListSearchAttributesRequest(namespace=ctx.namespace)
    answer = await ctx.operator_rpc("list_search_attributes", request)
    custom = {
        name: enums.IndexedValueType.Name(kind)
        for name, kind in answer.custom_attributes.items()
        if name.startswith("Compat")
    }
    system = {name: enums.IndexedValueType.Name(kind) for name, kind in answer.system_attributes.items()}
    return {"custom": dict(sorted(custom.items())), "system": dict(sorted(system.items()))}


@scenario
async def search_attribute_changes(ctx: Context) -> Record:
    """Adding what exists, adding reserved names, removing what does not exist."""
    kinds = enums.IndexedValueType

    async def add(name: str, kind: "enums.IndexedValueType.ValueType") -> Record:
        request = operator_pb.AddSearchAttributesRequest(namespace=ctx.namespace, search_attributes={name: kind})
        return await ctx.attempt(ctx.operator_rpc("add_search_attributes", request))

    async def remove(name: str) -> Record:
        request = operator_pb.RemoveSearchAttributesRequest(namespace=ctx.namespace, search_attributes=[name])
        return await ctx.attempt(ctx.operator_rpc("remove_search_attributes", request))

    return {
        "existing": await add("CompatKeyword", kinds.INDEXED_VALUE_TYPE_KEYWORD),
        "existing, other type": await add("CompatKeyword", kinds.INDEXED_VALUE_TYPE_INT),
        "system name": await add("WorkflowId", kinds.INDEXED_VALUE_TYPE_KEYWORD),
        "reserved name": await add("TemporalThing", kinds.INDEXED_VALUE_TYPE_KEYWORD),
        "no type": await add("CompatUntyped", kinds.INDEXED_VALUE_TYPE_UNSPECIFIED),
        "remove unknown": await remove("NoSuchThing"),
        "remove system": await remove("WorkflowId"),
    }


@scenario
async def describe_task_queue(ctx: Context) -> Record:
    """Pollers of a queue show up with their identity, by kind of queue."""
    worker = RawWorker(ctx)
    workflow_poll = asyncio.create_task(worker.workflow_task())
    activity_poll = asyncio.create_task(worker.activity_task())
    record: Record = {}
    for kind in (_TYPE.TASK_QUEUE_TYPE_WORKFLOW, _TYPE.TASK_QUEUE_TYPE_ACTIVITY):
        request = service_pb.DescribeTaskQueueRequest(
            namespace=ctx.namespace, task_queue=ctx.task_queue(), task_queue_type=kind
        )
        answer = await ctx.until(partial(ctx.rpc, "describe_task_queue", request), lambda answer: bool(answer.pollers))
        record[_TYPE.Name(kind)] = [
            {"identity": poller.identity, "seen": poller.HasField("last_access_time")} for poller in answer.pollers
        ]
    await ctx.start()
    await worker.complete(await workflow_poll, commands.schedule_activity("a", ctx.queue))
    await worker.complete_activity((await activity_poll).task_token)
    return record


@scenario
async def describe_unused_task_queue(ctx: Context) -> Record:
    """A queue that nobody uses is described as empty; a queue without a name is refused."""
    request = service_pb.DescribeTaskQueueRequest(
        namespace=ctx.namespace, task_queue=ctx.task_queue(), task_queue_type=_TYPE.TASK_QUEUE_TYPE_WORKFLOW
    )
    nameless = service_pb.DescribeTaskQueueRequest(namespace=ctx.namespace, task_queue=taskqueue_pb.TaskQueue())
    missing = service_pb.DescribeTaskQueueRequest(namespace=ctx.namespace)
    unused = await ctx.attempt(ctx.rpc("describe_task_queue", request))
    unused["response"].pop("effective_rate_limit", None)  # A matter of configuration.
    return {
        "unused": unused,
        "nameless": await ctx.attempt(ctx.rpc("describe_task_queue", nameless)),
        "missing": await ctx.attempt(ctx.rpc("describe_task_queue", missing)),
    }


@scenario
async def backlog_is_counted(ctx: Context) -> Record:
    """Tasks that wait in a queue are counted in its stats."""
    for number in range(3):
        await ctx.start(ctx.workflow_id(f"wf{number}"))
    request = service_pb.DescribeTaskQueueRequest(
        namespace=ctx.namespace,
        task_queue=ctx.task_queue(),
        task_queue_type=_TYPE.TASK_QUEUE_TYPE_WORKFLOW,
        report_stats=True,
    )
    answer = await ctx.until(
        lambda: ctx.rpc("describe_task_queue", request), lambda answer: answer.stats.approximate_backlog_count == 3
    )
    return {"backlog": answer.stats.approximate_backlog_count}

"""Namespaces: register, describe, list, update, deprecate, delete."""

from typing import Any

import temporalio.api.enums.v1 as enums
import temporalio.api.namespace.v1 as namespace_pb
import temporalio.api.operatorservice.v1 as operator_pb
import temporalio.api.workflowservice.v1 as service_pb
from temporalio.service import RPCError, RPCStatusCode

from harness import commands
from harness.context import Context
from harness.records import Record
from harness.registry import scenario


async def _register(ctx: Context, name: str, days: float = 3, **fields: Any) -> Record:
    request = service_pb.RegisterNamespaceRequest(
        namespace=name, workflow_execution_retention_period=commands.seconds(days * 86_400), **fields
    )
    return await ctx.attempt(ctx.rpc("register_namespace", request))


async def _describe(ctx: Context, name: str = "", namespace_id: str = "") -> Record:
    request = service_pb.DescribeNamespaceRequest(namespace=name, id=namespace_id)
    return _without_configuration(await ctx.attempt(ctx.rpc("describe_namespace", request)))


async def _update(ctx: Context, name: str, **fields: Any) -> Record:
    request = service_pb.UpdateNamespaceRequest(namespace=name, **fields)
    return _without_configuration(await ctx.attempt(ctx.rpc("update_namespace", request)))


def _without_configuration(answer: Record) -> Record:
    """Leaves out what the server's configuration decides; system.default_namespace compares that."""
    info = answer.get("response", {}).get("namespace_info", {})
    info.pop("capabilities", None)
    info.pop("limits", None)
    return answer


@scenario
async def register_and_describe(ctx: Context) -> Record:
    """A new namespace shows what it was registered with, by name and by id; its name is taken."""
    name = ctx.name("ns")
    registered = await _register(
        ctx, name, description="for tests", owner_email="me@example.com", data={"key": "value"}
    )
    described = await _describe(ctx, name)
    by_id = await _describe(ctx, namespace_id=described["response"]["namespace_info"]["id"])
    return {
        "registered": registered,
        "described": described,
        "by id": by_id,
        "same": by_id == described,
        "again": await _register(ctx, name),
    }


@scenario
async def use(ctx: Context) -> Record:
    """Workflows can be started in a new namespace as soon as it is known everywhere."""
    name = ctx.name("ns")
    await _register(ctx, name)
    request = ctx.start_request(ctx.name("wf"))
    request.namespace = name
    request.request_id = "once"

    async def start() -> Record:
        return await ctx.attempt(ctx.rpc("start_workflow_execution", request))

    started = await ctx.until(start, lambda answer: "response" in answer)
    terminate = service_pb.TerminateWorkflowExecutionRequest(namespace=name)
    terminate.workflow_execution.workflow_id = request.workflow_id
    await ctx.rpc("terminate_workflow_execution", terminate)
    return {"started": started}


@scenario
async def update(ctx: Context) -> Record:
    """Description, owner, retention and data can be changed; data is merged."""
    name = ctx.name("ns")
    await _register(ctx, name, data={"kept": "1", "changed": "2"})
    updated = await _update(
        ctx,
        name,
        update_info=namespace_pb.UpdateNamespaceInfo(
            description="changed", owner_email="you@example.com", data={"changed": "3", "new": "4"}
        ),
        config=namespace_pb.NamespaceConfig(workflow_execution_retention_ttl=commands.seconds(5 * 86_400)),
    )
    return {
        "updated": updated,
        "described": await _describe(ctx, name),
        "too short": await _update(
            ctx,
            name,
            config=namespace_pb.NamespaceConfig(workflow_execution_retention_ttl=commands.seconds(60)),
        ),
        "unknown": await _update(ctx, ctx.name("ghost")),
    }


@scenario
async def bad_binaries(ctx: Context) -> Record:
    """A bad binary is added; removing one that is not there is refused."""
    name = ctx.name("ns")
    await _register(ctx, name)
    binaries = namespace_pb.BadBinaries(binaries={"sum": namespace_pb.BadBinaryInfo(reason="broken", operator="me")})
    added = await _update(
        ctx,
        name,
        update_info=namespace_pb.UpdateNamespaceInfo(description="one is bad"),
        config=namespace_pb.NamespaceConfig(bad_binaries=binaries),
    )
    return {
        "added": added,
        "described": await _describe(ctx, name),
        "missing": await _update(ctx, name, delete_bad_binary="other"),
        "removed": await _update(ctx, name, delete_bad_binary="sum"),
        "in the end": await _describe(ctx, name),
    }


@scenario
async def deprecate(ctx: Context) -> Record:
    """A deprecated namespace can be described; deprecating twice is allowed."""
    name = ctx.name("ns")
    await _register(ctx, name)
    request = service_pb.DeprecateNamespaceRequest(namespace=name)
    return {
        "deprecated": await ctx.attempt(ctx.rpc("deprecate_namespace", request)),
        "again": await ctx.attempt(ctx.rpc("deprecate_namespace", request)),
        "described": await _describe(ctx, name),
        "unknown": await ctx.attempt(
            ctx.rpc("deprecate_namespace", service_pb.DeprecateNamespaceRequest(namespace=ctx.name("ghost")))
        ),
        "back": await _update(
            ctx,
            name,
            update_info=namespace_pb.UpdateNamespaceInfo(state=enums.NamespaceState.NAMESPACE_STATE_REGISTERED),
        ),
    }


@scenario
async def deprecated_refuses_starts(ctx: Context) -> Record:
    """No workflow starts in a deprecated namespace."""
    name = ctx.name("ns")
    await _register(ctx, name)
    await ctx.rpc("deprecate_namespace", service_pb.DeprecateNamespaceRequest(namespace=name))
    request = ctx.start_request(ctx.name("wf"))
    request.namespace = name

    async def start() -> Record:
        return await ctx.attempt(ctx.rpc("start_workflow_execution", request))

    # The state reaches the frontend's cache a moment later; until then the name is unknown or still open.
    return {"refused": await ctx.until(start, lambda answer: "no longer" in str(answer) or "State" in str(answer))}


@scenario
async def list_all(ctx: Context) -> Record:
    """Lists page through all namespaces, the system's own included."""
    names = [ctx.name("one"), ctx.name("two")]
    for name in names:
        await _register(ctx, name)
    found: list[str] = []
    request = service_pb.ListNamespacesRequest(page_size=1)
    while True:
        answer = await ctx.rpc("list_namespaces", request)
        found += [namespace.namespace_info.name for namespace in answer.namespaces]
        if not answer.next_page_token:
            break
        request.next_page_token = answer.next_page_token
    expected = {*names, "default", "temporal-system"}
    return {"found": sorted(expected & set(found)), "unique": len(found) == len(set(found))}


@scenario
async def delete(ctx: Context) -> Record:
    """A deleted namespace gives its name back and is gone in the end."""
    name = ctx.name("ns")
    await _register(ctx, name)
    request = operator_pb.DeleteNamespaceRequest(namespace=name)

    async def delete_it() -> Record:
        return await ctx.attempt(ctx.operator_rpc("delete_namespace", request))

    answer = await ctx.until(delete_it, lambda answer: "response" in answer)
    renamed = answer["response"]["deleted_namespace"]

    async def gone() -> bool:
        try:
            await ctx.rpc("describe_namespace", service_pb.DescribeNamespaceRequest(namespace=renamed))
        except RPCError as error:
            return error.status == RPCStatusCode.NOT_FOUND
        return False

    await ctx.until(gone, bool)
    return {"renamed": renamed.rpartition("-")[0], "name": await _describe(ctx, name)}


@scenario
async def refusals(ctx: Context) -> Record:
    """Namespaces that cannot be registered or described."""
    return {
        "no name": await _register(ctx, ""),
        "long name": await _register(ctx, "x" * 1001),
        "no retention": await _register(ctx, ctx.name("a"), days=0),
        "short retention": await _register(ctx, ctx.name("b"), days=0.001),
        "unknown": await _describe(ctx, ctx.name("ghost")),
        "unknown id": await _describe(ctx, namespace_id="11111111-2222-4333-8444-555555555555"),
        "neither": await _describe(ctx),
        "both": await _describe(ctx, "default", "11111111-2222-4333-8444-555555555555"),
    }

"""Brings a server to the state that the scenarios start from: the namespace and its search attributes."""

import asyncio
from datetime import timedelta

import temporalio.api.enums.v1 as enums
import temporalio.api.operatorservice.v1 as operator_pb
import temporalio.api.workflowservice.v1 as service_pb
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError, RPCStatusCode

from harness import commands
from harness.context import CLIENT_IDENTITY

SEARCH_ATTRIBUTES = {
    "CompatText": enums.IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
    "CompatKeyword": enums.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "CompatInt": enums.IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "CompatDouble": enums.IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    "CompatBool": enums.IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "CompatDatetime": enums.IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "CompatKeywordList": enums.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
}

_CALL_TIMEOUT = timedelta(seconds=5)
_RETRY_INTERVAL_SECONDS = 0.1


async def connect(target: str, namespace: str, ready_seconds: float) -> Client:
    """Connects once the server answers GetSystemInfo, or raises after `ready_seconds`."""
    # The SDK's core warns about every failure that a scenario provokes on purpose.
    quiet = TelemetryConfig(logging=LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR")))
    runtime = Runtime(telemetry=quiet)
    deadline = asyncio.get_running_loop().time() + ready_seconds
    while True:
        try:
            # A plain connection first: the SDK does not end cleanly after a refused one.
            host, _, port = target.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            client = await Client.connect(target, namespace=namespace, identity=CLIENT_IDENTITY, runtime=runtime)
            await client.workflow_service.get_system_info(
                service_pb.GetSystemInfoRequest(), retry=False, timeout=_CALL_TIMEOUT
            )
            return client
        except (OSError, RPCError, RuntimeError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"no answer from {target} within {ready_seconds} s: {error}") from error
        await asyncio.sleep(_RETRY_INTERVAL_SECONDS)


async def prepare(client: Client, ready_seconds: float) -> list[str]:
    """Makes the namespace usable and adds the search attributes; gives a line for each thing that failed."""
    problems: list[str] = []
    for step in (_ensure_namespace, _ensure_search_attributes):
        try:
            await asyncio.wait_for(step(client), ready_seconds)
        except (RPCError, TimeoutError) as error:
            problems.append(f"{step.__name__.strip('_')}: {type(error).__name__} {error}")
    return problems


async def _ensure_namespace(client: Client) -> None:
    request = service_pb.DescribeNamespaceRequest(namespace=client.namespace)
    try:
        await client.workflow_service.describe_namespace(request, retry=False, timeout=_CALL_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        await client.workflow_service.register_namespace(
            service_pb.RegisterNamespaceRequest(
                namespace=client.namespace, workflow_execution_retention_period=commands.seconds(86_400)
            ),
            timeout=_CALL_TIMEOUT,
        )
    # A namespace becomes visible to every part of a server a moment after it is stored.
    count = service_pb.CountWorkflowExecutionsRequest(namespace=client.namespace)
    while True:
        try:
            await client.workflow_service.count_workflow_executions(count, retry=False, timeout=_CALL_TIMEOUT)
            return
        except RPCError as error:
            if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAVAILABLE):
                raise
        await asyncio.sleep(_RETRY_INTERVAL_SECONDS)


async def _ensure_search_attributes(client: Client) -> None:
    await client.operator_service.add_search_attributes(
        operator_pb.AddSearchAttributesRequest(namespace=client.namespace, search_attributes=SEARCH_ATTRIBUTES),
        timeout=_CALL_TIMEOUT,
    )
    query = " AND ".join(f"{name} IS NOT NULL" for name in SEARCH_ATTRIBUTES)
    count = service_pb.CountWorkflowExecutionsRequest(namespace=client.namespace, query=query)
    while True:
        try:
            await client.workflow_service.count_workflow_executions(count, retry=False, timeout=_CALL_TIMEOUT)
            return
        except RPCError as error:
            if error.status != RPCStatusCode.INVALID_ARGUMENT:
                raise
        await asyncio.sleep(_RETRY_INTERVAL_SECONDS)

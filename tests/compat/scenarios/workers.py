"""What workers say of themselves: heartbeats, and the lists that show them."""

import temporalio.api.enums.v1 as enums
import temporalio.api.worker.v1 as worker_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness.context import Context
from harness.records import Record
from harness.registry import scenario

_STATUS = enums.WorkerStatus
_NAMES = ("a", "b", "c", "d", "e")


async def _beat(ctx: Context, name: str, status: "enums.WorkerStatus.ValueType") -> Record:
    heartbeat = worker_pb.WorkerHeartbeat(
        worker_instance_key=ctx.name(name),
        worker_identity=f"worker {name}",
        task_queue=ctx.name("queue"),
        sdk_name="raw",
        sdk_version="1.2.3",
        status=status,
        host_info=worker_pb.WorkerHostInfo(host_name=f"host {name}", process_id=name),
    )
    request = service_pb.RecordWorkerHeartbeatRequest(
        namespace=ctx.namespace, identity="raw", worker_heartbeat=[heartbeat]
    )
    return await ctx.attempt(ctx.rpc("record_worker_heartbeat", request))


async def _page(ctx: Context, query: str, size: int, token: bytes = b"") -> service_pb.ListWorkersResponse:
    request = service_pb.ListWorkersRequest(
        namespace=ctx.namespace, query=query, page_size=size, next_page_token=token
    )
    answer: service_pb.ListWorkersResponse = await ctx.rpc("list_workers", request)
    return answer


async def _all(ctx: Context, query: str, size: int = 100) -> list[str]:
    """The workers of all pages; the official server has them in no order."""
    identities: list[str] = []
    token = b""
    while True:
        page = await _page(ctx, query, size, token)
        assert len(page.workers) <= size
        identities += [worker.worker_identity for worker in page.workers]
        token = page.next_page_token
        if not token:
            return sorted(identities)


async def _count(ctx: Context, query: str) -> int:
    request = service_pb.CountWorkersRequest(namespace=ctx.namespace, query=query)
    answer: service_pb.CountWorkersResponse = await ctx.rpc("count_workers", request)
    return answer.count


async def _describe(ctx: Context, name: str) -> Record:
    request = service_pb.DescribeWorkerRequest(namespace=ctx.namespace, worker_instance_key=ctx.name(name))
    return await ctx.attempt(ctx.rpc("describe_worker", request))


@scenario
async def heartbeats(ctx: Context) -> Record:
    """Workers are listed, counted and described, whoever heard them, until they say that they end."""
    beats = [await _beat(ctx, name, _STATUS.WORKER_STATUS_RUNNING) for name in _NAMES]
    ours = f"TaskQueue = '{ctx.name('queue')}'"
    listed = await ctx.until(lambda: _all(ctx, ours), lambda found: len(found) == len(_NAMES))
    one = f"{ours} AND HostName = 'host c'"
    seen = {
        "beats": beats,
        "listed": listed,
        "by two": await _all(ctx, ours, 2),
        "one": await _all(ctx, one),
        "count": await _count(ctx, ours),
        "count of one": await _count(ctx, one),
        "described": await _describe(ctx, "c"),
        "unknown": await _describe(ctx, "nobody"),
    }
    ended = await _beat(ctx, "c", _STATUS.WORKER_STATUS_SHUTDOWN)
    left = await ctx.until(lambda: _all(ctx, ours), lambda found: "worker c" not in found)
    return {**seen, "ended": ended, "left": left, "count left": await _count(ctx, ours)}

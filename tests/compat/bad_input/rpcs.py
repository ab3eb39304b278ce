"""The table: for every RPC a good request, what it may change, and what to try beside the walk over its fields."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.failure.v1 as failure_pb
import temporalio.api.filter.v1 as filter_pb
import temporalio.api.operatorservice.v1 as operator_pb
import temporalio.api.query.v1 as query_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
import temporalio.api.update.v1 as update_pb
import temporalio.api.workflow.v1 as workflow_pb
import temporalio.api.workflowservice.v1 as pb
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from bad_input.bench import NAMESPACE, Bench, Run, described, history, register_request
from bad_input.mutate import Spoil
from harness import commands

# Long enough for a poll to be taken, which ends a second before its client gives up.
POLL_SECONDS = 2.1
# For calls that wait for a worker that never comes.
WAIT_SECONDS = 1.6


@dataclass
class Good:
    """A good request, and how to look at what it is about."""

    request: Any
    # Of the request as it was sent.
    state: Callable[[Any], Any] = lambda request: None


@dataclass(frozen=True)
class Table:
    """How one RPC is tried."""

    name: str
    good: Callable[[Bench], Good]
    own: dict[str, Spoil] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    only: str = ""
    # Fields within fields that are spoilt.
    depth: int = 5
    seconds: float = 10.0
    # A request that was taken leaves nothing behind that the next one could trip over.
    reads: bool = False

    @property
    def method(self) -> str:
        return self.name.partition("/")[0]


def _of_run(build: Callable[[Run], Message], *, begin: Callable[[Run], Any] | None = None) -> Callable[[Bench], Good]:
    """A request about a started workflow whose history shows what changed."""

    def good(bench: Bench) -> Good:
        run = bench.run().start()
        if begin is not None:
            begin(run)
        return Good(build(run), run.state)

    return good


def _plain(request: Callable[[], Message]) -> Callable[[Bench], Good]:
    return lambda bench: Good(request())


# Starting


def _start(bench: Bench) -> Good:
    run = bench.run()
    request = run.start_request()
    return Good(request, lambda sent: history(bench, sent.workflow_id))


def _signal_with_start(bench: Bench) -> Good:
    run = bench.run()
    request = pb.SignalWithStartWorkflowExecutionRequest(
        namespace=NAMESPACE,
        workflow_id=run.workflow_id,
        workflow_type=common_pb.WorkflowType(name="BadInput"),
        task_queue=run.task_queue,
        signal_name="signal",
        identity="bad-input",
    )
    return Good(request, lambda sent: history(bench, sent.workflow_id))


def _multi_operation(bench: Bench) -> Good:
    run = bench.run()
    request = pb.ExecuteMultiOperationRequest(namespace=NAMESPACE)
    request.operations.add().start_workflow.CopyFrom(run.start_request())
    request.operations.add().update_workflow.CopyFrom(_update(run))
    return Good(request, run.state)


def _update(run: Run) -> pb.UpdateWorkflowExecutionRequest:
    return pb.UpdateWorkflowExecutionRequest(
        namespace=NAMESPACE,
        workflow_execution=run.execution,
        wait_policy=update_pb.WaitPolicy(
            lifecycle_stage=enums.UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
        ),
        request=update_pb.Request(
            meta=update_pb.Meta(update_id="update", identity="bad-input"), input=update_pb.Input(name="update")
        ),
    )


def _update_of_run(bench: Bench) -> Good:
    run = bench.run().start()
    run.complete()

    def state(request: Any) -> Any:
        # The task for an update that was admitted is shown, or not yet, or no longer.
        events = run.state(request)
        return [event for event in events if "TASK_SCHEDULED" not in event["event_type"]] if events else events

    return Good(_update(run), state)


def _policies(reuse: int, conflict: int) -> Spoil:
    def spoil(request: Any) -> None:
        request.workflow_id_reuse_policy, request.workflow_id_conflict_policy = reuse, conflict

    return spoil


def set_fields(**fields: Any) -> Spoil:
    """Sets fields of the request itself."""

    def spoil(request: Any) -> None:
        for name, value in fields.items():
            if isinstance(value, Message):
                getattr(request, name).CopyFrom(value)
            elif isinstance(value, list):
                target = getattr(request, name)
                del target[:]
                target.extend(value)
            else:
                setattr(request, name, value)

    return spoil


def _link(**event: Any) -> common_pb.Link:
    return common_pb.Link(workflow_event=common_pb.Link.WorkflowEvent(**event))


_GOOD_LINK = {"namespace": "n", "workflow_id": "w", "run_id": "r"}
CRONS = ["* * * * *", "not cron", "* * * *", "61 * * * *", "@every 1s", "@every -1s", "@every x", "@hourly", "@never"]
CRONS += ["CRON_TZ=UTC * * * * *", "CRON_TZ=Nowhere/Land * * * * *", "0 0 31 2 *", "TZ=Europe/Berlin 5 4 * * MON-FRI"]
_STARTS: dict[str, Spoil] = {
    **{f"policies={r},{c}": _policies(r, c) for r in range(5) for c in range(4)},
    **{f"cron={cron}": set_fields(cron_schedule=cron) for cron in CRONS},
    "cron+delay": set_fields(cron_schedule="* * * * *", workflow_start_delay=commands.seconds(1)),
    "links=11": set_fields(links=[_link(**_GOOD_LINK)] * 11),
    "links=10": set_fields(links=[_link(**_GOOD_LINK)] * 10),
    "link=large": set_fields(links=[_link(**_GOOD_LINK | {"workflow_id": "x" * 4000})]),
    "retry:max<initial": set_fields(
        retry_policy=common_pb.RetryPolicy(
            initial_interval=commands.seconds(5), maximum_interval=commands.seconds(1), backoff_coefficient=2.0
        )
    ),
    "retry:once": set_fields(retry_policy=common_pb.RetryPolicy(maximum_attempts=1, backoff_coefficient=0.5)),
    "retry:good": set_fields(retry_policy=common_pb.RetryPolicy(maximum_attempts=3, backoff_coefficient=1.5)),
    "retry:timeout-type": set_fields(
        retry_policy=common_pb.RetryPolicy(non_retryable_error_types=["TemporalTimeout:x"])
    ),
    "retry:timeout-good": set_fields(
        retry_policy=common_pb.RetryPolicy(non_retryable_error_types=["TemporalTimeout:StartToClose"])
    ),
    "queue=reserved": set_fields(task_queue=taskqueue_pb.TaskQueue(name="/_sys/q/1")),
    "queue=internal": set_fields(task_queue=taskqueue_pb.TaskQueue(name="temporal-sys-per-ns-tq")),
    "queue=sticky": set_fields(
        task_queue=taskqueue_pb.TaskQueue(name="s", kind=enums.TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name="n")
    ),
}
# Links are spoilt where they stand alone.
_CALLBACK_LINKS = ("completion_callbacks.links",)
_EAGER: dict[str, Spoil] = {
    "eager+cron": set_fields(request_eager_execution=True, cron_schedule="* * * * *"),
    "eager+delay": set_fields(request_eager_execution=True, workflow_start_delay=commands.seconds(1)),
}


# Namespaces


def _register(bench: Bench) -> Good:
    request = register_request(bench.name())
    return Good(request, lambda sent: described(bench, sent.namespace))


def _update_namespace(bench: Bench) -> Good:
    name = bench.namespace()
    return Good(pb.UpdateNamespaceRequest(namespace=name), lambda _: described(bench, name))


def _of_namespace(build: Callable[[str], Message]) -> Callable[[Bench], Good]:
    def good(bench: Bench) -> Good:
        name = bench.namespace()
        return Good(build(name), lambda _: described(bench, name))

    return good


# Tokens


def _token_swap(request: Any, token: bytes) -> None:
    request.task_token = token


def _task_tokens() -> dict[str, Spoil]:
    """Tokens that are well formed for some server, but not for this request."""
    return {
        "token=json": lambda request: _token_swap(request, b'{"workflowId":"w"}'),
        "token=cut": lambda request: _token_swap(request, request.task_token[:-1]),
        "token=cut-short": lambda request: _token_swap(request, request.task_token[: len(request.task_token) // 2]),
        "token=twice": lambda request: _token_swap(request, request.task_token * 2),
        "token=long": lambda request: _token_swap(request, b"\x12" * 100_000),
    }


def _page_tokens() -> dict[str, Spoil]:
    return {
        f"page={label}": set_fields(next_page_token=token)
        for label, token in {
            "json": b'{"a":1}',
            "null": b"null",
            "list": b"[]",
            "huge": b"{" * 100_000,
            "zero": b"\0",
        }.items()
    }


# The RPCs

_FAILED = failure_pb.Failure(message="m", application_failure_info=failure_pb.ApplicationFailureInfo(type="T"))
_WORKFLOW = enums.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW


def _history(run: Run) -> Message:
    return pb.GetWorkflowExecutionHistoryRequest(namespace=NAMESPACE, execution=run.execution)


def _reset(run: Run) -> Message:
    return pb.ResetWorkflowExecutionRequest(
        namespace=NAMESPACE,
        workflow_execution=run.execution,
        reason="r",
        request_id="request",
        workflow_task_finish_event_id=4,
    )


def _options(run: Run) -> Message:
    return pb.UpdateWorkflowExecutionOptionsRequest(
        namespace=NAMESPACE,
        workflow_execution=run.execution,
        workflow_execution_options=workflow_pb.WorkflowExecutionOptions(
            priority=common_pb.Priority(priority_key=2), versioning_override=workflow_pb.VersioningOverride(auto_upgrade=True)
        ),
        update_mask=FieldMask(paths=["priority", "versioning_override"]),
    )


def _by_id(kind: type[Message], **fields: Any) -> Callable[[Bench], Good]:
    def good(bench: Bench) -> Good:
        run = bench.run().start()
        run.activity()
        request = kind(
            namespace=NAMESPACE, workflow_id=run.workflow_id, activity_id="activity", identity="bad-input", **fields
        )
        return Good(request, run.state)

    return good


def _by_token(kind: type[Message], **fields: Any) -> Callable[[Bench], Good]:
    def good(bench: Bench) -> Good:
        run = bench.run().start()
        task = run.activity()
        request = kind(namespace=NAMESPACE, task_token=task.task_token, identity="bad-input", **fields)
        return Good(request, run.state)

    return good


def _workflow_task(build: Callable[[Run, bytes], Message]) -> Callable[[Bench], Good]:
    def good(bench: Bench) -> Good:
        run = bench.run().start()
        return Good(build(run, run.task().task_token), run.state)

    return good


def _query_task(bench: Bench) -> Good:
    run = bench.run().start()
    request = pb.RespondQueryTaskCompletedRequest(
        namespace=NAMESPACE,
        task_token=run.query().task_token,
        completed_type=enums.QueryResultType.QUERY_RESULT_TYPE_ANSWERED,
        query_result=commands.payloads("answer"),
    )
    return Good(request, run.state)


def _poll(kind: type[Message], begin: Callable[[Run], Any]) -> Callable[[Bench], Good]:
    def good(bench: Bench) -> Good:
        run = bench.run().start()
        begin(run)
        return Good(kind(namespace=NAMESPACE, task_queue=run.task_queue, identity="bad-input"), run.state)

    return good


def _schedule(run: Run) -> None:
    run.complete(commands.schedule_activity("activity", run.queue))


def _done(run: Run) -> None:
    run.complete()


def _listing(kind: type[Message], **fields: Any) -> Callable[[Bench], Good]:
    return _plain(lambda: kind(namespace=NAMESPACE, **fields))


_QUERIES = ["WorkflowId = 'a'", "WorkflowId = ", "NoSuch = 1", "'", "ORDER BY x", "StartTime > 'yesterday'", "a=b=c"]
_QUERIES += ["ExecutionStatus = 'Nope'", "BadInputInt = 'x'", "GROUP BY WorkflowType", "GROUP BY ExecutionStatus"]
_QUERIES += ["WorkflowId IN ()", "WorkflowId BETWEEN 1 AND 2", "ORDER BY StartTime", "(" * 200, "x" * 20_000, "\0"]
_QUERIES += [
    "WorkflowId LIKE 'a%'",
    "NOT WorkflowId = 'a'",
    "WorkflowId STARTS_WITH 1",
    "StartTime = 1e400",
    "SELECT 1",
]
_QUERY_TEXTS: dict[str, Spoil] = {f"query={query[:40]}": set_fields(query=query) for query in _QUERIES}


def _attribute(name: str, kind: int) -> Spoil:
    def spoil(request: Any) -> None:
        request.search_attributes.clear()
        request.search_attributes[name] = kind

    return spoil


_ATTRIBUTES = [("", 3), ("WorkflowId", 2), ("BatcherUser", 2), ("A", 0), ("A", 99), ("x" * 1001, 2), ("a b", 2)]
_ATTRIBUTES += [("a'b", 2), ("a`b", 2), ("TemporalX", 2), ("ü", 2), ("__temporal", 2), ("BuildIds", 7), ("Good", 7)]


def _operations(*order: str) -> Spoil:
    """Gives the request these operations, made of its own two."""

    def spoil(request: Any) -> None:
        start, update = (pb.ExecuteMultiOperationRequest.Operation() for _ in range(2))
        start.CopyFrom(request.operations[0])
        update.CopyFrom(request.operations[1])
        del request.operations[:]
        request.operations.extend({"start": start, "update": update}[name] for name in order)

    return spoil


def _in_update(**fields: Any) -> Spoil:
    return lambda request: set_fields(**fields)(request.operations[1].update_workflow)


def _in_start(**fields: Any) -> Spoil:
    return lambda request: set_fields(**fields)(request.operations[0].start_workflow)


_OPERATIONS: dict[str, Spoil] = {
    "operations=none": _operations(),
    "operations=start": _operations("start"),
    "operations=update": _operations("update"),
    "operations=update,start": _operations("update", "start"),
    "operations=start,start": _operations("start", "start"),
    "operations=start,update,update": _operations("start", "update", "update"),
    "update.namespace=other": _in_update(namespace="other"),
    "update.namespace=none": _in_update(namespace=""),
    "update.workflow_id=other": _in_update(workflow_execution=common_pb.WorkflowExecution(workflow_id="other")),
    "update.workflow_id=none": _in_update(workflow_execution=common_pb.WorkflowExecution()),
    "update.run_id=set": _in_update(
        workflow_execution=common_pb.WorkflowExecution(workflow_id="other", run_id=str(uuid.UUID(int=1)))
    ),
    "update.first_run_id=set": _in_update(first_execution_run_id=str(uuid.UUID(int=1))),
    "update.request=none": _in_update(request=update_pb.Request()),
    "update.wait=none": _in_update(wait_policy=update_pb.WaitPolicy()),
    "start.namespace=other": _in_start(namespace="other"),
    "start.cron": _in_start(cron_schedule="* * * * *"),
    "start.delay": _in_start(workflow_start_delay=commands.seconds(1)),
    "start.eager": _in_start(request_eager_execution=True),
}
_RUN_IDS = {"run_id=none": "", "run_id=bad": "not-a-uuid", "run_id=unknown": str(uuid.UUID(int=1))}
_WORKFLOW_IDS = {"workflow_id=none": "", "workflow_id=unknown": "no-such-workflow", "workflow_id=long": "x" * 1001}


def _runs(field_name: str) -> dict[str, Spoil]:
    """Executions that are not there."""

    def put(name: str, value: str) -> Spoil:
        return lambda request: setattr(getattr(request, field_name), name, value)

    table = {f"{field_name}.{label}": put("run_id", value) for label, value in _RUN_IDS.items()}
    return table | {f"{field_name}.{label}": put("workflow_id", value) for label, value in _WORKFLOW_IDS.items()}


def _ids() -> dict[str, Spoil]:
    return {label: set_fields(**{label.partition("=")[0]: v}) for label, v in (_RUN_IDS | _WORKFLOW_IDS).items()}


_OF_RUN = _runs("workflow_execution")
_OF_EXECUTION = _runs("execution")
_TIMED = {"start_time_filter": filter_pb.StartTimeFilter(earliest_time=Timestamp(seconds=1))}
_BY_ID = filter_pb.WorkflowExecutionFilter(workflow_id="w")
_BY_TYPE = filter_pb.WorkflowTypeFilter(name="t")
_NEW_ATTRIBUTE = {"New": enums.IndexedValueType.INDEXED_VALUE_TYPE_INT}

TABLES = [
    # Namespaces
    Table("RegisterNamespace", _register),
    Table("DescribeNamespace", _plain(lambda: pb.DescribeNamespaceRequest(namespace=NAMESPACE)), reads=True),
    Table("ListNamespaces", _plain(pb.ListNamespacesRequest), _page_tokens(), reads=True),
    Table("UpdateNamespace", _update_namespace),
    Table("DeprecateNamespace", _of_namespace(lambda name: pb.DeprecateNamespaceRequest(namespace=name))),
    Table("DeleteNamespace", _of_namespace(lambda name: operator_pb.DeleteNamespaceRequest(namespace=name))),
    # Operators
    Table(
        "AddSearchAttributes",
        _of_namespace(
            lambda name: operator_pb.AddSearchAttributesRequest(namespace=name, search_attributes=_NEW_ATTRIBUTE)
        ),
        {f"attribute={name[:40]}:{kind}": _attribute(name, kind) for name, kind in _ATTRIBUTES},
    ),
    Table(
        "RemoveSearchAttributes",
        _of_namespace(
            lambda name: operator_pb.RemoveSearchAttributesRequest(namespace=name, search_attributes=["New"])
        ),
        {
            "attribute=system": set_fields(search_attributes=["WorkflowId"]),
            "attribute=predefined": set_fields(search_attributes=["BatcherUser"]),
            "attributes=two": set_fields(search_attributes=["New", "WorkflowId"]),
        },
    ),
    Table(
        "ListSearchAttributes",
        _plain(lambda: operator_pb.ListSearchAttributesRequest(namespace=NAMESPACE)),
        reads=True,
    ),
    Table("ListClusters", _plain(operator_pb.ListClustersRequest), _page_tokens(), reads=True),
    # System
    Table("GetSystemInfo", _plain(pb.GetSystemInfoRequest), reads=True),
    Table("GetClusterInfo", _plain(pb.GetClusterInfoRequest), reads=True),
    Table("GetSearchAttributes", _plain(pb.GetSearchAttributesRequest), reads=True),
    # Starting
    Table("StartWorkflowExecution", _start, _STARTS | _EAGER, skip=_CALLBACK_LINKS),
    Table("SignalWithStartWorkflowExecution", _signal_with_start, _STARTS, skip=_CALLBACK_LINKS),
    Table("ExecuteMultiOperation", _multi_operation, _OPERATIONS, depth=3, seconds=WAIT_SECONDS),
    # One run
    Table(
        "SignalWorkflowExecution",
        _of_run(
            lambda run: pb.SignalWorkflowExecutionRequest(
                namespace=NAMESPACE, workflow_execution=run.execution, signal_name="s"
            )
        ),
        _OF_RUN,
    ),
    Table(
        "RequestCancelWorkflowExecution",
        _of_run(
            lambda run: pb.RequestCancelWorkflowExecutionRequest(namespace=NAMESPACE, workflow_execution=run.execution)
        ),
        _OF_RUN,
    ),
    Table(
        "TerminateWorkflowExecution",
        _of_run(
            lambda run: pb.TerminateWorkflowExecutionRequest(namespace=NAMESPACE, workflow_execution=run.execution)
        ),
        _OF_RUN,
    ),
    Table(
        "DeleteWorkflowExecution",
        # What a deletion leaves, and when, is not this program's matter.
        _plain(
            lambda: pb.DeleteWorkflowExecutionRequest(
                namespace=NAMESPACE, workflow_execution=common_pb.WorkflowExecution(workflow_id="no-such-workflow")
            )
        ),
        _OF_RUN,
        reads=True,
    ),
    Table("ResetWorkflowExecution", _of_run(_reset, begin=_done), _OF_RUN),
    Table("UpdateWorkflowExecutionOptions", _of_run(_options), _OF_RUN),
    Table(
        "DescribeWorkflowExecution",
        _of_run(lambda run: pb.DescribeWorkflowExecutionRequest(namespace=NAMESPACE, execution=run.execution)),
        _OF_EXECUTION,
        reads=True,
    ),
    Table(
        "GetWorkflowExecutionHistory",
        _of_run(_history),
        _OF_EXECUTION | _page_tokens(),
        seconds=WAIT_SECONDS,
        reads=True,
    ),
    Table(
        "GetWorkflowExecutionHistoryReverse",
        _of_run(lambda run: pb.GetWorkflowExecutionHistoryReverseRequest(namespace=NAMESPACE, execution=run.execution)),
        _OF_EXECUTION | _page_tokens(),
        reads=True,
    ),
    Table(
        "QueryWorkflow",
        _of_run(
            lambda run: pb.QueryWorkflowRequest(
                namespace=NAMESPACE, execution=run.execution, query=query_pb.WorkflowQuery(query_type="q")
            ),
            begin=_done,
        ),
        _OF_EXECUTION,
        seconds=WAIT_SECONDS,
        reads=True,
    ),
    Table("UpdateWorkflowExecution", _update_of_run, _OF_RUN, seconds=WAIT_SECONDS),
    Table(
        "PollWorkflowExecutionUpdate",
        _of_run(
            lambda run: pb.PollWorkflowExecutionUpdateRequest(
                namespace=NAMESPACE,
                update_ref=update_pb.UpdateRef(workflow_execution=run.execution, update_id="no-such-update"),
            ),
            begin=_done,
        ),
        seconds=WAIT_SECONDS,
        reads=True,
    ),
    Table(
        "ResetStickyTaskQueue",
        _of_run(lambda run: pb.ResetStickyTaskQueueRequest(namespace=NAMESPACE, execution=run.execution)),
        _OF_EXECUTION,
        reads=True,
    ),
    # Lists
    Table(
        "ListWorkflowExecutions", _listing(pb.ListWorkflowExecutionsRequest), _QUERY_TEXTS | _page_tokens(), reads=True
    ),
    Table(
        "ScanWorkflowExecutions", _listing(pb.ScanWorkflowExecutionsRequest), _QUERY_TEXTS | _page_tokens(), reads=True
    ),
    Table("CountWorkflowExecutions", _listing(pb.CountWorkflowExecutionsRequest), _QUERY_TEXTS, reads=True),
    Table(
        "ListOpenWorkflowExecutions",
        _listing(pb.ListOpenWorkflowExecutionsRequest, **_TIMED),
        {"filters=two": set_fields(execution_filter=_BY_ID, type_filter=_BY_TYPE)} | _page_tokens(),
        reads=True,
    ),
    Table(
        "ListClosedWorkflowExecutions",
        _listing(pb.ListClosedWorkflowExecutionsRequest, **_TIMED),
        {"filters=two": set_fields(execution_filter=_BY_ID, type_filter=_BY_TYPE)} | _page_tokens(),
        reads=True,
    ),
    Table(
        "ListArchivedWorkflowExecutions", _listing(pb.ListArchivedWorkflowExecutionsRequest), _page_tokens(), reads=True
    ),
    # Workers
    Table("PollWorkflowTaskQueue", _poll(pb.PollWorkflowTaskQueueRequest, lambda run: None), seconds=POLL_SECONDS),
    Table("PollActivityTaskQueue", _poll(pb.PollActivityTaskQueueRequest, _schedule), seconds=POLL_SECONDS),
    Table(
        "RespondWorkflowTaskCompleted",
        _workflow_task(
            lambda run, token: pb.RespondWorkflowTaskCompletedRequest(namespace=NAMESPACE, task_token=token)
        ),
        _task_tokens(),
        skip=("commands",),
    ),
    Table(
        "RespondWorkflowTaskFailed",
        _workflow_task(lambda run, token: pb.RespondWorkflowTaskFailedRequest(namespace=NAMESPACE, task_token=token)),
        _task_tokens(),
    ),
    Table("RespondQueryTaskCompleted", _query_task, _task_tokens()),
    Table("RespondActivityTaskCompleted", _by_token(pb.RespondActivityTaskCompletedRequest), _task_tokens()),
    Table("RespondActivityTaskFailed", _by_token(pb.RespondActivityTaskFailedRequest, failure=_FAILED), _task_tokens()),
    Table("RespondActivityTaskCanceled", _by_token(pb.RespondActivityTaskCanceledRequest), _task_tokens()),
    Table("RecordActivityTaskHeartbeat", _by_token(pb.RecordActivityTaskHeartbeatRequest), _task_tokens()),
    Table("RespondActivityTaskCompletedById", _by_id(pb.RespondActivityTaskCompletedByIdRequest), _ids()),
    Table("RespondActivityTaskFailedById", _by_id(pb.RespondActivityTaskFailedByIdRequest, failure=_FAILED), _ids()),
    Table("RespondActivityTaskCanceledById", _by_id(pb.RespondActivityTaskCanceledByIdRequest), _ids()),
    Table("RecordActivityTaskHeartbeatById", _by_id(pb.RecordActivityTaskHeartbeatByIdRequest), _ids()),
    Table(
        "ShutdownWorker",
        _plain(lambda: pb.ShutdownWorkerRequest(namespace=NAMESPACE, sticky_task_queue="s", identity="i")),
        reads=True,
    ),
    Table(
        "RecordWorkerHeartbeat",
        _plain(lambda: pb.RecordWorkerHeartbeatRequest(namespace=NAMESPACE, identity="i")),
        reads=True,
    ),
    Table("ListWorkers", _listing(pb.ListWorkersRequest), _QUERY_TEXTS | _page_tokens(), reads=True),
    Table("CountWorkers", _listing(pb.CountWorkersRequest), _QUERY_TEXTS, reads=True),
    Table("DescribeWorker", _listing(pb.DescribeWorkerRequest, worker_instance_key="no-such-worker"), reads=True),
    # Queues
    Table(
        "DescribeTaskQueue",
        _listing(pb.DescribeTaskQueueRequest, task_queue=taskqueue_pb.TaskQueue(name="q"), task_queue_type=_WORKFLOW),
        {"queue=partition": set_fields(task_queue=taskqueue_pb.TaskQueue(name="/_sys/q/1"))},
        reads=True,
    ),
    Table(
        "ListTaskQueuePartitions",
        _listing(pb.ListTaskQueuePartitionsRequest, task_queue=taskqueue_pb.TaskQueue(name="q")),
        reads=True,
    ),
    Table(
        "UpdateTaskQueueConfig",
        lambda bench: Good(
            pb.UpdateTaskQueueConfigRequest(
                namespace=NAMESPACE,
                identity="i",
                task_queue=bench.name(),
                task_queue_type=enums.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
        ),
    ),
]

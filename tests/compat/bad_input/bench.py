"""One server under test: raw calls, and the workflows, tasks and namespaces that requests speak of."""

import itertools
import json
import re
import secrets
import time
from typing import Any

import grpc
import temporalio.api.command.v1 as command_pb
import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.operatorservice.v1 as operator_pb
import temporalio.api.query.v1 as query_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from harness import commands, records
from harness.normalise import normalise

NAMESPACE = "default"
_STATUS_HEADER = "grpc-status-details-bin"
_CALL_SECONDS = 10.0
# A server counts the time from when it reads the time-out, which is sent in whole milliseconds.
_EARLY_SECONDS = 0.05
_RATE_LIMIT_PAUSE_SECONDS = 0.05
_OPTIONS = [("grpc.max_receive_message_length", 128 << 20), ("grpc.max_send_message_length", 128 << 20)]
_SERVICES = {
    "WorkflowService": ("temporal.api.workflowservice.v1.WorkflowService", service_pb),
    "OperatorService": ("temporal.api.operatorservice.v1.OperatorService", operator_pb),
}
SEARCH_ATTRIBUTES = {
    "BadInputInt": enums.IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "BadInputKeyword": enums.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
}
# What the official server says where it does not say why.
_HIDDEN = re.compile(r"something went wrong, please retry \([0-9a-f]+\)")
# Come at some time after the call.
_LATE_EVENTS = {
    f"EVENT_TYPE_{name}"
    for name in ("WORKFLOW_TASK_TIMED_OUT", "WORKFLOW_EXECUTION_TIMED_OUT", "ACTIVITY_TASK_TIMED_OUT")
}

Outcome = dict[str, Any]


class CallFailed(Exception):
    """A call that had to succeed did not."""


class Bench:
    """Speaks to one server; every name that it gives out ends with the run's salt."""

    def __init__(self, target: str) -> None:
        self.salt = secrets.token_hex(4)
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._numbers = itertools.count()

    def close(self) -> None:
        self._channel.close()

    # Calls

    def send(self, method: str, wire: bytes, seconds: float = _CALL_SECONDS) -> tuple[Outcome, bytes]:
        """Sends bytes as a request and gives what became of it; waits out limits on the rate of calls."""
        service, module = service_of(method)
        call = self._channel.unary_unary(f"/{service}/{method}")
        while True:
            begun = time.monotonic()
            try:
                return {"code": "OK"}, call(wire, timeout=seconds)
            except grpc.RpcError as error:
                outcome = self._outcome(error, is_time_up=time.monotonic() - begun >= seconds - _EARLY_SECONDS)
            if not _is_to_be_retried(outcome):
                return outcome, b""
            time.sleep(_RATE_LIMIT_PAUSE_SECONDS)

    def call(self, method: str, request: Message, seconds: float = _CALL_SECONDS) -> Any:
        """Makes a call that has to succeed."""
        outcome, wire = self.send(method, request.SerializeToString(), seconds)
        if outcome["code"] != "OK":
            raise CallFailed(f"{method}: {outcome}")
        return getattr(service_of(method)[1], f"{method}Response").FromString(wire)

    def start_call(self, method: str, request: Message, seconds: float) -> Any:
        """Begins a call whose outcome nobody waits for."""
        call = self._channel.unary_unary(f"/{service_of(method)[0]}/{method}")
        return call.future(request.SerializeToString(), timeout=seconds)

    def _outcome(self, error: Any, is_time_up: bool) -> Outcome:
        headers = dict(error.trailing_metadata() or ())
        # Who notices first that time is up, the client or the server, is chance, and so is whether a poller of
        # before still counts. A server that notices first may cut the stream without a status.
        is_cut = error.code() == grpc.StatusCode.CANCELLED and "RST_STREAM" in error.details()
        is_late = (
            error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            or "no poller seen" in error.details()
            or (is_cut and is_time_up)
        )
        message = "" if is_late else _HIDDEN.sub("<hidden>", error.details())
        code = "DEADLINE_EXCEEDED" if is_late else error.code().name
        outcome: Outcome = {"code": code, "message": message}
        if _STATUS_HEADER in headers:
            try:
                status = common_pb.GrpcStatus.FromString(headers[_STATUS_HEADER])
            except DecodeError:
                outcome["details"] = "unreadable"
            else:
                outcome["details"] = [records.detail(detail) for detail in status.details]
        return self.plain(outcome)

    def plain(self, value: Any) -> Any:
        """Replaces what may differ between two correct servers, and what is too long to look at."""
        text = json.dumps(normalise(value, self.salt), sort_keys=True, ensure_ascii=False)
        text = re.sub(r"bad-\d+", "<name>", text)
        # How long it is to the next time of a cron schedule.
        text = re.sub(r'("first_workflow_task_backoff": )"[1-9]\d*s"', r'\1"<backoff>"', text)
        text = re.sub(r"(\w)\1{60,}", lambda run: f"<{run.group(1)}*{len(run.group())}>", text)
        # The official server's builds space their texts of messages differently.
        text = re.sub(r"(?<=\S)  (?=\S)", " ", text)
        return json.loads(text)

    # What requests speak of

    def ready(self, seconds: float) -> None:
        """Waits until the server answers and knows the search attributes."""
        deadline = time.monotonic() + seconds
        attributes = operator_pb.AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=SEARCH_ATTRIBUTES)
        query = " AND ".join(f"{name} IS NOT NULL" for name in SEARCH_ATTRIBUTES)
        count = service_pb.CountWorkflowExecutionsRequest(namespace=NAMESPACE, query=query)
        for method, request in (("AddSearchAttributes", attributes), ("CountWorkflowExecutions", count)):
            while self.send(method, request.SerializeToString())[0]["code"] != "OK":
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{method} does not succeed")
                time.sleep(_RATE_LIMIT_PAUSE_SECONDS)

    def name(self) -> str:
        return f"bad-{next(self._numbers):06}-{self.salt}"

    def namespace(self) -> str:
        """Registers a namespace."""
        name = self.name()
        self.call("RegisterNamespace", register_request(name))
        return name

    def run(self) -> "Run":
        return Run(self)


def register_request(name: str) -> service_pb.RegisterNamespaceRequest:
    return service_pb.RegisterNamespaceRequest(
        namespace=name, workflow_execution_retention_period=commands.seconds(86_400)
    )


class Run:
    """A workflow with a name and a queue of its own; started by `start`."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.workflow_id = bench.name()
        self.queue = self.workflow_id
        self.run_id = ""
        self._waiting: list[Any] = []

    @property
    def task_queue(self) -> taskqueue_pb.TaskQueue:
        return taskqueue_pb.TaskQueue(name=self.queue)

    @property
    def execution(self) -> common_pb.WorkflowExecution:
        return common_pb.WorkflowExecution(workflow_id=self.workflow_id)

    def start(self, **fields: Any) -> "Run":
        self.run_id = self.bench.call("StartWorkflowExecution", self.start_request(**fields)).run_id
        return self

    def start_request(self, **fields: Any) -> service_pb.StartWorkflowExecutionRequest:
        return service_pb.StartWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_id=self.workflow_id,
            workflow_type=common_pb.WorkflowType(name="BadInput"),
            task_queue=self.task_queue,
            identity="bad-input",
            **fields,
        )

    def task(self) -> service_pb.PollWorkflowTaskQueueResponse:
        return self._poll("PollWorkflowTaskQueue", service_pb.PollWorkflowTaskQueueRequest)

    def complete(self, *sent: command_pb.Command) -> None:
        """Completes the next workflow task."""
        request = service_pb.RespondWorkflowTaskCompletedRequest(
            namespace=NAMESPACE, task_token=self.task().task_token, commands=sent
        )
        self.bench.call("RespondWorkflowTaskCompleted", request)

    def activity(self, **fields: Any) -> service_pb.PollActivityTaskQueueResponse:
        """Schedules an activity by the next workflow task and takes it up."""
        self.complete(commands.schedule_activity("activity", self.queue, start_to_close=3_600, **fields))
        return self._poll("PollActivityTaskQueue", service_pb.PollActivityTaskQueueRequest)

    def query(self) -> service_pb.PollWorkflowTaskQueueResponse:
        """Asks a query, once the first workflow task is done, and takes it up."""
        self.complete()
        request = service_pb.QueryWorkflowRequest(
            namespace=NAMESPACE, execution=self.execution, query=query_pb.WorkflowQuery(query_type="q")
        )
        self._waiting.append(self.bench.start_call("QueryWorkflow", request, 30.0))
        return self.task()

    def _poll(self, method: str, kind: type[Message]) -> Any:
        request = kind(namespace=NAMESPACE, task_queue=self.task_queue, identity="bad-input")
        for _ in range(3):
            task = self.bench.call(method, request, 20.0)
            if task.task_token:
                return task
        raise CallFailed(f"{method}: no task")

    # What became of it

    def state(self, _: Any) -> Any:
        return history(self.bench, self.workflow_id)


def history(bench: Bench, workflow_id: str) -> Any:
    """Gives the history of the newest run of the workflow id, or that there is none."""
    request = service_pb.GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE, execution=common_pb.WorkflowExecution(workflow_id=workflow_id)
    )
    outcome, wire = bench.send("GetWorkflowExecutionHistory", request.SerializeToString())
    if outcome["code"] != "OK":
        return outcome["code"]
    answer = service_pb.GetWorkflowExecutionHistoryResponse.FromString(wire)
    try:
        events = records.events(answer.history)
    except json_format.Error:
        # A span or time that JSON cannot hold, as a server may store it that takes it.
        return [event.event_type for event in answer.history.events]
    return bench.plain([event for event in events if event["event_type"] not in _LATE_EVENTS])


def described(bench: Bench, namespace: str) -> Any:
    """Gives what the server says of a namespace."""
    request = service_pb.DescribeNamespaceRequest(namespace=namespace)
    outcome, wire = bench.send("DescribeNamespace", request.SerializeToString())
    if outcome["code"] != "OK":
        return outcome["code"]
    answer = records.message(service_pb.DescribeNamespaceResponse.FromString(wire))
    # What a server can do is no matter of its input.
    answer["config"].pop("custom_search_attribute_aliases", None)
    answer["namespace_info"].pop("supports_schedules", None)
    answer["namespace_info"].pop("capabilities", None)
    return bench.plain(answer)


def service_of(method: str) -> tuple[str, Any]:
    for name, module in _SERVICES.values():
        if hasattr(module, f"{method}Request"):
            return name, module
    raise KeyError(method)


def _is_to_be_retried(outcome: Outcome) -> bool:
    """Whether the call met a limit on the rate of calls, or another change of a namespace at the same time."""
    if outcome["code"] == "UNAVAILABLE":
        return any(text in outcome["message"] for text in ("conditional update error", "rate limit exceeded"))
    return outcome["code"] == "RESOURCE_EXHAUSTED" and "RPS_LIMIT" in json.dumps(outcome.get("details"))

"""What a scenario works with: isolated names, calls, waits for conditions, records of what the server holds."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import temporalio.api.common.v1 as common_pb
import temporalio.api.enums.v1 as enums
import temporalio.api.history.v1 as history_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
import temporalio.api.workflowservice.v1 as service_pb
from google.protobuf.message import Message
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from harness import commands, records
from harness.records import Record

CLIENT_IDENTITY = "compat-client"
WORKER_IDENTITY = "compat-worker"

_RPC_TIMEOUT = timedelta(seconds=30)
_CHECK_INTERVAL_SECONDS = 0.04

Answer = TypeVar("Answer")


class Context:
    """One scenario's view of the server under test; every name it hands out ends with the run's salt."""

    def __init__(self, clients: Sequence[Client], scenario: str, salt: str) -> None:
        self._clients = itertools.cycle(clients)
        self.namespace = clients[0].namespace
        self.queue = f"{scenario}-{salt}"
        self._scenario = scenario
        self._salt = salt
        self._workflow_ids: list[str] = []

    @property
    def client(self) -> Client:
        """Gives a client; with several servers under test the next one each time, so that no two calls need meet."""
        return next(self._clients)

    # Names

    def workflow_id(self, suffix: str = "wf") -> str:
        """Gives a workflow id of this scenario; whatever still runs under it is terminated at the end."""
        name = self.name(suffix)
        if name not in self._workflow_ids:
            self._workflow_ids.append(name)
        return name

    def name(self, suffix: str) -> str:
        return f"{self._scenario}-{suffix}-{self._salt}"

    # Calls

    async def rpc(self, method: str, request: Message, *, timeout: timedelta = _RPC_TIMEOUT) -> Any:
        """Calls WorkflowService without retries, except that it waits out a limit on the rate of calls."""
        call = getattr(self.client.workflow_service, method)
        while True:
            try:
                return await call(request, retry=False, timeout=timeout)
            except RPCError as error:
                if not records.is_rate_limit(error):
                    raise
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)

    async def operator_rpc(self, method: str, request: Message) -> Any:
        """Calls OperatorService without retries."""
        return await getattr(self.client.operator_service, method)(request, retry=False, timeout=_RPC_TIMEOUT)

    async def attempt(self, call: Awaitable[Any]) -> Record:
        """Records a call's answer or its error, whichever it is."""
        try:
            answer = await call
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return records.error(error)
        if isinstance(answer, Message):
            return {"response": records.message(answer)}
        return {"result": answer}

    def start_request(self, workflow_id: str | None = None, **fields: Any) -> service_pb.StartWorkflowExecutionRequest:
        fields.setdefault("workflow_type", common_pb.WorkflowType(name="RawWorkflow"))
        fields.setdefault("task_queue", self.task_queue())
        fields.setdefault("identity", CLIENT_IDENTITY)
        return service_pb.StartWorkflowExecutionRequest(
            namespace=self.namespace, workflow_id=workflow_id or self.workflow_id(), **fields
        )

    async def start(self, workflow_id: str | None = None, **fields: Any) -> service_pb.StartWorkflowExecutionResponse:
        return await self.rpc("start_workflow_execution", self.start_request(workflow_id, **fields))

    async def signal(self, workflow_id: str, name: str, *args: Any, run_id: str = "", request_id: str = "") -> Any:
        return await self.rpc(
            "signal_workflow_execution",
            service_pb.SignalWorkflowExecutionRequest(
                namespace=self.namespace,
                workflow_execution=execution(workflow_id, run_id),
                signal_name=name,
                input=commands.payloads(*args) if args else None,
                identity=CLIENT_IDENTITY,
                request_id=request_id,
            ),
        )

    async def cancel(self, workflow_id: str, run_id: str = "", **fields: Any) -> Any:
        return await self.rpc(
            "request_cancel_workflow_execution",
            service_pb.RequestCancelWorkflowExecutionRequest(
                namespace=self.namespace,
                workflow_execution=execution(workflow_id, run_id),
                identity=CLIENT_IDENTITY,
                **fields,
            ),
        )

    async def terminate(self, workflow_id: str, run_id: str = "", **fields: Any) -> Any:
        return await self.rpc(
            "terminate_workflow_execution",
            service_pb.TerminateWorkflowExecutionRequest(
                namespace=self.namespace,
                workflow_execution=execution(workflow_id, run_id),
                identity=CLIENT_IDENTITY,
                **fields,
            ),
        )

    def task_queue(self) -> taskqueue_pb.TaskQueue:
        return taskqueue_pb.TaskQueue(name=self.queue)

    def worker(self, **options: Any) -> Worker:
        """Gives a real SDK worker on this scenario's queue; use it as an async context manager."""
        options.setdefault("task_queue", self.queue)
        options.setdefault("identity", WORKER_IDENTITY)
        return Worker(
            self.client,
            workflow_runner=UnsandboxedWorkflowRunner(),
            graceful_shutdown_timeout=timedelta(),
            **options,
        )

    # Waits

    async def until(self, ask: Callable[[], Awaitable[Answer]], holds: Callable[[Answer], bool]) -> Answer:
        """Asks again until the answer holds; the scenario's time limit is the only way out."""
        while True:
            answer = await ask()
            if holds(answer):
                return answer
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)

    async def wait_event(self, workflow_id: str, event_type: str, *, count: int = 1, run_id: str = "") -> list[Record]:
        """Waits until the history holds `count` events of the type (without its EVENT_TYPE_ prefix)."""
        wanted = f"EVENT_TYPE_{event_type}"

        def enough(history: list[Record]) -> bool:
            return sum(event["event_type"] == wanted for event in history) >= count

        return await self.until(lambda: self.history(workflow_id, run_id), enough)

    async def wait_closed(self, workflow_id: str, run_id: str = "") -> Record:
        """Long-polls for the close event of the run (the current one when no run id is given) and gives it."""
        request = service_pb.GetWorkflowExecutionHistoryRequest(
            namespace=self.namespace,
            execution=execution(workflow_id, run_id),
            wait_new_event=True,
            history_event_filter_type=enums.HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        )
        while True:
            answer = await self.rpc("get_workflow_execution_history", request)
            if answer.history.events:
                return records.message(answer.history.events[0])
            request.next_page_token = answer.next_page_token

    async def wait_count(self, query: str, count: int) -> None:
        """Waits until visibility counts `count` workflows for the query."""
        request = service_pb.CountWorkflowExecutionsRequest(namespace=self.namespace, query=query)
        await self.until(lambda: self.rpc("count_workflow_executions", request), lambda answer: answer.count == count)

    # Records

    async def history(self, workflow_id: str, run_id: str = "") -> list[Record]:
        """Gives the run's whole history, following page tokens."""
        events: list[Record] = []
        request = service_pb.GetWorkflowExecutionHistoryRequest(
            namespace=self.namespace, execution=execution(workflow_id, run_id)
        )
        while True:
            answer = await self.rpc("get_workflow_execution_history", request)
            events += records.events(answer.history)
            if not answer.next_page_token:
                return events
            request.next_page_token = answer.next_page_token

    async def proto_history(self, workflow_id: str, run_id: str = "") -> history_pb.History:
        """Gives the first page of the history as protobuf, for scenarios that read ids out of it."""
        answer = await self.rpc(
            "get_workflow_execution_history",
            service_pb.GetWorkflowExecutionHistoryRequest(
                namespace=self.namespace, execution=execution(workflow_id, run_id)
            ),
        )
        return answer.history

    async def describe(self, workflow_id: str, run_id: str = "") -> Record:
        return records.message(await self.proto_describe(workflow_id, run_id))

    async def proto_describe(self, workflow_id: str, run_id: str = "") -> service_pb.DescribeWorkflowExecutionResponse:
        return await self.rpc(
            "describe_workflow_execution",
            service_pb.DescribeWorkflowExecutionRequest(
                namespace=self.namespace, execution=execution(workflow_id, run_id)
            ),
        )

    async def clean_up(self) -> None:
        """Terminates what the scenario left running, so that it cannot disturb the others."""
        await asyncio.gather(*(self._terminate_quietly(workflow_id) for workflow_id in self._workflow_ids))

    async def _terminate_quietly(self, workflow_id: str) -> None:
        try:
            await self.terminate(workflow_id, reason="scenario ended")
        except RPCError:
            pass  # It has closed already or never ran.


def execution(workflow_id: str, run_id: str = "") -> common_pb.WorkflowExecution:
    return common_pb.WorkflowExecution(workflow_id=workflow_id, run_id=run_id)

"""A worker driven by hand over gRPC: it does exactly what a scenario says, also what no SDK would do."""

import asyncio
from datetime import timedelta
from typing import Any

import temporalio.api.enums.v1 as enums
import temporalio.api.failure.v1 as failure_pb
import temporalio.api.taskqueue.v1 as taskqueue_pb
import temporalio.api.workflowservice.v1 as service_pb

from harness import commands
from harness.commands import Command
from harness.context import WORKER_IDENTITY, Context

WorkflowTask = service_pb.PollWorkflowTaskQueueResponse
ActivityTask = service_pb.PollActivityTaskQueueResponse

_UNHANDLED_FAILURE = enums.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
_POLL_TIMEOUT = timedelta(seconds=20)


class RawWorker:
    """Polls and responds on the scenario's queue (or another one of the same namespace)."""

    def __init__(self, ctx: Context, queue: str | None = None) -> None:
        self._ctx = ctx
        self.queue = queue or ctx.queue
        self.sticky_queue = f"{self.queue}-sticky"

    # Workflow tasks

    async def workflow_task(self, *, sticky: bool = False) -> WorkflowTask:
        """Polls until there is a workflow task."""
        queue = self._sticky() if sticky else taskqueue_pb.TaskQueue(name=self.queue)
        request = service_pb.PollWorkflowTaskQueueRequest(
            namespace=self._ctx.namespace, task_queue=queue, identity=WORKER_IDENTITY
        )
        while True:
            task = await self._ctx.rpc("poll_workflow_task_queue", request, timeout=_POLL_TIMEOUT)
            if task.task_token:
                return task

    async def sticky_poll(self) -> "asyncio.Task[WorkflowTask]":
        """Begins to poll the sticky queue; returns once the server has noticed.

        A server gives up a sticky queue at once when it has not seen a poller there lately.
        """
        poll = asyncio.create_task(self.workflow_task(sticky=True))
        request = service_pb.DescribeTaskQueueRequest(
            namespace=self._ctx.namespace,
            task_queue=self._sticky(),
            task_queue_type=enums.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        await self._ctx.until(
            lambda: self._ctx.rpc("describe_task_queue", request), lambda answer: bool(answer.pollers)
        )
        return poll

    def _sticky(self) -> taskqueue_pb.TaskQueue:
        return taskqueue_pb.TaskQueue(
            name=self.sticky_queue, kind=enums.TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name=self.queue
        )

    async def complete(
        self, task: WorkflowTask, *command_list: Command, sticky_seconds: float | None = None, **fields: Any
    ) -> service_pb.RespondWorkflowTaskCompletedResponse:
        """Completes a workflow task; with `sticky_seconds` the run becomes sticky to this worker's sticky queue."""
        if sticky_seconds is not None:
            fields["sticky_attributes"] = taskqueue_pb.StickyExecutionAttributes(
                worker_task_queue=self._sticky(),
                schedule_to_start_timeout=commands.seconds(sticky_seconds),
            )
        return await self._ctx.rpc(
            "respond_workflow_task_completed",
            service_pb.RespondWorkflowTaskCompletedRequest(
                namespace=self._ctx.namespace,
                task_token=task.task_token,
                commands=command_list,
                identity=WORKER_IDENTITY,
                **fields,
            ),
        )

    async def fail(
        self,
        task: WorkflowTask,
        *,
        cause: "enums.WorkflowTaskFailedCause.ValueType" = _UNHANDLED_FAILURE,
        text: str = "raw failure",
    ) -> service_pb.RespondWorkflowTaskFailedResponse:
        return await self._ctx.rpc(
            "respond_workflow_task_failed",
            service_pb.RespondWorkflowTaskFailedRequest(
                namespace=self._ctx.namespace,
                task_token=task.task_token,
                cause=cause,
                failure=commands.application_failure(text),
                identity=WORKER_IDENTITY,
            ),
        )

    async def run_task(self, *command_list: Command, **fields: Any) -> WorkflowTask:
        """Polls one workflow task and completes it with the commands."""
        task = await self.workflow_task()
        await self.complete(task, *command_list, **fields)
        return task

    # Activity tasks

    async def activity_task(self) -> ActivityTask:
        """Polls until there is an activity task."""
        request = service_pb.PollActivityTaskQueueRequest(
            namespace=self._ctx.namespace,
            task_queue=taskqueue_pb.TaskQueue(name=self.queue),
            identity=WORKER_IDENTITY,
        )
        while True:
            task = await self._ctx.rpc("poll_activity_task_queue", request, timeout=_POLL_TIMEOUT)
            if task.task_token:
                return task

    async def complete_activity(self, token: bytes, *result: Any) -> Any:
        return await self._ctx.rpc(
            "respond_activity_task_completed",
            service_pb.RespondActivityTaskCompletedRequest(
                namespace=self._ctx.namespace,
                task_token=token,
                result=commands.payloads(*result) if result else None,
                identity=WORKER_IDENTITY,
            ),
        )

    async def fail_activity(self, token: bytes, failure: failure_pb.Failure, **fields: Any) -> Any:
        return await self._ctx.rpc(
            "respond_activity_task_failed",
            service_pb.RespondActivityTaskFailedRequest(
                namespace=self._ctx.namespace, task_token=token, failure=failure, identity=WORKER_IDENTITY, **fields
            ),
        )

    async def cancel_activity(self, token: bytes, *details: Any) -> Any:
        return await self._ctx.rpc(
            "respond_activity_task_canceled",
            service_pb.RespondActivityTaskCanceledRequest(
                namespace=self._ctx.namespace,
                task_token=token,
                details=commands.payloads(*details) if details else None,
                identity=WORKER_IDENTITY,
            ),
        )

    async def heartbeat(self, token: bytes, *details: Any) -> service_pb.RecordActivityTaskHeartbeatResponse:
        return await self._ctx.rpc(
            "record_activity_task_heartbeat",
            service_pb.RecordActivityTaskHeartbeatRequest(
                namespace=self._ctx.namespace,
                task_token=token,
                details=commands.payloads(*details) if details else None,
                identity=WORKER_IDENTITY,
            ),
        )

"""Interpreter: a workflow that issues the commands of a plan, each in the workflow task in which it belongs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ParentClosePolicy

from .plan import Plan, Step, patch_id

# The plan of each workflow by its id: a replayed workflow gets nothing from outside but its history.
PLANS: dict[str, Plan] = {}

_LONG = timedelta(days=1)


@workflow.defn(dynamic=True)
class Interpreter:
    def __init__(self) -> None:
        self._plan = PLANS[workflow.info().workflow_id]
        self._left = sorted(self._plan.tasks)
        # What was started, by its event; kept so that it can be canceled and is not collected.
        self._started: dict[int, Any] = {}
        self._background: list[asyncio.Task[None]] = []
        # Updates by their ids: one that is handled has been accepted.
        self._accepted: set[str] = set()

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> None:
        with contextlib.suppress(_End):
            while True:
                await self._until(lambda: bool(self._left) and self._left[0] <= _task())
                for step in self._plan.tasks[self._left.pop(0)]:
                    await self._issue(step)

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        pass

    @workflow.update(dynamic=True)
    async def on_update(self, name: str, args: Sequence[RawValue]) -> None:
        info = workflow.current_update_info()
        assert info
        self._accepted.add(info.id)
        end = self._plan.updates.get(info.id)
        await self._until(lambda: end is not None and end.task <= _task() and end.accepted <= self._accepted)
        if end and not end.well:
            raise ApplicationError("as recorded")

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits; a request to cancel the workflow is no reason to stop waiting."""
        while not condition():
            with contextlib.suppress(asyncio.CancelledError):
                await workflow.wait_condition(condition)

    async def _issue(self, step: Step) -> None:
        _ISSUE[step.event_type](self, step)
        # What runs in a task of its own must have issued its command before the next one is.
        for _ in range(3):
            await asyncio.sleep(0)

    def _spawn(self, what: Callable[[], Awaitable[Any]]) -> None:
        async def outcome_does_not_matter() -> None:
            with contextlib.suppress(Exception):
                await what()

        self._background.append(asyncio.create_task(outcome_does_not_matter()))

    def _activity(self, step: Step) -> None:
        handle = workflow.start_activity(
            step.attributes["activityType"]["name"],
            activity_id=step.attributes["activityId"],
            start_to_close_timeout=_LONG,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        self._started[step.event_id] = handle

        async def ended() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await handle

        self._spawn(ended)

    def _cancel_activity(self, step: Step) -> None:
        self._started[int(step.attributes["scheduledEventId"])].cancel()

    def _timer(self, step: Step) -> None:
        self._started[step.event_id] = asyncio.get_running_loop().call_later(_LONG.total_seconds(), lambda: None)

    def _cancel_timer(self, step: Step) -> None:
        self._started[int(step.attributes["startedEventId"])].cancel()

    def _child(self, step: Step) -> None:
        policy = step.attributes.get("parentClosePolicy", "PARENT_CLOSE_POLICY_UNSPECIFIED")
        self._spawn(
            lambda: workflow.start_child_workflow(
                step.attributes["workflowType"]["name"],
                id=step.attributes["workflowId"],
                parent_close_policy=ParentClosePolicy[policy.removeprefix("PARENT_CLOSE_POLICY_")],
            )
        )

    def _signal_external(self, step: Step) -> None:
        handle = _external(step)
        self._spawn(lambda: handle.signal(step.attributes["signalName"]))

    def _cancel_external(self, step: Step) -> None:
        handle = _external(step)
        self._spawn(handle.cancel)

    def _patch(self, step: Step) -> None:
        workflow.patched(patch_id(step.attributes))

    def _upsert_search_attributes(self, step: Step) -> None:
        fields = step.attributes.get("searchAttributes", {}).get("indexedFields", {})
        workflow.upsert_search_attributes([SearchAttributeKey.for_keyword(name).value_set("x") for name in fields])

    def _upsert_memo(self, step: Step) -> None:
        workflow.upsert_memo({name: "x" for name in step.attributes.get("upsertedMemo", {}).get("fields", {})})

    def _complete(self, step: Step) -> None:
        raise _End

    def _fail(self, step: Step) -> None:
        raise ApplicationError("as recorded")

    def _cancel(self, step: Step) -> None:
        raise asyncio.CancelledError

    def _continue_as_new(self, step: Step) -> None:
        workflow.continue_as_new()


class _End(Exception):
    """The workflow is complete."""


_ISSUE: dict[str, Callable[[Interpreter, Step], None]] = {
    "ACTIVITY_TASK_SCHEDULED": Interpreter._activity,
    "ACTIVITY_TASK_CANCEL_REQUESTED": Interpreter._cancel_activity,
    "TIMER_STARTED": Interpreter._timer,
    "TIMER_CANCELED": Interpreter._cancel_timer,
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": Interpreter._child,
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": Interpreter._signal_external,
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": Interpreter._cancel_external,
    "MARKER_RECORDED": Interpreter._patch,
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": Interpreter._upsert_search_attributes,
    "WORKFLOW_PROPERTIES_MODIFIED": Interpreter._upsert_memo,
    "WORKFLOW_EXECUTION_COMPLETED": Interpreter._complete,
    "WORKFLOW_EXECUTION_FAILED": Interpreter._fail,
    "WORKFLOW_EXECUTION_CANCELED": Interpreter._cancel,
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": Interpreter._continue_as_new,
}


def _task() -> int:
    """The started event of the workflow task that is being replayed."""
    return workflow.info().get_current_history_length()


def _external(step: Step) -> workflow.ExternalWorkflowHandle[Any]:
    execution = step.attributes["workflowExecution"]
    return workflow.get_external_workflow_handle(execution["workflowId"], run_id=execution.get("runId") or None)

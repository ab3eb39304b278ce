"""Starts the server the way the Python SDK's users do in their tests, and runs a workflow on it.

.venv/bin/python sdk/start_local.py PATH_OF_SERVER

Prints one line per check, "ok NAME" or "FAIL NAME: why"; sdk.py counts them.
"""

import asyncio
import gc
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

NAMESPACE = "sdk-python"
TASK_QUEUE = "sdk-python"
CUSTOMER = SearchAttributeKey.for_keyword("SdkCustomer")
AMOUNT = SearchAttributeKey.for_int("SdkAmount")
CHECK_SECONDS = 20.0


@activity.defn
async def greet(name: str) -> str:
    if activity.info().attempt == 1:
        raise ApplicationError("the first attempt always fails")
    return f"hello {name}"


@workflow.defn
class Greeting:
    """Greets each name that a signal brings, until it is told to end."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._greetings: list[str] = []
        self._mark = "!"
        self._end = False

    @workflow.run
    async def run(self) -> list[str]:
        while not self._end or self._names:
            await workflow.wait_condition(lambda: self._end or bool(self._names))
            while self._names:
                greeting = await workflow.execute_activity(
                    greet,
                    self._names.pop(0),
                    start_to_close_timeout=timedelta(seconds=10),
                    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
                )
                self._greetings.append(greeting + self._mark)
        return self._greetings

    @workflow.signal
    def add(self, name: str) -> None:
        self._names.append(name)

    @workflow.signal
    def end(self) -> None:
        self._end = True

    @workflow.query
    def greetings(self) -> list[str]:
        return self._greetings

    @workflow.update
    async def set_mark(self, mark: str) -> str:
        previous, self._mark = self._mark, mark
        return previous

    @set_mark.validator
    def check_mark(self, mark: str) -> None:
        if len(mark) != 1:
            raise ApplicationError("a mark is one character")


async def workflow_runs(client: Client) -> None:
    handle = await client.start_workflow(Greeting.run, id="greeting", task_queue=TASK_QUEUE)
    await handle.signal(Greeting.add, "Ada")
    while await handle.query(Greeting.greetings) != ["hello Ada!"]:
        await asyncio.sleep(0.05)
    assert await handle.execute_update(Greeting.set_mark, "?") == "!"
    try:
        await handle.execute_update(Greeting.set_mark, "??")
    except WorkflowUpdateFailedError as refusal:
        assert "one character" in str(refusal.cause), refusal.cause
    else:
        raise AssertionError("the update was not refused")
    await handle.signal(Greeting.add, "Bob")
    await handle.signal(Greeting.end)
    result = await handle.result()
    assert result == ["hello Ada!", "hello Bob?"], result


async def search_attributes_are_there(client: Client) -> None:
    handle = await client.start_workflow(
        Greeting.run,
        id="searched",
        task_queue=TASK_QUEUE,
        start_signal="end",
        search_attributes=TypedSearchAttributes([SearchAttributePair(CUSTOMER, "Ada"), SearchAttributePair(AMOUNT, 7)]),
    )
    await handle.result()
    query = f"{CUSTOMER.name} = 'Ada' AND {AMOUNT.name} > 6 AND ExecutionStatus = 'Completed'"
    while not (found := [run async for run in client.list_workflows(query)]):
        await asyncio.sleep(0.05)
    assert [run.id for run in found] == ["searched"], found
    assert found[0].typed_search_attributes[AMOUNT] == 7, found[0].typed_search_attributes


async def namespace_is_the_one_asked_for(client: Client) -> None:
    assert client.namespace == NAMESPACE, client.namespace


async def check(name: str, body: Callable[[], Awaitable[None]]) -> bool:
    try:
        await asyncio.wait_for(body(), CHECK_SECONDS)
    except Exception as error:
        why = str(error).splitlines()[:1] or [""]
        print(f"FAIL python.{name}: {type(error).__name__} {why[0]}", flush=True)
        traceback.print_exc()
        return False
    print(f"ok python.{name}", flush=True)
    return True


async def main(path: str) -> int:
    # The workers would tell of the attempts that fail on purpose.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    quiet = TelemetryConfig(logging=LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR")))
    started: list[WorkflowEnvironment] = []

    async def start() -> None:
        started.append(
            await WorkflowEnvironment.start_local(
                namespace=NAMESPACE,
                search_attributes=[CUSTOMER, AMOUNT],
                dev_server_existing_path=path,
                runtime=Runtime(telemetry=quiet),
            )
        )

    if not await check("start_local", start):
        return 1
    environment = started[0]
    client = environment.client
    results = []
    async with Worker(client, task_queue=TASK_QUEUE, workflows=[Greeting], activities=[greet]):
        for body in (namespace_is_the_one_asked_for, workflow_runs, search_attributes_are_there):
            results.append(await check(body.__name__, lambda body=body: body(client)))  # type: ignore[misc]
    results.append(await check("shutdown", environment.shutdown))
    return 0 if all(results) else 1


if __name__ == "__main__":
    code = asyncio.run(main(sys.argv[1]))
    # The SDK's threads must be gone before the interpreter goes; they end with the runtime, which cycles hold.
    gc.collect()
    sys.exit(code)

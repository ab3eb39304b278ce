"""Replays the engine's golden histories in the Python SDK: its Replayer takes only what a workflow can have lived
through.

.venv/bin/python replay_golden.py FOLDER     all *.json in it, as the engine's golden test writes with GOLDEN_HISTORIES

One workflow interprets them all: it issues the commands that a history records, each in the workflow task in which it
was issued. Each history is replayed as it is, which must succeed, and with its first command issued otherwise, which
must fail as non-deterministic. Prints a line for each history that is no "ok", and "N passed, M failed" last; the exit
status is 0 when nothing failed.
"""

import asyncio
import json
import logging
import pathlib
import sys

from temporalio.client import WorkflowHistory
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from replay.interpreter import PLANS, Interpreter
from replay.plan import Plan, replays, sdk_form

# Histories that other workers may write but this SDK does not, so that its Replayer must refuse them.
_NOT_THIS_SDKS = {
    "activity_scheduled_and_canceled_at_once.1": "an activity canceled in the task that schedules it is left out",
    "update_meets_the_end.1": "an update that was neither accepted nor rejected woke the workflow; no event tells of it",
    "update_meets_the_end.2": "as update_meets_the_end.1",
}
_REPLAY_SECONDS = 30.0
_AT_ONCE = 4


async def main(folder: pathlib.Path) -> int:
    # Each failure that is provoked on purpose would be told of.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)))
    paths = sorted(folder.glob("*.json"))
    if not paths:
        print(f"no histories in {folder}", file=sys.stderr)
        return 2
    room = asyncio.Semaphore(_AT_ONCE)

    async def bounded(path: pathlib.Path) -> list[str]:
        async with room:
            return await _check(path)

    outcomes = [line for lines in await asyncio.gather(*map(bounded, paths)) for line in lines]
    failed = [line for line in outcomes if not line.startswith("ok ")]
    for line in failed:
        print(line)
    replayed = sum(".replays" in line for line in outcomes)
    print(f"{len(paths)} histories, {replayed} with a completed workflow task to replay")
    print(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


async def _check(path: pathlib.Path) -> list[str]:
    """Replays one history; gives a line for each of its checks."""
    history = sdk_form(json.loads(path.read_text()))
    if not replays(history):
        # No worker has completed a task: there is nothing to replay, and the SDK says so by waiting for one.
        return []
    plan = Plan.of(history)
    name = path.stem
    wanted = NondeterminismError if name in _NOT_THIS_SDKS else None
    lines = [_tell(name, "replays", wanted, await _replay(name, history, plan))]
    if plan.has_commands():
        failure = await _replay(f"{name}-otherwise", history, plan.otherwise())
        lines.append(_tell(name, "otherwise", NondeterminismError, failure))
    return lines


def _tell(name: str, check: str, wanted: type[Exception] | None, failure: Exception | None) -> str:
    fine = failure is None if wanted is None else isinstance(failure, wanted)
    return f"ok {name}.{check}" if fine else f"FAIL {name}.{check}: {type(failure).__name__}: {failure}"


async def _replay(workflow_id: str, history: dict[str, object], plan: Plan) -> Exception | None:
    """Replays the history with a workflow that follows the plan; gives what the SDK found wrong."""
    PLANS[workflow_id] = plan
    replayer = Replayer(workflows=[Interpreter], workflow_runner=UnsandboxedWorkflowRunner())
    recorded = WorkflowHistory.from_json(workflow_id, json.dumps(history))
    try:
        replay = replayer.replay_workflow(recorded, raise_on_replay_failure=False)
        return (await asyncio.wait_for(replay, _REPLAY_SECONDS)).replay_failure
    except TimeoutError:
        return TimeoutError(f"not replayed within {_REPLAY_SECONDS:g} s")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(pathlib.Path(sys.argv[1]))))

"""Runs the compatibility scenarios against a server that is already up and writes what they saw as JSON.

.venv/bin/python run.py --target 127.0.0.1:7233 --out out/results.json [--only 'activities.*']
"""

import argparse
import asyncio
import json
import logging
import pathlib
import secrets
import sys
import time
import traceback
from typing import Any

from temporalio.client import Client

from harness import registry
from harness.context import Context
from harness.prepare import connect, prepare
from harness.registry import Scenario

_CLEAN_UP_SECONDS = 10.0


def main() -> int:
    arguments = _arguments()
    # Workers log every failure that a scenario provokes on purpose.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    scenarios = registry.load(arguments.only or ["*"], arguments.skip)
    if arguments.list:
        print("\n".join(scenario.name for scenario in scenarios))
        return 0
    if not scenarios:
        print(f"no scenario matches {arguments.only!r}", file=sys.stderr)
        return 2
    return asyncio.run(_run(arguments, scenarios))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--target",
        default="127.0.0.1:7233",
        help="host:port of the server's gRPC frontend; of a cluster those of its nodes, with commas between them",
    )
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--out", type=pathlib.Path, help="file to write the results to")
    parser.add_argument("--only", action="append", help="glob over scenario names; all that are given must match")
    parser.add_argument("--skip", action="append", default=[], help="glob over names of scenarios to leave out")
    parser.add_argument("--jobs", type=int, default=4, help="scenarios at a time")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one scenario")
    parser.add_argument("--ready-timeout", type=float, default=30.0, help="seconds to wait for the server")
    parser.add_argument("--list", action="store_true", help="print the scenarios' names and stop")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, scenarios: list[Scenario]) -> int:
    try:
        targets = arguments.target.split(",")
        clients = [await connect(target, arguments.namespace, arguments.ready_timeout) for target in targets]
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 2
    for client in clients:
        for problem in await prepare(client, arguments.ready_timeout):
            print(f"PREPARE {problem}", flush=True)
    salt = secrets.token_hex(4)
    slots = asyncio.Semaphore(arguments.jobs)

    async def bounded(scenario: Scenario) -> dict[str, Any]:
        async with slots:
            return await _run_one(clients, scenario, salt, arguments.timeout)

    outcomes = await asyncio.gather(*(bounded(scenario) for scenario in scenarios))
    results = {scenario.name: outcome for scenario, outcome in zip(scenarios, outcomes, strict=True)}
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"salt": salt, "scenarios": results}, indent=1))
    failed = sum(outcome["status"] == "failed" for outcome in outcomes)
    print(f"{len(outcomes) - failed} ran, {failed} failed")
    return 1 if failed else 0


async def _run_one(clients: list[Client], scenario: Scenario, salt: str, timeout: float) -> dict[str, Any]:
    ctx = Context(clients, scenario.name, salt)
    started = time.monotonic()
    outcome: dict[str, Any]
    try:
        record = await asyncio.wait_for(scenario.run(ctx), timeout)
        outcome = {"status": "ran", "record": record}
    except TimeoutError:
        outcome = {"status": "failed", "error": f"not done after {timeout:g} s", "where": traceback.format_exc()}
    except Exception as error:
        outcome = {"status": "failed", "error": f"{type(error).__name__}: {error}", "where": traceback.format_exc()}
    seconds = time.monotonic() - started
    text = "ran" if outcome["status"] == "ran" else f"FAILED {outcome['error'].splitlines()[0]}"
    print(f"{scenario.name:<55} {seconds:5.1f} s  {text}", flush=True)
    try:
        await asyncio.wait_for(ctx.clean_up(), _CLEAN_UP_SECONDS)
    except TimeoutError:
        print(f"{scenario.name}: clean-up did not finish", flush=True)
    return outcome | {"seconds": round(seconds, 3)}


if __name__ == "__main__":
    sys.exit(main())

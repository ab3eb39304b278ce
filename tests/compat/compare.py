"""Runs all scenarios against two servers and prints how the second one differs from the first.

    python3 compare.py --a "COMMAND {port}" --b "COMMAND {port}" [--only 'activities.*']

Each command starts a server in the foreground that listens on 127.0.0.1:{port}; "oracle" stands for the official
development server from .venv. The servers run one after the other, so that they do not share the machine.
"""

import argparse
import difflib
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness import servers
from harness.normalise import normalise, without_messages

_HERE = pathlib.Path(__file__).resolve().parent
_BIN = _HERE / ".venv" / "bin"
_RUN = [f"{_BIN}/python", f"{_HERE}/run.py"]

# Scenarios that need servers of their own, and the dynamic settings of those.
_SETTINGS = {
    "limits.*": {
        "frontend.historyMaxPageSize": "3",
        "frontend.visibilityMaxPageSize": "2",
        "history.longPollExpirationInterval": "'\"2s\"'",
        "history.maxInFlightUpdates": "2",
        "history.maximumBufferedEventsBatch": "3",
        "history.maximumSignalsPerExecution": "6",
        "limit.blobSize.error": "20000",
        # The official server looks at the error only beyond the warning.
        "limit.blobSize.warn": "10000",
        "limit.historyCount.error": "60",
        "limit.historyCount.suggestContinueAsNew": "20",
        "limit.historySize.error": "70000",
        "limit.maxIDLength": "200",
        "limit.memoSize.error": "20000",
        "limit.mutableStateSize.error": "30000",
        "limit.numPendingActivities.error": "2",
        "limit.numPendingCancelRequests.error": "2",
        "limit.numPendingChildExecutions.error": "2",
        "limit.numPendingSignals.error": "2",
        "matching.longPollExpirationInterval": "'\"3s\"'",
    }
}


def main() -> int:
    arguments = _arguments()
    first = _results(arguments, arguments.a, arguments.a_results, arguments.save_a)
    if arguments.b_targets:
        second = _of_running(arguments)
    else:
        second = _results(arguments, arguments.b, arguments.b_results, arguments.save_b)
    return _report(first, second, _known_differences(), arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="oracle", help="command that starts server A, or 'oracle' (the default)")
    parser.add_argument("--b", default="oracle", help="command that starts server B, or 'oracle' (the default)")
    parser.add_argument(
        "--b-targets",
        help="host:port of servers that are up, B's nodes, with commas between them; the scenarios that need settings "
        "of their own are left out",
    )
    parser.add_argument("--a-results", type=pathlib.Path, help="use these results of run.py instead of starting A")
    parser.add_argument("--b-results", type=pathlib.Path, help="use these results of run.py instead of starting B")
    parser.add_argument("--save-a", type=pathlib.Path, help="keep A's results here")
    parser.add_argument("--save-b", type=pathlib.Path, help="keep B's results here")
    parser.add_argument("--only", default="*", help="glob over scenario names")
    parser.add_argument("--jobs", type=int, default=4, help="scenarios at a time")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one scenario")
    parser.add_argument("--strict-messages", action="store_true", help="differences in message texts fail, too")
    parser.add_argument("--lines", type=int, default=80, help="lines of difference to print for one scenario")
    parser.add_argument("--verbose", action="store_true", help="show the progress of each run")
    return parser.parse_args()


# Running


@dataclass(frozen=True)
class Results:
    """What run.py wrote for one server."""

    salt: str
    scenarios: dict[str, dict[str, Any]]


def _results(
    arguments: argparse.Namespace, command: str, existing: pathlib.Path | None, save: pathlib.Path | None
) -> Results:
    if existing is not None:
        return _read(existing)
    command = servers.line(command)
    groups = [(command, _usual(arguments))]
    for names, settings in {} if arguments.b_targets else _SETTINGS.items():
        options = "".join(f" --dynamic-config-value {key}={value}" for key, value in settings.items())
        groups.append((command + options, ["--only", arguments.only, "--only", names]))
    content: dict[str, Any] = {"salt": "", "scenarios": {}}
    for line, chosen in groups:
        content = _merged(content, _run(arguments, line, chosen))
    if save is not None:
        save.write_text(json.dumps(content, indent=1))
    return Results(content["salt"], content["scenarios"])


def _of_running(arguments: argparse.Namespace) -> Results:
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        content = _outcome(arguments, arguments.b_targets, _usual(arguments), pathlib.Path(folder), lambda: True)
    return Results(content["salt"], content["scenarios"])


def _usual(arguments: argparse.Namespace) -> list[str]:
    return ["--only", arguments.only, *(word for names in _SETTINGS for word in ("--skip", names))]


def _merged(before: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Puts two runs together; the names of both get one salt."""
    if before["salt"] and more["salt"]:
        more = json.loads(json.dumps(more).replace(more["salt"], before["salt"]))
    return {"salt": before["salt"] or more["salt"], "scenarios": before["scenarios"] | more["scenarios"]}


def _run(arguments: argparse.Namespace, command: str, chosen: list[str]) -> dict[str, Any]:
    if not subprocess.run([*_RUN, *chosen, "--list"], capture_output=True, text=True).stdout.strip():
        return {"salt": "", "scenarios": {}}
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        port = servers.free_port()
        with servers.running(command, port, pathlib.Path(folder)) as server:
            return _outcome(
                arguments, f"127.0.0.1:{port}", chosen, pathlib.Path(folder), lambda: server.poll() is None
            )


def _outcome(
    arguments: argparse.Namespace, target: str, chosen: list[str], folder: pathlib.Path, is_up: Callable[[], bool]
) -> dict[str, Any]:
    """Runs the scenarios on servers that are up."""
    out, progress = folder / "results.json", folder / "progress.log"
    run = [*_RUN, *chosen, "--target", target, "--out", str(out)]
    run += ["--jobs", str(arguments.jobs), "--timeout", str(arguments.timeout)]
    with progress.open("wb") as log:
        runner = subprocess.Popen(run, stdout=None if arguments.verbose else log, stderr=subprocess.STDOUT)
        while _still_running(runner):
            if not is_up():
                runner.kill()
    if not out.exists():
        sys.exit(f"run.py wrote no results for {target}\n{progress.read_text()[-4000:]}")
    content: dict[str, Any] = json.loads(out.read_text())
    return content


def _still_running(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return True
    return False


def _read(path: pathlib.Path) -> Results:
    content = json.loads(path.read_text())
    return Results(content["salt"], content["scenarios"])


def _known_differences() -> dict[str, str]:
    return tomllib.loads((_HERE / "known_differences.toml").read_text())


# Reporting


def _report(first: Results, second: Results, known: dict[str, str], arguments: argparse.Namespace) -> int:
    names = [n for n in sorted(first.scenarios.keys() | second.scenarios.keys()) if fnmatchcase(n, arguments.only)]
    failed = 0
    for name in names:
        hard, soft = _differences(first, second, name)
        reason = known.get(name)
        if hard:
            verdict = "FAIL" if reason is None else "known"
        elif soft:
            verdict = "FAIL" if arguments.strict_messages and reason is None else "msg"
        else:
            verdict = "ok"
        note = "" if reason is None else f" ({reason})" if hard or soft else " (a known difference, but equal)"
        print(f"{verdict:<5} {name}{note}")
        if verdict in ("FAIL", "msg"):
            _print(hard or soft, arguments.lines)
        failed += verdict == "FAIL"
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _differences(first: Results, second: Results, name: str) -> tuple[list[str], list[str]]:
    """Gives the differences that matter and, if there are none, those in messages only."""
    problems = [line for which, results in (("a", first), ("b", second)) for line in _problem(which, results, name)]
    if problems:
        return problems, []
    a, b = (normalise(results.scenarios[name]["record"], results.salt) for results in (first, second))
    hard = _diff(without_messages(a), without_messages(b))
    return hard, [] if hard else _diff(a, b)


def _problem(which: str, results: Results, name: str) -> list[str]:
    outcome = results.scenarios.get(name, {"status": "failed", "error": "was not run", "where": ""})
    if outcome["status"] == "ran":
        return []
    # Of the stack only the scenario's own lines help.
    lines: list[str] = outcome["where"].splitlines()
    places = [line.strip() for line in lines if "/scenarios/" in line]
    return [f"{which}: {outcome['error']}", *(f"   {place}" for place in places)]


def _print(difference: list[str], limit: int) -> None:
    print("\n".join(f"      {line}" for line in difference[:limit]))
    if len(difference) > limit:
        print(f"      ... {len(difference) - limit} more lines (--lines)")


def _diff(a: Any, b: Any) -> list[str]:
    before, after = (json.dumps(x, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for x in (a, b))
    return list(difflib.unified_diff(before, after, fromfile="a", tofile="b", lineterm="", n=6))


if __name__ == "__main__":
    sys.exit(main())

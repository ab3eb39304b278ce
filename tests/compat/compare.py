"""Runs all scenarios against two servers and prints how the second one differs from the first.

    python3 compare.py --a "COMMAND {port}" --b "COMMAND {port}" [--only 'activities.*']

Each command starts a server in the foreground that listens on 127.0.0.1:{port}; "oracle" stands for the official
development server from .venv. The servers run one after the other, so that they do not share the machine.
"""

import argparse
import difflib
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.normalise import normalise, without_messages

_HERE = pathlib.Path(__file__).resolve().parent
_BIN = _HERE / ".venv" / "bin"
_ORACLE = f"{_BIN}/temporal server start-dev --headless --ip 127.0.0.1 --port {{port}} --log-level error"
_STOP_SECONDS = 10.0


def main() -> int:
    arguments = _arguments()
    first = _results(arguments, arguments.a, arguments.a_results, arguments.save_a)
    second = _results(arguments, arguments.b, arguments.b_results, arguments.save_b)
    return _report(first, second, _known_differences(), arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="oracle", help="command that starts server A, or 'oracle' (the default)")
    parser.add_argument("--b", default="oracle", help="command that starts server B, or 'oracle' (the default)")
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
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        out = save or pathlib.Path(folder) / "results.json"
        out.unlink(missing_ok=True)
        port = _free_port()
        with _server(command, port, pathlib.Path(folder)):
            run = [f"{_BIN}/python", f"{_HERE}/run.py", "--target", f"127.0.0.1:{port}", "--out", str(out)]
            run += ["--only", arguments.only, "--jobs", str(arguments.jobs), "--timeout", str(arguments.timeout)]
            output = subprocess.run(
                run, stdout=None if arguments.verbose else subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            ).stdout
        if not out.exists():
            sys.exit(f"run.py wrote no results for: {command}\n{(output or b'').decode()}")
        return _read(out)


def _read(path: pathlib.Path) -> Results:
    content = json.loads(path.read_text())
    return Results(content["salt"], content["scenarios"])


@contextmanager
def _server(command: str, port: int, folder: pathlib.Path) -> Iterator[None]:
    """Runs a server as a child in a process group of its own and stops exactly that group."""
    line = (_ORACLE if command == "oracle" else command).replace("{port}", str(port))
    log = folder / "server.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            shlex.split(line), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        if child.poll() is not None:
            print(f"server ended by itself with status {child.returncode}: {line}\n{log.read_text()[-4000:]}")
        else:
            _stop(child)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _known_differences() -> dict[str, str]:
    return tomllib.loads((_HERE / "known_differences.toml").read_text())


# Reporting


def _report(first: Results, second: Results, known: dict[str, str], arguments: argparse.Namespace) -> int:
    passed = failed = 0
    for name in sorted(first.scenarios.keys() | second.scenarios.keys()):
        a, b = _comparable(first, name), _comparable(second, name)
        difference = _diff(without_messages(a), without_messages(b))
        soft = _diff(a, b) if not difference else []
        if _failed(first, name) or difference:
            verdict = "known" if name in known else "FAIL"
            print(f"{verdict:<5} {name}" + (f" ({known[name]})" if name in known else ""))
            if verdict == "FAIL":
                _print(difference or ["server A failed this scenario as well"], arguments.lines)
        elif soft:
            verdict = "FAIL" if arguments.strict_messages and name not in known else "msg"
            print(f"{verdict:<5} {name}")
            _print(soft, arguments.lines)
        else:
            verdict = "ok"
            print(f"ok    {name}" + (" (listed in known_differences.toml, but equal)" if name in known else ""))
        failed += verdict == "FAIL"
        passed += verdict != "FAIL"
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _print(difference: list[str], limit: int) -> None:
    print("\n".join(f"      {line}" for line in difference[:limit]))
    if len(difference) > limit:
        print(f"      ... {len(difference) - limit} more lines (--lines)")


def _failed(results: Results, name: str) -> bool:
    return results.scenarios.get(name, {}).get("status") != "ran"


def _comparable(results: Results, name: str) -> Any:
    outcome = results.scenarios.get(name)
    if outcome is None:
        return {"status": "not run"}
    if outcome["status"] != "ran":
        return {"status": "failed", "error": outcome["error"], "where": outcome["where"].splitlines()}
    return normalise(outcome["record"], results.salt)


def _diff(a: Any, b: Any) -> list[str]:
    texts = [json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for value in (a, b)]
    return list(difflib.unified_diff(*texts, fromfile="a", tofile="b", lineterm="", n=6))


if __name__ == "__main__":
    sys.exit(main())

"""Sends every bad request of bad_input/ to two servers and prints where the second one answers differently.

    python3 bad_input.py --b "COMMAND {port}" [--only 'StartWorkflow*'] [--save-a FILE | --a-results FILE]

Each command starts a server in the foreground that listens on 127.0.0.1:{port}. Both run at the same time.
"""

import argparse
import difflib
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any

from harness import servers

_HERE = pathlib.Path(__file__).resolve().parent
# Not what is compared here: limits on the rate of calls, and several partitions of a queue, which cost time.
_UNLIMITED = [
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceRPS.visibility",
    "frontend.namespaceRPS.namespaceReplicationInducingAPIs",
    "frontend.namespaceCount",
]
_SINGLE = ["matching.numTaskqueueReadPartitions", "matching.numTaskqueueWritePartitions"]
_SETTINGS = [f"--dynamic-config-value {key}=1000000" for key in _UNLIMITED]
_SETTINGS += [f"--dynamic-config-value {key}=1" for key in _SINGLE]
_ORACLE = " ".join([servers.ORACLE.replace("--log-level error", "--log-level never"), *_SETTINGS])

Results = dict[str, dict[str, Any]]


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        first, second = _run(arguments, pathlib.Path(folder))
    return _report(first, second, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default=_ORACLE, help="command that starts server A (default: the official server)")
    parser.add_argument("--b", default=_ORACLE, help="command that starts server B (default: the official server)")
    parser.add_argument("--a-results", type=pathlib.Path, help="use these results instead of starting A")
    parser.add_argument("--save-a", type=pathlib.Path, help="keep A's results here")
    parser.add_argument("--save-b", type=pathlib.Path, help="keep B's results here")
    parser.add_argument("--only", default="*", help="glob over names of RPCs")
    parser.add_argument("--jobs", type=int, default=16, help="calls at a time")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, folder: pathlib.Path) -> tuple[Results, Results]:
    out = {"a": arguments.save_a or folder / "a.json", "b": arguments.save_b or folder / "b.json"}
    wanted = {"a": arguments.a, "b": arguments.b}
    if arguments.a_results:
        out["a"] = arguments.a_results
        del wanted["a"]
    runners = {}
    with ExitStack() as stack:
        for which, command in wanted.items():
            out[which].unlink(missing_ok=True)
            data = folder / which
            data.mkdir()
            port = servers.free_port()
            stack.enter_context(servers.running(command, port, data))
            run = [
                sys.executable,
                f"{_HERE}/bad_input/run.py",
                "--target",
                f"127.0.0.1:{port}",
                "--out",
                str(out[which]),
            ]
            runners[which] = subprocess.Popen([*run, "--only", arguments.only, "--jobs", str(arguments.jobs)])
        failed = [which for which, runner in runners.items() if runner.wait() != 0]
    if failed:
        sys.exit(f"run.py failed on server {' and '.join(failed)}")
    return json.loads(out["a"].read_text()), json.loads(out["b"].read_text())


def _report(first: Results, second: Results, arguments: argparse.Namespace) -> int:
    known = tomllib.loads((_HERE / "bad_input" / "known_differences.toml").read_text())
    reasons: dict[str, int] = defaultdict(int)
    differing: dict[tuple[str, str], list[str]] = defaultdict(list)
    mutations = 0
    for table in sorted(first.keys() | second.keys()):
        if not fnmatchcase(table, arguments.only):
            continue
        a, b = first.get(table, {}), second.get(table, {})
        for name in sorted(a.keys() | b.keys()):
            mutations += 1
            if a.get(name) == b.get(name):
                continue
            reason = _reason(known, f"{table} {name}", a.get(name), b.get(name))
            if reason:
                reasons[reason] += 1
            else:
                differing[_pair(a.get(name), b.get(name))].append(f"{table} {name}")
    for pair, names in sorted(differing.items(), key=lambda item: item[1]):
        print(*(f"FAIL  {name}" for name in names), *(f"      {line}" for line in pair), sep="\n")
    for reason, count in sorted(reasons.items()):
        print(f"known {count:5} {reason}")
    failed = sum(len(names) for names in differing.values())
    rpcs = {table.partition("/")[0] for table in first}
    print(f"{len(rpcs)} RPCs, {mutations} requests, {sum(reasons.values())} known differences, {failed} failed")
    return 1 if failed else 0


def _reason(known: dict[str, Any], name: str, a: Any, b: Any) -> str | None:
    """Gives why the difference is meant, if it is."""
    for reason, patterns in known["requests"].items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return reason
    # Where the official server fails inside, this one refuses.
    is_refused = b and b["code"] == "INVALID_ARGUMENT" and b.get("state", "as before") == "as before"
    for reason, patterns in known["official"].items():
        if a and is_refused and any(fnmatchcase(f"{a['code']} {a.get('message', '')}", text) for text in patterns):
            return reason
    return None


def _pair(a: Any, b: Any) -> tuple[str, str]:
    """Shows what differs: the outcomes, or the states that they led to."""
    if _outcome(a) != _outcome(b):
        return f"a: {_outcome(a)}", f"b: {_outcome(b)}"
    before, after = (json.dumps(x, indent=0, sort_keys=True, ensure_ascii=False).splitlines() for x in (a, b))
    lines = difflib.unified_diff(before, after, n=0, lineterm="")
    changed = [line for line in lines if line[0] in "+-" and not line.startswith(("---", "+++"))]
    return f"both: {a['code']}", " ".join(changed[:12])


def _outcome(outcome: Any) -> str:
    if outcome is None:
        return "was not tried"
    state = outcome.get("state", "")
    shown = {key: value for key, value in outcome.items() if key != "state"}
    text = json.dumps(shown, sort_keys=True, ensure_ascii=False)
    return f"{text[:600]} {state if isinstance(state, str) else 'changed'}"


if __name__ == "__main__":
    sys.exit(main())

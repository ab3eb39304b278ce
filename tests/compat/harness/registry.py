"""The list of scenarios: what a scenario is, and how the files under scenarios/ register theirs."""

import fnmatch
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
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


def load(only: list[str], skip: list[str]) -> list[Scenario]:
    """Imports every file under scenarios/ and gives the scenarios whose names match each of `only`, none of `skip`."""
    package = importlib.import_module("scenarios")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"scenarios.{module.name}")
    return [s for name, s in sorted(_scenarios.items()) if _matches(name, only, all) and not _matches(name, skip, any)]


def _matches(name: str, globs: list[str], how: Callable[[Iterable[bool]], bool]) -> bool:
    return how(fnmatch.fnmatchcase(name, glob) for glob in globs)

"""Tries every table against one server and writes what became of each mutation as JSON."""

import argparse
import json
import pathlib
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bad_input.bench import Bench, service_of  # noqa: E402
from bad_input.command_tables import TABLES as COMMAND_TABLES  # noqa: E402
from bad_input.mutate import Mutation, walk  # noqa: E402
from bad_input.rpcs import TABLES, Good, Table  # noqa: E402

# Mutations that one worker tries one after the other.
_CHUNK = 24


def main() -> int:
    arguments = _arguments()
    bench = Bench(arguments.target)
    bench.ready(arguments.ready)
    tables = [table for table in [*TABLES, *COMMAND_TABLES] if fnmatchcase(table.name, arguments.only)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        chunks = [
            (table, chunk, pool.submit(_try_all, bench, table, chunk)) for table in tables for chunk in _chunks(table)
        ]
        results: dict[str, dict[str, Any]] = {}
        for table, _, future in chunks:
            results.setdefault(table.name, {}).update(future.result())
    bench.close()
    arguments.out.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="address of the server")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where the results go")
    parser.add_argument("--only", default="*", help="glob over table names")
    parser.add_argument("--jobs", type=int, default=16, help="calls at a time")
    parser.add_argument("--ready", type=float, default=60.0, help="seconds to wait for the server")
    return parser.parse_args()


def _chunks(table: Table) -> list[list[Mutation]]:
    request = getattr(service_of(table.method)[1], f"{table.method}Request")
    mutations = [Mutation("good", lambda request: None)]
    mutations += walk(request.DESCRIPTOR, table.skip, table.only, table.depth)
    mutations += [Mutation(name, spoil) for name, spoil in table.own.items()]
    return [mutations[start : start + _CHUNK] for start in range(0, len(mutations), _CHUNK)]


def _try_all(bench: Bench, table: Table, mutations: list[Mutation]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    good: Good | None = None
    for mutation in mutations:
        begun = time.monotonic()
        try:
            results[mutation.name], good = _try(bench, table, mutation, good)
        except Exception:
            results[mutation.name], good = {"code": "HARNESS", "message": traceback.format_exc()}, None
        seconds = time.monotonic() - begun
        if seconds > 5:
            print(f"{seconds:.1f} s: {table.name} {mutation.name}", flush=True)
    return results


def _try(bench: Bench, table: Table, mutation: Mutation, good: Good | None) -> tuple[Any, Good | None]:
    """Gives the outcome, and the good request if it can be used again."""
    good = good or table.good(bench)
    request = type(good.request)()
    request.CopyFrom(good.request)
    wire = mutation.wire(request)
    before = None if table.reads else good.state(request)
    outcome, _ = bench.send(table.method, wire, table.seconds)
    if table.reads:
        return outcome, good
    after = good.state(request)
    if after == before:
        outcome["state"] = "as before"
        return outcome, good if outcome["code"] != "OK" else None
    outcome["state"] = after
    return outcome, None


if __name__ == "__main__":
    sys.exit(main())

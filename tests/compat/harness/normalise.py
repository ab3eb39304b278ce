"""Removes from a record what may differ between two runs of one correct server: ids, times, sizes, versions.

UUIDs become placeholders numbered in order of first appearance, so that two fields that held the same id still do.
Everything else is compared as it is.
"""

import json
import re
from collections.abc import Callable
from typing import Any

# Values that depend on the clock, on the store or on the build, never on the behaviour.
_MASKED_KEYS = {
    "active_cluster_name": "<cluster>",
    "build_id": "<build-id>",
    "binary_checksum": "<build-id>",
    "cluster_name": "<cluster>",
    "execution_duration": "<duration>",
    "history_size_bytes": "<size>",
    "next_page_token": "<token>",
    "page_token": "<token>",
    "sdk_version": "<version>",
    "server_version": "<version>",
    "size_bytes": "<size>",
    "state_transition_count": "<count>",
    "task_id": "<task-id>",
    "task_token": "<token>",
}
# Hints whose presence is up to the server's load.
_DROPPED_KEYS = {
    "backlog_count_hint",
    "poller_group_id",
    "poller_group_infos",
    "poller_groups_info",
    "poller_scaling_decision",
}
# Lists that come in random order (the first from the SDK, the others from the server), and what sorts them.
_UNORDERED_LISTS: dict[str, Callable[[Any], str]] = {
    "core_used_flags": str,
    "pending_activities": lambda activity: activity["activity_id"],
    "pending_children": lambda child: child["workflow_id"],
}

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
)
_DURATION = re.compile(r"-?\d+\.\d+s")
# Spans that the official server measures between two readings of its clock: equal but for microseconds.
_MEASURED_KEYS = {"current_retry_interval"}
_PARTITION = re.compile(r"/_sys/(.+)/\d+")
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


def normalise(record: Any, salt: str) -> Any:
    return _Normaliser(salt).value(record)


def without_messages(record: Any) -> Any:
    """Blanks the texts that people read: messages of gRPC errors and of failed workflow tasks."""
    if isinstance(record, list):
        return [without_messages(item) for item in record]
    if not isinstance(record, dict):
        return record
    blanked = {key: without_messages(item) for key, item in record.items()}
    for key in ("rpc_error", "workflow_task_failed_event_attributes"):
        part = blanked.get(key)
        if isinstance(part, dict):
            _blank(part)
            _blank(part.get("failure"))
    return blanked


def _blank(part: Any) -> None:
    if isinstance(part, dict) and "message" in part:
        part["message"] = "<message>"


class _Normaliser:
    def __init__(self, salt: str) -> None:
        self._salt = f"-{salt}"
        self._uuids: dict[str, str] = {}

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, str):
            return self._text(value)
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        if value.keys() == {"metadata", "data"}:
            # A payload is content, not bookkeeping: a time in it is the scenario's own.
            return {"metadata": value["metadata"], "data": self._ids(value["data"])}
        if "continued_execution_run_id" in value:
            # Runs of a chain keep a distance of a second, so this depends on how long the last one took.
            value = value | {"first_workflow_task_backoff": "<backoff>"}
        result: dict[str, Any] = {}
        for key in sorted(value, key=lambda key: _order(key, value[key])):
            if key in _DROPPED_KEYS:
                continue
            item = value[key]
            if key in _UNORDERED_LISTS and isinstance(item, list):
                item = sorted(item, key=_UNORDERED_LISTS[key])
            mask = _MASKED_KEYS.get(key)
            if key in _MEASURED_KEYS and isinstance(item, str):
                item = f"{float(item.removesuffix('s')):.2f}s"
            result[self._text(key)] = mask if mask and item not in ("", None) else self.value(item)
        return result

    def _ids(self, text: str) -> str:
        return _UUID.sub(self._placeholder, text.replace(self._salt, ""))

    def _text(self, text: str) -> str:
        text = self._ids(_TIME.sub("<time>", text)).replace("\N{NO-BREAK SPACE}", " ")
        text = _PARTITION.sub(r"\1", text)
        text = _ADDRESS.sub("<address>", text)
        return "<duration>" if _DURATION.fullmatch(text) and len(text.partition(".")[2]) > 4 else text

    def _placeholder(self, match: re.Match[str]) -> str:
        return self._uuids.setdefault(match.group(), f"<uuid-{len(self._uuids) + 1}>")


def _order(key: str, value: Any) -> tuple[str, str]:
    """Sorts by name; a map keyed by random ids is sorted by its values instead."""
    masked = _UUID.sub("<uuid>", key)
    return (masked, "") if masked == key else (masked, _UUID.sub("<uuid>", json.dumps(value, sort_keys=True)))

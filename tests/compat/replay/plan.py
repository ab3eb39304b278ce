"""Plan: what a workflow must have commanded, and in which workflow task, for a history to come about."""

import base64
import copy
import json
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

# A flag of the SDK's core.
_COMPARES_TYPES_AND_IDS = 1

_COMMAND_EVENTS = {
    "ACTIVITY_TASK_SCHEDULED",
    "ACTIVITY_TASK_CANCEL_REQUESTED",
    "TIMER_STARTED",
    "TIMER_CANCELED",
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "MARKER_RECORDED",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    "WORKFLOW_PROPERTIES_MODIFIED",
    "WORKFLOW_EXECUTION_COMPLETED",
    "WORKFLOW_EXECUTION_FAILED",
    "WORKFLOW_EXECUTION_CANCELED",
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
}


@dataclass
class Step:
    """One command."""

    event_type: str
    event_id: int
    attributes: dict[str, Any]


@dataclass
class Completion:
    """How an update was completed."""

    task: int
    """In which workflow task, by its started event."""
    accepted: frozenset[str]
    """The updates that had been accepted by then: a handler that was quicker would change the order of messages."""
    well: bool


@dataclass
class Plan:
    """The commands of each workflow task, by its started event, and how each update was completed."""

    tasks: dict[int, list[Step]] = field(default_factory=dict)
    updates: dict[str, Completion] = field(default_factory=dict)

    @staticmethod
    def of(history: dict[str, Any]) -> "Plan":
        plan = Plan()
        started_by_completed: dict[int, int] = {}
        update_ids: dict[int, str] = {}
        for event in history["events"]:
            event_type, attributes, event_id = kind(event), of_event(event), int(event["eventId"])
            started = started_by_completed.get(int(attributes.get("workflowTaskCompletedEventId", 0)), 0)
            if event_type == "WORKFLOW_TASK_COMPLETED":
                started_by_completed[event_id] = int(attributes["startedEventId"])
            elif event_type == "WORKFLOW_EXECUTION_UPDATE_ACCEPTED":
                update_ids[event_id] = attributes["protocolInstanceId"]
            elif event_type == "WORKFLOW_EXECUTION_UPDATE_COMPLETED":
                update_id = update_ids[int(attributes["acceptedEventId"])]
                completed_in = _task_before(history, event_id)
                well = "success" in attributes.get("outcome", {})
                plan.updates[update_id] = Completion(completed_in, frozenset(update_ids.values()), well)
            elif event_type in _COMMAND_EVENTS and started:
                plan.tasks.setdefault(started, []).append(Step(event_type, event_id, attributes))
        return plan

    def has_commands(self) -> bool:
        return any(self.tasks.values())

    def otherwise(self) -> "Plan":
        """The same plan with the first command issued otherwise: another activity, child or timer, or none at all."""
        plan = copy.deepcopy(self)
        first = plan.tasks[min(plan.tasks)]
        step = first[0]
        if step.event_type == "ACTIVITY_TASK_SCHEDULED":
            step.attributes["activityType"]["name"] += "Other"
        elif step.event_type == "START_CHILD_WORKFLOW_EXECUTION_INITIATED":
            step.attributes["workflowType"]["name"] += "Other"
        elif step.event_type == "TIMER_STARTED":
            step.event_type = "ACTIVITY_TASK_SCHEDULED"
            step.attributes |= {"activityId": "other", "activityType": {"name": "Other"}}
        else:
            first[0] = Step("TIMER_STARTED", step.event_id, {"startToFireTimeout": "1s"})
        return plan


def kind(event: Event) -> str:
    return str(event["eventType"]).removeprefix("EVENT_TYPE_")


def of_event(event: Event) -> dict[str, Any]:
    """The event's attributes, whatever it is."""
    for key, value in event.items():
        if key.endswith("EventAttributes"):
            return dict(value)
    return {}


def replays(history: dict[str, Any]) -> bool:
    """Whether a worker has done anything in it."""
    return any(kind(event) == "WORKFLOW_TASK_COMPLETED" for event in history["events"])


def sdk_form(history: dict[str, Any]) -> dict[str, Any]:
    """The history with what this SDK would have written itself: its timers are numbered, its only markers are those of
    patches, and it compares types and ids where a task says that it does. Everything else stays."""
    history = copy.deepcopy(history)
    names: dict[int, str] = {}
    for event in history["events"]:
        attributes = next((value for key, value in event.items() if key.endswith("EventAttributes")), {})
        if kind(event) == "WORKFLOW_TASK_COMPLETED":
            attributes["sdkMetadata"] = {"coreUsedFlags": [_COMPARES_TYPES_AND_IDS]}
        elif kind(event) == "TIMER_STARTED":
            names[int(event["eventId"])] = str(len(names) + 1)
            attributes["timerId"] = names[int(event["eventId"])]
        elif kind(event) in ("TIMER_FIRED", "TIMER_CANCELED"):
            attributes["timerId"] = names[int(attributes["startedEventId"])]
        elif kind(event) == "MARKER_RECORDED":
            patch = json.dumps({"id": attributes["markerName"], "deprecated": False}).encode()
            attributes["markerName"] = "core_patch"
            attributes["details"] = {"patch-data": {"payloads": [_json_payload(patch)]}}
    return history


def patch_id(attributes: dict[str, Any]) -> str:
    payload = attributes["details"]["patch-data"]["payloads"][0]
    return str(json.loads(base64.b64decode(payload["data"]))["id"])


def _json_payload(data: bytes) -> dict[str, Any]:
    encoding = base64.b64encode(b"json/plain").decode()
    return {"metadata": {"encoding": encoding}, "data": base64.b64encode(data).decode()}


def _task_before(history: dict[str, Any], event_id: int) -> int:
    """The started event of the last workflow task that was completed before the event."""
    started = [
        int(of_event(event)["startedEventId"])
        for event in history["events"]
        if kind(event) == "WORKFLOW_TASK_COMPLETED" and int(event["eventId"]) < event_id
    ]
    return max(started)

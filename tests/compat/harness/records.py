"""Turns what a server answered into plain JSON: protobuf messages, histories and errors."""

import base64
from typing import Any

import google.protobuf.json_format as json_format
import temporalio.api.enums.v1 as enums
import temporalio.api.errordetails.v1 as errordetails
import temporalio.api.failure.v1 as failure_pb
import temporalio.api.history.v1 as history_pb
import temporalio.client
import temporalio.exceptions
from google.protobuf.any_pb2 import Any as ProtoAny
from google.protobuf.message import Message
from temporalio.service import RPCError, RPCStatusCode

Record = dict[str, Any]

_DETAIL_MODULES = (errordetails, failure_pb)


def message(value: Message) -> Record:
    """Gives a protobuf message as JSON with proto field names and readable payloads."""
    return _readable(json_format.MessageToDict(value, preserving_proto_field_name=True))


def events(history: history_pb.History) -> list[Record]:
    return [message(event) for event in history.events]


def rpc_error(error: RPCError) -> Record:
    """Gives code, message and typed details of a gRPC error."""
    return {
        "rpc_error": {
            "code": error.status.name,
            "message": error.message,
            "details": [detail(any_value) for any_value in error.grpc_status.details],
        }
    }


def error(exception: BaseException) -> Record:
    """Gives any exception a client call may raise, with its chain of causes."""
    if isinstance(exception, RPCError):
        return rpc_error(exception)
    record: Record = {"exception": type(exception).__name__, "text": str(exception)}
    if isinstance(exception, temporalio.exceptions.ApplicationError):
        record |= {"type": exception.type, "non_retryable": exception.non_retryable, "details": list(exception.details)}
    if isinstance(exception, temporalio.exceptions.TimeoutError):
        record |= {
            "timeout_type": exception.type.name if exception.type is not None else None,
            "last_heartbeat_details": list(exception.last_heartbeat_details),
        }
    if isinstance(exception, temporalio.exceptions.ActivityError | temporalio.exceptions.ChildWorkflowError):
        record["retry_state"] = exception.retry_state.name if exception.retry_state is not None else None
    cause = getattr(exception, "cause", None) or exception.__cause__
    if cause is not None:
        record["cause"] = error(cause)
    return record


def is_rate_limit(error: RPCError) -> bool:
    """Tells whether the call came too soon after others, which says nothing about the behaviour under test."""
    if error.status != RPCStatusCode.RESOURCE_EXHAUSTED:
        return False
    for any_value in error.grpc_status.details:
        failure = errordetails.ResourceExhaustedFailure()
        if any_value.Unpack(failure):
            return failure.cause == enums.ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT
    return False


def detail(any_value: ProtoAny) -> Record:
    name = any_value.TypeName()
    for module in _DETAIL_MODULES:
        kind = getattr(module, name.rpartition(".")[2], None)
        if kind is not None and kind.DESCRIPTOR.full_name == name:
            value = kind()
            value.ParseFromString(any_value.value)
            return {"type": name, "value": _multi_operation(value) or message(value)}
    return {"type": name, "value": base64.b64encode(any_value.value).decode()}


def _multi_operation(value: Message) -> Record | None:
    if not isinstance(value, errordetails.MultiOperationExecutionFailure):
        return None
    return {
        "statuses": [
            {
                "rpc_error": {
                    "code": status.code,
                    "message": status.message,
                    "details": [detail(any_value) for any_value in status.details],
                }
            }
            for status in value.statuses
        ]
    }


def _readable(value: Any) -> Any:
    """Replaces base64 by text in payloads, the only bytes whose content matters to a reader."""
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "encoding" in value.get("metadata", {}) and set(value) <= {"metadata", "data"}:
        return {
            "metadata": {key: _text(item) for key, item in sorted(value["metadata"].items())},
            "data": _text(value.get("data", "")),
        }
    return {key: _readable(item) for key, item in value.items()}


def _text(encoded: str) -> str:
    raw = base64.b64decode(encoded)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.hex()

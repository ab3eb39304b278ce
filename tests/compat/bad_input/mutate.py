"""Spoils one field of a request at a time, found by walking the descriptors, so that no field is forgotten."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

# Messages within messages that are followed; deeper ones are content.
_DEPTH_MAX = 5
# Values of one enum that are tried; longer ones are lists of kinds, not of choices.
_ENUM_VALUES_MAX = 10
# Stands in a text for bytes that are no text; as long as they are, so that no length changes.
NO_TEXT_MARK = "\N{HANGUL SYLLABLE GAG}\N{HANGUL SYLLABLE GAGG}"
_NO_TEXT = b"\xff\xfe\xfd\xfc\xfb\xfa"
BLOB = b"b" * (2 * 1024 * 1024 + 1)
LONG = "x" * 1001

# What a text becomes; what is added to it keeps the names of two requests apart.
_TEXTS: dict[str, Callable[[str], str]] = {
    "none": lambda text: "",
    "long": lambda text: text.ljust(1001, "x"),
    "longest": lambda text: text.ljust(1000, "x"),
    "wide": lambda text: text + "ü" * 501,
    "nul": lambda text: f"{text}\0b",
    "no-text": lambda text: NO_TEXT_MARK,
    "odd": lambda text: f"{text} /\n%s'\"",
    "longer": lambda text: f"{text}w",
}

Spoil = Callable[[Message], None]


@dataclass(frozen=True)
class Mutation:
    """One way to spoil a request; `name` says which field becomes what."""

    name: str
    spoil: Spoil

    def wire(self, request: Message) -> bytes:
        """Spoils the request and gives it as it goes over the wire."""
        self.spoil(request)
        return request.SerializeToString().replace(NO_TEXT_MARK.encode(), _NO_TEXT)


def walk(
    message: Descriptor, skip: tuple[str, ...] = (), only: str = "", depth: int = _DEPTH_MAX
) -> Iterator[Mutation]:
    """Gives the mutations of all fields but those under `skip`; with `only`, of that field alone."""
    for mutation in _message(message, (), ()):
        path = mutation.name.partition("=")[0]
        skipped = path.count(".") >= depth or any(path == s or path.startswith(f"{s}.") for s in skip)
        if path.startswith(only) and not skipped:
            yield mutation


def _message(message: Descriptor, path: tuple[str, ...], above: tuple[str, ...]) -> Iterator[Mutation]:
    for field in message.fields:
        here = (*path, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            yield from _map(field, path)
        elif field.message_type:
            yield from _nested(field, path, here, above)
        else:
            for label, value in _scalars(field):
                yield _mutation(here, label, _setter(path, field, value))


def _nested(
    field: FieldDescriptor, path: tuple[str, ...], here: tuple[str, ...], above: tuple[str, ...]
) -> Iterator[Mutation]:
    name = field.message_type.full_name
    yield _mutation(here, "missing", _clearer(path, field))
    leaf = _LEAVES.get(name)
    if leaf is not None:
        for label, change in leaf:
            yield _mutation(here, label, lambda request, change=change: change(_reach(request, here)))
        return
    yield _mutation(here, "empty", lambda request: _reach_anew(request, here))
    if name not in above and len(here) < _DEPTH_MAX:
        yield from _message(field.message_type, here, (*above, name))


def _map(field: FieldDescriptor, path: tuple[str, ...]) -> Iterator[Mutation]:
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    here = (*path, field.name)
    keys = [("empty-key", ""), ("long-key", LONG), ("nul-key", "a\0b"), ("key", "key")]
    if key.cpp_type != FieldDescriptor.CPPTYPE_STRING:
        keys = [("key", 1)]

    def put(request: Message, name: Any) -> None:
        entries = getattr(_reach(request, path), field.name)
        if value.message_type:
            entries[name].SetInParent()
        elif value.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            entries[name] = "value"
        else:
            entries[name] = 1

    for label, name in keys:
        yield _mutation(here, label, lambda request, name=name: put(request, name))


def _scalars(field: FieldDescriptor) -> list[tuple[str, Any]]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        known = [(value.name.lower(), value.number) for value in field.enum_type.values]
        return [*known[:_ENUM_VALUES_MAX], ("-1", -1), ("999", 999)]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return [("none", b""), ("garbage", b"garbage"), ("binary", bytes(range(256))), ("wire", b"\x0a\x03abc")]
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return [(label, label) for label in _TEXTS]
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return [("true", True), ("false", False)]
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return [(str(value), value) for value in (0.0, -1.0, 1e30, float("nan"), float("inf"))]
    largest = 2**31 - 1 if kind == FieldDescriptor.CPPTYPE_INT32 else 2**63 - 1
    if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return [("0", 0), ("max", largest)]
    return [("0", 0), ("-1", -1), ("1", 1), ("max", largest), ("min", -largest - 1)]


def _mutation(path: tuple[str, ...], label: str, spoil: Spoil) -> Mutation:
    return Mutation(f"{'.'.join(path)}={label}", spoil)


def _setter(path: tuple[str, ...], field: FieldDescriptor, value: Any) -> Spoil:
    is_text = field.type == FieldDescriptor.TYPE_STRING

    def spoil(request: Message) -> None:
        parent = _reach(request, path)
        if field.is_repeated:
            parent.ClearField(field.name)
            getattr(parent, field.name).append(_TEXTS[value]("") if is_text else value)
        else:
            setattr(parent, field.name, _TEXTS[value](getattr(parent, field.name)) if is_text else value)

    return spoil


def _clearer(path: tuple[str, ...], field: FieldDescriptor) -> Spoil:
    return lambda request: _reach(request, path).ClearField(field.name)


def _reach(request: Message, path: tuple[str, ...]) -> Any:
    """Gives the message at the path, made where it is missing; of a list it is the first one."""
    for name in path:
        step = getattr(request, name)
        if hasattr(step, "add"):
            step = step[0] if step else step.add()
        else:
            step.SetInParent()
        request = step
    return request


def _reach_anew(request: Message, path: tuple[str, ...]) -> None:
    message = _reach(request, path)
    message.Clear()
    message.SetInParent()


# What may be wrong with messages that are a whole of their own.


def _span(seconds: int, nanos: int = 0) -> Callable[[Duration], None]:
    def change(span: Duration) -> None:
        span.seconds, span.nanos = seconds, nanos

    return change


def _time(seconds: int, nanos: int = 0) -> Callable[[Timestamp], None]:
    def change(time: Timestamp) -> None:
        time.seconds, time.nanos = seconds, nanos

    return change


def _payloads(payloads: Any) -> None:
    payloads.payloads.add().data = BLOB


def _payload(payload: Any) -> None:
    payload.data = BLOB


def _keyed(fields: str, key: str, data: bytes, kind: str = "") -> Callable[[Any], None]:
    def change(message: Any) -> None:
        payload = getattr(message, fields)[key]
        payload.data = data
        payload.metadata["encoding"] = b"json/plain"
        if kind:
            payload.metadata["type"] = kind.encode()

    return change


def _failure(failure: Any) -> None:
    failure.message = "y" * len(BLOB)
    failure.application_failure_info.SetInParent()


def _mask(*paths: str) -> Callable[[Any], None]:
    def change(mask: Any) -> None:
        mask.paths[:] = paths

    return change


def _nothing(message: Message) -> None:
    message.Clear()
    message.SetInParent()


_LEAVES: dict[str, list[tuple[str, Callable[[Any], None]]]] = {
    "google.protobuf.Duration": [
        ("0s", _span(0)),
        ("-1s", _span(-1)),
        ("-1ns", _span(0, -1)),
        ("1ns", _span(0, 1)),
        ("1s", _span(1)),
        ("mixed", _span(1, -1)),
        ("200y", _span(200 * 365 * 86_400)),
        ("wrong-nanos", _span(1, 2_000_000_000)),
        ("max", _span(2**63 - 1)),
    ],
    "google.protobuf.Timestamp": [
        ("zero", _time(0)),
        ("negative", _time(-62_135_596_801)),
        ("max", _time(2**63 - 1)),
        ("wrong-nanos", _time(0, -1)),
    ],
    "google.protobuf.FieldMask": [("unknown", _mask("no_such_field")), ("empty", _mask(""))],
    "google.protobuf.Any": [("empty", _nothing)],
    "temporal.api.common.v1.Payloads": [("empty", _nothing), ("large", _payloads)],
    "temporal.api.common.v1.Payload": [("empty", _nothing), ("large", _payload)],
    "temporal.api.common.v1.Header": [("empty", _nothing), ("large", _keyed("fields", "k", BLOB))],
    "temporal.api.common.v1.Memo": [
        ("empty", _nothing),
        ("large", _keyed("fields", "k", BLOB)),
        ("long-key", _keyed("fields", LONG, b"1")),
        ("no-key", _keyed("fields", "", b"1")),
    ],
    "temporal.api.common.v1.SearchAttributes": [
        ("empty", _nothing),
        ("unknown", _keyed("indexed_fields", "NoSuchAttribute", b'"a"')),
        ("reserved", _keyed("indexed_fields", "WorkflowId", b'"a"')),
        ("system", _keyed("indexed_fields", "RunId", b'"a"')),
        ("predefined", _keyed("indexed_fields", "BatcherUser", b'"a"')),
        ("no-key", _keyed("indexed_fields", "", b'"a"')),
        ("wrong-type", _keyed("indexed_fields", "BadInputInt", b'"a"')),
        ("wrong-kind", _keyed("indexed_fields", "BadInputInt", b'"a"', "Keyword")),
        ("no-json", _keyed("indexed_fields", "BadInputInt", b"{")),
        ("good", _keyed("indexed_fields", "BadInputInt", b"7")),
        ("large", _keyed("indexed_fields", "BadInputKeyword", b'"' + b"k" * 2049 + b'"')),
        ("huge", _keyed("indexed_fields", "BadInputKeyword", b'"' + b"k" * 50_000 + b'"')),
    ],
    "temporal.api.failure.v1.Failure": [("empty", _nothing), ("large", _failure)],
}

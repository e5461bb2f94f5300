"""Messages from and to partners: CloudEvents 1.0 in the JSON event format.

Sources: CloudEvents 1.0.2, sections "Context Attributes" and "Size Limits"; JSON Event Format for
CloudEvents 1.0.2, section 3. `type` is `consignment.` with the kind of report or message behind.
"""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from consignment.domain.errors import InvalidValue, UnusableInput, reason
from consignment.domain.report import (
    Accepted,
    Completed,
    ExpenseReported,
    GoodsLine,
    PartnerReport,
    Procured,
    Rejected,
    Returned,
    SentBack,
    Sold,
    WrittenOff,
)
from consignment.domain.text import text_fault
from consignment.formats import strict_json
from consignment.formats.faults import shown
from consignment.formats.structure import (
    Attempts,
    Malformed,
    Reader,
    boolean,
    currency,
    decimal,
    instant,
    listed,
    members,
    need_object,
    placed,
    printable,
    structured,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.domain.message import Message

__all__ = [
    "MAX_MESSAGE_BYTES",
    "event_of",
    "jsonl_messages",
    "peek_id",
    "read_report",
    "write_event",
]

#: The largest message, in bytes.
MAX_MESSAGE_BYTES = strict_json.MAX_BYTES

_PREFIX = "consignment."
_MAX_ID = 128
_MAX_ORDER_ID = 129
_MAX_URI = 1024
_MAX_INT32 = 2**31 - 1

_JSON_TYPE = re.compile(r"application/json(?: *; *charset=\"?utf-8\"?)?", re.IGNORECASE)
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}", re.ASCII)


def read_report(raw: bytes) -> PartnerReport:
    """Read what a partner reports.

    Attributes that CloudEvents does not define are passed over when they are well-formed
    extensions; `data` has no unknown members. Raises, with every fault and its path,
    `UnusableInput` when the message does not have the form (as in `documents`, and
    `specversion_unsupported`, `datacontenttype_unsupported`), else `InvalidValue`
    (`type_unknown`, `instant_naive`, `currency_unknown`, `lines_empty`, `line_repeated`, …).
    """
    value, faults = strict_json.examine(raw, max_bytes=MAX_MESSAGE_BYTES)
    return structured(_event, value, faults)


def peek_id(raw: bytes) -> str | None:
    """Give the id that a message claims, however wrong the rest is; None when it claims none."""
    try:
        value, faults = strict_json.examine(raw, max_bytes=MAX_MESSAGE_BYTES)
    except UnusableInput:
        return None
    claimed = value.get("id") if isinstance(value, dict) else None
    if text_fault(claimed, _MAX_ID) or any(each.details.get("at") == "id" for each in faults):
        return None
    return str(claimed)


def event_of(message: Message, *, source: str = "/consignment") -> dict[str, Any]:
    """Give a message as an event, in plain JSON values."""
    event = {
        "specversion": "1.0",
        "id": message.message_id,
        "source": source,
        "type": _PREFIX + message.type,
        "time": message.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    if message.order_id is not None:
        event["subject"] = message.order_id
    return {**event, "data": message.data}


def write_event(message: Message, *, source: str = "/consignment") -> bytes:
    """Write a message as an event, in one line of JSON without the line's end."""
    event = event_of(message, source=source)
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def jsonl_messages(
    source: bytes | Path | BinaryIO, *, max_bytes: int = MAX_MESSAGE_BYTES
) -> Iterator[bytes]:
    """Split JSON Lines into messages, one a line; blank lines are left out.

    Of a line that is longer than `max_bytes` only so much is given that `read_report` refuses it
    as `too_large`; no more than that is ever in memory. A file object is left open.
    """
    if isinstance(source, Path):
        opened: Any = source.open("rb")
    elif isinstance(source, bytes):
        opened = BytesIO(source)
    else:
        opened = nullcontext(source)
    with opened as file:
        while line := file.readline(max_bytes + 2):
            message = line.removesuffix(b"\n").removesuffix(b"\r")
            if len(message) > max_bytes:
                while line and not line.endswith(b"\n"):
                    line = file.readline(max_bytes)
                yield message[: max_bytes + 1]
            elif message.strip():
                yield message


# How the messages are read.


def _order_id(value: object) -> str:
    if text_fault(text(value), _MAX_ORDER_ID):
        raise InvalidValue(reason("id_invalid", value=shown(value)))
    return text(value)


def _specversion(value: object) -> str:
    if text(value) != "1.0":
        raise Malformed("specversion_unsupported", value=shown(value))
    return text(value)


def _datacontenttype(value: object) -> str:
    if not _JSON_TYPE.fullmatch(text(value)):
        raise Malformed("datacontenttype_unsupported", value=shown(value))
    return text(value)


def _unknown_type(value: object) -> str:
    raise InvalidValue(reason("type_unknown", value=shown(text(value)), types=list(_REPORTS)))


def _goods_lines(amount: str | None) -> Reader[tuple[GoodsLine, ...]]:
    """Read lines of goods, which name the amount of one unit so, or have none."""
    required: dict[str, Reader[Any]] = {"product_number": printable(64), "quantity": decimal}
    if amount is not None:
        required[amount] = decimal
    read = members(required)

    def read_line(value: object) -> GoodsLine:
        return GoodsLine(*read(value).values())

    return listed(read_line)


_order: dict[str, Reader[Any]] = {"order_id": _order_id}
_why: dict[str, Reader[Any]] = {"reason": printable(500)}


def _goods(amount: str | None) -> dict[str, Reader[Any]]:
    return {**_order, "lines": _goods_lines(amount)}


#: The kinds of report, with the readers of their data.
_DATA: dict[type[PartnerReport], Reader[dict[str, Any]]] = {
    Accepted: members(_order),
    Rejected: members({**_order, **_why}),
    Procured: members(_goods("unit_cost"), {"final": boolean}),
    Sold: members(_goods("unit_price")),
    Returned: members(_goods("unit_price")),
    SentBack: members(_goods("unit_credit")),
    WrittenOff: members({**_goods(None), **_why}),
    ExpenseReported: members(
        {**_order, "name": printable(64), "amount": decimal, "currency": currency}
    ),
    Completed: members(_order),
}
_REPORTS = {_PREFIX + report.kind.value: report for report in _DATA}

_REQUIRED: dict[str, Reader[Any]] = {
    "specversion": _specversion,
    "id": printable(_MAX_ID),
    "source": printable(_MAX_URI),
    "time": instant,
}
_OPTIONAL: dict[str, Reader[Any]] = {
    "datacontenttype": _datacontenttype,
    "dataschema": printable(_MAX_URI),
    "subject": printable(_MAX_URI),
}
_ATTRIBUTES = {*_REQUIRED, *_OPTIONAL, "type", "data"}

_ENVELOPES = {
    name: members({**_REQUIRED, "type": text, "data": _DATA[report]}, _OPTIONAL)
    for name, report in _REPORTS.items()
}
_UNKNOWN_ENVELOPE = members({**_REQUIRED, "type": _unknown_type, "data": need_object}, _OPTIONAL)


def _event(value: object) -> PartnerReport:
    given = need_object(value)
    attempts = Attempts()
    attributes = {}
    for name, each in given.items():
        if name not in _ATTRIBUTES:
            attempts.read(_extension(name), each, name)
        elif each is not None:
            # JSON Event Format, section 2.2: null is as good as not there.
            attributes[name] = each
    kind = attributes.get("type")
    read = _ENVELOPES.get(kind) if isinstance(kind, str) else None
    envelope = attempts.read(read or _UNKNOWN_ENVELOPE, attributes)
    attempts.conclude()
    return placed("data", _report)(envelope)


def _report(envelope: dict[str, Any]) -> PartnerReport:
    return _REPORTS[envelope["type"]](
        report_id=envelope["id"], occurred_at=envelope["time"], **envelope["data"]
    )


def _extension(name: str) -> Reader[None]:
    """Look at an extension attribute: its name, and that it is no list, object or long number."""

    def read(value: object) -> None:
        if not _EXTENSION_NAME.fullmatch(name):
            raise Malformed("unknown_field")
        if not isinstance(value, str | bool | int | None) or (
            type(value) is int and abs(value) > _MAX_INT32
        ):
            raise Malformed("wrong_type", expected="simple value", value=shown(value))

    return read

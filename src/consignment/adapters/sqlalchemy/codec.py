"""How plain values are written into columns and read back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import uuid6

from consignment.domain.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "day",
    "instant",
    "json_text",
    "json_value",
    "micros",
    "new_entry_id",
    "optional_day",
    "optional_instant",
    "optional_micros",
    "reasons_content",
    "reasons_of",
    "storable_text",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MICROS = 86_400_000_000
_SECOND_MICROS = 1_000_000

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
json_value = json.JSONDecoder().decode


def micros(at: datetime) -> int:
    """Give an aware instant as whole microseconds since 1970-01-01 UTC, exactly."""
    since = at - _EPOCH
    return since.days * _DAY_MICROS + since.seconds * _SECOND_MICROS + since.microseconds


def instant(since_epoch_us: int) -> datetime:
    """Give the instant (UTC) of microseconds since 1970-01-01 UTC."""
    return _EPOCH + timedelta(microseconds=since_epoch_us)


def optional_micros(at: datetime | None) -> int | None:
    """Give an instant in microseconds, or None."""
    return None if at is None else micros(at)


def optional_instant(since_epoch_us: int | None) -> datetime | None:
    """Give the instant of microseconds, or None."""
    return None if since_epoch_us is None else _EPOCH + timedelta(microseconds=since_epoch_us)


day = date.fromisoformat


def optional_day(value: str | None) -> date | None:
    """Give the day of ISO text, or None."""
    return None if value is None else day(value)


def json_text(value: object) -> str:
    """Write plain JSON; text stays readable unless it has what no database would keep."""
    written = _encode(value)
    if not written.isascii():
        try:
            written.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, from outside
            return _encode_ascii(value)
    return written


def storable_text(value: str) -> str:
    """Give text, such as an error's, that every database keeps: no NUL, no half surrogates."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def reasons_content(reasons: Iterable[Reason]) -> list[list[Any]]:
    """Give reasons as plain content."""
    return [[each.code, each.details] for each in reasons]


def reasons_of(content: Iterable[Any]) -> tuple[Reason, ...]:
    """Give the reasons of plain content."""
    return tuple(Reason(code, details) for code, details in content)


def new_entry_id() -> str:
    """Make the id of what is appended now: later ones are greater (RFC 9562, version 8).

    It counts nanoseconds. The library's version 7 counts milliseconds and takes the next one for
    each id, so that a busy process would run ahead of others, and its rows stand behind theirs.
    """
    return uuid6.uuid8().hex

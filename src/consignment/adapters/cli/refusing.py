"""Refusals and unusable input: their JSON, how people are told, and the exit code."""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from consignment.adapters.cli.answer import Answer, Exit, UsageError
from consignment.adapters.cli.console import printable
from consignment.domain.errors import (
    ConsignmentError,
    Reason,
    Refused,
    StorageError,
    StorageUnusable,
    UnusableInput,
    reason,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from consignment.adapters.cli.console import Console

__all__ = [
    "KNOWN",
    "failed",
    "figures_line",
    "in_file",
    "message_line",
    "os_reason",
    "reason_line",
    "say_reasons",
]

#: What a command may raise that is an answer, not a fault of the program.
KNOWN = (ConsignmentError, UsageError, OSError)

#: So many reasons are shown to people; with `--json` all are given.
_SHOWN = 50

#: An address: what may be shown of it is the scheme, the hosts and the database. Where it is not
#: plain which part is which, part of a password may stand anywhere.
_HOST = r"[\w.-]+(?::\d+)?"
_ADDRESS = re.compile(
    rf"(?P<scheme>[\w+]+://)(?:[^@/?#]*@)?(?P<place>{_HOST}(?:,{_HOST})*(?:/[\w-]*)?)(?:\?[^@]*)?"
)


@contextmanager
def in_file(path: str) -> Iterator[None]:
    """Let the faults of what is read inside name the file."""
    try:
        yield
    except (Refused, UnusableInput) as error:
        raise type(error)(_placed(each, path) for each in error.reasons) from error


def _placed(fault: Reason, path: str) -> Reason:
    rest = {name: value for name, value in fault.details.items() if name != "file"}
    return Reason(fault.code, {"file": path, **rest})


def _public(database: str) -> str:
    """Give an address without anything that could be secret; a file's as it is."""
    if database.startswith("sqlite:"):
        return database
    address = _ADDRESS.fullmatch(database)
    return "" if address is None else f"{address['scheme']}{address['place']}"


def failed(error: Exception, *, database: str) -> Answer:
    """Give the answer that an error of the `KNOWN` kinds is."""
    code = Exit.REFUSED
    if isinstance(error, Refused | UnusableInput):
        reasons = error.reasons
        if isinstance(error, UnusableInput):
            code = Exit.UNUSABLE
    elif isinstance(error, StorageError):
        reasons = (reason(error.code, database=_public(database), message=_message(error)),)
        if isinstance(error, StorageUnusable):
            code = Exit.UNUSABLE
    elif isinstance(error, UsageError):
        reasons = (error.reason,)
        code = Exit.UNUSABLE
    elif isinstance(error, OSError):
        reasons = (os_reason(error),)
        code = Exit.UNUSABLE
    else:
        raise error

    def show(console: Console) -> None:
        if isinstance(error, UsageError):
            for line in error.usage.splitlines():
                console.say(line)
            console.say(f"error: {error.reason.details['message']}", "bad")
        else:
            say_reasons(console, reasons, "refused" if code is Exit.REFUSED else "cannot be used")

    document = {"refused": (each.as_dict() for each in reasons)}
    return Answer(document, show, code)


def _message(error: Exception) -> str:
    text = str(error)
    first, _, _ = (text or (error.__doc__ or "")).partition("\n")
    return first[:300]


def os_reason(error: OSError) -> Reason:
    """Give the reason that a failure of the operating system is."""
    codes = {
        errno.ENOENT: "file_not_found",
        errno.EISDIR: "not_a_file",
        errno.ENOSPC: "disk_full",
    }
    code = codes.get(error.errno or 0, "file_unreadable")
    why = error.strerror or str(error)
    name = error.filename
    if name is None:
        return reason(code, message=why)
    return reason(code, file=name if isinstance(name, str) else repr(name), message=why)


def say_reasons(console: Console, reasons: Iterable[Reason], word: str) -> None:
    """Tell people reasons, one a line; of very many the first."""
    remaining = iter(reasons)
    for each in islice(remaining, _SHOWN):
        console.say(f"{word}: {reason_line(each.as_dict())}", "bad")
    more = sum(1 for _ in remaining)
    if more:
        console.say(f"… and {more} more; --json gives all of them", "bad")


def reason_line(fault: Mapping[str, Any]) -> str:
    """Give a reason as one line: where it is, its code, and the figures behind it."""
    rest = {name: value for name, value in fault.items() if name != "code"}
    where = [str(rest.pop(name)) for name in ("file", "line") if rest.get(name) is not None]
    place = ":".join(where) + ": " if where else ""
    message = rest.pop("message", None)
    told = "; ".join(str(part) for part in (message, figures_line(rest)) if part)
    return f"{place}{fault['code']}" + (f" ({told})" if told else "")


def message_line(message_id: str | None, fault: Reason) -> str:
    """Give a reason for the refusal of a message, which is one line: where in it says nothing."""
    told = reason_line({k: v for k, v in fault.as_dict().items() if k != "line"})
    return f"{message_id or 'message without id'}: {told}"


def figures_line(figures: Mapping[str, Any]) -> str:
    """Give names and figures as one line."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in figures.items())


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return reason_line(value) if "code" in value else "{" + figures_line(value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if value is None:
        return "none"
    text = printable(value)
    return repr(text) if text != text.strip() or not text else text

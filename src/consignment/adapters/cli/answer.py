"""What a command gives: a document for programs, and how people are shown the same."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from consignment.adapters.cli.console import Console

if TYPE_CHECKING:
    from consignment.domain.errors import Reason

__all__ = ["Answer", "Exit", "UsageError"]


class Exit(IntEnum):
    """How the process ends."""

    DONE = 0
    #: A rule said no, or the database could not do it; nothing was changed.
    REFUSED = 1
    #: The input, the database or the command line cannot be used.
    UNUSABLE = 2
    #: Something that should not have happened: a fault of this library.
    FAULT = 70
    #: The answer could not be written out.
    UNWRITTEN = 74
    INTERRUPTED = 130
    BROKEN_PIPE = 141


@frozen
class Answer:
    """The answer of a command.

    `document` is written as JSON: an object, or a list or iterator of items. Values of an object
    may be iterators too; they are written item by item, so they need not fit in memory.
    `width` is how wide it is shown when not on a terminal.
    """

    document: Any
    show: Callable[[Console], None]
    exit_code: Exit = Exit.DONE
    width: int | None = None


class UsageError(Exception):
    """The command line is not one of this program's."""

    def __init__(self, reason: Reason, usage: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.usage = usage

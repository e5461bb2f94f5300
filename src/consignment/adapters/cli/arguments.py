"""The command line's grammar. Options that all commands have stand before or behind the command."""

from __future__ import annotations

import argparse
import os
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import field, frozen

from consignment.adapters.cli.answer import Answer, UsageError
from consignment.adapters.cli.clock import SetClock
from consignment.desk import Consignment
from consignment.domain.errors import InvalidValue, reason
from consignment.formats.structure import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Commands", "Invocation", "parsed", "wants_json"]

_DATABASE = "sqlite:///consignment.db"
_MAILBOX = "mailbox"
#: Between these years, and some before and after them, there are no ends of the calendar.
_FIRST_YEAR = 1970
_LAST_YEAR = 2199


@frozen
class Invocation:
    """What was asked for: the options that all commands have, and `given`, the command's own."""

    database: str
    mailbox: str
    at: datetime | None
    json: bool
    given: argparse.Namespace
    run: Callable[[Invocation], Answer]
    #: What is to be closed when the answer has been written.
    opened: ExitStack = field(factory=ExitStack)

    def open(self) -> Consignment:
        """Open the desk. A database is never created by that; see `init`."""
        desk = Consignment.open(
            self.database,
            mailbox=self.mailbox,
            upgrade=False,
            clock=None if self.at is None else SetClock(self.at),
        )
        return self.opened.enter_context(desk)


class _Parser(ArgumentParser):
    """A parser that raises its errors, and takes no shortened options."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(reason("usage", message=message), self.format_usage().strip())


class Commands:
    """A place in the grammar where commands can be added."""

    def __init__(self, parser: _Parser, shared: _Parser) -> None:
        self._shared = shared
        self._choices = parser.add_subparsers(
            metavar="COMMAND", required=True, parser_class=_Parser
        )

    def add(self, name: str, run: Callable[[Invocation], Answer], about: str) -> ArgumentParser:
        """Add a command; give its parser, for its own arguments."""
        parser = self._choices.add_parser(
            name, help=about, description=about[0].upper() + about[1:] + ".", parents=[self._shared]
        )
        parser.set_defaults(run=run)
        return parser

    def group(self, name: str, about: str) -> Commands:
        """Add a word with commands of its own behind it."""
        parser = self._choices.add_parser(
            name, help=about, description=about[0].upper() + about[1:] + ".", parents=[self._shared]
        )
        return Commands(parser, self._shared)


def _at(text: str) -> datetime:
    try:
        at = instant(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no instant like 2026-11-03T09:00:00+08:00 ({error.codes[0]})"
        ) from None
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the years from {_FIRST_YEAR} to {_LAST_YEAR}"
        )
    return at


def _shared_options() -> _Parser:
    # No defaults: what stands behind the command would overwrite what stands before it.
    shared = _Parser(add_help=False, argument_default=SUPPRESS)
    options = shared.add_argument_group("options of every command")
    options.add_argument(
        "--database",
        metavar="URL",
        help=f"the database (CONSIGNMENT_DATABASE, else {_DATABASE})",
    )
    options.add_argument(
        "--mailbox",
        metavar="DIR",
        help=f"the folder of the partners' folders (CONSIGNMENT_MAILBOX, else {_MAILBOX})",
    )
    options.add_argument(
        "--at",
        metavar="INSTANT",
        type=_at,
        help="act as of an instant with its offset, for replays: 2026-11-03T09:00:00+08:00",
    )
    options.add_argument(
        "--json", action="store_true", help="answer with one JSON document on standard output"
    )
    return shared


def parsed(arguments: Sequence[str], add_commands: Callable[[Commands], None]) -> Invocation:
    """Read the command line, else raise `UsageError`; `--help` and `--version` exit."""
    shared = _shared_options()
    parser = _Parser(
        prog="consignment",
        description="Manage consignment sales (代销): admit partners, import products, place "
        "purchase orders, see how the goods sell, credit the profit.",
        epilog="Exit code: 0 done, 1 refused, 2 unusable input or usage.",
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=version("consignment"))
    add_commands(Commands(parser, shared))
    given = parser.parse_args(list(arguments))
    return Invocation(
        database=_chosen(given, "database", _DATABASE),
        mailbox=_chosen(given, "mailbox", _MAILBOX),
        at=getattr(given, "at", None),
        json=getattr(given, "json", False),
        given=given,
        run=given.run,
    )


def _chosen(given: argparse.Namespace, name: str, default: str) -> str:
    chosen: str = (
        getattr(given, name, None) or os.environ.get(f"CONSIGNMENT_{name.upper()}") or default
    )
    return chosen


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether `--json` is among arguments that may not be a command line of ours."""
    options = list(arguments)
    return "--json" in (options[: options.index("--")] if "--" in options else options)

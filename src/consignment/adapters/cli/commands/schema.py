"""`init`: the schema, and the mailbox's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.desk import Consignment
from consignment.domain.errors import UnusableInput, reason

if TYPE_CHECKING:
    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add `init`."""
    commands.add("init", _init, "create the database or bring it up to date; make the mailbox")


def _init(asked: Invocation) -> Answer:
    version = Consignment.upgrade(asked.database)
    try:
        Path(asked.mailbox).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = error.strerror or str(error)
        raise UnusableInput(
            reason("folder_not_made", file=asked.mailbox, message=problem)
        ) from error

    def show(console: Console) -> None:
        console.say(f"The database is ready, its schema is of version {version}.", "good")

    return Answer({"schema_version": version}, show)

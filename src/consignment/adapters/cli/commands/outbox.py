"""`outbox`: messages and credits that wait or were set aside."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.console import figure
from consignment.adapters.cli.shapes import entry_shape
from consignment.domain.message import IntentState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console
    from consignment.domain.message import OutboxEntry

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the commands."""
    outbox = commands.group("outbox", "messages and credits on their way")
    listing = outbox.add("list", _list, "list what was set aside, or what waits")
    listing.add_argument(
        "--state",
        choices=[IntentState.SET_ASIDE.value, IntentState.WAITING.value],
        default=IntentState.SET_ASIDE.value,
        help="set_aside is meant when nothing is said",
    )
    retry = outbox.add("retry", _retry, "make what was set aside due again")
    retry.add_argument("entry_id", metavar="ENTRY_ID")
    retry.add_argument("--actor", metavar="A", help="who does it, for the journal")


def _list(asked: Invocation) -> Answer:
    relay = asked.open().relay
    aside = asked.given.state == IntentState.SET_ASIDE.value
    page = relay.set_aside if aside else relay.waiting
    entries = _all(lambda after: page(after=after))

    def show(console: Console) -> None:
        first = next(entries, None)
        if first is None:
            console.say("Nothing was set aside." if aside else "Nothing waits.", "good")
            return
        console.table(
            ["entry", "kind", figure("tries"), "due", "last error"],
            (
                (
                    shape["entry_id"],
                    shape["kind"],
                    shape["attempts"],
                    shape["due_at"],
                    shape["last_error"],
                )
                for shape in map(entry_shape, chain([first], entries))
            ),
        )

    return Answer(map(entry_shape, entries), show)


def _all(page: Callable[[str], Sequence[OutboxEntry]]) -> Iterator[OutboxEntry]:
    after = ""
    while found := page(after):
        yield from found
        after = found[-1].entry_id


def _retry(asked: Invocation) -> Answer:
    entry = asked.open().relay.retry(asked.given.entry_id, actor=asked.given.actor)

    def show(console: Console) -> None:
        console.say(f"{entry.entry_id} is due again; `consignment work` carries it out.", "good")

    return Answer(entry_shape(entry), show)

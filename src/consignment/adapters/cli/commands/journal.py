"""`journal`: what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.refusing import figures_line
from consignment.adapters.cli.shapes import fact_shape
from consignment.domain.message import BANK

if TYPE_CHECKING:
    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add `journal`."""
    parser = commands.add("journal", _journal, "tell what happened, fact by fact")
    parser.add_argument("--order", metavar="ORDER_ID", help="only what concerns one order")


def _journal(asked: Invocation) -> Answer:
    desk = asked.open()
    if asked.given.order is not None:
        desk.dispatch.order(asked.given.order)
    facts = desk.audit.facts(order_id=asked.given.order)
    zone = desk.settings.timezone

    def show(console: Console) -> None:
        for fact in facts:
            when = fact.at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
            about = fact.order_id or ("" if fact.partner_id == BANK else fact.partner_id)
            console.say(f"{when}  {fact.kind.value}  {about}".rstrip(), "strong")
            data = dict(fact.data)
            if fact.actor is not None:
                data["actor"] = fact.actor
            if data:
                console.say("    " + figures_line(data))

    return Answer(map(fact_shape, facts), show)

"""The commands, each a function from what was asked for to an `Answer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.commands import (
    journal,
    orders,
    outbox,
    partners,
    products,
    progress,
    quotas,
    reports,
    schema,
    settlements,
    story,
    terms,
    work,
)

if TYPE_CHECKING:
    from consignment.adapters.cli.arguments import Commands

__all__ = ["add_commands"]


def add_commands(commands: Commands) -> None:
    """Add every command, in the order in which the business happens."""
    schema.add(commands)
    partners.add(commands)
    products.add(commands)
    quotas.add(commands)
    terms.add(commands)
    orders.add(commands)
    reports.add(commands)
    work.add(commands)
    outbox.add(commands)
    progress.add(commands)
    settlements.add(commands)
    journal.add(commands)
    story.add(commands)

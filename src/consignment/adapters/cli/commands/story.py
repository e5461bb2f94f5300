"""`demo`: the business told once, in a temporary place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consignment.adapters.cli.answer import Answer
    from consignment.adapters.cli.arguments import Commands, Invocation

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add `demo`."""
    commands.add("demo", _demo, "tell the business from an admission to a credited profit")


def _demo(_: Invocation) -> Answer:
    from consignment.adapters.cli.demo import tell

    return tell()

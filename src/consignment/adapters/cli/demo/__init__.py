"""The story of `examples/aksu`, told from real calls of the library in a temporary place."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer, Exit
from consignment.adapters.cli.demo.beginning import admission, products, terms
from consignment.adapters.cli.demo.checking import check
from consignment.adapters.cli.demo.ending import credited, found, settled
from consignment.adapters.cli.demo.selling import ordered, reported
from consignment.adapters.cli.demo.stage import Stage

if TYPE_CHECKING:
    from consignment.adapters.cli.console import Console

__all__ = ["tell"]

_WIDTH = 80
_STEPS = (admission, products, terms, ordered, reported, found, settled, credited)


def tell() -> Answer:
    """Let the story happen, and give it."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="consignment-demo-"))
        stage = stack.enter_context(Stage.set_up(folder))
        steps = [step(stage) for step in _STEPS]
        checked = check(stage)
    steps.append(checked.step)

    def show(console: Console) -> None:
        console.heading("Consignment 代销: from an admission request to a credited profit")
        console.say(
            "A fruit grower in Aksu sells for 李明, a sales partner of the bank. What follows is "
            "no recording: the library does it now, in a SQLite database and a mailbox of folders "
            "in a temporary place, with the clock set to the days of the story."
        )
        for number, step in enumerate(steps, start=1):
            console.heading(f"{number}  {step.title}")
            step.show(console)

    document = {
        "equal": not checked.differences,
        "figures": checked.figures,
        "differences": checked.differences,
        "steps": [{"step": step.name, "title": step.title, **step.data} for step in steps],
    }
    return Answer(document, show, Exit.FAULT if checked.differences else Exit.DONE, width=_WIDTH)

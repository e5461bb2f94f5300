"""Where the story happens: a desk in a temporary folder, its clock, and the story's papers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from consignment.adapters.cli.clock import SetClock
from consignment.adapters.cli.console import Console
from consignment.desk import Consignment
from consignment.domain.settings import in_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.domain.money import Money

__all__ = ["ORDER", "PARTNER", "RETAIL", "SALES_PARTNER", "Stage", "Step", "amount"]

PARTNER = "aksu-luyuan"
SALES_PARTNER = "sp-li"
ORDER = "DM-2026-0901:aksu-luyuan"
RETAIL = "business_line:retail"

_BEGINNING = "2026-08-20T09:00:00+08:00"


@frozen
class Step:
    """A part of the story: its data, and how it is told to people."""

    name: str
    title: str
    data: dict[str, Any]
    show: Callable[[Console], None]


@define
class Stage:
    """The desk with what belongs to the story. `results` has the figures to be checked."""

    desk: Consignment
    clock: SetClock
    mailbox: Path
    papers: Path
    results: dict[str, Any] = field(factory=dict)

    @classmethod
    @contextmanager
    def set_up(cls, folder: str) -> Iterator[Stage]:
        """Open a desk in a folder, with the story's papers beside it."""
        root = Path(folder)
        papers, mailbox = root / "papers", root / "mailbox"
        papers.mkdir()
        for paper in files("consignment.adapters.cli").joinpath("aksu").iterdir():
            (papers / paper.name).write_bytes(paper.read_bytes())
        # Who can write into this folder is the partner.
        (mailbox / "inbound" / PARTNER).mkdir(parents=True)
        clock = SetClock(in_utc(datetime.fromisoformat(_BEGINNING)))
        url = f"sqlite:///{root / 'bank.db'}"
        with Consignment.open(url, mailbox=mailbox, clock=clock) as desk:
            yield cls(desk, clock, mailbox, papers)

    def paper(self, name: str) -> bytes:
        """Read one of the story's papers."""
        return (self.papers / name).read_bytes()

    def at(self, text: str) -> str:
        """Let it be an instant; give it as people write it, in the bank's time zone."""
        self.clock.move_to(in_utc(datetime.fromisoformat(text)))
        return self.clock.now().astimezone(self.desk.settings.timezone).strftime("%Y-%m-%d %H:%M")

    def from_partner(self, name: str, message: bytes) -> None:
        """Put a message of the partner's into the mailbox, as the partner does: renamed in."""
        folder = self.mailbox / "inbound" / PARTNER
        aside = folder / f".{name}"
        aside.write_bytes(message)
        aside.rename(folder / name)

    def sent_to(self, recipient: str) -> list[dict[str, Any]]:
        """Read what lies in a recipient's folder."""
        folder = self.mailbox / "outbound" / recipient
        return [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]

    def quota_used(self) -> Money:
        """Give what is used of the retail quota."""
        return self.desk.quotas.show()[0].used


def amount(money: Money) -> str:
    """Write an amount as people do: `23,076.00`."""
    return f"{money.amount:,}"

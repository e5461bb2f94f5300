"""What the processes of a race do: here, so that each can import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consignment.adapters.memory import ManualClock
from consignment.desk import Consignment
from consignment.domain.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from consignment.domain.order import ConsignmentDemand

__all__ = ["open_desk", "place_at_once", "work_at_once"]

#: What a racer reports: "passed", or the reasons of its refusal as plain mappings.
Outcome = str | list[dict[str, Any]]


def open_desk(folder: Path, now: datetime) -> Consignment:
    """Open the database and mailbox of a folder as they are."""
    return Consignment.open(
        f"sqlite:///{folder / 'bank.db'}",
        mailbox=folder / "mailbox",
        upgrade=False,
        clock=ManualClock(now),
    )


def place_at_once(
    folders: Sequence[Path],
    now: datetime,
    demand: ConsignmentDemand,
    start: Barrier,
    told: Any,  # noqa: ANN401 - a connection
) -> None:
    """Place a demand in each folder's desk, each time at the same moment as the other process."""
    outcomes: list[Outcome] = []
    for folder in folders:
        with open_desk(folder, now) as desk:
            start.wait(timeout=60)
            try:
                desk.dispatch.place(demand)
                outcomes.append("passed")
            except Refused as refused:
                outcomes.append([each.as_dict() for each in refused.reasons])
    told.send(outcomes)


def work_at_once(
    folders: Sequence[Path],
    now: datetime,
    rounds: int,
    start: Barrier,
    told: Any,  # noqa: ANN401 - a connection
) -> None:
    """Do the work of each folder's desk some times, beginning at once with the other process."""
    done = []
    for folder in folders:
        with open_desk(folder, now) as desk:
            start.wait(timeout=60)
            counts = [desk.work() for _ in range(rounds)]
            done.append(
                {
                    "taken": sum(each.received.taken for each in counts),
                    "pushed": sum(each.pushed for each in counts),
                    "settled": sum(each.settled.settled for each in counts),
                    "credited": sum(each.credits.done for each in counts),
                    "delivered": sum(each.messages.done for each in counts),
                    "expired": sum(each.expired for each in counts),
                }
            )
    told.send(done)

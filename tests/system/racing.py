"""What the processes of a race do: here, so that each can import it."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from consignment.adapters.filedrop import FileDrop
from consignment.catalogue import ImportResult
from consignment.domain.errors import Refused
from consignment.formats.cloudevents import write_event
from consignment.ports.partner_messaging import Delivery
from consignment.reporting import ReportAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from consignment.desk import Consignment
    from consignment.domain.message import Message
    from consignment.domain.order import ConsignmentDemand
    from consignment.domain.report import PartnerReport

__all__ = [
    "Command",
    "Died",
    "LosingDrop",
    "Meet",
    "import_file",
    "nothing",
    "place_all",
    "place_each",
    "plainly",
    "relay",
    "report",
    "report_each",
    "submit",
    "work",
    "work_rounds",
]

#: A use case as it is submitted: the desk's capability, its method, and what it is given.
Command = tuple[str, str, tuple[Any, ...], dict[str, Any]]
#: Waits until all have come to this point.
Meet = Callable[[], object]


def plainly(answer: object) -> Any:  # noqa: ANN401 - any answer
    """Give an answer in a form that can be sent, and compared with another one."""
    if isinstance(answer, Refused):
        return type(answer).__name__, [each.as_dict() for each in answer.reasons]
    if isinstance(answer, list | tuple):
        return [plainly(each) for each in answer]
    if isinstance(answer, ReportAnswer):
        return answer.record, answer.reasons
    if isinstance(answer, ImportResult):
        landed = sorted(each[0] for each in answer.products)
        return landed, [[reason.code for reason in each.reasons] for each in answer.rejections]
    return answer


def nothing(_: Consignment, __: Meet) -> None:
    """Only be there."""


def submit(desk: Consignment, meet: Meet, commands: Sequence[Command]) -> list[Any]:
    """Submit commands, each at the same moment as all others; give the answers."""
    answers = []
    for capability, method, given, options in commands:
        meet()
        try:
            answer = getattr(getattr(desk, capability), method)(*given, **options)
        except Refused as refused:
            answer = refused
        answers.append(plainly(answer))
    return answers


def place_each(desk: Consignment, meet: Meet, demands: Sequence[ConsignmentDemand]) -> list[Any]:
    """Place demands one by one, as `submit` does."""
    return submit(desk, meet, [("dispatch", "place", (each,), {}) for each in demands])


def place_all(
    desk: Consignment, _: Meet, demands: Sequence[ConsignmentDemand], size: int
) -> list[Any]:
    """Place demands, so many in each transaction; give "placed" or the codes of the refusal."""
    told: list[Any] = []
    for i in range(0, len(demands), size):
        told += [
            answer.codes if isinstance(answer, Refused) else "placed"
            for answer in desk.dispatch.place_many(demands[i : i + size])
        ]
    return told


def report(
    desk: Consignment, _: Meet, batches: Sequence[tuple[str, Sequence[PartnerReport]]]
) -> tuple[int, int]:
    """Report batch by batch; give how many were taken, and how many had been before."""
    taken = repeated = 0
    for partner_id, reports in batches:
        for answer in desk.reporting.take_many(partner_id, reports):
            assert answer.taken, answer.reasons
            repeated += answer.repeated
            taken += not answer.repeated
    return taken, repeated


def report_each(
    desk: Consignment, _: Meet, reports: Sequence[tuple[str, PartnerReport]]
) -> tuple[int, int]:
    """Report one by one; answers as `report`."""
    return report(desk, _, [(partner_id, [each]) for partner_id, each in reports])


def import_file(
    desk: Consignment, _: Meet, partner_id: str, path: Path
) -> tuple[tuple[int, int, int], list[str], list[tuple[str, str]]]:
    """Import a file; give the counts, the numbers that landed, and those rejected with the code."""
    numbers = [each.split(",")[0] for each in path.read_text("utf-8").splitlines()[1:]]
    result = desk.catalogue.import_products(partner_id, desk.product_rows(path))
    rejected = [
        (numbers[each.row - 1], reason.code)
        for each in result.rejections
        for reason in each.reasons
    ]
    counts = result.created, result.updated, result.unchanged
    return counts, [number for number, _ in result.products], rejected


def work_rounds(desk: Consignment, _: Meet, rounds: int) -> dict[str, int]:
    """Do the work that is due some times; give what was done."""
    counts = [desk.work() for _ in range(rounds)]
    return {
        "taken": sum(each.received.taken for each in counts),
        "pushed": sum(each.pushed for each in counts),
        "settled": sum(each.settled.settled for each in counts),
        "credited": sum(each.credits.done for each in counts),
        "delivered": sum(each.messages.done for each in counts),
        "expired": sum(each.expired for each in counts),
    }


class Died(BaseException):
    """The worker is gone, in the midst of a delivery."""


class LosingDrop(FileDrop):
    """A mailbox that notes each message it is handed, and at times tells nobody, or dies.

    What it notes stands in one file for all processes, in the order of the deliveries.
    """

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        outcomes = list(super().deliver(messages))
        chance = random.Random()
        for i, message in enumerate(messages):
            content = hashlib.sha256(write_event(message)).hexdigest()
            line = json.dumps([message.stream, message.message_id, content]) + "\n"
            file = os.open(self.root / "delivered", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)
            if chance.random() < 0.1:
                outcomes[i] = Delivery("nobody heard of it")
        if chance.random() < 0.05:
            raise Died
        return outcomes


def relay(desk: Consignment, _: Meet, seconds: float) -> int:
    """Carry out messages and credits for a time, again after each death; give the deaths."""

    def both() -> None:
        desk.relay.deliver_due()
        desk.relay.credit_due()

    return _for_a_time(both, seconds)


def work(desk: Consignment, _: Meet, seconds: float) -> int:
    """Do whatever is due for a time, again after each death; give the deaths."""
    return _for_a_time(desk.work, seconds)


def _for_a_time(step: Callable[[], object], seconds: float) -> int:
    until, deaths = monotonic() + seconds, 0
    while monotonic() < until:
        try:
            step()
        except Died:
            deaths += 1
    return deaths

"""What the processes of a race do: here, so that each can import it."""

from __future__ import annotations

import hashlib
import json
import os
import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from consignment.adapters.filedrop import FileDrop
from consignment.catalogue import ImportResult
from consignment.desk import Consignment
from consignment.domain.errors import Refused
from consignment.domain.money import Money
from consignment.domain.quota import Quota
from consignment.formats.cloudevents import write_event
from consignment.ports.partner_messaging import Delivery
from consignment.reporting import ReportAnswer
from consignment.testing import builders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from consignment.domain.message import Message
    from consignment.domain.order import ConsignmentDemand
    from consignment.domain.report import PartnerReport

__all__ = [
    "Command",
    "LosingDrop",
    "import_file",
    "mix",
    "nothing",
    "place_all",
    "place_each",
    "plainly",
    "relay",
    "report",
    "report_each",
    "submit",
    "work",
]

#: A use case as it is submitted: the desk's capability, its method, and what it is given.
Command = tuple[str, str, tuple[Any, ...], dict[str, Any]]
Meet = "Callable[[], object]"


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


def submit(desk: Consignment, meet: Callable[[], object], commands: Sequence[Command]) -> list[Any]:
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


def place_each(
    desk: Consignment, meet: Callable[[], object], demands: Sequence[ConsignmentDemand]
) -> list[Any]:
    """Place demands one by one, as `submit` does."""
    return submit(desk, meet, [("dispatch", "place", (each,), {}) for each in demands])


def place_all(
    desk: Consignment, _: Meet, demands: Sequence[ConsignmentDemand], size: int
) -> list[Any]:
    """Place demands, so many in each transaction; give "placed" or the codes of the refusal."""
    told: list[Any] = []
    for i in range(0, len(demands), size):
        for answer in desk.dispatch.place_many(demands[i : i + size]):
            told.append(answer.codes if isinstance(answer, Refused) else "placed")
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


def mix(desk: Consignment, _: Meet, me: int, numbers: Sequence[str], seconds: float) -> int:
    """Do everything at once with many products, in any order, for a time; give how many commands.

    Refusals are answers; any other error ends the race.
    """
    chance = random.Random(me)
    until, done = monotonic() + seconds, 0
    placed: list[str] = []

    def some() -> tuple[tuple[str, str], ...]:
        chosen = chance.sample(numbers, chance.randint(2, 8))
        return tuple((number, str(chance.randint(1, 5))) for number in chosen)

    def demand() -> object:
        demands = []
        for _ in range(chance.randint(1, 3)):
            name = f"M-{me}-{done}-{len(demands)}"
            line = chance.choice(("retail", "corporate"))
            demands.append(builders.a_demand(name, *some(), business_line=line))
            placed.append(name)
        return desk.dispatch.place_many(demands)

    def goods(order_id: str) -> tuple[tuple[str, str, str], ...]:
        lines = list(desk.dispatch.order(order_id).lines)
        chance.shuffle(lines)
        return tuple((line.product_number, "1", "9.00") for line in lines)

    def reports() -> object:
        partner_id = chance.choice(("farm-1", "farm-2"))
        batch: list[PartnerReport] = []
        for n in range(chance.randint(1, 3)):
            order_id = f"{chance.choice(placed)}:{partner_id}"
            tag = f"{me}-{done}-{n}"
            try:
                lines = goods(order_id)
            except Refused:
                continue
            batch += [
                builders.accepted(order_id, report_id=f"{tag}-a"),
                builders.procured(order_id, *lines, report_id=f"{tag}-p"),
                builders.sold(order_id, *lines, report_id=f"{tag}-s"),
                builders.completed(order_id, report_id=f"{tag}-c"),
            ]
        return desk.reporting.take_many(partner_id, batch)

    def end() -> object:
        order_id = f"{chance.choice(placed)}:{chance.choice(('farm-1', 'farm-2'))}"
        if chance.random() < 0.5:
            return desk.dispatch.cancel(order_id, why="乙")
        return desk.dispatch.short_close(order_id, why="乙")

    def stock() -> object:
        partner_id = chance.choice(("farm-1", "farm-2"))
        mine = [number for number in numbers if number.startswith(partner_id)]
        rows = [
            {
                "number": number,
                "name": f"产品 {number}",
                "unit": "BX",
                "currency": "CNY",
                "agreed_price": f"{chance.randint(1, 3)}.00",
            }
            for number in chance.sample(mine, chance.randint(1, len(mine)))
        ]
        return desk.catalogue.import_products(partner_id, rows)

    def limit() -> object:
        scopes = ["total", "partner:farm-1", "partner:farm-2", "business_line:retail", numbers[0]]
        scopes[-1] = f"product:{scopes[-1]}"
        chance.shuffle(scopes)
        wanted = chance.choice(("300.00", "3000.00", "300000.00"))
        chosen = scopes[: chance.randint(1, len(scopes))]
        return desk.quotas.set([Quota.of(scope, Money.of(wanted, "CNY")) for scope in chosen])

    def settle() -> object:
        return desk.settlement.settle(f"{chance.choice(placed)}:farm-1")

    def ask() -> object:
        return desk.progress.by_numbers(chance.sample(numbers, 3)), desk.quotas.show()

    steps = [demand, demand, demand, reports, reports, reports, reports, end, stock, limit, settle]
    demand()
    while monotonic() < until:
        done += 1
        try:
            chance.choice([*steps, desk.work, ask])()
        except Refused:
            continue
    return done

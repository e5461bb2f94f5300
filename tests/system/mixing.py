"""A process that does everything at once, in any order, with many products."""

from __future__ import annotations

import random
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from attrs import define

from consignment.desk import Consignment
from consignment.domain.errors import Refused
from consignment.domain.money import Money
from consignment.domain.quota import Quota
from consignment.testing import builders

if TYPE_CHECKING:
    from consignment.domain.report import PartnerReport
    from tests.system.racing import Meet

__all__ = ["FARMS", "mix"]

FARMS = ("farm-1", "farm-2")


def mix(
    desk: Consignment,
    _: Meet,
    me: int,
    numbers: Sequence[str],
    seconds: float,
    quotas: bool,  # noqa: FBT001 - a job's arguments have no names
) -> int:
    """Do whatever comes to mind for a time; give how many commands that were.

    Quotas are set only when asked for. Refusals are answers; any other error ends the race.
    """
    mixer = _Mixer(desk, me, numbers, random.Random(me), quotas)
    mixer.demand()
    until = monotonic() + seconds
    while monotonic() < until:
        mixer.step()
    return mixer.done


@define
class _Mixer:
    desk: Consignment
    me: int
    numbers: Sequence[str]
    chance: random.Random
    quotas: bool
    done: int = 0

    def step(self) -> None:
        steps = [
            *[self.demand] * 3,
            *[self.reports] * 4,
            self.end,
            self.stock,
            self.limit if self.quotas else self.ask,
            self.settle,
            self.desk.work,
            self.ask,
        ]
        self.done += 1
        try:
            self.chance.choice(steps)()
        except Refused:
            return

    def demand(self) -> object:
        def goods() -> list[tuple[str, str]]:
            chosen = self.chance.sample(self.numbers, self.chance.randint(2, 8))
            return [(number, str(self.chance.randint(1, 5))) for number in chosen]

        return self.desk.dispatch.place_many(
            [
                builders.a_demand(
                    f"M-{self.chance.randint(1, 40 + self.done)}",
                    *goods(),
                    business_line=self.chance.choice(("retail", "corporate")),
                )
                for _ in range(self.chance.randint(1, 3))
            ]
        )

    def _order(self, partner_id: str | None = None) -> str:
        demand = f"M-{self.chance.randint(1, 40 + self.done)}"
        return f"{demand}:{partner_id or self.chance.choice(FARMS)}"

    def reports(self) -> object:
        partner_id = self.chance.choice(FARMS)
        batch: list[PartnerReport] = []
        for n in range(self.chance.randint(2, 6)):
            order_id, tag = self._order(partner_id), f"{self.me}-{self.done}-{n}"
            try:
                lines = list(self.desk.dispatch.order(order_id).lines)
            except Refused:
                continue
            self.chance.shuffle(lines)
            goods = [(line.product_number, "1", "9.00") for line in lines]
            batch += [
                builders.accepted(order_id, report_id=f"{tag}-a"),
                builders.procured(order_id, *goods, report_id=f"{tag}-p"),
                builders.sold(order_id, *goods, report_id=f"{tag}-s"),
            ]
            if self.chance.random() < 0.3:
                batch.append(builders.completed(order_id, report_id=f"{tag}-c"))
        return self.desk.reporting.take_many(partner_id, batch)

    def end(self) -> object:
        if self.chance.random() < 0.5:
            return self.desk.dispatch.cancel(self._order(), why="乙")
        return self.desk.dispatch.short_close(self._order(), why="乙")

    def stock(self) -> object:
        partner_id = self.chance.choice(FARMS)
        mine = [number for number in self.numbers if number.startswith(partner_id)]
        rows = [
            {
                "number": number,
                "name": f"产品 {number} {self.chance.randint(1, 9)}",
                "unit": "BX",
                "currency": "CNY",
                "agreed_price": f"{self.chance.randint(1, 3)}.00",
            }
            for number in self.chance.sample(mine, self.chance.randint(1, len(mine)))
        ]
        return self.desk.catalogue.import_products(partner_id, rows)

    def limit(self) -> object:
        scopes = [
            "total",
            "business_line:retail",
            *(f"partner:{each}" for each in FARMS),
            *(f"product:{each}" for each in self.numbers[::5]),
        ]
        chosen = self.chance.sample(scopes, self.chance.randint(1, len(scopes)))
        wanted = Money.of(self.chance.choice(("300.00", "3000.00", "300000.00")), "CNY")
        return self.desk.quotas.set([Quota.of(scope, wanted) for scope in chosen])

    def settle(self) -> object:
        return self.desk.settlement.settle(self._order())

    def ask(self) -> object:
        return self.desk.progress.by_numbers(self.chance.sample(self.numbers, 3))
